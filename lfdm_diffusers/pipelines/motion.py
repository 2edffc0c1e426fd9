"""The motion of a clip: from the U-Net's volume to the decoder's flow, and edits: scale, mask, loop, blend, save."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from diffusers.utils import logging

from ..arguments.checked import LARGEST, described, is_dense
from ..data.picture_colors import grey_array
from ..ops.warp import resize_motion, sampling_grid
from .checks import require_number, require_tensor
from .easing import smoothstep
from .motion_files import load_motion, save_motion

logger = logging.get_logger(__name__)

Mask = PIL.Image.Image | np.ndarray | torch.Tensor
LOOPS = ("ping_pong", "ease")
ROUNDING = 0.01  # that half precisions may leave [0, 1] by
TORN = 1.5  # times a generated motion, beyond which faces tear
AT_REST = 0.25  # of the apex's motion; a clip that ends with more has not come back


def beside(flow: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """A grid `(h, w, 2)` as `(1, 2, 1, h, w)`, to be added to `flow` `(B, 2, F, h, w)`."""
    return grid.to(flow.device, flow.dtype).permute(2, 0, 1)[None, :, None]


def volume_to_motion(volume: torch.Tensor, unet_config: Mapping) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow and occlusion that a denoised volume stands for, as the U-Net's configuration says.

    Args:
        volume: `(B, 3, F, h, w)`.
        unet_config: its `target_mean`, `target_std` and `flow_target`.

    Returns:
        Flow `(B, 2, F, h, w)`, an absolute sampling grid, and occlusion `(B, 1, F, h, w)` in [0, 1].
    """
    mean, std = (volume.new_tensor(unet_config[name]).view(1, -1, 1, 1, 1) for name in ("target_mean", "target_std"))
    motion = volume * std + mean
    flow, occlusion = motion[:, :2], motion[:, 2:3].clamp(0, 1)
    if unet_config["flow_target"] == "residual":
        height, width = flow.shape[-2:]
        flow = flow + beside(flow, sampling_grid(height, width, centers=True))
    return flow, occlusion


