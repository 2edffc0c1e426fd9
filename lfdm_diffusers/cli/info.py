"""`lfdm info`: describe a model from its configurations and its card, without loading weights."""

from __future__ import annotations

import argparse
import json

from ..embedded import MODEL, embedded_model, embedded_models
from .options import add_json_argument

EXAMPLES = """
examples:
  %(prog)s
  %(prog)s toon64
  %(prog)s lfdm-mug128
  %(prog)s someone/some-model --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="folder or Hub id, of which only configurations and card are read, or the name of a model that comes with the package: "
        f"{', '.join(embedded_models())} (default: {MODEL})",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Show; returns 0."""
    from .model_facts import lines_of, model_facts

    facts = model_facts(args.model or embedded_model())
    print(json.dumps(facts, indent=2, ensure_ascii=False) if args.json else "\n".join(lines_of(facts)))
    return 0
