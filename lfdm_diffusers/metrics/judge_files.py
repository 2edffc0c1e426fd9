"""Files of judges: float16 safetensors whose header says which judge it is, of which labels, and how it was trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, overload

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ..files.reading import reading, why
from ..files.whole import whole
from ..ops.number_types import float32_by_default
from .flow_judge import FlowJudge
from .label_judge import LabelJudge
from .toon_judges import ExpressionJudge, IdentityEncoder

ASSETS = Path(__file__).parents[1] / "assets"
KINDS: dict[str, type[Any]] = {
    "expression": ExpressionJudge, "identity": IdentityEncoder, "labels": LabelJudge, "people": FlowJudge,
}  # fmt: skip
ARGUMENTS = {"expression": ("labels",), "identity": ("box",), "labels": ("labels",), "people": ("labels",)}
# Those that come with the package: of toon faces, and of rendered people.
FILES = {
    "expression": ("expression", ASSETS / "toon_judges" / "expression.safetensors"),
    "identity": ("identity", ASSETS / "toon_judges" / "identity.safetensors"),
    "people": ("people", ASSETS / "people_judges" / "labels.safetensors"),
    "people-identity": ("identity", ASSETS / "people_judges" / "identity.safetensors"),
}
Judge = ExpressionJudge | IdentityEncoder | LabelJudge | FlowJudge


def write_half(network: nn.Module, path: str | os.PathLike, header: dict[str, str]) -> None:
    """Write a network's tensors as safetensors, floats in half precision, with `header`."""
    tensors = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    with whole(Path(path)) as part:
        save_file(tensors, part, header)


def read_half(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """The header and the tensors of a file of `write_half`.

    Raises:
        ValueError: for what cannot be read.
    """
    with reading(path, "safetensors"), safe_open(path, "pt") as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no iterator)


def save_judge(judge: nn.Module, path: str | os.PathLike, facts: dict) -> None:
    """Write a judge as float16 safetensors with `facts` (how it was trained, how well it judges, as JSON) in its header."""
    kind = next(name for name, cls in KINDS.items() if isinstance(judge, cls))
    arguments = {name: json.dumps(getattr(judge, name)) for name in ARGUMENTS[kind]}
    write_half(judge, path, {"judge": kind, "facts": json.dumps(facts)} | arguments)


def judge_file(name: str) -> Path:
    """The file of a judge that comes with the package, by the name that `load_judge` takes."""
    return FILES[name][1]


@overload
def load_judge(name: Literal["expression"], path: str | os.PathLike | None = None) -> ExpressionJudge: ...
@overload
def load_judge(
    name: Literal["identity", "people-identity"], path: str | os.PathLike | None = None
) -> IdentityEncoder: ...
@overload
def load_judge(name: Literal["people"], path: str | os.PathLike | None = None) -> FlowJudge: ...
@overload
def load_judge(name: Literal["labels"], path: str | os.PathLike) -> LabelJudge: ...
@overload
def load_judge(name: str, path: str | os.PathLike | None = None) -> Judge: ...
@float32_by_default()
def load_judge(name: str, path: str | os.PathLike | None = None) -> Judge:
    """A judge in eval mode, float32.

    Args:
        name: "expression" (`ExpressionJudge`) or "identity" (`IdentityEncoder`) of toon faces; "people" (`FlowJudge`) or
            "people-identity" (`IdentityEncoder`) of rendered people; "labels" (`LabelJudge`) of a file.
        path: its safetensors file; by default the one that comes with the package, which has none of "labels".

    Returns:
        The network; its attribute `facts` says how it was trained and how well it judges.

    Raises:
        ValueError: for an unknown name, or a file that holds no such judge.
    """
    if name not in FILES and (name != "labels" or path is None):
        raise ValueError(f"`name` must be one of {', '.join(FILES)}, or labels with a `path`; got {name!r}.")
    kind = FILES[name][0] if name in FILES else name
    path = Path(path) if path is not None else judge_file(name)
    try:
        header, state = read_half(path)
        judge = KINDS[kind](**{each: json.loads(header[each]) for each in ARGUMENTS[kind] if each in header})
        judge.load_state_dict(state)
        judge.facts = json.loads(header["facts"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"`path` {str(path)!r} does not hold the judge {name!r}: {why(error)}") from error
    return judge.requires_grad_(False).eval()
