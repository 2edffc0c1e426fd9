"""Distances between sets of features: closed forms, degenerate sets, groups, spread, and what they cannot take."""

from __future__ import annotations

import functools
import math
import statistics

import pytest
import torch

from lfdm_diffusers.metrics import (
    bootstrap_interval,
    frechet_distance,
    grouped_distance,
    kernel_distance,
    split_distance,
    train_test_gap,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ddof", [0, 1])
def test_frechet_distance_of_gaussians(ddof):
    """Features whitened to given moments: the closed form, with and without more samples than features."""
    a = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a = a - a.mean(0)
    root = torch.linalg.cholesky(a.T @ a / (50 - ddof))
    white = torch.linalg.solve_triangular(root, a.T, upper=False).T  # covariance exactly the identity
    scale, shift = torch.tensor([1.0, 2.0, 0.5, 3.0]), torch.tensor([1.0, 0.0, -2.0, 0.0])
    expected = (shift**2).sum() + ((scale - 1) ** 2).sum()
    assert frechet_distance(white, white * scale + shift, ddof) == pytest.approx(expected.item(), rel=1e-9)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    turned = (white * scale + shift) @ turn
    assert frechet_distance(white @ turn, turned, ddof) == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_distance_of_few_samples():
    a, b = random(5, 40), random(7, 40, seed=1)
    assert frechet_distance(a, a[[3, 1, 0, 2, 4]]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    # Against the textbook's matrix square root, on the eigenvalues of C_a C_b.
    ca, cb = (torch.cov(x.double().T) for x in (a, b))
    root = torch.linalg.eigvals(ca @ cb).real.clamp(min=0).sqrt().sum()
    mean = (a.double().mean(0) - b.double().mean(0)).square().sum()
    assert frechet_distance(a, b) == pytest.approx((mean + ca.trace() + cb.trace() - 2 * root).item(), rel=1e-4)
    noisy = [frechet_distance(a, a + scale * random(5, 40, seed=2)) for scale in (0.1, 0.5, 2.0)]
    assert 0 < noisy[0] < noisy[1] < noisy[2]
    with pytest.raises(ValueError, match="`features_b`"):
        frechet_distance(a, b[:1])
    with pytest.raises(ValueError, match="`features_a` must be finite"):
        frechet_distance(a / 0, b)
    with pytest.raises(ValueError, match="`ddof` must be 0 or 1, got 2"):
        frechet_distance(a, b, 2)


def test_both_covariance_rules_differ_as_they_should():
    """The means of the two sets are equal, so only covariances count: n / (n - 1) of each other."""
    a, b = random(6, 3), 3 * random(6, 3)
    a, b = a - a.mean(0), b - b.mean(0)
    assert frechet_distance(a, b, 1) == pytest.approx(frechet_distance(a, b, 0) * 6 / 5, rel=1e-6)
    # One sample has no covariance with n - 1, and the covariance zero with n: the distance of the means.
    assert frechet_distance(a[:1], b[:1], 0) == pytest.approx((a[0] - b[0]).double().square().sum().item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"`features_a` must be .at least 2"):
        frechet_distance(a[:1], b, 1)


def test_sets_without_spread():
    a, b = torch.zeros(3, 5), torch.ones(4, 5)
    assert frechet_distance(a, b) == pytest.approx(5) and frechet_distance(a, a) == 0
    assert kernel_distance(a, b) == pytest.approx(1 + 8 - 2)  # (x . y / 5 + 1)^3 is 1, 8 and, between them, 1


def test_kernel_distance_is_its_definition_and_unbiased():
    a, b = random(4, 6), random(5, 6, seed=1) + 0.3

    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return (x.double() @ y.double() / 6 + 1).item() ** 3

    def within(x: torch.Tensor) -> float:
        return statistics.mean(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j)

    expected = within(a) + within(b) - 2 * statistics.mean(k(x, y) for x in a for y in b)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(a[[2, 0, 1, 3]], b) == pytest.approx(expected, rel=1e-9)
    same = [kernel_distance(random(10, 8, seed=2 * i), random(10, 8, seed=2 * i + 1)) for i in range(400)]
    assert min(same) < 0 < max(same)
    assert abs(statistics.mean(same)) < 4 * statistics.stdev(same) / 20  # 0 within four standard errors
    far = [kernel_distance(random(10, 8, seed=2 * i), random(10, 8, seed=2 * i + 1) + 1) for i in range(50)]
    assert statistics.mean(far) > 10 * statistics.stdev(same) / 20
    with pytest.raises(ValueError, match=r"`features_b` must be .at least 2"):
        kernel_distance(a, b[:1])


def test_distance_of_groups():
    a, b = random(9, 3), random(8, 3, seed=1)
    labels_a, labels_b = list("xyxyxyxyx"), list("xxxxyyyy")
    found = grouped_distance(frechet_distance, a, labels_a, b, labels_b)
    x, y = frechet_distance(a[::2], b[:4]), frechet_distance(a[1::2], b[4:])
    assert found.groups == pytest.approx({"x": x, "y": y})
    assert (found.mean, found.std) == pytest.approx(((x + y) / 2, abs(x - y) / 2))
    one = grouped_distance(frechet_distance, a, [0] * 9, b, [0] * 8)
    assert one.mean == pytest.approx(frechet_distance(a, b)) and one.std == 0
    with pytest.raises(ValueError, match="only one has z"):
        grouped_distance(frechet_distance, a, labels_a, b, [*labels_b[:-1], "z"])
    with pytest.raises(ValueError, match="`groups_b` must name the group of each of 8 rows, got 7"):
        grouped_distance(frechet_distance, a, labels_a, b, labels_b[1:])
    with pytest.raises(ValueError, match="group 'y' has 4 and 1 rows: `features_b`"):
        grouped_distance(frechet_distance, a, labels_a, b, list("xxxxxxxy"))
    by_n = functools.partial(frechet_distance, ddof=0)
    assert grouped_distance(by_n, a, labels_a, b, list("xxxxxxxy")).groups["y"] > 0


def test_bootstrap_interval_holds_what_other_samples_give():
    """The distance of 40 samples of each side, over many draws of the 40: its spread is what the interval says."""
    draws = [kernel_distance(random(40, 4, seed=2 * i), random(40, 4, seed=2 * i + 1) + 0.5) for i in range(100)]
    a, b = random(40, 4, seed=1000), random(40, 4, seed=1001) + 0.5
    interval = bootstrap_interval(kernel_distance, a, b, repeats=200)
    assert interval.std == pytest.approx(statistics.stdev(draws), rel=0.5)
    assert interval.low < kernel_distance(a, b) < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * interval.std, rel=1e-3)
    assert interval == bootstrap_interval(kernel_distance, a, b, repeats=200)
    assert interval != bootstrap_interval(kernel_distance, a, b, repeats=200, seed=1)
    wider = bootstrap_interval(kernel_distance, a, b, repeats=200, level=0.99)
    assert wider.low < interval.low < interval.high < wider.high
    with pytest.raises(ValueError, match="`repeats` must be at least 2"):
        bootstrap_interval(kernel_distance, a, b, repeats=1)
    with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
        bootstrap_interval(kernel_distance, a, b, level=95)


def test_real_against_real_falls_with_more_samples():
    few, many = split_distance(frechet_distance, random(40, 8)), split_distance(frechet_distance, random(800, 8))
    assert 0 < many < few / 5
    halves = frechet_distance(random(400, 8, seed=1), random(400, 8, seed=2))
    assert many == pytest.approx(halves, rel=0.5)
    with pytest.raises(ValueError, match="`repeats` must be at least 1"):
        split_distance(frechet_distance, random(40, 8), repeats=0)


def test_train_test_gap():
    seen, unseen = random(60, 4, seed=1) + 0.1, random(60, 4, seed=2) + 1
    real = random(60, 4, seed=3), random(60, 4, seed=4)
    found = train_test_gap(kernel_distance, seen, real[0], unseen, real[1])
    assert found.seen == kernel_distance(seen, real[0]) and found.unseen == kernel_distance(unseen, real[1])
    assert found.gap == found.unseen - found.seen > 3 * found.std > 0
    spread = [bootstrap_interval(kernel_distance, *pair).std for pair in ((seen, real[0]), (unseen, real[1]))]
    assert found.std == pytest.approx(math.hypot(*spread))
    fair = train_test_gap(kernel_distance, seen, real[0], random(60, 4, seed=5) + 0.1, real[1])
    assert abs(fair.gap) < 3 * fair.std
    with pytest.raises(ValueError, match="`real_seen` and `real_unseen` must have as many rows, got 60 and 59"):
        train_test_gap(kernel_distance, seen, real[0], unseen, real[1][1:])
