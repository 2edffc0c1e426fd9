"""Whether a generated person is still the person of the picture, by features of a network that tells people apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..arguments.checked import checked


@checked(features="... D", reference_features="... D")
def identity_similarity(features: torch.Tensor, reference_features: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between features of frames and of the reference picture (known as CSIM): 1 the same.

    Args:
        features: `(..., D)`.
        reference_features: `(..., D)`, broadcast against `features`.

    Returns:
        `(...)` in [-1, 1].
    """
    return F.cosine_similarity(features, reference_features, dim=-1)


@checked(features="N D", gallery="P D")
def identity_retrieval(features: torch.Tensor, people: torch.Tensor, gallery: torch.Tensor) -> float:
    """Share of frames whose nearest picture in a gallery, by `identity_similarity`, is of their own person.

    Args:
        features: `(N, D)`.
        people: `(N,)`, the row of each one's person in the gallery.
        gallery: `(P, D)`, one picture of each person. Chance is 1 / P.
    """
    if len(people) != len(features) or not 0 <= people.min() <= people.max() < len(gallery):
        raise ValueError(f"`people` must be ({len(features)},) rows of the gallery of {len(gallery)}, got {people!r}.")
    nearest = (F.normalize(features, dim=1) @ F.normalize(gallery, dim=1).T).argmax(dim=1)
    return (nearest == people).double().mean().item()
