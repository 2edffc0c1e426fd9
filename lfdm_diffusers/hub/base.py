"""Bases of this package's models and pipelines: they save with or without code, and push with a filled card."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from diffusers import DiffusionPipeline
from diffusers.models.modeling_utils import ModelMixin
from huggingface_hub import ModelCard

from ..files.reading import read_json
from ..ops.number_types import float32_by_default
from .bounds import require_bounded
from .cards import CardFacts, component_card
from .decorators import wraps
from .push import FilledCardMixin, keeping_card
from .registration import PACKAGE, PIPELINE_CODE, write_blocks, write_remote_code

if TYPE_CHECKING:
    from typing_extensions import Self


class HubModel(FilledCardMixin, ModelMixin):
    """Base of this package's models.

    Attributes:
        tags: for the Hub.
    """

    tags: ClassVar[tuple[str, ...]] = ()
    _repeated_blocks = (
        None  # for `compile_repeated_blocks`: every level has its own widths, so the whole model is compiled
    )

    def card(self, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
        """The model's card, filled from what it says of itself.

        Args:
            repo_id: where it will be found; a placeholder folder by default.
            facts: what it does not tell about itself.

        Raises:
            ValueError: if `facts` hold what a card has no place for.
        """
        return component_card(self, repo_id=repo_id, facts=facts, tags=self.tags)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict:
        """A configuration, before anything is built of it."""
        config = super()._dict_from_json_file(json_file)
        require_bounded(config, json_file)
        return config

    @classmethod
    @wraps(ModelMixin.from_pretrained)
    @float32_by_default()
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        return super().from_pretrained(*args, **kwargs)

    @keeping_card
    @wraps(ModelMixin.save_pretrained)
    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, *args, **kwargs)
        # diffusers removes the shards of an earlier save but not their index, and would then look for them.
        for index in Path(save_directory).glob("*.index*.json"):
            shards = read_json(index).get("weight_map", {}).values()
            if not all((index.parent / shard).exists() for shard in shards):
                index.unlink()


class HubPipeline(FilledCardMixin, DiffusionPipeline):
    """Base of this package's pipelines: what is saved may carry code for those who have not imported the package.

    A subclass says what it is in `card`, as `HubModel.card` does.

    Attributes:
        blocks: names of the `ModularPipeline` and the blocks that are the same as it, if there are any.
    """

    blocks: ClassVar[tuple[str, str] | None] = None
    _remote_code = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
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
            vars(cls.__init__)["__signature__"] = signature.replace(parameters=parameters)

    @classmethod
    @wraps(DiffusionPipeline.from_pretrained)
    @float32_by_default()
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        return super().from_pretrained(*args, **kwargs)

    @keeping_card
    def save_pretrained(
        self, save_directory: str | os.PathLike, *args: Any, remote_code: bool = False, **kwargs: Any
    ) -> None:
        """Save as `DiffusionPipeline.save_pretrained` does.

        Args:
            save_directory: the folder; made if need be.
            remote_code: also write `pipeline.py` and `<component>/lfdm_diffusers.py`, which import this package, so
                that `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)` works for people who have
                installed the package but do not import it; and `blocks.py`, for `ModularPipeline` in the same way. With the
                import, `LFDMPipeline.from_pretrained` needs no flag for either kind; `DiffusionPipeline.from_pretrained` asks
                for the flag where there is code.
            args, kwargs: as in diffusers; `push_to_hub=True` with `repo_id`, `token`, ... pushes the folder as well.

        Raises:
            ValueError: if `remote_code` is asked of a class outside this package.
        """
        with self._writing_remote_code(remote_code):
            super().save_pretrained(save_directory, *args, **kwargs)

    def push_to_hub(self, repo_id: str, *args: Any, remote_code: bool = False, **kwargs: Any) -> str:
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

    def save_config(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        super().save_config(save_directory, *args, **kwargs)
        # Whatever is saved or pushed passes here, after its components and before it is uploaded.
        write_remote_code(Path(save_directory), type(self).__name__, self._remote_code)
        if self.blocks is not None and type(self).__module__.split(".")[0] == PACKAGE:
            write_blocks(Path(save_directory), *self.blocks, code=self._remote_code)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict:
        """Read `model_index.json` so that code shipped beside it is not run: this class is here already."""
        config = super()._dict_from_json_file(json_file)
        require_bounded(config, json_file)
        if config.get("_class_name") == [Path(PIPELINE_CODE).stem, cls.__name__]:
            config["_class_name"] = cls.__name__
            for name, value in config.items():
                if isinstance(value, list) and value[:1] == [PACKAGE]:
                    config[name] = [f"{PACKAGE}.models", *value[1:]]
        return config
