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
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folder", metavar="FOLDER", help="folder of a pipeline, a model, or a decoder")
    parser.add_argument("repo_id", metavar="REPO_ID", help="repository, such as me/my-model; made if need be")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--message", metavar="TEXT", help="commit message (default: Pushed with lfdm_diffusers)")
    parser.add_argument("--token", metavar="TOKEN", help="access token (default: the one you are logged in with)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Push; returns 0."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from ..hub.push import CARD, push_folder, require_inside
    from .pushed_folder import kind_of, require_whole, write_card

    folder = Path(args.folder)
    try:
        validate_repo_id(args.repo_id)
    except HFValidationError as error:
        raise ValueError(f"REPO_ID: {error}") from error
    kind = kind_of(folder)
    require_whole(folder)
    require_inside(folder)  # before the card is written, which one of its links may lead to
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
