"""How this package's classes live with diffusers and the Hub: found by name, pushed with a filled card, or with code."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import diffusers
from diffusers import DiffusionPipeline
from diffusers import pipelines as diffusers_pipelines
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines import pipeline_loading_utils
from huggingface_hub import CommitInfo, HfApi, file_exists
from huggingface_hub.errors import HfHubHTTPError

from ..files.whole import whole
from ..ops.cpu import reuse_freed_memory

PACKAGE = __name__.split(".")[0]
CARD = "README.md"
PIPELINE_CODE = "pipeline.py"
COMPONENT_CODE = f"{PACKAGE}.py"


def register_with_diffusers(pipeline_classes: list[type], model_classes: list[type]) -> None:
    """Make diffusers resolve `["lfdm_diffusers", "<class>"]` in a `model_index.json`, and the pipelines by name.

    Without this `LFDMPipeline.from_pretrained` works from a folder only, and `DiffusionPipeline.from_pretrained` and
    `AutoModel.from_pretrained` not at all: they look names up in diffusers' own namespace.
    """
    methods = {cls.__name__: ["save_pretrained", "from_pretrained"] for cls in model_classes}
    for library in (PACKAGE, f"{PACKAGE}.models"):  # the second is what HubPipeline reads shipped code as
        pipeline_loading_utils.LOADABLE_CLASSES[library] = methods
    pipeline_loading_utils.ALL_IMPORTABLE_CLASSES.update(methods)
    for cls in pipeline_classes + model_classes:
        setattr(diffusers, cls.__name__, cls)
    for cls in pipeline_classes:
        setattr(diffusers_pipelines, cls.__name__, cls)


@contextlib.contextmanager
def _explained_refusals() -> Iterator[None]:
    """Say what to do where the Hub only says "unauthorized" or "forbidden"."""
    try:
        yield
    except HfHubHTTPError as error:
        advice = {
            401: "Pushing needs a token: log in with `hf auth login`, set HF_TOKEN, or pass `token`.",
            403: "This token may not write there: use one with the right to write, or another `repo_id`.",
        }.get(getattr(error.response, "status_code", None))
        if advice and advice not in str(error):
            error.append_to_message("\n" + advice)
        raise


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    token: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> str:
    """Upload a finished folder to a Hub repository, made if need be, in one commit; returns its address.

    Raises:
        ConnectionError: if that fails; says what to do about a token. The folder stays, and the repository is as it was.
    """
    api = HfApi(token=token)
    try:
        with _explained_refusals():
            repo = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo.repo_id, folder_path=folder, commit_message=message)
    except Exception as error:  # of whichever HTTP library the Hub client uses
        raise ConnectionError(f"{folder} is complete, but the push to {repo_id} failed: {error}") from error
    return str(repo)


def _keeping_card(save_pretrained: Callable) -> Callable:
    """`save_pretrained` that leaves a folder's README.md as it is; diffusers writes its own there before a push."""

    # diffusers reads the signature to learn what it may pass on, hence `wraps`.
    @functools.wraps(save_pretrained)
    def wrapper(self: FilledCardMixin, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        if os.path.isfile(save_directory):
            raise ValueError(f"`save_directory` must be a folder, got the file {os.fspath(save_directory)!r}.")
        readme = Path(save_directory, CARD)
        card = readme.read_bytes() if readme.is_file() else None
        self._folder_card = card
        try:
            with _explained_refusals():
                return save_pretrained(self, str(save_directory), *args, **kwargs)
        finally:
            self._folder_card = None
            if card is None:
                readme.unlink(missing_ok=True)
            elif not readme.is_file() or readme.read_bytes() != card:
                readme.write_bytes(card)

    return wrapper


class FilledCardMixin:
    """Pushes a filled card where diffusers would push a stock text.

    A card that a person wrote stays: first the folder's, then the repository's, and only then is one made.
    """

    _folder_card: bytes | None = None

    def _upload_folder(self, working_dir: str | os.PathLike, repo_id: str, *args, **kwargs) -> CommitInfo:
        if not kwargs.get("subfolder"):
            readme = Path(working_dir, CARD)
            if self._folder_card is not None:
                readme.write_bytes(self._folder_card)
            elif not file_exists(repo_id, CARD, token=kwargs.get("token")):
                from .cards import card_of  # it describes models, which are built on this module

                card_of(self, repo_id).save(readme)
        try:
            return super()._upload_folder(working_dir, repo_id, *args, **kwargs)
        except (HfHubHTTPError, ValueError, TypeError):
            raise
        except Exception as error:
            raise ConnectionError(
                f"The upload to {repo_id!r} broke off: {error} The Hub commits all files together or none, so the "
                "repository is not left half-written; push again."
            ) from error

    def push_to_hub(self, repo_id: str, *args, **kwargs) -> str:
        """Push as diffusers does, with a filled card; see `save_pretrained`.

        Raises:
            HfHubHTTPError: if the Hub refuses; says what to do about a token.
            ConnectionError: if the upload breaks off; the repository is then as it was.
        """
        with _explained_refusals():
            return super().push_to_hub(repo_id, *args, **kwargs)


class HubModel(FilledCardMixin, ModelMixin):
    """Base of this package's models."""

    def __init__(self):
        super().__init__()
        reuse_freed_memory()

    @_keeping_card
    @functools.wraps(ModelMixin.save_pretrained)
    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        super().save_pretrained(save_directory, *args, **kwargs)
        # diffusers removes the shards of an earlier save but not their index, and would then look for them.
        for index in Path(save_directory).glob("*.index*.json"):
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            if not all((index.parent / shard).exists() for shard in shards):
                index.unlink()


class HubPipeline(FilledCardMixin, DiffusionPipeline):
    """Base of this package's pipelines: what is saved may carry code for those who have not imported the package."""

    _remote_code = False

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        # DiffusionPipeline.from_pretrained(..., text_encoder=None) leaves an optional part out only if the signature that
        # it reads shows no default; it would load the part all the same, and download it. Calls are not affected.
        signature = inspect.signature(cls.__init__)
        parameters = [
            parameter.replace(default=parameter.empty) if name in cls._optional_components else parameter
            for name, parameter in signature.parameters.items()
        ]
        # A subclass may order its arguments so that this cannot be said; it then has diffusers' own behaviour.
        with contextlib.suppress(ValueError):
            cls.__init__.__signature__ = signature.replace(parameters=parameters)

    @_keeping_card
    def save_pretrained(self, save_directory: str | os.PathLike, *args, remote_code: bool = False, **kwargs) -> None:
        """Save as `DiffusionPipeline.save_pretrained` does.

        Args:
            save_directory: the folder; made if need be.
            remote_code: also write `pipeline.py` and `<component>/lfdm_diffusers.py`, which import this package, so
                that `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)` works for people who have
                installed the package but do not import it. With the import, `LFDMPipeline.from_pretrained` needs no
                flag for either kind; `DiffusionPipeline.from_pretrained` asks for the flag where there is code.
            args, kwargs: as in diffusers; `push_to_hub=True` with `repo_id`, `token`, ... pushes the folder as well.

        Raises:
            ValueError: if `remote_code` is asked of a class outside this package.
        """
        with self._writing_remote_code(remote_code):
            super().save_pretrained(save_directory, *args, **kwargs)

    def push_to_hub(self, repo_id: str, *args, remote_code: bool = False, **kwargs) -> str:
        """Push as `DiffusionPipeline.push_to_hub` does, with a filled card; `remote_code` as in `save_pretrained`."""
        with self._writing_remote_code(remote_code):
            return super().push_to_hub(repo_id, *args, **kwargs)

    @contextlib.contextmanager
    def _writing_remote_code(self, remote_code: bool) -> Iterator[None]:
        if remote_code and type(self).__module__.split(".")[0] != PACKAGE:
            raise ValueError(
                f"`remote_code=True` writes code that imports the pipeline from {PACKAGE}, but {type(self).__name__} comes "
                f"from {type(self).__module__}. Save it without, and load it with {type(self).__name__}.from_pretrained."
            )
        before = self._remote_code
        self._remote_code = before or remote_code
        try:
            yield
        finally:
            self._remote_code = before

    def save_config(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        super().save_config(save_directory, *args, **kwargs)
        # Whatever is saved or pushed passes here, after its components and before it is uploaded.
        write_remote_code(Path(save_directory), type(self).__name__, self._remote_code)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict:
        """Read `model_index.json` so that code shipped beside it is not run: this class is here already."""
        config = super()._dict_from_json_file(json_file)
        if config.get("_class_name") == [Path(PIPELINE_CODE).stem, cls.__name__]:
            config["_class_name"] = cls.__name__
            for name, value in config.items():
                if isinstance(value, list) and value[:1] == [PACKAGE]:
                    config[name] = [f"{PACKAGE}.models", *value[1:]]
        return config


def write_remote_code(folder: Path, class_name: str, wanted: bool) -> None:
    """Write the code that loads a saved pipeline in diffusers alone, or remove what an earlier save wrote.

    Args:
        folder: where the pipeline was saved, without code.
        class_name: of the pipeline.
        wanted: whether there shall be code.
    """
    index_file = folder / DiffusionPipeline.config_name
    index = json.loads(index_file.read_text(encoding="utf-8"))
    components = [name for name, value in index.items() if isinstance(value, list) and value[0] == PACKAGE]
    classes = sorted({index[name][1] for name in components})
    # diffusers copies all components' files to one name, so each must hold all classes.
    code = {folder / name / COMPONENT_CODE: f"from {PACKAGE} import {', '.join(classes)}\n" for name in components}
    code[folder / PIPELINE_CODE] = f"from {PACKAGE} import {class_name}\n"
    for file, text in code.items():
        if wanted:
            file.write_text(text, encoding="utf-8")
        elif file.is_file() and (file.name == COMPONENT_CODE or file.read_text(encoding="utf-8") == text):
            file.unlink()
    if wanted:
        index["_class_name"] = [Path(PIPELINE_CODE).stem, class_name]
        with whole(index_file) as part:
            part.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
