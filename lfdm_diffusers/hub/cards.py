"""Model cards, filled from the models themselves and from what only the person who made them knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

import torch
from diffusers import DDPMScheduler, ModelMixin
from huggingface_hub import ModelCard, ModelCardData

from ..models import LabelEmbeddings, LatentFlowAutoencoder, UNet3DVideoModel
from ..pipelines import ImageToVideoPipeline, LFDMPipeline
from ..pipelines.video_diffusion import VideoDiffusionPipeline

PAPER = "https://arxiv.org/abs/2303.13744"
CITATION = """```bibtex
@inproceedings{ni2023conditional,
  title     = {Conditional Image-to-Video Generation with Latent Flow Diffusion Models},
  author    = {Ni, Haomiao and Shi, Changhao and Li, Kai and Huang, Sharon X. and Min, Martin Renqiang},
  booktitle = {CVPR},
  year      = {2023}
}
```"""
# Why a converted file needs a word about its licence.
CONVERTED_LICENSE = (
    "These weights were converted from files that their authors published without a licence of their own, and made from "
    "data sets with terms of their own. Conversion changes neither: check both before you redistribute this model or use "
    "it for more than research. The code of `lfdm_diffusers` is Apache-2.0."
)


# Of every model here, and of LFDM.
LIMITS = """* New subjects: pictures framed like those it was trained on. Another crop, background or number of subjects moves badly.
* Labels other than those it was trained on mean nothing to it.
* Do not use it to put real people into videos without their consent."""
LIMITS_OF_WARPING = """* New domains (photographs for drawings, another drawing style): motion mostly carries over, painting does not; adapt the decoder
  with `training/finetune_decoder.py`, without labels.
