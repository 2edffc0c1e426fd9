"""How well a clip is re-enacted from its first frame: L1 errors and the use of the occlusion map.

Pictures are RGB in [0, 1], `(..., 3, H, W)`: clips `(N, F, 3, H, W)`, or pairs of pictures `(N, 3, H, W)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..arguments.checked import checked
from .means import RunningMean

MOVING = 0.1  # a pixel moves if one of its colours changes by more than this against the reference


def check_shapes(**tensors: torch.Tensor) -> None:
    """Raise a ValueError that names them if not all tensors have one shape."""
    if len({tuple(tensor.shape) for tensor in tensors.values()}) > 1:
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in tensors)} must have the same shape, got "
            f"{' and '.join(str(tuple(tensor.shape)) for tensor in tensors.values())}."
        )


@checked(reference="... 3 h w", frames="... 3 H W")
def moving_pixels(reference: torch.Tensor, frames: torch.Tensor, threshold: float = MOVING) -> torch.Tensor:
    """Where a frame differs from the reference: max over colours of |frame - reference| > `threshold`.

    Args:
        reference: `(..., 3, H, W)`, broadcast against `frames`: `(N, 1, 3, H, W)` for clips.
        frames: `(..., 3, H, W)`.

    Returns:
        `(..., 1, H, W)` bool.
    """
    return (frames - reference).abs().amax(dim=-3, keepdim=True) > threshold


@checked(frames="... C H W", target="... c h w")
def reconstruction_l1(frames: torch.Tensor, target: torch.Tensor, where: torch.Tensor | None = None) -> float:
    """Mean of |frames - target| over pictures, pixels and colours, in units of the full range of a colour.

    Args:
        frames, target: `(..., 3, H, W)` in [0, 1].
        where: `(..., 1, H, W)` bool, to count those pixels only.

    Returns:
        L1; NaN if no pixel counts.

    Raises:
        ValueError: if the shapes differ.
    """
    check_shapes(frames=frames, target=target)
    return RunningMean().add((frames - target).abs(), where).value


@checked(frames="... C H W", target="... c h w")
def reconstruction_l1_per_frame(
    frames: torch.Tensor, target: torch.Tensor, where: torch.Tensor | None = None
) -> list[float]:
    """`reconstruction_l1` of every frame of clips `(N, F, 3, H, W)`: F numbers.

    Their sum, over all pixels, is what the released code's test prints as its L1: it divides by videos, pixels and
    colours, and not by frames.
    """
    check_shapes(frames=frames, target=target)
    return [
        reconstruction_l1(frames[:, i], target[:, i], None if where is None else where[:, i])
        for i in range(frames.shape[1])
    ]


class ReconstructionScores:
    """All of reconstruction's L1 numbers, gathered batch by batch.

    `compute` gives means over all pixels and colours: l1 of the reconstruction, inpainted_l1 of what the decoder painted
    before the last blend (left out if nothing was painted), static_l1 of the reference repeated; and l1_moving,
    inpainted_l1_moving, static_l1_moving over `moving_pixels` (left out if none moves).
    """

    PICTURES = ("", "inpainted_", "static_")

    def __init__(self) -> None:
        self.means = {name + kind: RunningMean() for kind in ("l1", "l1_moving") for name in self.PICTURES}

    @checked()
    def update(
        self,
        reference: torch.Tensor,
        target: torch.Tensor,
        sample: torch.Tensor,
        inpainted: torch.Tensor | None = None,
    ) -> None:
        """Add pairs or clips.

        Args:
            reference: `(N, 3, H, W)`, or `(N, 1, 3, H, W)` for clips.
            target, sample, inpainted: `(N, 3, H, W)`, or `(N, F, 3, H, W)`.

        Raises:
            ValueError: if the shapes differ.
        """
        given = {"target": target, "sample": sample, "inpainted": inpainted}
        check_shapes(**{name: picture for name, picture in given.items() if picture is not None})
        moving = moving_pixels(reference, target)
        for name, picture in zip(self.PICTURES, (sample, inpainted, reference)):
            if picture is None:
                continue
            error = (picture - target).abs()
            self.means[f"{name}l1"].add(error)
            self.means[f"{name}l1_moving"].add(error, moving)

    def compute(self) -> dict[str, float]:
        return {name: mean.value for name, mean in self.means.items() if mean.count}


@checked(occlusion="... 1 h w")
def occlusion_statistics(occlusion: torch.Tensor, visibility: torch.Tensor | None = None) -> dict[str, float]:
    """Whether the occlusion map is used: 1 keeps the warped picture, 0 inpaints; collapsed if it is 1 everywhere.

    Args:
        occlusion: `(..., 1, h, w)` in [0, 1].
        visibility: `(..., 1, H, W)`, 1 where a pixel is truly visible in the reference; H, W are multiples of h, w.

    Returns:
        occlusion_mean, occlusion_min, occlusion_below_half (share of places that are inpainted rather than warped), and
        with `visibility` the means over places that are fully visible, and at least half hidden, in the reference:
        occlusion_of_visible, occlusion_of_hidden (NaN if there are none).
    """
    numbers = {
        "occlusion_mean": occlusion.mean().item(),
        "occlusion_min": occlusion.min().item(),
        "occlusion_below_half": (occlusion < 0.5).float().mean().item(),
    }
    if visibility is not None:
        height, width = occlusion.shape[-2:]
        share = F.adaptive_avg_pool2d(visibility.flatten(0, -4).float(), (height, width))
        share = share.view_as(occlusion)
        for name, where in (("visible", share == 1), ("hidden", share <= 0.5)):
            numbers[f"occlusion_of_{name}"] = RunningMean().add(occlusion, where).value
    return numbers
