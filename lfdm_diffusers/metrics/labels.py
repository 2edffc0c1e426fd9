"""Whether a clip shows its label, as a classifier sees it."""

from __future__ import annotations

import torch

from ..arguments.checked import checked


@checked()
def confusion_matrix(predicted: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """How many clips of each label (rows) were taken for which (columns).

    Args:
        predicted, labels: `(N,)` whole numbers in [0, count).

    Returns:
        `(count, count)` int64.
    """
    for name, numbers in (("predicted", predicted), ("labels", labels)):
        if (
            numbers.ndim != 1
            or len(numbers) != len(labels)
            or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < count)
        ):
            raise ValueError(f"`{name}` must be ({len(labels)},) numbers from 0 to {count - 1}, got {numbers!r}.")
    return torch.bincount(labels.long() * count + predicted.long(), minlength=count**2).view(count, count)


@checked()
def label_accuracy(predicted: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of clips whose predicted label is theirs; both `(N,)`."""
    if predicted.shape != labels.shape or not labels.numel():
        raise ValueError(
            f"`predicted` and `labels` must be one number for each clip, got {tuple(predicted.shape)} and {tuple(labels.shape)}."
        )
    return (predicted == labels).double().mean().item()
