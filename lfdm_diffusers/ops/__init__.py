"""An operation's formula and, beside it, the faster way on a CPU. It knows no model.

`plain()` is a context in which every operation takes its formula, and `limits(...)` one in which some thresholds are others.
"""

from .thresholds import limits, plain

__all__ = ["limits", "plain"]
