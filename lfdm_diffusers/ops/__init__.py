"""An operation's formula and, beside it, the faster way on a CPU. It knows no model."""
