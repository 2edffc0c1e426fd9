"""Released LFDM and MRAA checkpoints -> the models of this package, tensor by tensor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..files.torch_files import strange_kind
from ..models import LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..pipelines import LFDMPipeline
from ..schedulers import released_scheduler
from .names import (
    LFAE_MODULES,
    LFAE_NAMES,
    SCHEDULE_BUFFERS,
    UNET_NAMES,
    released_lfae_name,
    released_unet_name,
    renamed,
)
from .presets import Preset


def _require(checkpoint: object, names: tuple[str, ...], what: str) -> None:
    """Raise unless `checkpoint` has `names` and no tensors of unknown use; say what it is instead if that is known."""
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"`checkpoint` must be a dict as torch.load gives it, got {type(checkpoint).__name__}.")
    if missing := [name for name in names if name not in checkpoint]:
        is_a = ""
        if "diffusion" in checkpoint:
            is_a = "; this is the diffusion model's (DM) file"
        elif all(name in checkpoint for name in LFAE_MODULES):
            is_a = "; this is the auto-encoder's (LFAE) file"
        raise ValueError(
            f"`checkpoint` is no {what} checkpoint: it has no {', '.join(missing)}, only "
            f"{_listed(map(str, checkpoint)) or 'nothing'}{is_a}."
        )

    known = r"example|epoch|avd_network|optimizer.*|diffusion|" + "|".join(LFAE_MODULES)
    if strange := [k for k, v in checkpoint.items() if not re.fullmatch(known, str(k)) and _holds_tensors(v)]:
        raise ValueError(
            f"`checkpoint` holds tensors that no {what} checkpoint has, under {_listed(map(str, strange))}."
        )


def _holds_tensors(value: object) -> bool:
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if torch.is_tensor(value):
            return True
        if isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:  # a dict may hold itself
            seen.add(id(value))
            waiting += value.values() if isinstance(value, Mapping) else value
    return False


def _tensors(name: str, state_dict: object) -> dict[str, torch.Tensor]:
    """The state dict `name`, checked to hold finite tensors only."""
    if not isinstance(state_dict, Mapping) or (not state_dict and name != "bg_predictor"):  # "zero" motion has none
        raise ValueError(
            f"`checkpoint[{name!r}]` must be a state dict (names to tensors), got {type(state_dict).__name__}."
        )
    for key, value in state_dict.items():
        if not isinstance(key, str):
            raise ValueError(f"`checkpoint[{name!r}]` must map names to tensors, got the name {key!r:.80}.")
        if not torch.is_tensor(value):
            raise ValueError(f"`checkpoint[{name!r}][{key!r}]` must be a tensor, got {type(value).__name__}.")
        if (kind := strange_kind(value)) is not None:
            raise ValueError(f"`checkpoint[{name!r}][{key!r}]` must be a plain tensor of numbers, got {kind}.")
    # An anti-alias kernel of scale 1 is never used, and NaN in released files (0/0); `convert_lfae_checkpoint` looks at it.
    weights = {k: v for k, v in state_dict.items() if k.split(".")[-2:] != ["down", "weight"]}
    broken = [k for k, v in weights.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if broken:
        raise ValueError(
            f"`checkpoint[{name!r}]` holds NaN or infinite values in {_listed(broken)}: the training that made it diverged."
        )
    return dict(state_dict)


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _load(
    model: torch.nn.Module,
    converted: dict[str, torch.Tensor],
    unknown: list[str],
    what: str,
    released_name: Callable[[str], str],
) -> None:
    """Fill `model`; every tensor must have its place, and every place its tensor. Errors give the checkpoint's names."""
    expected = model.state_dict()
    problems = []
    if missing := {released_name(name) for name in expected.keys() - converted.keys()}:
        problems.append(f"missing: {_listed(missing)}")
    if unexpected := {released_name(name) for name in converted.keys() - expected.keys()} | set(unknown):
        problems.append(f"unexpected: {_listed(unexpected)}")
    shapes = [
        f"{released_name(name)} gives {tuple(converted[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected.keys() & converted.keys()
        if converted[name].shape != expected[name].shape
    ]
    if shapes:
        problems.append(f"wrong shapes: {_listed(shapes, 4)}")
    if problems:
        raise ValueError(f"This {what} checkpoint does not fit the configuration given: {'; '.join(problems)}.")
    model.load_state_dict(converted)


