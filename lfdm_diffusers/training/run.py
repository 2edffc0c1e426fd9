"""The loop that the training scripts share: clips, checkpoints, resuming, validation, metrics, trackers, the Hub."""

from __future__ import annotations

import argparse
import contextlib
import gc
import operator
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from huggingface_hub import HfApi
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..data.batches import StepBatchSampler
from ..data.cache import CachedClipReader, ClipReader
from ..data.clips import ClipList
from ..data.named_sets import NamedSet
from ..data.streamed_sets import stream_together
from ..files.limits import set_limits
from ..files.progress import progress_bar
from ..files.reading import reading
from ..files.torch_files import load_state
from ..files.whole import whole
from ..hub.cards import CardFacts
from ..hub.push import push_folder
from ..ops.cpu import advise_precision, keep_freed_memory
from ..ops.number_types import float32_by_default
from .arguments import public_command
from .batchnorm import average_running_statistics, require_finite
from .checkpoints import STATE_FILE, find_checkpoint, prune_checkpoints
from .clips import TrainingClips, choose_clips, data_set_of, scan_together
from .log_window import LogWindow
from .metrics_file import METRICS_FILE, MetricsFile, last_validation
from .optimizer import build_optimizer, learning_rate
from .task import Examples, Losses, Task, Validation, needed

# A run that goes on with other values is no longer the run that was interrupted, and says so; but for these.
MAY_CHANGE = ("output_dir", "resume_from_checkpoint", "train_data_dir", "cache_dir", "report_to", "logging_steps")
LONGEST_WAIT = timedelta(hours=12)  # of a process for the others


