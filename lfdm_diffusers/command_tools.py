"""What the commands share: options that explain themselves, exit codes, and loading a pipeline by folder or Hub id."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import diffusers
import torch
import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

from . import models
from .embedded import embedded_model
from .pipelines import PIPELINES, ImageToVideoPipeline, LFDMPipeline
from .schedulers import SCHEDULERS

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class CommandParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An option's `type`: a whole number from `least` to `most`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            value = int(text)
            if least <= value and (most is None or value <= most):
                return value
        raise argparse.ArgumentTypeError(f"must be a whole number {limits}, got {text!r}")

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """An option's `type`: a number from `least` to `most`."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(text)
            if math.isfinite(value) and least <= value <= most:
                return value
        raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}, got {text!r}")

    return parse


def some_of(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    """An option's `type`: a list with commas of some of `allowed`, each once, in the order given."""

    def parse(text: str) -> list[str]:
        given = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
        if not given or set(given) - set(allowed):
            raise argparse.ArgumentTypeError(f"must be some of {','.join(allowed)} with commas, got {text!r}")
        return given

    return parse


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


def with_exit_codes(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """`run`, except that a user's mistake is one sentence on stderr and exit code 2, and Ctrl-C is 130."""

    @functools.wraps(run)
    def wrapper(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except (ValueError, OSError) as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 2
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and not _out_of_memory(error):
                raise
            print(
                f"error: out of memory; ask for less at once, or for --dtype bfloat16 ({first_line(error)})",
                file=sys.stderr,
            )
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return wrapper


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """No progress bars and no advice of the libraries, for what takes a moment."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    before = [(library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, (was_on, verbosity) in zip(libraries, before):
            library.set_verbosity(verbosity)
            if was_on:
                library.enable_progress_bar()


def choose_device(name: str | None) -> torch.device:
    """The device called `name`; the fastest there is, if None.

    Raises:
        ValueError: if there is no such device.
    """
    if name is None:
        available = [n for n, there in (("cuda", torch.cuda), ("mps", torch.backends.mps)) if there.is_available()]
        return torch.device((available or ["cpu"])[0])
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"`--device` {name} cannot be used here: {first_line(error)}.") from error
    return device


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something, without its full stop."""
    return next((s for line in str(error).splitlines() if (s := line.strip().rstrip(".:"))), type(error).__name__)


def read_model_config(model: str | Path) -> dict:
    """`model_index.json` of a pipeline, or `config.json` of a single model, in a folder or on the Hub.

    Raises:
        ValueError: if there is neither, or it cannot be read; one sentence.
    """
    path, names = Path(model), ("model_index.json", "config.json")
    if path.is_file():
        raise ValueError(f"{path} is a file; name a model's folder or Hub id.")
    if path.is_dir():
        files = [path / name for name in names if (path / name).is_file()]
    elif str(model).startswith((".", "/", "~")):
        raise ValueError(f"There is no folder {model}.")
    else:
        files = filter(None, (_hub_file(str(model), name) for name in names))
    file = next(iter(files), None)
    if file is None:
        raise ValueError(f"{model} holds no model: neither {names[0]} nor {names[1]} is in it.")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not a JSON file: {first_line(error)}.") from error
    return config if isinstance(config, dict) else {}


def _hub_file(repo_id: str, name: str) -> Path | None:
    """A file of a Hub repository, downloaded if need be; None if the repository has none of that name."""
    try:
        return Path(hf_hub_download(repo_id, name))
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"{repo_id} is no folder here, and the Hub cannot be reached (nor was it downloaded before)."
        ) from error
    except EntryNotFoundError:
        return None
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{repo_id} is no folder here, and there is no such repository on the Hub, or it is private and needs a login."
        ) from error
    except Exception as error:  # of whichever HTTP library the Hub client uses
        raise ValueError(
            f"{repo_id} is no folder here, and could not be read from the Hub: {first_line(error)}."
        ) from error


def class_name_of(config: dict) -> str:
    """The class that a `model_index.json` or `config.json` names, "" if none."""
    name = config.get("_class_name")
    return str(name[-1] if isinstance(name, list) and name else name or "")


def package_class(model: str | Path, config: dict) -> str:
    """The class that a configuration names, if it is one of this package's pipelines or models.

    Raises:
        ValueError: if it is not.
    """
    name = class_name_of(config)
    if name not in PIPELINES and name not in models.__all__:
        raise ValueError(f"{model} holds a {name or 'model without a class'}, none of this package's models.")
    return name


def load_chosen_pipeline(args: argparse.Namespace) -> tuple[LFDMPipeline, str]:
    """What `add_model_argument` and `add_device_arguments` name, and its name.

    Raises:
        ValueError: as `load_pipeline`.
    """
    device = choose_device(args.device)
    model = args.model or embedded_model()
    return load_pipeline(model, device, DTYPES[args.dtype]), str(args.model or model.name)


def load_pipeline(
    model: str | Path,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    kind: type[ImageToVideoPipeline] = LFDMPipeline,
) -> ImageToVideoPipeline:
    """A pipeline of the class `kind` (or one derived from it) from a folder or the Hub, with its progress bar off.

    Raises:
        ValueError: if there is none, or it cannot be loaded; one sentence.
    """
    found = class_name_of(read_model_config(model))
    if not issubclass(PIPELINES.get(found, object), kind):
        wanted = " or ".join(name for name, cls in PIPELINES.items() if issubclass(cls, kind))
        raise ValueError(f"{model} holds a {found or 'model without a class'}, but a whole {wanted} is needed.")
    try:
        with quiet_libraries():
            pipe = PIPELINES[found].from_pretrained(str(model), variant=_variant(Path(model)))
            pipe.to(device=device, dtype=dtype)
    except Exception as error:  # diffusers, transformers, safetensors and the Hub client each raise their own
        raise ValueError(f"{model} could not be loaded: {first_line(error)}.") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _variant(folder: Path) -> str | None:
    """ "fp16" for a folder whose weights were saved under that name only."""
    names = {file.name for file in folder.glob("unet/*.safetensors")}
    halves = {name for name in names if ".fp16" in name}
    return "fp16" if halves and halves == names else None
