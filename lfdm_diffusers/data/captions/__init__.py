"""What a clip does, as a specification, and sentences in many wordings that say it (docs/text.md)."""

from .drawing import draw_specification
from .sentences import captions
from .specification import STRENGTHS, Action, Specification
from .vocabulary import ACTIONS, HELD_OUT_PAIRS, PARTS, SLOTS

__all__ = [
    "ACTIONS",
    "HELD_OUT_PAIRS",
    "PARTS",
    "SLOTS",
    "STRENGTHS",
    "Action",
    "Specification",
    "captions",
    "draw_specification",
]
