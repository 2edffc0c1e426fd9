"""Fréchet distance between two sets of features."""

from __future__ import annotations

import torch


def frechet_distance(features_a: torch.Tensor, features_b: torch.Tensor, ddof: int = 1) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2).

    With C = X^T X (X centred, divided by the root of n - ddof) and X = QR, the last trace is the sum of the singular
    values of R_a R_b^T: no square root of a matrix, exact for fewer samples than features too. All in float64.

    Args:
        features_a, features_b: `(N, D)` and `(M, D)`; more than `ddof` rows each.
        ddof: covariances are divided by n - ddof: 1 is unbiased, 0 what StyleGAN-V's code does.

    Returns:
        0 for the same set, else more.
    """
    for name, features in (("features_a", features_a), ("features_b", features_b)):
        if features.ndim != 2 or len(features) <= ddof or features.shape[1] != features_b.shape[1]:
            raise ValueError(
                f"`{name}` must be (more than {ddof}, D) with one D for both sets, got {tuple(features.shape)}."
            )
        if not features.isfinite().all():
            raise ValueError(f"`{name}` must be finite.")
    means, roots = [], []
    for features in (features_a.double(), features_b.double()):
        means.append(features.mean(dim=0))
        roots.append(torch.linalg.qr((features - means[-1]) / (len(features) - ddof) ** 0.5, mode="r").R)
    traces = sum(root.square().sum() for root in roots)
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return max(((means[0] - means[1]).square().sum() + traces - 2 * cross).item(), 0.0)
