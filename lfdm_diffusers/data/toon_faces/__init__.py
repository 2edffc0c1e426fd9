"""Toon faces: people drawn from a seed who make seven expressions, with true flow and visibility (docs/toon-faces.md)."""

from ..drawn_sets import FORMATS
from .clips import VERSION, ToonClip, toon_clip
from .expressions import LABELS
from .people import ToonSubject
from .writing import SETTINGS, write_toon_faces

__all__ = [
    "FORMATS",
    "LABELS",
    "SETTINGS",
    "VERSION",
    "ToonClip",
    "ToonSubject",
    "toon_clip",
    "write_toon_faces",
]