class TrainingRun:
    """One run of a training script.

    Args:
        args: the options that the functions of `arguments.py` add.
        name: the script's.

    Attributes:
        accelerator, device, main: of accelerate; `main` is true in the process that writes.
        half: what autocast computes in; None for float32.
        checkpoint: folder to go on from; None at first.
        output_dir: what is made is under it.

    Raises:
        ValueError: if the output folder holds another run, or a tracker is not installed.
    """

    def __init__(self, args: argparse.Namespace, name: str):
        keep_freed_memory()
        set_limits(args.max_megapixels, args.max_gigabytes)
        self.args, self.name, self.output_dir = args, name, args.output_dir
        self.accelerator = Accelerator(
            mixed_precision=args.mixed_precision,
            gradient_accumulation_steps=args.gradient_accumulation_steps,
            log_with=None if args.report_to == "none" else args.report_to,
            project_dir=args.output_dir,
            # Without synchronised BatchNorm each process keeps its own statistics until they are averaged for saving.
            # Before processes meet again, the scan and the motion of a large data set take hours.
            kwargs_handlers=[
                DistributedDataParallelKwargs(broadcast_buffers=False),
                InitProcessGroupKwargs(timeout=LONGEST_WAIT),
            ],
        )
        if args.report_to != "none" and not self.accelerator.log_with:  # accelerate passes over what is not installed
            raise ValueError(f"`--report_to` {args.report_to} is not installed.")
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.accelerator.mixed_precision)
        if self.half and self.main:
            advise_precision(self.device, self.half)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.allow_tf32
        self.checkpoint = find_checkpoint(args.output_dir, args.resume_from_checkpoint)
        self.hub_model_id = args.hub_model_id or args.output_dir.resolve().name
        self.batch_size = args.train_batch_size * self.accelerator.num_processes
        self.step = 0
        self._items_before = (
            0  # of the line of all examples, what the checkpoint's run had beyond batches of this size
        )

    def say(self, *texts: object) -> None:
        """Print, in the main process."""
        if self.main:
            print(*texts, sep="; ", flush=True)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Half precision, if it is asked for, until the block ends or raises (accelerate's own stayed on after an error up to 1.2)."""
        return torch.autocast(self.device.type, self.half) if self.half else contextlib.nullcontext()

    def clips(self, resolution: int, min_frames: int = 2) -> TrainingClips:
        """The clips that the options name, all checked; fills the cache, and notes the resolution in `args`.

        Raises:
            ValueError: if there are none, or with `--strict_clips` any that cannot be used.
        """
        args = self.args
        args.resolution = resolution
        root: Path | NamedSet | ClipList
        root, name = data_set_of(args)
        size = (resolution, resolution, args.fit)
        cache = args.cache_dir or str(args.output_dir / "cache")
        reader = ClipReader(*size) if cache == "none" else CachedClipReader(cache, *size, compress=args.cache_compress)
        share = args.dataloader_num_workers, self.accelerator.process_index, self.accelerator.num_processes
        if args.streaming and isinstance(root, NamedSet):
            if not isinstance(reader, CachedClipReader):
                raise ValueError("`--streaming` keeps frames in `--cache_dir`, which must be a folder, got 'none'.")
            root = stream_together(root, reader, name, *share)
        with self.accelerator.main_process_first():  # which downloads what the others then find
            *found, about = choose_clips(root, args.layout, args.train_split, args.validation_split, name)
        args.output_dir.mkdir(parents=True, exist_ok=True)
        train, held_out = (scan_together(clips, reader, min_frames, args.strict_clips, *share) for clips in found)
        self.say(f"training: {train}\nvalidation ({about}): {held_out}")
        return TrainingClips(train.clips, held_out.clips, reader)

    def make_repository(self) -> None:
        """Make the Hub repository before the work, so that a missing token shows at once."""
        args = self.args
        if args.push_to_hub and self.main:
            api = HfApi(token=args.hub_token)
            self.hub_model_id = api.create_repo(
                self.hub_model_id, private=args.hub_private_repo, exist_ok=True
            ).repo_id

    def num_steps(self, num_items: int) -> int:
        """Updates of the weights in the whole training."""
        args = self.args
        if args.max_train_steps is not None:
            return args.max_train_steps
        return max(1, args.num_train_epochs * args.num_repeats * num_items // self._examples())

    def _examples(self) -> int:
        """Examples of a step, in all processes."""
        return self.batch_size * self.args.gradient_accumulation_steps

    @float32_by_default()
    def fit(self, task: Task) -> None:
        """Train to the last step, from the checkpoint where there is one; validates and saves on the way.

        Raises:
            FloatingPointError: if the loss or the weights are no longer finite.
            OSError: if a checkpoint cannot be written.
        """
        args, accelerator = self.args, self.accelerator
        dataset = needed("dataset", task.dataset)
        accumulation, steps = args.gradient_accumulation_steps, self.num_steps(len(dataset))
        self._settings = self._describe(len(dataset), steps)
        optimizer = build_optimizer(task.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2))
        module, optimizer = accelerator.prepare(task.module, optimizer)
        self._optimizer = optimizer
        first = None
        if self.main:
            with self.autocast():
                first = task.start()
        self._restore(task)
        if self.main:
            self._metrics = MetricsFile(args.output_dir / METRICS_FILE, self.step or -1)
        if args.report_to != "none":
            accelerator.init_trackers(self.name, {k: v for k, v in self._settings.items() if v is not None})

        count = accelerator.num_processes  # not what a launcher was asked for: `accelerate launch --cpu` starts one
        self.say(f"{steps} steps of {self._examples()} examples in {count} process{'es' if count > 1 else ''}")
        progress = progress_bar(total=steps, initial=self.step, desc=self.name, unit="step", disable=not self.main)
        if self.step == 0 and first is not None:
            self._report(first, progress)
        loader, window = self._loader(dataset, steps), LogWindow()
        for micro, batch in enumerate(window.timed(loader), self.step * accumulation):
            with accelerator.accumulate(module):
                rate = learning_rate(
                    args.learning_rate, args.lr_gamma, args.lr_milestones, self.step, steps, args.lr_warmup_steps
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate * group.get("lr_scale", 1.0)
                task.before_step(self.step / steps)
                begin = (
                    self._items_before + micro * self.batch_size + accelerator.process_index * args.train_batch_size
                )
                with self.autocast():
                    losses = task.losses(module, batch, range(begin, begin + args.train_batch_size))
                window.add(self._mean_losses(losses))
                accelerator.backward(sum(losses.parts.values()))
                if args.max_grad_norm and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(module.parameters(), args.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if not accelerator.sync_gradients:
                continue
            self.step += 1
            window.count_step()
            task.after_step()
            progress.update()
            last = self.step == steps
            if last or self.step % args.logging_steps == 0:
                means = window.means()
                progress.set_postfix({k: f"{means[k]:.3f}" for k in ("loss", *losses.watched)}, refresh=False)
                self._record(means | {"lr": rate} | window.speed())
                window.clear()
            with window.pause():
                # Validation first: where a run is killed between the two, the one that goes on validates again.
                if last or (args.validation_steps and self.step % args.validation_steps == 0):
                    self._validate(task, progress)
                if last or self.step % args.checkpointing_steps == 0:
                    self._save(task)
        progress.close()
        self._share_statistics(task)

    def _loader(self, dataset: Examples, steps: int) -> DataLoader:
        """Batches from the next step to the last. The loader is not prepared: its sampler shares out batches by itself."""
        args, accelerator = self.args, self.accelerator
        sampler = StepBatchSampler(
            len(dataset),
            self.batch_size,
            steps * args.gradient_accumulation_steps,
            args.seed,
            first_step=self.step * args.gradient_accumulation_steps,
            process_index=accelerator.process_index,
            num_processes=accelerator.num_processes,
            first_item=self._items(),
        )
        workers, pin = args.dataloader_num_workers, self.device.type == "cuda"
        if workers:  # what the scan left of decoders is freed here: a worker would wait for their threads, which it does not have
            gc.collect()
        return DataLoader(cast(Dataset, dataset), batch_sampler=sampler, num_workers=workers, pin_memory=pin)

    def _items(self) -> int:
        """Examples seen so far: the place in the line of epochs where the next step begins."""
        return self._items_before + self.step * self._examples()

    def _mean_losses(self, losses: Losses) -> dict[str, torch.Tensor]:
        """All numbers of a forward pass and the sum of the losses, averaged over processes; a sum that is not finite raises."""
        first, *others = losses.parts.values()
        numbers = {"loss": sum(others, start=first), **losses.parts, **losses.watched}
        means = self.accelerator.reduce(torch.stack([value.detach().float() for value in numbers.values()]), "mean")
        values = dict(zip(numbers, means))
        if not values["loss"].isfinite():  # the same in every process
            parts = ", ".join(f"{name} {values[name]:.4g}" for name in losses.parts)
            raise FloatingPointError(f"the loss is {values['loss']:.4g} at step {self.step + 1} ({parts}).")
        return values

    def finish(self, task: Task) -> None:
        """Write the results, each whole or not at all, say so, and push the last if asked."""
        args = self.args
        if self.main:
            facts = self.facts(task)
            if summary := task.summary():
                self.say(summary)
            results = task.results()
            for result in results:
                pushed = args.push_to_hub and result is results[-1]
                final = self.output_dir / result.folder
                with whole(final) as folder:
                    folder.mkdir()
                    result.write(folder, facts, self.hub_model_id if pushed else None)
                self.say(f"wrote {final}: {result.how_to_load.format(repr(str(final)))}")
                if result.next_step:
                    self.say(f"next: {result.next_step.format(shlex.quote(str(final)))}")
                if pushed:
                    message = f"Trained with {self.name}"
                    where = push_folder(final, self.hub_model_id, args.hub_token, args.hub_private_repo, message)
                    self.say(f"pushed to {where}")
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def facts(self, task: Task) -> CardFacts:
        """For the card: what the task says, and how it was trained."""
        with self.autocast():
            facts = task.facts()
        clips = len(needed("dataset", task.dataset))
        return (
            {"dataset": f"{clips} clips"} | facts | {"notes": [self.about(clips, task.unit), *facts.get("notes", [])]}
        )

    def about(self, num_clips: int, what: str) -> str:
        """For the model card: how long it was trained, on what, by which command, and the last validation's numbers."""
        args = self.args
        parts = [
            "## Training",
            f"Trained for {self.step} steps of {self._examples()} {what} from {num_clips} clips with "
            f"`training/{self.name}.py`, seed {args.seed}.",
        ]
        if Path(sys.argv[0]).stem == self.name:  # not called by another program
            parts.append(f"```bash\n{public_command(sys.argv, f'training/{self.name}.py')}\n```")
        step, found = last_validation(args.output_dir / METRICS_FILE)
        if found:
            rows = [f"| {name} | {value:.4g} |" for name, value in found.items()]
            parts.append("\n".join([f"| validation at step {step} | |", "|-|-|", *rows]))
        return "\n\n".join(parts)

    def _describe(self, num_items: int, steps: int) -> dict[str, Any]:
        """All settings in a form that trackers and checkpoints can keep."""
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(self.args).items()}
        settings.pop("hub_token")
        settings |= {"num_processes": self.accelerator.num_processes, "num_clips": num_items, "max_train_steps": steps}
        return {key: " ".join(map(str, v)) if isinstance(v, list) else v for key, v in settings.items()}

    def _restore(self, task: Task) -> None:
        """Step, optimizer and further state of the checkpoint to go on from."""
        if self.checkpoint is None:
            return
        task.load(self.checkpoint)
        file = self.checkpoint / STATE_FILE
        state = load_state(file)
        asked = [{k: v for k, v in group.items() if k != "params"} for group in self._optimizer.param_groups]
        with reading(file, "the state of such a run"):
            self.step, was = operator.index(state["step"]), dict(state["settings"])
            seen = state.get("items", self._items())  # a checkpoint that does not say had batches of one size
            self._items_before = operator.index(seen) - self._items()
            self._optimizer.load_state_dict(state["optimizer"])
            task.load_state(state["more"])
            if self.accelerator.scaler is not None and state["scaler"]:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        for group, settings in zip(self._optimizer.param_groups, asked):
            group.update(settings)  # what is asked for now, not what the checkpoint's run was asked for
        now = self._settings
        changed = [
            f"{key} was {was[key]}, is {now[key]}"
            for key in sorted(was.keys() & now.keys() - {*MAY_CHANGE})
            if was[key] != now[key]
        ]
        self.say(f"going on from {self.checkpoint}, step {self.step}", *changed)

    def _share_statistics(self, task: Task) -> None:
        """Before weights are judged or saved: BatchNorm statistics of all processes; weights that are not finite raise."""
        for model in task.models:
            average_running_statistics(model)
            require_finite(model, self.step)

    def _record(self, values: dict[str, float]) -> None:
        if self.main:
            self._metrics.write(self.step, values)
            self.accelerator.log(values, step=self.step)

    def _validate(self, task: Task, progress: tqdm) -> None:
        self._share_statistics(task)
        if self.main:
            with self.autocast():
                found = task.validate()
            self._report(found, progress)
        self.accelerator.wait_for_everyone()

    def _report(self, found: Validation, progress: tqdm) -> None:
        """Record what validation found, in the main process."""
        numbers, pictures = found
        self._record({f"validation/{name}": value for name, value in numbers.items()})
        files = []
        for name, picture in pictures.items():
            files.append(self.output_dir / name / f"step-{self.step:06d}.png")
            with whole(files[-1]) as part:
                picture.save(part)
            for tracker in self.accelerator.trackers:
                if hasattr(tracker, "log_images"):
                    layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                    tracker.log_images({name: np.asarray(picture)[None]}, step=self.step, **layout)
        progress.write("; ".join([
            f"step {self.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in numbers.items()),
            *map(str, files),
        ]))  # fmt: skip

    def _save(self, task: Task) -> None:
        self._share_statistics(task)
        if self.main:
            state = {
                "step": self.step,
                "items": self._items(),
                "optimizer": self._optimizer.state_dict(),
                "settings": self._settings,
                "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None,
                "more": task.state(),
            }
            with whole(self.output_dir / f"checkpoint-{self.step}") as folder:
                folder.mkdir()
                task.save(folder)
                torch.save(state, folder / STATE_FILE)
            prune_checkpoints(self.output_dir, self.args.checkpoints_total_limit)
        self.accelerator.wait_for_everyone()
