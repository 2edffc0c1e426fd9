"""A decoder in files of its own: adapted to other pictures, shared without its base model, and put back into it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import nn

from ..files.reading import read_json, reading, why
from ..files.whole import whole, write_json
from ..hub.base import HubModel

CONFIG, WEIGHTS = "decoder_config.json", "decoder.safetensors"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def frozen_fingerprint(lfae: DecoderFilesMixin, dtype: torch.dtype = torch.float32) -> str:
    """SHA-256 of the weights and statistics that are not the decoder's, rounded to `dtype`; the same on every machine."""
    digest, decoder = hashlib.sha256(), lfae.decoder.state_dict()
    for name, value in sorted(lfae.state_dict().items()):
        if name not in decoder and value.is_floating_point():  # BatchNorm's counts of batches have no effect
            digest.update(f"{name} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().to(dtype).float().contiguous().numpy())
    return digest.hexdigest()


class DecoderFilesMixin(HubModel):
    """For an auto-encoder whose `decoder` is a module that holds those of its parts that can be exchanged."""

    @property
    def decoder(self) -> nn.Module:
        raise NotImplementedError

    def save_decoder(self, save_directory: str | os.PathLike, base_model: str | None = None) -> None:
        """Write the decoder alone, for `load_decoder`: `decoder.safetensors`, and `decoder_config.json`.

        The latter holds a fingerprint of the encoder and flow predictor that this decoder belongs to.

        Args:
            save_directory: the folder; made if need be.
            base_model: Hub id of the model that they can be had from.
        """
        folder = Path(save_directory)
        config = {
            "base_model": base_model,
            # A half-precision copy of the base model is the same base model.
            "frozen_sha256": {str(dtype).split(".")[1]: frozen_fingerprint(self, dtype) for dtype in DTYPES},
        }
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.decoder.state_dict().items()}
        with whole(folder / WEIGHTS) as file:
            save_file(tensors, file)
        write_json(folder / CONFIG, config, indent=2)

    @torch.no_grad()
    def load_decoder(
        self,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        check_base: bool = True,
    ) -> None:
        """Put a decoder that was adapted by `training/finetune_decoder.py` in the place of this one.

        Encoder and flow predictor stay, so a U-Net trained with them stays valid. Device and dtype stay, too.

        Args:
            pretrained_model_name_or_path: a folder that `save_decoder` wrote, or a Hub repository with its files.
            subfolder: of it.
            revision, token, cache_dir: as in `from_pretrained`.
            check_base: refuse a decoder that was adapted to another encoder and flow predictor; it would paint nonsense
                unless those differ little, as after some more training.

        Raises:
            OSError: if there is no decoder.
            ValueError: if it does not fit; this one is then left as it was.
        """
        source = os.fspath(pretrained_model_name_or_path)
        folder = _fetch(source, subfolder or "", revision, token, cache_dir)
        try:
            config = read_json(folder / CONFIG)
            with reading(folder / WEIGHTS, "safetensors"):
                given = load_file(folder / WEIGHTS)
            fingerprints = set(config["frozen_sha256"].values())
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{source} does not hold a whole decoder: {why(error)}.") from error
        about = f"the decoder {source} (base model: {config.get('base_model') or 'not stated'})"
        own = self.decoder.state_dict()
        if any(value.is_meta for value in own.values()):
            raise ValueError("a decoder cannot be loaded into an offloaded model: load it before offloading.")
        for name in sorted(own.keys() | given.keys()):
            here, there = (tuple(x[name].shape) if name in x else "missing" for x in (own, given))
            if here != there:
                raise ValueError(f"{about} does not fit this model: {name} is {there} there and {here} here.")
        if check_base and frozen_fingerprint(self) not in fingerprints:
            raise ValueError(
                f"{about} was adapted to another encoder and flow predictor than this model's. Load it into that base "
                "model, or try what comes out with `check_base=False`."
            )
        for name, value in own.items():
            value.copy_(given[name])


def _fetch(
    source: str, subfolder: str, revision: str | None, token: str | bool | None, cache_dir: str | os.PathLike | None
) -> Path:
    """The folder with a decoder's two files, of one commit if they come from the Hub."""
    root = Path(source)
    if not root.is_dir():
        names = [(Path(subfolder) / name).as_posix() for name in (CONFIG, WEIGHTS)]
        cache = None if cache_dir is None else os.fspath(cache_dir)
        try:
            root = Path(
                snapshot_download(source, revision=revision, token=token, cache_dir=cache, allow_patterns=names)
            )
        except Exception as error:  # of whichever HTTP library the Hub client uses; a name that is none; offline
            raise OSError(
                "`pretrained_model_name_or_path` must be a folder or a Hub repository that holds a decoder, got "
                f"{source!r}: {error}"
            ) from error
    folder = root / subfolder
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise OSError(
            f"{(Path(source) / subfolder).as_posix()} is no decoder: it holds no {' and no '.join(missing)}."
        )
    return folder
