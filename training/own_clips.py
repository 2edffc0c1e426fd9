#!/usr/bin/env python
"""Both stages in so many minutes, from a bundled model's weights, for clips of your own; see docs/own-data.md.

python training/own_clips.py --train_data_dir package/assets --output_dir emoji --minutes 45
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfdm_diffusers.arguments.types import number, whole_number
from lfdm_diffusers.embedded import MODEL, embedded_models
from lfdm_diffusers.training.arguments import add_data_arguments, one_sentence, script_parser

PLAN = "own_clips.json"
STAGE_ONE = 0.5  # of the time: what stage one does not show, stage two cannot repair


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    add_data_arguments(parser, resolution=64)  # of more, minutes buy too few steps
    run = parser.add_argument_group("training")
    run.add_argument("--output_dir", type=Path, required=True, help="gets stage-one/ and pipeline/; goes on there")
    run.add_argument("--minutes", type=number(above=0), default=45, help="for all of it (default: 45)")
    run.add_argument(
        "--pretrained_model_name_or_path",
        default=MODEL,
        help=f"pipeline to start from: {', '.join(embedded_models())}, a folder or Hub repository (default: {MODEL})",
    )
    run.add_argument("--num_frames", type=whole_number(2), default=16, help="of a clip (default: 16)")
    run.add_argument("--flip", action="store_true", help="mirror half the clips; not where labels name a side")
    run.add_argument("--mixed_precision", choices=["no", "bf16", "fp16"], help="default: what is fast here")
    run.add_argument("--seed", type=whole_number(0), default=0)
    return parser.parse_args(argv)


def command(script: str, values: Mapping[str, Any]) -> list[str]:
    """A training script's command line; None and False leave an option out."""
    words = [str(Path(__file__).with_name(script))]
    for name, value in values.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


def run_stage(words: list[str]) -> None:
    """Show and run a command; a failure ends this program as it ended that one, which has said why."""
    print(shlex.join(["python", f"training/{Path(words[0]).name}", *words[1:]]), flush=True)
    if status := subprocess.run([sys.executable, *words]).returncode:
        raise SystemExit(status)


def train(args: argparse.Namespace) -> None:
    """Train, and leave stage-one/lfae and pipeline/ in the output folder, and the commands of both stages."""
    began = time.monotonic()
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from lfdm_diffusers.files.reading import read_json
    from lfdm_diffusers.files.whole import write_json
    from lfdm_diffusers.training.metrics_file import METRICS_FILE, last_validation, records
    from lfdm_diffusers.training.recipe import Recipe
    from lfdm_diffusers.training.short_budget import judge_stage_one, judge_stage_two

    recipe = Recipe(args, began)
    output, file = args.output_dir, args.output_dir / PLAN
    plan: dict[str, Any] = read_json(file) if file.is_file() else {"asked": recipe.asked()}
    if changed := [f"--{name} {was}" for name, was in plan["asked"].items() if recipe.asked().get(name) != was]:
        raise ValueError(
            f"`--output_dir` {output} was begun with {', '.join(changed)}: give these, or another folder."
        )

    # What was planned once is what is done, so that a training that was stopped goes on as it would have.
    anew = "stage_one" not in plan
    if anew:
        plan["stage_one"] = command("train_lfae.py", recipe.stage_one(STAGE_ONE))
        output.mkdir(parents=True, exist_ok=True)
        write_json(file, plan)
    if not (recipe.first / "lfae").is_dir():
        run_stage(plan["stage_one"])
    worth, why = judge_stage_one(last_validation(recipe.first / METRICS_FILE)[1])
    print(why, flush=True)
    if not worth:
        raise ValueError("stopped before stage two.")
    if "stage_two" not in plan:
        plan["stage_two"] = command(
            "train_unet.py", recipe.stage_two(recipe.left() if anew else 60 * args.minutes * (1 - STAGE_ONE))
        )
        write_json(file, plan)
    if not (output / "pipeline").is_dir():
        run_stage(plan["stage_two"])
    found = [each["validation/loss"] for each in records(output / METRICS_FILE) if "validation/loss" in each]
    print(judge_stage_two(found), f"Took {(time.monotonic() - began) / 60:.0f} minutes.", sep="\n")
    print(f"next: lfdm generate PICTURE --model {shlex.quote(str(output / 'pipeline'))}")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("own_clips"):
        train(args)


if __name__ == "__main__":
    main()
