"""What the project keeps of a training: weights in half precision, thinned metrics, and curves to draw of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.axes import Axes

from lfdm_diffusers.pipelines import ImageToVideoPipeline

# What cards say of every model that was trained on toon faces.
TOON_FACTS = {
    "dataset": "toon faces, 600 drawn people (docs/toon-faces.md)",
    "data_terms": "drawn by `lfdm data toon-faces`, under this package's licence (Apache-2.0); no real person is shown",
    "license": "apache-2.0",
}

# And of those of rendered people.
PEOPLE_FACTS = {
    "dataset": "people, rendered (docs/people.md)",
    "data_terms": "rendered by `lfdm data people` of this package (Apache-2.0) from figures of Anny, whose data are MakeHuman's (CC0); no "
    "photograph and no real person is in it",
    "license": "apache-2.0",
}


def save_half(pipe: ImageToVideoPipeline, folder: Path) -> int:
    """Save a pipeline with its networks in float16, and without a word of where they lay; returns the bytes of its weights."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(dtype=torch.float16)
    pipe.save_pretrained(folder)
    for path in folder.rglob("*.json"):  # where the parts lay when they were trained is nobody's business
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def read_metrics(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_thinned(records: list[dict], path: Path) -> None:
    """Validations, and every hundredth step."""
    kept = [r for r in records if any(key.startswith("validation/") for key in r) or r["step"] % 100 == 0]
    path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def curve(records: list[dict], name: str, window: int = 10) -> tuple[list[int], list[float]]:
    """Steps and values of `name`; means of `window` records where there are many."""
    found = [(record["step"], record[name]) for record in records if name in record]
    size = window if len(found) > 100 else 1
    groups = [found[i : i + size] for i in range(0, len(found), size)]
    return [group[-1][0] for group in groups], [sum(value for _, value in group) / len(group) for group in groups]


def draw_curves(axes: Axes, records: list[dict], labels: Mapping[str, str], title: str, **settings: object) -> None:
    """Numbers of a training over its steps, by the label of each; `settings` are of `Axes.set`."""
    for name, label in labels.items():
        axes.plot(*curve(records, name), label=label)
    axes.set(title=title, xlabel="step", **settings)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
