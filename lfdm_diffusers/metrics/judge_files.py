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
from .label_judge import LabelJudge
from .toon_judges import ExpressionJudge, IdentityEncoder

WEIGHTS = Path(__file__).parents[1] / "assets" / "toon_judges"
JUDGES: dict[str, type[Any]] = {"expression": ExpressionJudge, "identity": IdentityEncoder, "labels": LabelJudge}
Judge = ExpressionJudge | IdentityEncoder | LabelJudge


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
    metadata = {
        "judge": next(name for name, cls in JUDGES.items() if isinstance(judge, cls)),
        "facts": json.dumps(facts),
    }
    if isinstance(judge, (ExpressionJudge, LabelJudge)):
        metadata["labels"] = json.dumps(judge.labels)
    write_half(judge, path, metadata)


def judge_file(name: str) -> Path:
    """The file of a judge that comes with the package."""
    return WEIGHTS / f"{name}.safetensors"


@overload
def load_judge(name: Literal["expression"], path: str | os.PathLike | None = None) -> ExpressionJudge: ...
@overload
def load_judge(name: Literal["identity"], path: str | os.PathLike | None = None) -> IdentityEncoder: ...
@overload
def load_judge(name: Literal["labels"], path: str | os.PathLike) -> LabelJudge: ...
@overload
def load_judge(name: str, path: str | os.PathLike | None = None) -> Judge: ...
@float32_by_default()
def load_judge(name: str, path: str | os.PathLike | None = None) -> Judge:
    """A judge in eval mode, float32.

    Args:
        name: "expression" (`ExpressionJudge`) or "identity" (`IdentityEncoder`) of toon faces, "labels" (`LabelJudge`).
        path: its safetensors file; by default the one that comes with the package, which has none of "labels".

    Returns:
        The network; its attribute `facts` says how it was trained and how well it judges.

    Raises:
        ValueError: for an unknown name, or a file that holds no such judge.
    """
    if name not in JUDGES:
        raise ValueError(f"`name` must be one of {', '.join(JUDGES)}, got {name!r}.")
    path = Path(path) if path is not None else judge_file(name)
    try:
        header, state = read_half(path)
        judge = IdentityEncoder() if name == "identity" else JUDGES[name](json.loads(header["labels"]))
        judge.load_state_dict(state)
        judge.facts = json.loads(header["facts"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"`path` {str(path)!r} does not hold the judge {name!r}: {why(error)}") from error
    return judge.requires_grad_(False).eval()
