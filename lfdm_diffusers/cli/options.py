"""What the commands share: options that explain themselves, exit codes, and loading a pipeline by folder or Hub id."""

from __future__ import annotations

import argparse

from ..arguments.types import number, whole_number
from ..embedded import embedded_model
from ..pipelines import LFDMPipeline
from ..pipelines.loading import DTYPES, choose_device, load_pipeline
from ..schedulers import SCHEDULERS


def add_sampling_arguments(group: argparse._ArgumentGroup) -> None:
    """How a pipeline samples, and where it runs (`add_device_arguments`)."""
    group.add_argument("--steps", type=whole_number(1), metavar="N", help="denoising steps (default: the model's)")
    group.add_argument("--scheduler", metavar="NAME", help=f"{', '.join(SCHEDULERS)} (default: the model's)")
    group.add_argument(
        "--guidance-scale",
        type=number(-100, 100),
        default=1.0,
        metavar="W",
        help="of classifier-free guidance; 1 is none, more follows the label more strongly (default: 1)",
    )
    group.add_argument(
        "--eta", type=number(0, 1), default=1.0, metavar="E", help="fresh noise of DDIM, from 0 to 1 (default: 1)"
    )
    add_device_arguments(group)


def add_model_argument(group: argparse._ActionsContainer) -> None:
    """Which pipeline; see `load_chosen_pipeline`."""
    group.add_argument(
        "--model", metavar="FOLDER|HUB_ID", help="pipeline (default: the one that comes with the package)"
    )


def add_json_argument(group: argparse._ActionsContainer) -> None:
    """For scripts."""
    group.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def add_device_arguments(group: argparse._ArgumentGroup) -> None:
    """Where a pipeline runs."""
    group.add_argument("--device", metavar="D", help="cuda, cuda:1, mps, cpu, ... (default: the fastest there is)")
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="of the models (default: float32)")


def load_chosen_pipeline(args: argparse.Namespace) -> tuple[LFDMPipeline, str]:
    """What `add_model_argument` and `add_device_arguments` name, and its name.

    Raises:
        ValueError: as `load_pipeline`.
    """
    device = choose_device(args.device)
    model = args.model or embedded_model()
    return load_pipeline(model, device, DTYPES[args.dtype]), str(args.model or model.name)
