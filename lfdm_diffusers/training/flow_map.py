"""Flow maps: one U-Net that takes the way from noise to motion in 1, 2, 4 or 8 steps, taught by a trained denoiser.

DDIM without fresh noise follows an ordinary differential equation, whose steps must be short where the way bends. A flow map
knows where a step ends, and predicts the clean volume with which one straight step comes to where many short ones would
(Boffi et al., "Flow map matching", arXiv 2406.07507; the network's form after AnyFlow, arXiv 2605.13724). Here the short steps are
those of the denoiser that it started as, guided, and of its own average where `walk_steps` says so (as in Kim et al.,
"Consistency trajectory models", ICLR 2024).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import default_collate

from ..models import UNet3DVideoModel
from ..pipelines.imposing import KnownMotion
from ..pipelines.strokes import first_frame
from .diffusion import MotionTask
from .motion_cache import MotionSample
from .pipeline_task import VALIDATION_DRAWS, HeldOut
from .task import Losses, Validation

# Share of examples that learn the prediction for steps of no length, which any other scheduler takes.
POINTS = 0.25
# Below this noise errors count as those of the clean volume: thresholds and the known first frame change that by as much at any
# noise, which in the units of v is without bound.
LEAST_NOISE = 0.2
# Numbers of steps by which held-out clips are judged.
JUDGED_STEPS = (1, 2, 4, 8)


def sampler_times(num_steps: int, num_train_timesteps: int) -> list[int]:
    """Where a sampler of so many steps stands, from the last timestep to -1, the clean volume: diffusers' trailing spacing."""
    return [round(num_train_timesteps * (1 - i / num_steps)) - 1 for i in range(num_steps)] + [-1]


def way(begin: int, end: int, num_steps: int) -> list[int]:
    """The timesteps of so many steps from one to another, as even as whole numbers allow; the clean volume, -1, comes last alone."""
    between = [max(round(begin + (end - begin) * i / num_steps), end + 1) for i in range(1, num_steps)]
    return [begin, *between, end]


class Given(NamedTuple):
    """What the U-Net is given beside the volume, by rows; see `UNet3DVideoModel.forward`."""

    text_embeds: torch.Tensor | None
    null_mask: torch.Tensor
    image_latents: torch.Tensor

    def rows(self, index: Sequence[int]) -> Given:
        texts = None if self.text_embeds is None else self.text_embeds[index]
        return Given(texts, self.null_mask[index], self.image_latents[index])


def step_prediction(
    unet: nn.Module, volume: torch.Tensor, begin: torch.Tensor, end: torch.Tensor, given: Given
) -> torch.Tensor:
    """What a U-Net with `flow_map` predicts for steps between timesteps `(B,)`, in float32."""
    return unet(
        volume,
        begin,
        given.text_embeds,
        given.image_latents,
        null_mask=given.null_mask,
        return_dict=False,
        timestep_end=end,
    )[0].float()