def lfae_config(model_params: Mapping) -> dict:
    """Configuration of `LatentFlowAutoencoder` for `model_params` as in the released YAML files.

    Raises:
        ValueError: for variants that no released LFDM or region-based MRAA model uses.
    """
    try:
        return _lfae_config(model_params)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`model_params` must be the part of that name of a released YAML file; {error} is missing or no section."
        ) from error


def _lfae_config(model_params: Mapping) -> dict:
    generator, region = model_params["generator_params"], model_params["region_predictor_params"]
    background, flow = model_params["bg_predictor_params"], generator["pixelwise_flow_predictor_params"]
    required = [
        ("estimate_affine", model_params.get("estimate_affine", True)),
        ("region_predictor_params.pca_based", region.get("pca_based", True)),
        ("pixelwise_flow_predictor_params.estimate_occlusion_map", flow.get("estimate_occlusion_map", True)),
    ]
    for name, value in required:
        if not value:
            raise ValueError(
                f"`model_params` has {name} = {value!r}, which is not supported: LFDM needs it to be true."
            )
    released = flow["num_blocks"] == 5 and flow.get("scale_factor", 1) == 0.25
    return {
        # No checkpoint tells its pictures' size. The released LFDM models have 128 pixels, the least that fits them.
        "sample_size": 128 if released else None,
        "in_channels": model_params.get("num_channels", 3),
        "num_regions": model_params["num_regions"],
        "base_channels": generator["block_expansion"],
        "max_channels": generator["max_features"],
        "num_down_blocks": generator["num_down_blocks"],
        "num_bottleneck_blocks": generator["num_bottleneck_blocks"],
        "use_skips": generator.get("skips", False),
        "flow_base_channels": flow["block_expansion"],
        "flow_max_channels": flow["max_features"],
        "flow_num_blocks": flow["num_blocks"],
        "flow_scale": flow.get("scale_factor", 1),
        "use_deformed_source": flow.get("use_deformed_source", True),
        "use_covar_heatmap": flow.get("use_covar_heatmap", True),
        "revert_axis_swap": model_params.get("revert_axis_swap", False),
        "region_base_channels": region["block_expansion"],
        "region_max_channels": region["max_features"],
        "region_num_blocks": region["num_blocks"],
        "region_scale": region.get("scale_factor", 1),
        "region_temperature": region["temperature"],
        "region_padding": region.get("pad", 3),
        "background_base_channels": background.get("block_expansion", 32),
        "background_max_channels": background.get("max_features", 1024),
        "background_num_blocks": background.get("num_blocks", 5),
        "background_motion": background.get("bg_type", "zero"),
    }


