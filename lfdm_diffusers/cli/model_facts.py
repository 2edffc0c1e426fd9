"""The facts that `lfdm info` shows of a model, from its configurations and its card."""

from __future__ import annotations

import re
from pathlib import Path

import diffusers
import transformers
from accelerate import init_empty_weights
from huggingface_hub import ModelCard

from .. import models
from ..pipelines import PIPELINES, ImageToVideoPipeline
from ..pipelines.loading import first_line, named_config, package_class, quiet_libraries
from ..pipelines.video_diffusion import VideoDiffusionPipeline

# Headings of a card's sections that tell where a model comes from, and what one may do with it.
PROVENANCE = re.compile(r"come from|provenance|train|data|licen[cs]e", re.IGNORECASE)


def model_facts(model: str | Path) -> dict:
    """What is in a pipeline, or in a single model of this package.

    Args:
        model: folder, Hub id, or name of a pipeline of the package.

    Raises:
        ValueError: if it holds neither, or something of it cannot be read; one sentence.
    """
    model, config = named_config(model)
    name = package_class(model, config)
    facts: dict = {"model": str(model), "class": name}
    try:
        with quiet_libraries(), init_empty_weights():
            if name in PIPELINES:
                facts |= _pipeline_facts(str(model), PIPELINES[name], config)
            else:
                facts |= _single_facts(getattr(models, name).from_config(config))
    except Exception as error:  # diffusers, transformers and the Hub client each raise their own
        raise ValueError(f"{model} cannot be read: {first_line(error)}.") from error
    if Path(model).is_dir():
        facts["bytes"] = sum(file.stat().st_size for file in Path(model).rglob("*") if file.is_file())
    return facts | _card_facts(model)


def _pipeline_facts(model: str, pipeline_class: type[ImageToVideoPipeline], index: dict) -> dict:
    parts: dict = {}
    for name, value in index.items():
        library, class_name = value if isinstance(value, list) and len(value) == 2 else ("", "")
        if class_name in models.__all__:
            cls = getattr(models, class_name)
            parts[name] = cls.from_config(cls.load_config(model, subfolder=name))
        elif library == "transformers" and name == "text_encoder":
            config = transformers.AutoConfig.from_pretrained(model, subfolder=name)
            parts[name] = getattr(transformers, class_name)(config)
        elif library == "diffusers":
            cls = getattr(diffusers, class_name)
            parts[name] = cls.from_config(cls.load_config(model, subfolder=name))
    given = {name: index[name] for name in ("default_num_inference_steps", "default_guidance_scale") if name in index}
    pipe = pipeline_class(**parts, **given)
    counts = {name: _count(part) for name, part in parts.items() if name != "scheduler"}
    facts = {
        "labels": pipe.labels,
        "text_encoder": type(pipe.text_encoder).__name__ if pipe.text_encoder is not None else None,
        "sentences": pipe.takes_sentences,
        "examples": pipe.example_sentences,
        "sample_size": pipe.sample_size,
        "num_frames": pipe.num_frames,
        "parameters": {**counts, "total": sum(counts.values())},
    }
    if not isinstance(pipe, VideoDiffusionPipeline):
        return facts
    return facts | {
        "prediction_type": pipe.unet.config.prediction_type,
        "target": pipe.target,
        "scheduler": type(pipe.scheduler).__name__,
        "num_train_timesteps": pipe.scheduler.config.num_train_timesteps,
        "default_steps": pipe.default_steps(),
        "default_guidance": pipe.default_guidance(),
    }


def _single_facts(model: diffusers.ModelMixin) -> dict:
    config = {key: value for key, value in model.config.items() if not key.startswith("_")}
    return {"parameters": {"total": _count(model)}, "config": config}


def _count(model: diffusers.ModelMixin | transformers.PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _card_facts(model: str | Path) -> dict:
    """The licence that the card names, and its sections by heading; nothing if there is no card."""
    path = Path(model)
    try:
        card = ModelCard.load(path / "README.md" if path.is_dir() else str(model))
    except Exception:  # no card, or one whose metadata cannot be read; each with its own exception
        return {"license": None, "card": {}}
    sections: dict[str, list[str]] = {}
    heading, fenced = "", False
    for line in card.text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            heading = line.lstrip("#").strip()
        else:
            sections.setdefault(heading, []).append(line)
    texts = {heading: "\n".join(lines).strip() for heading, lines in sections.items()}
    return {"license": card.data.get("license"), "card": {heading: text for heading, text in texts.items() if text}}


def lines_of(facts: dict) -> list[str]:
    """The facts for people."""
    size = facts.get("sample_size")
    rows = {"model": facts["model"], "class": facts["class"]}
    if facts["class"] in PIPELINES:
        labels, text = facts["labels"], facts["text_encoder"]
        rows |= {
            "labels": f"{len(labels)}: {', '.join(labels)}" if labels else "none",
            "free text": f"by {text}" if text else "no",
            "sentences": "yes" if facts["sentences"] else "no, trained on its labels alone" if text else "no",
            "output": f"{facts['num_frames']} frames of {f'{size}x{size} pixels' if size else 'any size'}",
        }
    if "scheduler" in facts:
        rows |= {
            "predicts": f"{facts['prediction_type']} of {facts['target']}",
            "scheduler": f"{facts['scheduler']}, {facts['num_train_timesteps']} training steps",
            "steps": f"{facts['default_steps']} by default, guidance {facts['default_guidance']:g}",
        }
    counts = dict(facts["parameters"])
    total = f"{counts.pop('total') / 1e6:.1f} million"
    each = ", ".join(f"{name} {count / 1e6:.1f}" for name, count in counts.items())
    rows["parameters"] = f"{total} ({each})" if each else total
    if "bytes" in facts:
        rows["on disk"] = f"{facts['bytes'] / 1e6:.1f} MB"
    rows["licence"] = facts["license"] or "not stated"
    trained_on = re.search(r"^\| *trained on *\| *(.+?) *\|$", "\n".join(facts["card"].values()), re.MULTILINE)
    if trained_on:
        rows["trained on"] = trained_on[1]
    lines = [f"{name:<12}{value}" for name, value in rows.items()]
    if facts.get("examples"):
        lines += ["", "Sentences, for example", *(f"  {text}" for text in facts["examples"])]
    if "config" in facts:
        lines += ["", "Configuration", *(f"  {key:<28}{value}" for key, value in facts["config"].items())]
    for heading, text in facts["card"].items():
        if PROVENANCE.search(heading):
            lines += ["", heading, *(f"  {line}" for line in text.splitlines())]
    return lines