class Process:
    """The arithmetic of a diffusion process without fresh noise: volumes, what predictions say of them, and straight steps.

    Args:
        betas: `(T,)` of the noise schedule.
        scheduler_config: its `thresholding`.
        unet_config: whose first frame is known, where it says so, as pipelines impose it.
        centers: as in `DrawnStrokes`.
    """

    def __init__(self, betas: torch.Tensor, scheduler_config: Mapping, unet_config: Mapping, centers: bool):
        kept = torch.cat((torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas.double().cpu(), dim=0)))
        self._signal, self._noise = kept.sqrt(), (1 - kept).sqrt()  # of timestep t at t + 1
        self.scheduler_config, self.unet_config, self.centers = scheduler_config, unet_config, centers

    def levels(self, timesteps: Sequence[int], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signal and noise `(B, 1, 1, 1, 1)` of a volume at these timesteps, from -1 up."""
        places = torch.tensor(timesteps) + 1
        signal, noise = (level[places].view(-1, 1, 1, 1, 1).to(like) for level in (self._signal, self._noise))
        return signal, noise

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, timesteps: Sequence[int]) -> torch.Tensor:
        a, b = self.levels(timesteps, clean)
        return a * clean + b * noise

    def clean(
        self, prediction: torch.Tensor, volume: torch.Tensor, timesteps: Sequence[int], kind: str
    ) -> torch.Tensor:
        """The clean volume that a prediction of some type stands for, its first frame known, thresholded as the sampler does it."""
        a, b = self.levels(timesteps, volume)
        if kind == "epsilon":
            prediction = (volume - b * prediction) / a
        elif kind == "v_prediction":
            prediction = a * volume - b * prediction
        if self.unet_config["first_frame_is_picture"]:
            known = first_frame(prediction, self.unet_config, self.centers, loop=False)
            prediction = KnownMotion([known]).imposed(prediction)
        return self._thresholded(prediction)

    def _thresholded(self, clean: torch.Tensor) -> torch.Tensor:
        """Dynamic thresholding (Imagen, section 2.3), where the scheduler has it."""
        config = self.scheduler_config
        if not config.get("thresholding"):
            return clean
        size = torch.quantile(clean.abs().flatten(1), config["dynamic_thresholding_ratio"], dim=1)
        size = size.clamp(1, config["sample_max_value"]).view(-1, 1, 1, 1, 1)
        return clean.clamp(-size, size) / size

    def step(
        self, volume: torch.Tensor, clean: torch.Tensor, begin: Sequence[int], end: Sequence[int]
    ) -> torch.Tensor:
        """The straight step by this clean volume: DDIM's with eta 0, DPM-Solver++'s of the first order."""
        kept, added = self._shares(volume, begin, end)
        return kept * volume + added * clean

    def velocity(
        self, volume: torch.Tensor, reached: torch.Tensor, begin: Sequence[int], end: Sequence[int]
    ) -> torch.Tensor:
        """The v-prediction by which one straight step comes to `reached`."""
        kept, added = self._shares(volume, begin, end)
        return self.velocity_of(volume, (reached - kept * volume) / added, begin)

    def velocity_of(self, volume: torch.Tensor, clean: torch.Tensor, timesteps: Sequence[int]) -> torch.Tensor:
        a, b = self.levels(timesteps, volume)
        return (a * volume - clean) / b

    def _shares(
        self, like: torch.Tensor, begin: Sequence[int], end: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a straight step keeps of the volume, and adds of the clean one; from float64, as the latter is a small difference."""
        (a, b), (next_a, next_b) = (
            self.levels(times, like.new_empty(0, dtype=torch.float64)) for times in (begin, end)
        )
        return (next_b / b).to(like), (next_a - a * next_b / b).to(like)


class FlowMapLoss(nn.Module):
    """Mean over the batch of w |v - target|^2, in one forward pass of the U-Net, as DistributedDataParallel needs it."""

    def __init__(self, unet: UNet3DVideoModel):
        super().__init__()
        self.unet = unet

    def forward(
        self,
        volume: torch.Tensor,
        begin: torch.Tensor,
        end: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        given: Given,
    ) -> torch.Tensor:
        """
        Args:
            volume: `(B, 3, F, h, w)` noisy.
            begin, end: `(B,)` timesteps, -1 for the clean volume.
            target: the v-prediction to learn, like `volume`.
            weight: `(B,)` w.
        """
        predicted = step_prediction(self.unet, volume, begin, end, given)
        return (weight * (predicted - target).square().mean(dim=(1, 2, 3, 4))).mean()


class FlowMapTask(MotionTask):
    """Teaches a U-Net with `flow_map` to do in one step what a denoiser does in several.

    An example is a step of a sampler of n steps, n from 1 to `teacher_steps`, a small n more often: a clip's motion, noised to where
    the step begins. The teacher walks from there to where the step ends, in as many steps as it would take of `teacher_steps` for the
    whole way. A quarter of the examples are steps of no length, so that the U-Net stays a denoiser for any scheduler.

    Args:
        teacher: a trained denoiser on the same device, frozen, in eval mode.
        guidance_scale: w of the teacher's classifier-free guidance, which the U-Net learns as its plain prediction.
        teacher_steps: of the whole way, at least 1.
        walk_steps: at most so many are walked for one example, and the averaged U-Net jumps the rest; None: all.
        others: as in `MotionTask`.

    Raises:
        ValueError: for U-Nets that are not of these kinds, and numbers out of range.
    """

    def __init__(
        self,
        *args: Any,
        teacher: UNet3DVideoModel,
        guidance_scale: float = 1.0,
        teacher_steps: int = 8,
        walk_steps: int | None = None,
        **others: Any,
    ):
        super().__init__(*args, **others)
        config, trained = self.unet.config, len(self.module.alphas_cumprod)
        if not config.flow_map or config.prediction_type != "v_prediction":
            raise ValueError(
                f"`pipe` must have a U-Net with flow_map that predicts v_prediction, got flow_map={config.flow_map} and "
                f"{config.prediction_type!r}."
            )
        if teacher.config.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"`teacher` must predict 'epsilon', 'v_prediction' or 'sample', got {teacher.config.prediction_type!r}."
            )
        if not 1 <= teacher_steps <= trained:
            raise ValueError(f"`teacher_steps` must be from 1 to {trained}, got {teacher_steps}.")
        if walk_steps is not None and walk_steps < 1:
            raise ValueError(f"`walk_steps` must be at least 1, or None for all, got {walk_steps}.")
        self.teacher, self.guidance_scale = teacher, guidance_scale
        self.teacher_steps, self.walk_steps = teacher_steps, walk_steps or teacher_steps
        self.num_train_timesteps = trained
        scheduler, centers = self.pipe.scheduler, self.pipe.lfae.config.flow_grid == "centers"
        self.process = Process(scheduler.betas, scheduler.config, config, centers)
        self.loss = self.module = FlowMapLoss(self.unet).to(self.device)  # type: ignore[assignment]  # another loss than a denoiser's

    # ---- what a network says of volumes ------------------------------------------------------------------------------

    def clean_by_teacher(self, volume: torch.Tensor, timesteps: Sequence[int], given: Given) -> torch.Tensor:
        """Clean volumes by the teacher's prediction, guided: null + w (conditional - null)."""
        times, embeds, null_mask, latents = torch.tensor(timesteps, device=volume.device), *given
        guided = self.guidance_scale != 1 and embeds is not None
        inputs = volume
        if guided:
            inputs, times, latents = (torch.cat((x, x)) for x in (volume, times, latents))
            embeds = torch.cat((embeds, embeds)) if embeds is not None else None
            null_mask = torch.cat((torch.ones_like(null_mask), null_mask))
        prediction = self.teacher(inputs, times, embeds, latents, null_mask=null_mask, return_dict=False)[0].float()
        if guided:
            null, conditional = prediction.chunk(2)
            prediction = null + self.guidance_scale * (conditional - null)
        return self.process.clean(prediction, volume, timesteps, self.teacher.config.prediction_type)

    def jumped(self, volume: torch.Tensor, begin: Sequence[int], end: Sequence[int], given: Given) -> torch.Tensor:
        """Volumes at `end`, by one step of the U-Net in training."""
        times, ends = (torch.tensor(x, device=volume.device) for x in (begin, end))
        prediction = step_prediction(self.unet, volume, times, ends, given)
        clean = self.process.clean(prediction, volume, begin, "v_prediction")
        return self.process.step(volume, clean, begin, end)

    def walked(self, volume: torch.Tensor, ways: Sequence[Sequence[int]], given: Given) -> torch.Tensor:
        """Volumes at the end of each row's way, by the teacher; rows with shorter ways wait for the others."""
        volume = volume.clone()
        for i in range(max(map(len, ways)) - 1):
            rows = [row for row, times in enumerate(ways) if len(times) > i + 1]
            begin, end = ([ways[row][place] for row in rows] for place in (i, i + 1))
            clean = self.clean_by_teacher(volume[rows], begin, given.rows(rows))
            volume[rows] = self.process.step(volume[rows], clean, begin, end)
        return volume

    # ---- examples ----------------------------------------------------------------------------------------------------

    def draw_step(self, generator: torch.Generator) -> tuple[int, int, int]:
        """Begin and end of an example's step, and in how many the teacher walks it: none for a step of no length."""
        chance = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        if chance[0] < POINTS:
            place = int(chance[1] * self.num_train_timesteps)
            return place, place, 0
        count = int((self.teacher_steps + 1) ** chance[1])  # as often from 1 to 2 as from 2 to 4
        times = sampler_times(count, self.num_train_timesteps)
        place = int(chance[2] * count)
        return times[place], times[place + 1], math.ceil(self.teacher_steps / count)

    def learnt(self, volume: torch.Tensor, steps: Sequence[tuple[int, int, int]], given: Given) -> torch.Tensor:
        """The v-predictions `(B, 3, F, h, w)` to learn at noisy volumes, for steps of `draw_step`."""
        begin, end, _ = zip(*steps)
        target = torch.empty_like(volume)
        points = [row for row, (_, _, count) in enumerate(steps) if not count]
        spans = [row for row, (_, _, count) in enumerate(steps) if count]
        if points:
            times = [begin[row] for row in points]
            clean = self.clean_by_teacher(volume[points], times, given.rows(points))
            target[points] = self.process.velocity_of(volume[points], clean, times)
        if spans:
            ways = [way(*steps[row])[: self.walk_steps + 1] for row in spans]
            reached = self.walked(volume[spans], ways, given.rows(spans))
            short = [i for i, row in enumerate(spans) if ways[i][-1] != end[row]]
            if short:
                rest = given.rows([spans[i] for i in short])
                reached[short] = self.jumped(
                    reached[short], [ways[i][-1] for i in short], [end[spans[i]] for i in short], rest
                )
            times, ends = [begin[row] for row in spans], [end[row] for row in spans]
            target[spans] = self.process.velocity(volume[spans], reached, times, ends)
        return target

    @torch.no_grad()
    def arguments(self, samples: MotionSample, draws: Sequence[int]) -> tuple[Any, ...]:
        """The arguments of `FlowMapLoss.forward` for a batch; each example has its own random numbers."""
        clean, latents = self.targets(samples)
        noise, steps, null = [], [], []
        for generator, label in zip(self.chance(draws), samples.label):
            steps.append(self.draw_step(generator))
            null.append(self.drops_label(label, generator))
            noise.append(torch.randn(clean.shape[1:], generator=generator, dtype=torch.float32))
        begin, end, _ = zip(*steps)
        given = Given(self.text_embeds(samples.label), torch.tensor(null, device=self.device), latents)
        volume = self.process.noised(clean, torch.stack(noise).to(self.device), begin)
        times, ends = (torch.tensor(x, device=self.device) for x in (begin, end))
        _, level = self.process.levels(begin, volume)
        weight = (level.flatten() / LEAST_NOISE).square().clamp(max=1)
        return volume, times, ends, self.learnt(volume, steps, given), weight, given

    def losses(self, module: nn.Module, batch: MotionSample, draws: range) -> Losses:
        if self.walk_steps < self.teacher_steps:
            with self.average.in_place():  # the rest of a way is the average's
                arguments = self.arguments(batch, draws)
        else:
            arguments = self.arguments(batch, draws)
        return Losses({"flow_map": module(*arguments)}, {})

    # ---- validation --------------------------------------------------------------------------------------------------

    def start(self) -> Validation:
        return self.validate()

    def judge(self, held_out: HeldOut) -> dict[str, float]:
        """The loss of the held-out examples, and how far motion in 1, 2, 4 and 8 steps is from the teacher's of `teacher_steps`, of
        the same noise: mean absolute difference, as a share of the motion's mean absolute deviation from its mean."""
        numbers = super().judge(held_out)
        errors, deviation = dict.fromkeys(JUDGED_STEPS, 0.0), 0.0
        count = len(held_out.dataset)
        for first in range(0, count, held_out.batch_size):
            items = range(first, min(first + held_out.batch_size, count))
            samples = default_collate([held_out.dataset[i] for i in items])
            clean, latents = self.targets(samples)
            noise = [torch.randn(clean.shape[1:], generator=g, dtype=torch.float32) for g in self.chance(
                [VALIDATION_DRAWS + i for i in items]
            )]  # fmt: skip
            null = torch.tensor([not label for label in samples.label], device=self.device)
            given = Given(self.text_embeds(samples.label), null, latents)
            volume = torch.stack(noise).to(self.device)
            times = sampler_times(self.teacher_steps, self.num_train_timesteps)
            taught = self.walked(volume, [times] * len(items), given)
            deviation += taught.abs().mean().item() * len(items)
            for steps in errors:
                made, times = volume, sampler_times(steps, self.num_train_timesteps)
                for begin, end in itertools.pairwise(times):
                    made = self.jumped(made, [begin] * len(items), [end] * len(items), given)
                errors[steps] += (made - taught).abs().mean().item() * len(items)
        return numbers | {f"error_{steps}_steps": error / deviation for steps, error in errors.items()}

    @property
    def _space(self) -> tuple[str, str, list[float]]:
        """A U-Net that learns a flow map goes on as one alone."""
        kind, target, scales = super()._space
        return f"{kind} of a flow map", target, scales