def convert_lfae_checkpoint(checkpoint: dict, model_params: Mapping) -> LatentFlowAutoencoder:
    """Convert a released LFAE or MRAA checkpoint.

    Args:
        checkpoint: as `torch.load` gives it: state dicts `generator`, `region_predictor` and `bg_predictor`; what else
            is known to stand beside them (optimizer, counters, MRAA's `avd_network`) is left out.
        model_params: the part of that name of the released YAML.

    Returns:
        `LatentFlowAutoencoder` in eval mode, float32.

    Raises:
        ValueError: if a tensor is missing, left over, of the wrong shape or not finite; lists which.
    """
    _require(checkpoint, LFAE_MODULES, "LFAE or MRAA")
    try:
        model = LatentFlowAutoencoder(**lfae_config(model_params))
    except (TypeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"`model_params` describes no network: {error}.") from error
    converted, unknown = {}, []
    kernels = {name: buffer for name, buffer in model.named_buffers() if name.endswith("downsample.kernel")}
    for module in LFAE_MODULES:
        for key, value in _tensors(module, checkpoint[module]).items():
            name = renamed(f"{module}.{key}", LFAE_NAMES)
            if name is None:
                unknown.append(f"{module}.{key}")
            elif name.endswith("downsample.kernel"):
                # We compute the anti-alias kernel from the configuration.
                if value.shape != kernels[name].shape or (
                    kernels[name].shape[-1] > 1
                    and not torch.allclose(value.float(), kernels[name].to(value.dtype).float(), atol=1e-6)
                ):
                    raise ValueError(
                        f"The anti-alias kernel `{module}.{key}` is not the one that the configuration's scale gives."
                    )
            else:
                converted[name] = value
    bias = "background_predictor.fc.bias"
    if bias in converted and model.config.background_motion != "shift":
        # Our layer gives the departure from the identity.
        identity = torch.eye(3, dtype=torch.float32).flatten()[: converted[bias].numel()]
        converted[bias] = converted[bias].float() - identity.to(converted[bias].device)
    _load(model, converted, unknown, "LFAE", released_lfae_name)
    return model.eval()


def unet_config(state_dict: Mapping[str, torch.Tensor], padding_mode: str = "zeros") -> dict:
    """Configuration of `UNet3DVideoModel`, read from the names and shapes of a released U-Net's tensors."""
    try:
        heads = state_dict["time_rel_pos_bias.relative_attention_bias.weight"].shape[1]
        init = state_dict["init_conv.weight"]  # (base, 3 + C, 1, 7, 7)
        levels = 1 + max(int(m[1]) for m in (re.match(r"downs\.(\d+)\.", k) for k in state_dict) if m)
        out_channels = state_dict["final_conv.1.weight"].shape[0] + state_dict["occlusion_map.1.weight"].shape[0]
        return {
            "sample_size": 32 if levels == 4 else None,  # see `lfae_config`
            "in_channels": 3,
            "out_channels": out_channels,
            "image_latent_channels": init.shape[1] - 3,
            "text_embed_dim": state_dict["downs.0.0.mlp.1.weight"].shape[1] - state_dict["time_mlp.3.weight"].shape[0],
            "base_channels": init.shape[0],
            "block_out_channels": [state_dict[f"downs.{i}.1.block2.proj.weight"].shape[0] for i in range(levels)],
            "num_attention_heads": heads,
            "attention_head_dim": state_dict["init_temporal_attn.fn.fn.fn.to_qkv.weight"].shape[0] // (3 * heads),
            "spatial_head_dim": state_dict["downs.0.2.fn.fn.to_qkv.weight"].shape[0] // (3 * heads),
            "upsample_type": "nearest" if "ups.0.4.1.weight" in state_dict else "deconv",
            "padding_mode": padding_mode,
            "learned_null_embedding": "null_cond_emb" in state_dict,
        }
    except (KeyError, ValueError, IndexError, ArithmeticError) as error:
        missing = error if isinstance(error, KeyError) else "a U-Net level"
        raise ValueError(f"`checkpoint` holds no LFDM U-Net: {missing} is missing or misshapen.") from error


