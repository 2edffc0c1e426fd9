"""Model cards: their layout, and the facts that only a model's maker knows.

What an object says of itself comes from its own `card` method, which calls `make_card`. This module knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from diffusers import ModelMixin
from huggingface_hub import ModelCard, ModelCardData

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

# On the Hub, of whatever belongs to the method of `PAPER`.
TAGS = ("lfdm", "latent-flow-diffusion", "optical-flow")
FOLDER = "path/to/this/folder"  # what a card loads from if nobody says where it will be found


class CardFacts(TypedDict, total=False):
    """What a model does not tell about itself.

    Attributes:
        name: the card's title.
        dataset: what it was trained on, in words.
        data_terms: what may be done with those data, and so with the model, in words.
        base_model: Hub id of the model that it was made from.
        sources: SHA-256 of each file that it was converted from, by file name.
        labels: those that it was trained on last, where its table holds more.
        gallery: the path, in the model's folder, of a clip that it made, by its label; "" of one without.
        license: identifier for the Hub ("apache-2.0", "other", ...).
        license_note: what to know about it, in words.
        notes: further paragraphs.
    """

    name: str
    dataset: str
    data_terms: str
    base_model: str
    sources: dict[str, str]
    labels: list[str]
    gallery: dict[str, str]
    license: str
    license_note: str
    notes: list[str]


def facts_of_base(source: str) -> CardFacts:
    """What a card says of the model `source`, a folder or Hub id, that training started from: where it is, and its licence."""
    folder = Path(source)
    try:
        licence = ModelCard.load(folder / "README.md" if folder.is_dir() else source).data.get("license")
    except Exception:  # no card, or one whose metadata cannot be read; each with its own exception
        licence = None
    name = folder.name if folder.is_dir() else source
    told = f"Its training started from the weights of {name}, whose licence is {licence or 'not stated there'}."
    return CardFacts(license_note=told) if folder.is_dir() else CardFacts(license_note=told, base_model=source)


def make_card(
    kind: str,
    summary: str,
    usage: Sequence[str],
    rows: Mapping[str, Any],
    *,
    sections: Mapping[str, str] | None = None,
    tags: Sequence[str] = TAGS,
    citation: str = "",
    repo_id: str | None = None,
    facts: CardFacts | None = None,
    **metadata: Any,
) -> ModelCard:
    """The card of an object that says what it is.

    Args:
        kind: what it is, in a few words: the title where there is no name.
        summary: a paragraph on what it does.
        usage: paragraphs on how it is used, the first of them code.
        rows: the table of facts, the most telling first; a value of None is left out.
        sections: further sections, text by heading.
        tags: for the Hub.
        citation: BibTeX of a work other than LFDM.
        repo_id: where it will be found.
        facts: what it does not tell about itself.
        metadata: further entries for the Hub, such as `pipeline_tag`.

    Raises:
        ValueError: if `facts` hold what a card has no place for.
    """
    facts = facts or {}
    # What a model was trained on is the second thing to know, after what it makes.
    (first, value), *others = rows.items()
    rows = {first: value, **_data_rows(facts), **dict(others)}
    body = [summary, *_gallery(facts), "## Use", *usage, "## Facts", table(rows)]
    for heading, text in (sections or {}).items():
        body += [f"## {heading}", text]
    return _card(facts, kind, repo_id, body, tags, citation, **metadata)


def component_card(
    component: ModelMixin,
    *,
    repo_id: str | None = None,
    facts: CardFacts | None = None,
    tags: Sequence[str] = (),
) -> ModelCard:
    """The card of a part that does nothing by itself: what it is, how to load it, and its configuration.

    Args:
        component: any model of diffusers.
        repo_id, facts, tags: as in `make_card`.
    """
    facts = facts or {}
    name, library = type(component).__name__, type(component).__module__.split(".")[0]
    about = (type(component).__doc__ or name).strip().splitlines()[0]
    config = {key: value for key, value in component.config.items() if not key.startswith("_")}
    rows = {"trained on": facts.get("dataset")}
    body = [
        f"`{name}` of [latent flow diffusion]({PAPER})'s package: {about}",
        f"It has {parameter_count(component)} and is one part of a pipeline:",
        python_code(f"from {library} import {name}\n\nmodel = {name}.from_pretrained({quoted(repo_id or FOLDER)})"),
        *([table(rows)] if any(rows.values()) else []),
        "## Configuration",
        f"```json\n{json.dumps(config, indent=2)}\n```",
    ]
    return _card(facts, name, repo_id, body, tags)


def _card(
    facts: CardFacts,
    kind: str,
    repo_id: str | None,
    body: list[str],
    tags: Sequence[str],
    citation: str = "",
    **metadata: Any,
) -> ModelCard:
    """Metadata, title, `body`, and the sections that every card ends with; `citation` is of what is not LFDM's own."""
    if unknown := sorted(set(facts) - set(CardFacts.__annotations__)):
        raise ValueError(f"`facts` may hold {', '.join(CardFacts.__annotations__)}; got {', '.join(unknown)}.")
    data = ModelCardData(
        library_name="diffusers",
        license=facts.get("license"),
        base_model=facts.get("base_model"),
        tags=["lfdm_diffusers", *tags],
        # What the Hub shows above a card.
        widget=[{"text": label, "output": {"url": path}} for label, path in facts.get("gallery", {}).items()] or None,
        **metadata,
    )
    body = [*body, *facts.get("notes", [])]
    if facts.get("sources"):
        body += ["## Where the weights come from", table(facts["sources"], ("converted from", "SHA-256"))]
    note = facts.get("license_note") or f"The weights' licence is {facts.get('license', 'not stated here')}."
    body += ["## Licence", note, "## Citation", *([f"```bibtex\n{citation}\n```"] if citation else []), CITATION]
    title = facts.get("name") or repo_id or kind
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join([f"# {title}", *body]) + "\n")


def _gallery(facts: CardFacts) -> list[str]:
    clips = facts.get("gallery", {})
    return ["\n".join(f"![{label or 'a clip'}]({path})" for label, path in clips.items())] if clips else []


def quoted(text: str) -> str:
    """A string literal as formatters of Python leave it."""
    return json.dumps(text, ensure_ascii=False)


def table(rows: Mapping[str, Any], heads: tuple[str, str] = ("", "")) -> str:
    """Rows of two columns in Markdown; a value of None is left out."""
    lines = [f"| {heads[0]} | {heads[1]} |", "|-|-|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows.items() if value is not None])


def _data_rows(facts: CardFacts) -> dict[str, str | None]:
    unstated = "not stated here: ask whoever trained it before you redistribute it"
    return {"trained on": facts.get("dataset"), "data terms": facts.get("data_terms", unstated)}


def parameter_count(model: torch.nn.Module) -> str:
    """ "12.3 million parameters"."""
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} million parameters"


def python_code(text: str) -> str:
    """A block of Python in Markdown."""
    return f"```python\n{text}\n```"