@dataclass(frozen=True)
class Motion:
    """The motion of one clip: what `LFDMPipeline` generates, and can animate any picture with.

    Every method returns another motion and leaves this one as it is.

        motion = pipe(picture, "happiness").motion(0)
        pipe.animate(another_picture, motion.scaled(1.5).ping_pong())

    Attributes:
        flow: `(F, 2, h, w)` float32: where in the picture each place of a frame comes from; absolute sampling grid (x, y) in
            [-1, 1].
        occlusion: `(F, 1, h, w)` float32 in [0, 1]: 1 keeps the warped picture, 0 inpaints.
        about: where it comes from, such as its label; saved with it.
    """

    flow: torch.Tensor
    occlusion: torch.Tensor
    about: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_tensor("flow", self.flow, ("frames", 2, "height", "width"))
        frames, _, height, width = self.flow.shape
        require_tensor("occlusion", self.occlusion, (frames, 1, height, width))
        least, most = (value.item() for value in torch.aminmax(self.occlusion))
        if least < -ROUNDING or most > 1 + ROUNDING:
            raise ValueError(f"`occlusion` must lie in [0, 1], got values from {least:.3g} to {most:.3g}.")

    def __len__(self) -> int:
        return len(self.flow)

    def __repr__(self) -> str:
        frames, _, height, width = self.flow.shape
        return f"Motion({frames} frames, {height}x{width}{f', {self.about}' if self.about else ''})"

    @property
    def still(self) -> torch.Tensor:
        """The flow `(2, h, w)` that leaves a picture as it is."""
        height, width = self.flow.shape[-2:]
        return sampling_grid(height, width, self.flow.device, centers=True).permute(2, 0, 1)

    def _toward(self, flow: torch.Tensor, occlusion: torch.Tensor, weight: torch.Tensor) -> Motion:
        """`weight` of this motion (it broadcasts to `(F, 1, h, w)`), the rest of another."""
        return replace(
            self, flow=torch.lerp(flow, self.flow, weight), occlusion=torch.lerp(occlusion, self.occlusion, weight)
        )

    def scaled(self, scale: float | Sequence[float]) -> Motion:
        """Less of the motion (0: still), all of it (1), or more.

        The flow is extrapolated beyond 1. The occlusion goes from "keep everything" at 0 to what was generated at 1 and stays
        there, as nothing says what a larger motion, or a contrary one, would uncover.

        Args:
            scale: a number, or one for each frame.
        """
        weight = self._per_frame("scale", scale)
        scaled = self._toward(self.still.expand_as(self.flow), self.occlusion, weight)
        return replace(
            scaled, occlusion=torch.lerp(torch.ones_like(self.occlusion), self.occlusion, weight.clamp(0, 1))
        )

    def masked(self, mask: Mask | None) -> Motion:
        """The motion of a region alone: outside everything is still, and kept as it is.

        Args:
            mask: what may move: `(H, W)` of any size, in [0, 1] (or uint8, or a grey picture); soft edges blend. It is made as
                small as the flow; `resized` first holds a finer edge. None is everything.
        """
        if mask is None:
            return self
        weight = mask_tensor(mask, "mask").to(self.flow)[None, None]
        weight = F.interpolate(weight, self.flow.shape[-2:], mode="bilinear", align_corners=False, antialias=True)
        return self._toward(self.still.expand_as(self.flow), torch.ones_like(self.occlusion), weight)

    def blended(self, other: Motion, weight: float | Sequence[float]) -> Motion:
        """Between this motion (`weight` 0) and another (1) of as many frames and the same size, such as another label's.

        Beyond them the flow is extrapolated; the occlusion stays that of the nearer motion.

        Args:
            weight: a number, or one for each frame, to go from one to the other.
        """
        if not isinstance(other, Motion):
            raise ValueError(f"`other` must be a Motion, got {type(other).__name__}.")
        if other.flow.shape != self.flow.shape:
            raise ValueError(
                f"`other` must have flow of shape {tuple(self.flow.shape)}, got {tuple(other.flow.shape)}; `resampled` changes "
                "the number of frames, `resized` the size."
            )
        weights = self._per_frame("weight", weight)
        return replace(
            self,
            flow=torch.lerp(self.flow, other.flow, weights),
            occlusion=torch.lerp(self.occlusion, other.occlusion, weights.clamp(0, 1)),
        )

    @classmethod
    def mixed(cls, motions: Sequence[Motion], weights: Sequence[float]) -> Motion:
        """Several motions of one length and size in one: a smile with half as much surprise.

        It is their mean by weight, as strong as the largest weight: added up they would pull a place where no expression has it, and
        the decoder paints nothing sensible there.

        Args:
            weights: one for each, of at least 0; with one motion it is `scaled` by its weight.
        """
        motions = motion_list(motions, "motions")
        if not isinstance(weights, (list, tuple)) or len(motions) != len(weights):
            got = len(weights) if isinstance(weights, (list, tuple)) else type(weights).__name__
            raise ValueError(f"`weights` must be a list of one for each of {len(motions)} motions, got {got}.")
        for weight in weights:
            require_number("weights", weight, Real, 0)
        total = sum(map(float, weights)) or 1.0
        flow, occlusion = (
            torch.stack(
                [float(weight) / total * getattr(motion, name) for motion, weight in zip(motions, weights)]
            ).sum(0)
            for name in ("flow", "occlusion")
        )
        return cls(flow, occlusion).scaled(max(map(float, weights)))

    def ping_pong(self) -> Motion:
        """Forward and back in `2 F - 2` frames; played in a loop, the last frame leads to the first."""
        there = torch.arange(len(self))
        return self._frames(torch.cat((there, there[1:-1].flip(0))))

    def looped(self, ease: int | None = None) -> Motion:
        """The same frames, whose last ones glide back to the first, so that the clip loops without a jump.

        Args:
            ease: how many frames glide; a quarter of them by default.
        """
        ease = min(len(self) - 1, max(1, len(self) // 4)) if ease is None else ease
        require_number("ease", ease, Integral, 0, len(self) - 1)
        share = torch.arange(1, ease + 1, dtype=torch.float32) / (ease + 1)  # the next frame would be the first again
        weight = torch.cat((torch.ones(len(self) - ease, dtype=torch.float32), 1 - smoothstep(share))).to(self.flow)
        return self._toward(
            self.flow[:1].expand_as(self.flow), self.occlusion[:1].expand_as(self.occlusion), weight.view(-1, 1, 1, 1)
        )

    def apex(self) -> int:
        """The frame that is farthest from stillness: where an expression is fullest."""
        return int(self._sizes().argmax())

    def held(self, num_frames: int) -> Motion:
        """The same motion, whose `apex` stays for `num_frames` frames more and is then let go: `F + num_frames` frames.

        Held frames are the same to the bit, so nothing flickers. A motion that is fullest in its last quarter gets there sooner, as
        it needs that quarter to be let go; one that does not come back to its first frame by itself glides there.

        Args:
            num_frames: how long it stays; 0 leaves the motion as it is.
        """
        require_number("num_frames", num_frames, Integral, 0)
        if num_frames == 0:
            return self
        apex, sizes, latest = self.apex(), self._sizes(), len(self) - len(self) // 4
        rise = self._frames(torch.arange(apex + 1))
        rise = rise.resampled(min(len(rise), latest))
        parts = [rise, self._frames(torch.full((num_frames,), apex, dtype=torch.int64))]
        left = len(self) - len(rise)
        if left and apex < latest and sizes[-1] <= AT_REST * sizes[apex]:
            parts.append(self._frames(torch.arange(apex + 1, len(self))))
        elif left:
            top = self._frames(torch.full((left,), apex, dtype=torch.int64))
            back = 1 - smoothstep(torch.arange(1, left + 1, dtype=torch.float32) / left)
            first = self.flow[:1].expand_as(top.flow), self.occlusion[:1].expand_as(top.occlusion)
            parts.append(top._toward(*first, back.to(self.flow).view(-1, 1, 1, 1)))
        flow, occlusion = (torch.cat([getattr(part, name) for part in parts]) for name in ("flow", "occlusion"))
        return replace(self, flow=flow, occlusion=occlusion)

    def _sizes(self) -> torch.Tensor:
        """How far each frame's flow is from stillness, `(F,)`."""
        return (self.flow - self.still).float().abs().mean(dim=(1, 2, 3))

    def edited(
        self,
        scale: float | Sequence[float] = 1.0,
        mask: Mask | None = None,
        loop: str | None = None,
        hold: int = 0,
    ) -> Motion:
        """`held`, `scaled`, `masked`, and then "ping_pong" or "ease" (`looped`), as a call of the pipeline does it."""
        require_loop(loop)
        require_number("hold", hold, Integral, 0)
        motion = self.held(hold).scaled(scale).masked(mask)
        return {None: lambda: motion, "ping_pong": motion.ping_pong, "ease": motion.looped}[loop]()

    def reversed(self) -> Motion:
        """From the last frame to the first."""
        return self._frames(torch.arange(len(self) - 1, -1, -1))

    def resampled(self, num_frames: int) -> Motion:
        """The same motion in more or fewer frames, from its first to its last, interpolated between frames."""
        require_number("num_frames", num_frames, Integral, 1)
        place = torch.linspace(0, len(self) - 1, num_frames, dtype=torch.float32)
        before = place.floor().long().clamp(max=max(len(self) - 2, 0))
        weight = (place - before).to(self.flow).view(-1, 1, 1, 1)
        one, next_one = self._frames(before), self._frames((before + 1).clamp(max=len(self) - 1))
        return next_one._toward(one.flow, one.occlusion, weight)

    def resized(self, height: int, width: int, centers: bool = True) -> Motion:
        """The same motion on a map of another size.

        Args:
            centers: as in `resize_motion`, which the decoder uses: whether the departure from stillness is resized, or, as
                released models do, the grid itself.
        """
        for name, side in (("height", height), ("width", width)):
            require_number(name, side, Integral, 1)
        both = resize_motion(torch.cat((self.flow, self.occlusion), dim=1), (height, width), centers)
        return replace(self, flow=both[:, :2], occlusion=both[:, 2:].clamp(0, 1))

    def save(self, path: str | os.PathLike) -> None:
        """Write it as safetensors with metadata, whole or not at all."""
        save_motion(path, self.flow, self.occlusion, self.about)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Motion:
        """Read what `save` or `lfdm generate` (in `motion/`) wrote.

        Raises:
            ValueError: if the file is not there or holds something else.
        """
        parts = load_motion(path)
        try:
            return cls(*parts)
        except ValueError as error:
            raise ValueError(f"`path` {str(path)!r} holds no motion: {error}") from error

    def _frames(self, index: torch.Tensor) -> Motion:
        index = index.to(self.flow.device)
        return replace(self, flow=self.flow[index], occlusion=self.occlusion[index])

    def _per_frame(self, name: str, value: float | Sequence[float]) -> torch.Tensor:
        """`(F, 1, 1, 1)` of a number, or of one for each frame."""
        return frame_weights(name, value, len(self)).to(self.flow).view(-1, 1, 1, 1)


def motion_list(motion: Motion | Sequence[Motion], name: str = "motion") -> Sequence[Motion]:
    """One motion, or several, as several.

    Raises:
        ValueError: for what is no motion, and for motions that do not fit each other.
    """
    motions = [motion] if isinstance(motion, Motion) else motion
    if not isinstance(motions, (list, tuple)) or not motions or not all(isinstance(m, Motion) for m in motions):
        raise ValueError(f"`{name}` must be a Motion or a non-empty list of them, got {type(motion).__name__}.")
    if len({m.flow.shape for m in motions}) > 1:
        raise ValueError(f"`{name}` must hold motions of one length and size, got {', '.join(map(repr, motions))}.")
    return motions


def stacked(motions: Sequence[Motion]) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)`."""
    return torch.stack([motion.flow for motion in motions]), torch.stack([motion.occlusion for motion in motions])


@dataclass(frozen=True)
class MotionEdit:
    """The edits that a call asks for, named as its arguments; see `Motion.edited`."""

    motion_scale: float | Sequence[float] = 1.0
    motion_mask: Mask | None = None
    loop: str | None = None
    hold: int = 0

    @property
    def scales(self) -> bool:
        """Whether the motion's size changes."""
        return not (isinstance(self.motion_scale, Real) and self.motion_scale == 1)

    def check(self, num_frames: int) -> None:
        """Raise a ValueError that names the argument, before any work is done."""
        require_number("hold", self.hold, Integral, 0)
        weights = frame_weights("motion_scale", self.motion_scale, num_frames + self.hold)
        if (most := weights.max().item()) > TORN:
            logger.warning(f"`motion_scale` is {most:g}: beyond about {TORN:g} mouths come twice, and faces tear.")
        if (least := weights.min().item()) < 0:
            logger.warning(f"`motion_scale` is {least:g}: below 0 everything moves the other way.")
        if self.motion_mask is not None:
            mask_tensor(self.motion_mask)
        require_loop(self.loop)

    def of(
        self,
        flow: torch.Tensor,
        occlusion: torch.Tensor,
        sizes: Collection[tuple[int, ...]] = (),
        centers: bool = True,
    ) -> EditedMotion:
        """The edited motions of flow `(B, F, 2, h, w)` and occlusion `(B, F, 1, h, w)`.

        Args:
            sizes: of the feature maps (and the picture) that a decoder resizes motion to.
            centers: as in `resize_motion`.
        """
        finer: list[tuple[torch.Tensor, torch.Tensor]] = []
        if self.hold:  # first, and once, so that the apex is the same frame at all sizes
            flow, occlusion = stacked([Motion(*row).held(self.hold) for row in zip(flow, occlusion)])
        if self.scales or self.motion_mask is not None or self.loop is not None:
            motions = [Motion(*row) for row in zip(flow, occlusion)]
            flow, occlusion = stacked([self._after_hold(motion) for motion in motions])
            if self.motion_mask is not None or (self.scales and not centers):
                # The decoder resizes motion to each feature map. A mask has finer edges than the flow, and a resized grid with corners
                # at -1 and 1 does not keep still pictures still, so these edits are made on each size instead.
                others = {tuple(size) for size in sizes} - {tuple(flow.shape[-2:])}
                finer = [stacked([self._after_hold(m.resized(h, w, centers)) for m in motions]) for h, w in others]
        return EditedMotion(flow, occlusion, finer)

    def _after_hold(self, motion: Motion) -> Motion:
        return motion.edited(self.motion_scale, self.motion_mask, self.loop)


@dataclass(frozen=True)
class EditedMotion:
    """Motions, edited, as a decoder takes them.

    Attributes:
        flow, occlusion: `(B, F, 2, h, w)` and `(B, F, 1, h, w)`.
        finer: the same at other sizes, where an edit is finer than a resized motion has it.
    """

    flow: torch.Tensor
    occlusion: torch.Tensor
    finer: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()

    def expanded(self, batch_size: int) -> EditedMotion:
        """One motion for all of a batch, or as many."""
        (flow, occlusion), *finer = (
            (flow.expand(batch_size, -1, -1, -1, -1), occlusion.expand(batch_size, -1, -1, -1, -1))
            for flow, occlusion in ((self.flow, self.occlusion), *self.finer)
        )
        return EditedMotion(flow, occlusion, finer)


def frame_weights(name: str, value: float | Sequence[float], num_frames: int) -> torch.Tensor:
    """`(F,)` float32 of one number for all frames, or of a list, array or tensor with one for each.

    Raises:
        ValueError: naming the argument.
    """
    if isinstance(value, Real):
        require_number(name, value, Real)
        return torch.full((num_frames,), float(value), dtype=torch.float32)
    allowed = f"from {-LARGEST:g} to {LARGEST:g}, or one for each of {num_frames} frames"
    wanted = f"`{name}` must be a finite number {allowed}"
    try:
        if torch.is_tensor(value) and value.is_complex():
            raise TypeError("complex numbers")
        values = torch.as_tensor(np.asarray(value, dtype=np.float32) if not torch.is_tensor(value) else value.float())
        fits = values.shape == (num_frames,) and bool((values.abs() <= LARGEST).all())  # NaN does not
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # a tensor without numbers; 10**400
        raise ValueError(f"{wanted}, got {described(value)}.") from error
    if not fits:
        size = f"size {values.abs().max():.3g}" if values.shape == (num_frames,) else f"shape {tuple(values.shape)}"
        raise ValueError(f"{wanted}, got numbers of {size}.")
    return values


def require_loop(loop: object) -> None:
    if loop is not None and (not isinstance(loop, str) or loop not in LOOPS):
        raise ValueError(
            f"`loop` must be one of {', '.join(map(repr, LOOPS))} or None (True too, where a motion is generated), got {loop!r}."
        )


def mask_tensor(mask: Mask, name: str = "motion_mask") -> torch.Tensor:
    """`(H, W)` float32 in [0, 1] of a picture (see `grey_array`), an array or a tensor.

    Raises:
        ValueError: for other shapes, or values outside [0, 1] (0 to 255 in uint8, 0 to 65535 in uint16).
    """
    given: Any = mask
    if isinstance(mask, PIL.Image.Image):
        try:
            given = grey_array(mask)
        except (ValueError, OSError) as error:
            raise ValueError(f"`{name}` cannot be read: {error}.") from error
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiub":
        given = torch.from_numpy(np.array(given))  # a copy: PIL's own memory is read-only
    plain = is_dense(given, torch.uint16) and not given.is_meta
    if not plain or not given.numel() or given.squeeze().ndim != 2:
        raise ValueError(
            f"`{name}` must be a grey picture, or an array or tensor (height, width), got {described(given)}."
        )
    values: torch.Tensor = given.squeeze()
    values = values.float() / {torch.uint8: 255, torch.uint16: 65535}.get(values.dtype, 1)
    if not (values.min() >= 0 and values.max() <= 1):  # NaN fails too
        raise ValueError(
            f"`{name}` must lie in [0, 1] (0 to 255 in uint8, 0 to 65535 in uint16), got values from {values.min():.3g} to {values.max():.3g}."
        )
    return values
