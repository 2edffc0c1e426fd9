"""LoRA adapters of a pipeline's U-Net, under the names that diffusers has for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.loaders import SD3LoraLoaderMixin
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE, LoraBaseMixin

if TYPE_CHECKING:
    from ..models import UNet3DVideoModel

PREFIX = "unet."


class AdaptedPipeline(LoraBaseMixin):
    """A pipeline whose `unet` takes adapters: diffusers' `set_adapters`, `disable_lora`, `unload_lora_weights` and others work."""

    _lora_loadable_modules = ["unet"]
    unet_name = "unet"
    unet: UNet3DVideoModel

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, torch.Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """Put adapters into the U-Net, such as `training/train_unet.py --lora_rank` keeps in `pipeline/lora/`. It needs peft.

        Args:
            pretrained_model_name_or_path_or_dict: folder, Hub id or tensors; their names may begin with "unet.".
            adapter_name: what it is called in `set_adapters`.
            hotswap: replace an adapter of this name, in place.
            kwargs: as in diffusers: `weight_name`, `subfolder`, `revision`, `token`, ...

        Raises:
            ValueError: where peft is not installed, and for what holds no adapter of this U-Net.
        """
        try:
            import peft  # noqa: F401 (diffusers imports it later, and says less about how to get it)
        except ImportError as error:
            raise ValueError(f"LoRA needs peft: pip install 'lfdm_diffusers[training]' ({error}).") from error
        given: Any = pretrained_model_name_or_path_or_dict
        if not isinstance(given, dict):
            folder = Path(given, kwargs.get("subfolder") or "")
            if folder.is_dir() and (folder / LORA_WEIGHT_NAME_SAFE).is_file():
                kwargs.setdefault("weight_name", LORA_WEIGHT_NAME_SAFE)  # offline, diffusers does not look for it
            given = str(given)
        weights, metadata = SD3LoraLoaderMixin.lora_state_dict(given, return_lora_metadata=True, **kwargs)
        if metadata:  # its keys have the prefix of the tensors that it came with
            metadata = {key.removeprefix(PREFIX): value for key, value in metadata.items()}
        weights = {key.removeprefix(PREFIX): value for key, value in weights.items()}
        known = dict(self.unet.named_modules())
        own = [key for key in weights if "lora" in key and key.split(".lora")[0] in known]
        if not weights or len(own) != len(weights):
            strange = next((key for key in weights if key not in own), "nothing")
            raise ValueError(f"`load_lora_weights` takes adapters of this U-Net's layers, got {strange}.")
        self.unet.load_lora_adapter(
            weights, prefix=None, adapter_name=adapter_name, hotswap=hotswap, metadata=metadata or None, _pipeline=self
        )

    def fuse_lora(self, components: Any = ("unet",), **kwargs: Any) -> None:
        """Merge the adapters into the weights, as in diffusers."""
        super().fuse_lora(components=list(components), **kwargs)

    def unfuse_lora(self, components: Any = ("unet",), **kwargs: Any) -> None:
        """Take the merged adapters out of the weights again, as in diffusers."""
        super().unfuse_lora(components=list(components), **kwargs)
