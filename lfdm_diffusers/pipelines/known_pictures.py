"""Whether a picture is of the kind that a model knows, by what its auto-encoder makes of it.

The picture is reconstructed from itself, once with nothing moved and once by the motion that the auto-encoder finds between the
picture and itself. Ten numbers of that (`facts_of_reconstruction`) are compared with those of pictures that the model knows, by their
Mahalanobis distance, as a multiple of one that hardly any known picture has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..models import LatentFlowAutoencoder
from ..models.latent_flow_autoencoder import EncodedImage

LEAST = 1e-4  # of what a logarithm is taken
FACTS = 10
# Of the pictures that a limit is measured with, so many are nearer.
SHARE = 0.99


@torch.no_grad()
def facts_of_reconstruction(lfae: LatentFlowAutoencoder, encoded: EncodedImage) -> torch.Tensor:
    """What a reconstruction of each picture from itself says, `(B, 10)`, on the CPU.

    In this order, all but the eighth as logarithms: L1 of what the decoder paints where nothing moves; the same by the motion found;
    L1 of the whole by the motion found; how much is held to be hidden; the height of the regions' heatmaps, on average and of the
    lowest; how far apart the regions lie; mean and deviation of the latent map; the picture's contrast.

    Args:
        encoded: pictures whose sides `flow_stride` divides.
    """
    picture = encoded.image
    grid = lfae.identity_grid(*lfae.flow_size(*picture.shape[-2:]), device=picture.device)
    rest = grid.permute(2, 0, 1).expand(len(picture), -1, -1, -1)
    still = lfae.decode(encoded, rest, torch.ones_like(rest[:, :1]))
    found = lfae.predict_flow(picture, picture)
    moved = lfae.decode(encoded, found.flow, found.occlusion)

    def l1(made: torch.Tensor) -> torch.Tensor:
        return (made - picture).float().abs().mean((1, 2, 3))

    regions, latent = found.reference_regions, encoded.latent.float()
    heights = regions.heatmap.float().amax((-2, -1))
    positive = [
        l1(still.inpainted),
        l1(moved.inpainted),
        l1(moved.sample),
        1 - found.occlusion.mean((1, 2, 3)),
        heights.mean(1),
        heights.amin(1),
        regions.shift.float().std(1, correction=0).mean(1),
    ]
    logs = [value.clamp(min=LEAST).log() for value in positive]
    spread = latent.std((1, 2, 3)).clamp(min=LEAST).log()
    contrast = picture.float().std((1, 2, 3)).clamp(min=LEAST).log()
    return torch.stack([*logs, latent.mean((1, 2, 3)), spread, contrast], dim=1).double().cpu()


@dataclass(frozen=True)
class KnownPictures:
    """What reconstructions of the pictures that a model knows say.

    Attributes:
        mean: `(10,)` of `facts_of_reconstruction`.
        whitening: `(10, 10)`, which makes their deviations independent and of size 1.
        limit: a distance that `SHARE` of the known pictures do not reach.
    """

    mean: torch.Tensor
    whitening: torch.Tensor
    limit: float

    @classmethod
    def measured(cls, facts: torch.Tensor, others: torch.Tensor) -> KnownPictures:
        """From facts `(n, 10)` of known pictures, and of others that are known as well, which say the limit."""
        deviation = facts.std(0)
        covariance = torch.cov(facts.T) + torch.diag((0.05 * deviation) ** 2)  # some facts nearly follow from others
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
        known = cls(facts.mean(0), whitening, 1.0)
        return cls(known.mean, whitening, float(torch.quantile(known.distances(others), SHARE)))

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> KnownPictures:
        """As `to_config` wrote it.

        Raises:
            ValueError: if it is something else.
        """
        try:
            mean, whitening = (torch.tensor(config[name], dtype=torch.float64) for name in ("mean", "whitening"))
            limit = float(config["limit"])
            finite = bool(mean.isfinite().all() and whitening.isfinite().all()) and 0 < limit < float("inf")
            whole = tuple(mean.shape) == (FACTS,) and tuple(whitening.shape) == (FACTS, FACTS)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
            finite = whole = False
        if not finite or not whole:
            raise ValueError(
                f"`known_pictures` must hold `mean` ({FACTS} numbers), `whitening` ({FACTS} rows of {FACTS}) and a positive `limit`, as "
                f"`KnownPictures.to_config` gives them, got {str(config)[:80]}."
            )
        return cls(mean, whitening, limit)

    def to_config(self) -> dict[str, Any]:
        """For `known_pictures` of a pipeline, as JSON can hold it."""
        rows = [[float(f"{value:.5g}") for value in row] for row in self.whitening.tolist()]
        mean = [float(f"{value:.5g}") for value in self.mean.tolist()]
        return {"mean": mean, "whitening": rows, "limit": float(f"{self.limit:.4g}")}

    def distances(self, facts: torch.Tensor) -> torch.Tensor:
        """How far pictures are from those that are known, `(B,)`, as a multiple of the limit: beyond 1 are hardly any of the known."""
        return (facts - self.mean).matmul(self.whitening.T).norm(dim=1) / self.limit
