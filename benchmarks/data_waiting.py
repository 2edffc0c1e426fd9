#!/usr/bin/env python
"""The share of a training's time that it waits for data: both stages, as docs/training.md trains toon64.

lfdm data toon-faces toon --num-subjects 40 --num-test-subjects 4 --num-frames 16 --size 64 --format webp
python benchmarks/data_waiting.py --train_data_dir toon --output docs/performance/data.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lfdm_diffusers.embedded import embedded_model
from lfdm_diffusers.evaluation.report import hardware, software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.ops.cpu import has_instructions
from lfdm_diffusers.training.metrics_file import METRICS_FILE

ROOT = Path(__file__).parents[1]
STEPS = 10  # between two records
STAGES = {
    "stage one, 16 pairs": (
        "train_lfae.py",
        "--preset toon64 --train_batch_size 16 --perceptual none --motion_loss_weight 30 --reference_frame first",
    ),
    "stage two, 8 videos": ("train_unet.py", "--train_batch_size 8"),
}


def measure(script: str, options: list[str], args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Medians over the records of a short training; the first, with what a start costs, does not count."""
    precision = "bf16" if has_instructions(torch.bfloat16) else "no"
    shared = [
        "--train_data_dir",
        str(args.train_data_dir),
        "--output_dir",
        str(folder),
        "--mixed_precision",
        precision,
    ]
    shared += ["--max_train_steps", str(args.steps), "--logging_steps", str(STEPS), "--validation_steps", "0"]
    workers = ["--dataloader_num_workers", str(args.workers)]
    subprocess.run([sys.executable, str(ROOT / "training" / script), *options, *shared, *workers], check=True)
    return medians(folder)


def medians(folder: Path) -> dict[str, float]:
    """Over the records of a run in its output folder, but the first."""
    lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if "waiting_for_data" in record][1:]
    return {key: statistics.median(r[key] for r in records) for key in ("waiting_for_data", "steps_per_second")}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("data.json"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args(argv)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (script, options) in STAGES.items():
            made = (
                ["--pretrained_model_name_or_path", str(embedded_model("toon64"))] if script == "train_unet.py" else []
            )
            rows[name] = measure(script, [*options.split(), *made], args, Path(folder, script))
            print(
                f"{name}: {rows[name]['waiting_for_data']:.1%} of the time, {rows[name]['steps_per_second']:.3g} steps/s"
            )
    content = {"waiting": rows, "workers": args.workers, "software": software()}
    content["hardware"] = hardware(torch.device("cpu"))
    write_json(args.output, content)


if __name__ == "__main__":
    main()