def convert_unet_checkpoint(checkpoint: dict, padding_mode: str = "zeros") -> UNet3DVideoModel:
    """Convert a released diffusion model (DM) checkpoint.

    Args:
        checkpoint: as `torch.load` gives it; the state dict `diffusion` holds the U-Net under `denoise_fn.` and the
            noise schedule's buffers, which a scheduler replaces (`lfdm_diffusers.schedulers.released_scheduler`).
        padding_mode: of the upsampling convolution, which no tensor tells: "reflect" for natops128. Everything else is
            read from the tensors' names and shapes.

    Returns:
        `UNet3DVideoModel` in eval mode, float32.

    Raises:
        ValueError: if a tensor is missing, left over, of the wrong shape or not finite; lists which.
    """
    _require(checkpoint, ("diffusion",), "LFDM diffusion (DM)")
    tensors = _tensors("diffusion", checkpoint["diffusion"])
    unet = {k.removeprefix("denoise_fn."): v for k, v in tensors.items() if k.startswith("denoise_fn.")}
    unknown = [k for k in tensors if not k.startswith("denoise_fn.") and k not in SCHEDULE_BUFFERS]
    model = UNet3DVideoModel(**unet_config(unet, padding_mode))
    converted = {}
    for key, value in unet.items():
        if "rotary_emb." in key:
            continue  # computed from the configuration
        name = renamed(key, UNET_NAMES)
        if name is None:
            unknown.append(f"denoise_fn.{key}")
            continue
        if value.ndim == 5:  # (out, in, 1, k, k): frames are folded into the batch here
            value = value.squeeze(2) if name.endswith("weight") and ".norm." not in name else value.flatten()
        if name == "conv_in.weight":
            converted[name], converted["conv_image.weight"] = value[:, :3], value[:, 3:]
        elif ".to_qkv." in name:
            for letter, part in zip("qkv", value.flatten(1).chunk(3)):
                converted[name.replace("to_qkv", f"to_{letter}")] = part
        elif ".to_out.0.weight" in name:
            converted[name] = value.flatten(1)
        else:
            converted[name] = value
    _load(model, converted, unknown, "diffusion", released_unet_name)
    return model.eval()


def read_betas(checkpoint: dict) -> list[float]:
    """The noise schedule that a released diffusion model (DM) checkpoint was trained with.

    Args:
        checkpoint: as `torch.load` gives it.

    Returns:
        beta_t of every training step t, for `lfdm_diffusers.schedulers.released_scheduler`.

    Raises:
        ValueError: if there is none, or the buffers beside it belong to another schedule.
    """
    _require(checkpoint, ("diffusion",), "LFDM diffusion (DM)")
    buffers = _tensors("diffusion", checkpoint["diffusion"])
    betas = buffers.get("betas")
    if betas is None or betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
        raise ValueError(
            "`checkpoint['diffusion']['betas']` must hold a noise schedule, one number in (0, 1) per step."
        )
    # The other buffers follow from betas, so a scheduler computes them anew; two tell whether they are of this schedule.
    products = (1 - betas.double()).cumprod(dim=0)
    shifted = torch.cat((torch.ones(1, dtype=products.dtype), products[:-1]))
    for name, expected in (("alphas_cumprod", products), ("alphas_cumprod_prev", shifted)):
        found = buffers.get(name, expected)
        if found.shape != expected.shape or not torch.allclose(found.double(), expected, atol=1e-5):
            raise ValueError(f"`checkpoint['diffusion']['{name}']` does not belong to the noise schedule beside it.")
    return betas.tolist()


def convert_lfae(checkpoint: dict, preset: Preset, model_params: Mapping | None = None) -> LatentFlowAutoencoder:
    """`convert_lfae_checkpoint` for a preset: checks that the file is of its family, and notes the pictures' size.

    Args:
        checkpoint: as `torch.load` gives it.
        preset: what the file is.
        model_params: in place of the preset's.

    Raises:
        ValueError: as `convert_lfae_checkpoint`, and for an MRAA file given as LFDM's or the other way round.
    """
    lfae = convert_lfae_checkpoint(checkpoint, preset.model_params if model_params is None else model_params)
    if not preset.is_mraa and "avd_network" in checkpoint:
        raise ValueError(
            f"The LFAE checkpoint holds an avd_network, so it is one of MRAA's (presets vox256, taichi256), not {preset.name}'s."
        )
    if preset.is_mraa and "avd_network" not in checkpoint and "example" in checkpoint:
        raise ValueError(
            f"The LFAE checkpoint counts examples and holds no avd_network, so it is one of LFDM's, not MRAA's {preset.name}."
        )
    if preset.sample_size < 1 or preset.sample_size % lfae.flow_stride:
        raise ValueError(
            f"`sample_size` must be a multiple of {lfae.flow_stride} for this LFAE, got {preset.sample_size}."
        )
    lfae.register_to_config(sample_size=preset.sample_size)
    return lfae


