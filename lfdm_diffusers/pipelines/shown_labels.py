"""Which label a picture shows already, by what the U-Net makes of it: guidance then leads the others away from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class ShownLabels:
    """A linear layer for each label, on the U-Net's summary of a picture (`UNet3DVideoModel.summarize_image`).

    Attributes:
        labels: L, which it tells.
        weight, bias: `(L, N)` and `(L,)`; a label is shown where weight silu(summary) + bias is above 0.
        guidance_scale: by which others are led away from a label that is shown.
    """

    labels: tuple[str, ...]
    weight: torch.Tensor
    bias: torch.Tensor
    guidance_scale: float

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> ShownLabels:
        """As `to_config` wrote it.

        Raises:
            ValueError: if it is something else.
        """
        try:
            labels = tuple(config["labels"])
            weight, bias = (torch.tensor(config[name], dtype=torch.float32) for name in ("weight", "bias"))
            scale = float(config["guidance_scale"])
            finite = bool(weight.isfinite().all() and bias.isfinite().all()) and abs(scale) < float("inf")
            whole = weight.ndim == 2 and bias.shape == weight.shape[:1] == (len(labels),) and bool(labels)
            whole = whole and all(isinstance(label, str) for label in labels)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
            finite = whole = False
        if not finite or not whole or scale in (0, 1):
            raise ValueError(
                "`shown_labels` must hold `labels`, `weight` (a row of numbers for each label), `bias` (a number for each) and a "
                f"`guidance_scale` other than 0 and 1, as `ShownLabels.to_config` gives them, got {str(config)[:80]}."
            )
        return cls(labels, weight, bias, scale)

    def to_config(self) -> dict[str, Any]:
        """For `shown_labels` of a pipeline, as JSON can hold it."""
        rows = [[float(f"{value:.4g}") for value in row] for row in self.weight.tolist()]
        bias = [float(f"{value:.4g}") for value in self.bias.tolist()]
        return {"labels": list(self.labels), "weight": rows, "bias": bias, "guidance_scale": self.guidance_scale}

    def unfit(self, features: int, known: Sequence[str] | None) -> str:
        """Why it cannot tell of a U-Net whose summary has so many features, and of a model that knows such labels; "" if it can."""
        if self.weight.shape[1] != features:
            return f"`shown_labels` are told by {self.weight.shape[1]} features of a summary, and `image_summary` of this U-Net is {features}."
        if unknown := set(self.labels) - set(known or []):
            return f"`shown_labels` holds labels that this model does not know: {', '.join(sorted(unknown))}."
        return ""

    def scores(self, summary: torch.Tensor) -> torch.Tensor:
        """`(B, L)` of summaries `(B, N)`: above 0 a label is shown."""
        return F.silu(summary.float().cpu()) @ self.weight.T + self.bias

    def told(self, summary: torch.Tensor) -> list[str | None]:
        """The label that each picture shows most, of those that it shows; None for one that shows none of them."""
        found = self.scores(summary).max(dim=1)
        return [
            self.labels[at] if best > 0 else None for best, at in zip(found.values.tolist(), found.indices.tolist())
        ]
