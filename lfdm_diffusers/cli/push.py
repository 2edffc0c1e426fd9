"""`lfdm push`: a saved pipeline, auto-encoder or decoder, with its card, to the Hub."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .options import add_json_argument

EXAMPLES = """
examples:
  a pipeline that train_unet.py has made:
    %(prog)s lfdm-toon64/pipeline me/lfdm-toon64
  a decoder alone, which one line puts into the pipeline it belongs to:
    %(prog)s ink-decoder/decoder me/toon64-ink --private
  a pipeline with its scores of a benchmark, for its page there:
    lfdm evaluate lfdm-toon64/pipeline --dataset-name me/my-faces --output scores
    %(prog)s lfdm-toon64/pipeline me/lfdm-toon64 --results scores/results.json --benchmark me/my-faces
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folder", metavar="FOLDER", help="folder of a pipeline, a model, or a decoder")
    parser.add_argument("repo_id", metavar="REPO_ID", help="repository, such as me/my-model; made if need be")
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="results.json of `lfdm evaluate`, of this pipeline: its scores go into .eval_results/ for the Hub's boards",
    )
    parser.add_argument(
        "--benchmark", metavar="REPO_ID", help="with --results: the Hub's data set of these scores, a task for each"
    )
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--message", metavar="TEXT", help="commit message (default: Pushed with lfdm_diffusers)")
    parser.add_argument("--token", metavar="TOKEN", help="access token (default: the one you are logged in with)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Push; returns 0."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from ..hub.push import CARD, push_folder, require_inside
    from .pushed_folder import add_results, kind_of, require_whole, write_card

    folder = Path(args.folder)
    if (args.results is None) != (args.benchmark is None):
        raise ValueError("`--results` and `--benchmark` go together: which scores, and of which data set of the Hub.")
    for name, repo_id in (("REPO_ID", args.repo_id), ("--benchmark", args.benchmark)):
        try:
            if repo_id is not None:
                validate_repo_id(repo_id)
        except HFValidationError as error:
            raise ValueError(f"{name}: {error}") from error
    kind = kind_of(folder)
    require_whole(folder)
    require_inside(folder)  # before the card is written, which one of its links may lead to
    if args.results is not None:
        add_results(folder, kind, Path(args.results), args.benchmark)
    card_made = not (folder / CARD).is_file()
    if card_made:
        write_card(folder, kind, args.repo_id)
        if not args.json:
            print(f"wrote {folder / CARD}: a card with what is known; add what is not")
    where = push_folder(folder, args.repo_id, args.token, args.private, args.message or "Pushed with lfdm_diffusers")
    if args.json:
        print(json.dumps({"folder": str(folder), "kind": kind, "address": where, "card_made": card_made}, indent=2))
    else:
        print(f"pushed {folder} ({kind}) to {where}")
    return 0