def convert_unet(checkpoint: dict, preset: Preset) -> UNet3DVideoModel:
    """`convert_unet_checkpoint` for a preset: checks that the file can be of it.

    Raises:
        ValueError: as `convert_unet_checkpoint`, for a file of another preset, and for a preset without a U-Net.
    """
    if preset.is_mraa:
        raise ValueError(
            f"Preset {preset.name} is one of MRAA's, which has no U-Net; leave the U-Net's checkpoint out."
        )
    unet = convert_unet_checkpoint(checkpoint, padding_mode=preset.padding_mode)
    traits = {
        "upsampling": (unet.config.upsample_type, preset.upsample_type),
        "learned null embedding": (unet.config.learned_null_embedding, preset.learned_null_embedding),
    }
    if wrong := [f"{k} {got!r} instead of {want!r}" for k, (got, want) in traits.items() if want not in (None, got)]:
        raise ValueError(f"The U-Net checkpoint is not of preset {preset.name}: it has {', '.join(wrong)}.")
    return unet


def join_pipeline(
    lfae: LatentFlowAutoencoder, unet: UNet3DVideoModel, betas: list[float], preset: Preset
) -> LFDMPipeline:
    """A pipeline of converted parts, without texts, whose sizes are the preset's.

    Args:
        betas: the noise schedule that the U-Net was trained with (`read_betas`).

    Raises:
        ValueError: if the parts do not fit together, or the preset's picture size does not fit them.
    """
    if lfae.latent_channels != unet.config.image_latent_channels:
        raise ValueError(
            f"The LFAE's latent maps have {lfae.latent_channels} channels and the U-Net expects "
            f"{unet.config.image_latent_channels}: they do not belong together."
        )
    stride = lfae.downscale_factor * unet.size_stride
    if preset.sample_size % stride:
        raise ValueError(f"`sample_size` must be a multiple of {stride} for this U-Net, got {preset.sample_size}.")
    unet.register_to_config(sample_size=preset.sample_size // lfae.downscale_factor, num_frames=preset.num_frames)
    return LFDMPipeline(lfae=lfae, unet=unet, scheduler=released_scheduler(betas))


def add_texts(
    pipe: LFDMPipeline, labels: Sequence[str], text_encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Give a pipeline a text encoder, and a table of its embeddings of `labels` (if any).

    Raises:
        ValueError: if the encoder is not of the width that the U-Net was trained with.
    """
    width, expected = getattr(text_encoder.config, "hidden_size", None), pipe.unet.config.text_embed_dim
    if width != expected:
        raise ValueError(
            f"`text_encoder` gives {width} numbers per text, but the U-Net was trained with {expected}: use the encoder that "
            "it was trained with."
        )
    table = LabelEmbeddings.from_text_encoder(labels, text_encoder, tokenizer) if labels else None
    pipe.register_modules(text_encoder=text_encoder, tokenizer=tokenizer, label_embeddings=table)


def convert_pipeline(
    lfae_checkpoint: dict,
    unet_checkpoint: dict,
    preset: Preset,
    text_encoder: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    model_params: Mapping | None = None,
) -> LFDMPipeline:
    """One pipeline of a released LFAE and a released diffusion model, with the latter's own noise schedule.

    Args:
        lfae_checkpoint, unet_checkpoint: as `torch.load` gives them.
        preset: what they are (see `lfdm_diffusers.conversion.presets`).
        text_encoder, tokenizer: the BERT that the diffusion model was trained with; embeds the preset's labels, and goes
            into the pipeline. None: no labels, only `prompt_embeds` and stochastic generation.
        model_params: in place of the preset's.

    Raises:
        ValueError: as the two conversions, for files of another preset, and for parts that do not fit together.
    """
    lfae, unet = convert_lfae(lfae_checkpoint, preset, model_params), convert_unet(unet_checkpoint, preset)
    pipe = join_pipeline(lfae, unet, read_betas(unet_checkpoint), preset)
    if text_encoder is not None:
        add_texts(pipe, preset.labels, text_encoder, tokenizer)
    return pipe
