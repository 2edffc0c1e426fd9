"""Loads a pipeline from a folder or the Hub; if that fails, one sentence says why."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import diffusers
import torch
import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

from .. import models
from ..embedded import named_model
from ..files.reading import read_json
from ..hub.bounds import require_bounded
from . import PIPELINES, ImageToVideoPipeline, LFDMPipeline

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries' progress bars and advice."""
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
    """The device `name`; None is the fastest there is.

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
        raise ValueError(f"The device {name} cannot be used here: {first_line(error)}.") from error
    return device


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something, without its full stop."""
    return next((s for line in str(error).splitlines() if (s := line.strip().rstrip(".:"))), type(error).__name__)


def read_model_config(model: str | Path) -> dict:
    """`model_index.json` of a pipeline, or `config.json` of a single model; see `named_config`."""
    return named_config(model)[1]


def named_config(model: str | Path) -> tuple[str, dict]:
    """The folder or Hub id that `model` names, and its `model_index.json` (of a pipeline) or `config.json` (of a single model).

    Raises:
        ValueError: if there is neither, or it cannot be read; one sentence.
    """
    model = named_model(model)
    path, names = Path(model), ("model_index.json", "config.json")
    files: Iterable[Path]
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
    return model, read_json(file)


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


def load_pipeline(
    model: str | Path,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    kind: type[ImageToVideoPipeline] = LFDMPipeline,
) -> ImageToVideoPipeline:
    """A pipeline of the class `kind` (or one derived from it) from a folder, the Hub or the package, with its progress bar off.

    Raises:
        ValueError: if there is none, or it cannot be loaded; one sentence.
    """
    model, config = named_config(model)
    found = class_name_of(config)
    if not issubclass(PIPELINES.get(found, object), kind):
        wanted = " or ".join(name for name, cls in PIPELINES.items() if issubclass(cls, kind))
        raise ValueError(f"{model} holds a {found or 'model without a class'}, but a whole {wanted} is needed.")
    for path in sorted(Path(model).glob("*/*config.json")):  # also of the parts that other libraries build
        if path.name in ("config.json", "scheduler_config.json"):
            require_bounded(read_json(path), path, infinite=path.name == "scheduler_config.json")
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