* Every frame is made from the one given picture: what it does not show (an open mouth's teeth, the back of a hand) is invented, and blurred."""
# Of a pipeline's parts, in the table of facts.
PARTS = {"lfae": "latent flow auto-encoder", "vae": "frame auto-encoder", "imaginator": "generator"}


class CardFacts(TypedDict, total=False):
    """What a model does not tell about itself.

    Attributes:
        name: the card's title.
        dataset: what it was trained on, in words.
        data_terms: what may be done with those data, and so with the model, in words.
        base_model: Hub id of the model that it was made from.
        sources: SHA-256 of each file that it was converted from, by file name.
        license: identifier for the Hub ("apache-2.0", "other", ...).
        license_note: what to know about it, in words.
        notes: further paragraphs.
    """

    name: str
    dataset: str
    data_terms: str
    base_model: str
    sources: dict[str, str]
    license: str
    license_note: str
    notes: list[str]


def pipeline_card(
    pipe: ImageToVideoPipeline, *, repo_id: str | None = None, facts: CardFacts | None = None
) -> ModelCard:
    """The card of a pipeline of this package.

    Args:
        pipe: the pipeline.
        repo_id: where it will be found; a placeholder folder by default.
        facts: what it does not tell about itself.
    """
    facts = _checked(facts)
    size, frames = pipe.sample_size, pipe.num_frames
    side = f"{size}x{size}" if size else "any size"
    labels = pipe.labels
    made = f"{frames} frames of {side} pixels"
    parts = {PARTS[name]: _parameters(part) for name, part in pipe.components.items() if name in PARTS}
    rows = {"output": made, **_data_rows(facts), **parts, **_sampling_rows(pipe)}
    argument = f", {_quoted(labels[0])}" if labels else ""
    body = [
        f"Given one picture{' and one label' if labels or pipe.text_encoder is not None else ''}, this model makes a short "
        f"video of that subject ({made}) {pipe.method}",
        "## Use",
        "```python\nimport lfdm_diffusers\nfrom diffusers import DiffusionPipeline\n\n"
        f"pipe = DiffusionPipeline.from_pretrained({_quoted(repo_id or 'path/to/this/folder')})\n"
        f"video = pipe(image{argument}).frames[0]  # a list of PIL images\n```",
        _prompts(pipe),
        "## Facts",
        _table(rows),
    ]
    if isinstance(pipe.components.get("scheduler"), DDPMScheduler):
        steps = "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)"
        body.insert(4, f"Fewer steps: `{steps}`, then `pipe(..., num_inference_steps=50)`.")
    if labels:
        body += ["## Labels", ", ".join(f"`{label}`" for label in labels)]
    first, *others = LIMITS.splitlines()
    limits = [first, LIMITS_OF_WARPING, *others] if isinstance(pipe, LFDMPipeline) else [first, *others]
    body += ["## Limits", "\n".join(limits)]
    return _card(facts, pipe.title, repo_id, body, pipe.tags, pipe.citation, pipeline_tag="image-to-video")


def _sampling_rows(pipe: ImageToVideoPipeline) -> dict[str, str]:
    """How a pipeline comes to its videos, as far as its networks and its scheduler tell."""
    rows = {"text": _text(pipe)}
    if not isinstance(pipe, VideoDiffusionPipeline):
        return rows
    steps = pipe.scheduler.config.num_train_timesteps
    return {
        "U-Net": f"{_parameters(pipe.unet)}, predicts {pipe.unet.config.prediction_type}, of {pipe.target}",
        **rows,
        "scheduler": f"{type(pipe.scheduler).__name__}, {steps} training steps",
        "sampling by default": f"{pipe.default_steps()} steps, no guidance (`guidance_scale=1`), eta 1",
    }


def lfae_card(lfae: LatentFlowAutoencoder, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
    """The card of a `LatentFlowAutoencoder` by itself; arguments as in `pipeline_card`."""
    facts = _checked(facts)
    config = lfae.config
    size = config.sample_size
    rows = {
        "pictures": f"{size}x{size} pixels" if size else f"sides divisible by {lfae.flow_stride}",
        **_data_rows(facts),
        "parameters": _parameters(lfae),
        "latent map": f"{lfae.latent_channels} channels at 1/{lfae.downscale_factor} of the size",
        "regions": config.num_regions,
    }
    body = [
        f"The auto-encoder of [latent flow diffusion]({PAPER}): it describes the motion between two pictures as a backward "
        "flow and an occlusion map, and makes the second picture from the first by them. By itself it re-enacts; to "
        "generate, it needs a U-Net. It is also what training on other pictures starts from.",
        "## Use",
        "```python\nfrom lfdm_diffusers import LatentFlowAutoencoder\n\n"
        f"lfae = LatentFlowAutoencoder.from_pretrained({_quoted(repo_id or 'path/to/this/folder')})\n"
        "out = lfae(reference, driving)  # both (B, 3, H, W) in [0, 1]; see out.sample, out.flow, out.occlusion\n```",
        "## Facts",
        _table(rows),
    ]
    return _card(facts, "Latent flow auto-encoder", repo_id, body)


def decoder_card(
    lfae: LatentFlowAutoencoder, *, repo_id: str | None = None, facts: CardFacts | None = None, pipeline: bool = True
) -> ModelCard:
    """The card of the decoder of `lfae`, saved by itself.

    Args:
        lfae: the auto-encoder with that decoder.
        repo_id, facts: as in `pipeline_card`.
        pipeline: whether the base model is a pipeline, rather than an auto-encoder.
    """
    facts = _checked(facts)
    base = facts.get("base_model")
    named = f"[{base}](https://huggingface.co/{base})" if base else "its base model (not named here)"
    of_base = base if base and pipeline else "path/to/a/pipeline/with/its/base/model"
    rows = {
        "base model": base,
        **_data_rows(facts),
        "parameters": _parameters(lfae.decoder),
    }
    body = [
        f"A decoder for [latent flow diffusion]({PAPER}), adapted to other pictures than {named} was trained on. It takes "
        "the place of the decoder in a pipeline with that model's auto-encoder. Encoder and flow predictor are the same, so "
        "the pipeline's U-Net stays valid: what moves, and how, stays the base model's; what is painted where the picture does "
        "not show it is new.",
        "## Use",
        "```python\nfrom lfdm_diffusers import LFDMPipeline\n\n"
        f"pipe = LFDMPipeline.from_pretrained({_quoted(of_base)})\n"
        f"pipe.lfae.load_decoder({_quoted(repo_id or 'path/to/this/folder')})\n```",
        "## Facts",
        _table(rows),
    ]
    return _card(facts, "Latent flow decoder", repo_id, body, base_model_relation="adapter" if base else None)


def component_card(component: ModelMixin, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
    """The card of a part that does nothing by itself: what it is, how to load it, and its configuration."""
    facts = _checked(facts)
    name, library = type(component).__name__, type(component).__module__.split(".")[0]
    about = (type(component).__doc__ or name).strip().splitlines()[0]
    config = {key: value for key, value in component.config.items() if not key.startswith("_")}
    rows = {"trained on": facts.get("dataset")}
    body = [
        f"`{name}` of [latent flow diffusion]({PAPER})'s package: {about}",
        f"It has {_parameters(component)} and is one part of a pipeline:",
        f"```python\nfrom {library} import {name}\n\n"
        f"model = {name}.from_pretrained({_quoted(repo_id or 'path/to/this/folder')})\n```",
        *([_table(rows)] if any(rows.values()) else []),
        "## Configuration",
        f"```json\n{json.dumps(config, indent=2)}\n```",
    ]
    own = isinstance(component, (UNet3DVideoModel, LabelEmbeddings))
    return _card(facts, name, repo_id, body, LFDMPipeline.tags if own else ())


def card_of(component: ModelMixin | ImageToVideoPipeline, repo_id: str) -> ModelCard:
    """The card of a pipeline or of a single model that is pushed to `repo_id`."""
    if isinstance(component, ImageToVideoPipeline):
        return pipeline_card(component, repo_id=repo_id)
    make = lfae_card if isinstance(component, LatentFlowAutoencoder) else component_card
    return make(component, repo_id=repo_id)


def _checked(facts: CardFacts | None) -> CardFacts:
    if unknown := sorted(set(facts or ()) - set(CardFacts.__annotations__)):
        raise ValueError(f"`facts` may hold {', '.join(CardFacts.__annotations__)}; got {', '.join(unknown)}.")
    return facts or {}


def _card(
    facts: CardFacts,
    kind: str,
    repo_id: str | None,
    body: list[str],
    tags: Sequence[str] = LFDMPipeline.tags,
    citation: str = "",
    **data,
) -> ModelCard:
    """Metadata, title, `body`, and the sections that every card ends with; `citation` is of what is not LFDM's own."""
    metadata = ModelCardData(
        library_name="diffusers",
        license=facts.get("license"),
        base_model=facts.get("base_model"),
        tags=["lfdm_diffusers", *tags],
        **data,
    )
    body = [*body, *facts.get("notes", [])]
    if facts.get("sources"):
        body += ["## Where the weights come from", _table(facts["sources"], ("converted from", "SHA-256"))]
    note = facts.get("license_note") or f"The weights' licence is {facts.get('license', 'not stated here')}."
    body += ["## Licence", note, "## Citation", *([f"```bibtex\n{citation}\n```"] if citation else []), CITATION]
    title = facts.get("name") or repo_id or kind
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join([f"# {title}", *body]) + "\n")


def _quoted(text: str) -> str:
    """A string literal as formatters of Python leave it."""
    return json.dumps(text, ensure_ascii=False)


def _table(rows: dict, heads: tuple[str, str] = ("", "")) -> str:
    lines = [f"| {heads[0]} | {heads[1]} |", "|-|-|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows.items() if value is not None])


def _data_rows(facts: CardFacts) -> dict[str, str | None]:
    unstated = "not stated here: ask whoever trained it before you redistribute it"
    return {"trained on": facts.get("dataset"), "data terms": facts.get("data_terms", unstated)}


def _parameters(model: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} million parameters"


def _text(pipe: ImageToVideoPipeline) -> str:
    parts = [f"a table of {len(pipe.labels)} labels"] if pipe.labels else []
    if pipe.text_encoder is not None:
        parts.append(f"{type(pipe.text_encoder).__name__}, {_parameters(pipe.text_encoder)}")
    return " and ".join(parts) or "none; takes `prompt_embeds`"


def _prompts(pipe: ImageToVideoPipeline) -> str:
    """Which prompts the pipeline takes."""
    if pipe.labels and pipe.text_encoder is not None:
        return (
            "The labels below need no text encoder: save its memory with `from_pretrained(..., text_encoder=None, "
            "tokenizer=None)`. Any other text goes through it, but the model was trained on the labels alone. Without a "
            "prompt it generates without a condition."
        )
    if pipe.labels:
        return "It takes the labels below, no free text; without a prompt it generates without a condition."
    if pipe.text_encoder is not None:
        return "It takes any text; without a prompt it generates without a condition."
    return "It holds no labels: it generates without a condition, or from `prompt_embeds`."
