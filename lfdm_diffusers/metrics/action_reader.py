"""A small network that reads actions back from clips of toon faces: which, on which side, how strongly, and when.

`reproduction/sentences.py` trains it on true clips, whose strengths are known, and uses it (docs/text.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..data.captions import SLOTS
from ..files.reading import why
from .judge_files import read_half, write_half
from .toon_judges import beside_the_first, convolutions

# Least strength over time that counts as an action, and where slight ends and strong begins: between 0, 0.4, 0.8 and 1.25.
LEAST, PLAIN, STRONG = 0.2, 0.6, 1.02


@dataclass(frozen=True)
class SeenAction:
    """An action that a clip shows.

    Attributes:
        name, side: of `SLOTS`.
        strength: the largest over time.
        centre: the mean time that its strength gives, as a share of the clip.
    """

    name: str
    side: str
    strength: float
    centre: float

    @property
    def how(self) -> str:
        """ "slight", "plain" or "strong"."""
        return "slight" if self.strength < PLAIN else "plain" if self.strength < STRONG else "strong"


class ActionReader(nn.Module):
    """Strengths of all actions in every frame: each frame compared with the first, then with its neighbours in time.

    Two halvings of time's reach (kernels of 5 frames) let it tell a nod from a look down and a blink from closed eyes.
    """

    slots = SLOTS

    def __init__(self) -> None:
        super().__init__()
        self.frame_features = convolutions(6, (24, 48, 96, 96), 128)
        self.over_time = nn.Sequential(
            nn.Conv1d(128, 128, 5, padding=2), nn.ReLU(), nn.Conv1d(128, 128, 5, padding=2), nn.ReLU(),
        )  # fmt: skip
        self.strength = nn.Conv1d(256, len(SLOTS), 1)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Strengths `(N, F, slots)` of clips `(N, F, 3, H, W)` in [0, 1]: 0 none, 0.4 slight, 0.8 plain, 1.25 strong."""
        single = (
            self.frame_features(beside_the_first(clips)).unflatten(0, clips.shape[:2]).transpose(1, 2)
        )  # (N, 128, F)
        return self.strength(torch.cat((single, self.over_time(single)), dim=1)).transpose(1, 2)


def read_actions(strengths: torch.Tensor) -> list[SeenAction]:
    """The actions of a clip, the strongest first, of its strengths `(F, slots)`."""
    times = torch.linspace(0, 1, len(strengths), dtype=torch.float64)
    found = []
    for (name, side), curve in zip(SLOTS, strengths.double().clamp(min=0).T):
        top = curve.max().item()
        if top >= LEAST:
            shown = (curve - top / 4).clamp(min=0)  # a faint rest of it elsewhere does not move its time
            found.append(SeenAction(name, side, top, ((shown * times).sum() / shown.sum()).item()))
    return sorted(found, key=lambda action: -action.strength)


def save_reader(reader: ActionReader, path: str | os.PathLike, facts: dict) -> None:
    """Write it as float16 safetensors, with `facts` (how it was trained, how well it reads) in the header."""
    write_half(reader, path, {"slots": json.dumps(SLOTS), "facts": json.dumps(facts)})


def load_reader(path: str | os.PathLike) -> ActionReader:
    """A reader in eval mode, float32.

    Raises:
        ValueError: for a file that holds none, or one of other actions.
    """
    path, reader = Path(path), ActionReader()
    try:
        header, state = read_half(path)
        slots: Sequence[Sequence[str]] = json.loads(header["slots"])
        if [tuple(slot) for slot in slots] != list(SLOTS):
            raise ValueError("it reads other actions than there are now; train it anew")
        reader.load_state_dict(state)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"`path` {str(path)!r} does not hold a reader of actions: {why(error)}") from error
    return reader.requires_grad_(False).eval()
