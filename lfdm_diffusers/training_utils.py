"""What the training scripts share: checkpoints written whole, chance that can be repeated, metrics, running statistics."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .convert_command import load_text_encoder
from .data.clips import Clip
from .data.layouts import find_clips
from .models import LabelEmbeddings
from .pipelines import LFDMPipeline
from .whole_files import whole

STATE_FILE, METRICS_FILE = "training_state.pt", "metrics.jsonl"
# Draws of validation examples: far beyond any of training.
VALIDATION_DRAWS = 2**62


def choose_clips(
    root: Path, layout: str, train_split: str | None, validation_split: str | None
) -> tuple[list[Clip], list[Clip], str]:
    """Clips to train on, clips to validate on, and what the latter are, in words.

    Args:
        root, layout: as in `find_clips`.
        train_split: by default train, where there are splits; else all clips.
        validation_split: by default validation, else test; else the training clips.

    Raises:
        ValueError: if there are none.
    """
    try:
        splits = {clip.split for clip in find_clips(root, layout)}
        train_split = train_split or ("train" if "train" in splits else None)
        train = find_clips(root, layout, train_split)
        split = validation_split or next((s for s in ("validation", "test") if s in splits - {train_split}), None)
        if split is None:
            return train, train, "the training clips: the data have no split for validation"
        return train, find_clips(root, layout, split), f"the split {split}"
    except ValueError as error:
        raise ValueError(str(error).replace("`root`", "`--train_data_dir`")) from error


def learning_rate(
    base: float, gamma: float, milestones: Sequence[float], step: int, steps: int, warmup_steps: int = 0
) -> float:
    """As torch's MultiStepLR, with milestones in shares of all `steps`: nothing to save, nothing to restore.

    Before `warmup_steps` it rises in a straight line.
    """
    rise = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return rise * base * gamma ** sum(step >= round(share * steps) for share in milestones)


class MemoryOrderAdam(torch.optim.Adam):
    """Adam whose fused step is given weights, gradients and averages in the order of the weights' memory.

    On CPUs that step goes through memory: it would take a gradient, or an average that was saved in another layout, for another
    tensor where it is laid out unlike its weight, and it copies gradients that are channels-last.
    """

    def _init_group(
        self, group: dict[str, Any], weights: list, gradients: list, exp_avgs: list, exp_avg_sqs: list, *others: list
    ) -> bool:
        for weight in group["params"]:
            for name, average in self.state.get(weight, {}).items():
                if name != "step" and average.stride() != weight.stride():
                    self.state[weight][name] = torch.empty_like(weight).copy_(average)
        has_complex = super()._init_group(group, weights, gradients, exp_avgs, exp_avg_sqs, *others)
        orders = [sorted(range(weight.ndim), key=weight.stride, reverse=True) for weight in weights]
        for tensors in (weights, gradients, exp_avgs, exp_avg_sqs):
            tensors[:] = [tensor.permute(order) for tensor, order in zip(tensors, orders)]
        gradients[:] = [gradient.contiguous() for gradient in gradients]
        return has_complex


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict], learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam in one pass over memory for each weight, instead of one for each operation.

    A group may have `lr_scale`, its multiple of a run's learning rate.
    """
    return MemoryOrderAdam(list(parameters), learning_rate, betas, fused=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that gets the name `path` when it is complete, in place of an earlier one; or leaves no trace.

    Raises:
        OSError: if it cannot be written (a full disk); says that nothing else was touched.
    """
    partial, old = (path.with_name(f".{path.name}.{kind}") for kind in ("partial", "old"))
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):  # on the disk before the name is, or a power cut could leave empty files
            if file.is_file():
                with open(file, "rb+") as opened:
                    os.fsync(opened.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():  # a folder cannot be renamed onto one that holds files
            os.replace(path, old)
        os.replace(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors report a full disk as their own
        raise OSError(f"{path} could not be written: {error}. What had been saved before is kept.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, by step."""
    found = [(int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", p.name))]
    return [path for _, path in sorted(found)]


def prune_checkpoints(folder: Path, limit: int | None) -> None:
    """Delete the oldest checkpoints beyond `limit` (None keeps all), and what a killed process left half written."""
    for partial in folder.glob(".checkpoint-*.partial"):
        shutil.rmtree(partial)
    for path in checkpoints(folder)[: -limit if limit else 0]:
        # Renamed first: a process killed in between leaves no folder that looks like a checkpoint and is not.
        doomed = path.with_name(f".{path.name}.partial")
        os.replace(path, doomed)
        shutil.rmtree(doomed)


def find_checkpoint(output_dir: Path, resume_from: str | None) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means: "latest", a path, or a name in `output_dir`.

    Returns:
        Its folder; None to start anew: nothing asked, or "latest" where there is none yet.

    Raises:
        ValueError: if it is not there, or `output_dir` holds checkpoints and the newest is not what is asked for.
    """
    there = checkpoints(output_dir)
    if resume_from is None:
        if there:
            raise ValueError(
                f"`--output_dir` {output_dir} holds {there[-1].name} of an earlier run: go on with "
                "`--resume_from_checkpoint latest`, or name another folder."
            )
        return None
    if resume_from == "latest":
        return there[-1] if there else None
    for path in (Path(resume_from), output_dir / resume_from):
        if (path / STATE_FILE).is_file():
            if there and path.resolve() != there[-1].resolve():  # later ones would be pruned last and found first
                raise ValueError(
                    f"`--output_dir` {output_dir} holds {there[-1].name}, so no run can go on from {path} there: name "
                    "another folder, or delete what lies beyond it."
                )
            return path
    raise ValueError(
        f"`--resume_from_checkpoint` must be 'latest' or a checkpoint's folder, got {resume_from!r}; "
        f"{output_dir} holds {', '.join(p.name for p in there) or 'none'}."
    )


def draw_generator(*numbers: int) -> torch.Generator:
    """The chance that belongs to some numbers, such as a seed and a place in the line of all items ever drawn, whatever was
    drawn before it."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))  # manual_seed takes 63 bits


class MetricsFile:
    """metrics.jsonl: one line a record. Going on at `first_step` drops what an interrupted run wrote beyond it."""

    def __init__(self, path: Path, first_step: int = 0):
        self.path = path
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill
                    if json.loads(line)["step"] <= first_step:
                        kept.append(line + "\n")
        with whole(path) as part:
            part.write_text("".join(kept), encoding="utf-8")

    def write(self, step: int, values: dict[str, float]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def last_validation(path: Path) -> tuple[int | None, dict[str, float]]:
    """Step and numbers of the last validation in a `MetricsFile`; None and none if there was none yet."""
    for record in map(json.loads, reversed(path.read_text(encoding="utf-8").splitlines())):
        numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        found = {k.removeprefix("validation/"): v for k, v in numbers.items() if k.startswith("validation/")}
        if found:
            return record["step"], found
    return None, {}


def restore_weights(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """`load_state_dict` of a checkpoint.

    Raises:
        ValueError: if it is of another network.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"the checkpoint is of a run with another network: {first}") from error


def take_fitting_weights(model: nn.Module, source: nn.Module) -> list[str]:
    """Copy into `model` all weights of `source` that have a name and a shape of its own; returns the names of the others.

    Raises:
        ValueError: if none fits.
    """
    own, given = model.state_dict(), source.state_dict()
    fitting = {name: given[name] for name, value in own.items() if name in given and given[name].shape == value.shape}
    if not fitting:
        raise ValueError(f"no weights of the {type(source).__name__} fit the new {type(model).__name__}.")
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


def average_running_statistics(model: nn.Module) -> None:
    """Give every process the mean of all processes' BatchNorm statistics; nothing to do where there is one process.

    BatchNorm that is not synchronised sees its own process's share of a batch. Training does not read the running
    statistics, so this changes what is saved and validated, not the course of training.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                dist.all_reduce(statistic)
                statistic /= dist.get_world_size()


def set_batchnorm_training(model: nn.Module, training: bool) -> None:
    """Whether the BatchNorms of `model` use the batch's statistics (and update the running ones)."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(training)


def require_finite(model: nn.Module, step: int) -> None:
    """Raise FloatingPointError if a weight or a running statistic of `model` is NaN or infinite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise FloatingPointError(f"{name} is not finite after step {step}.")


def embed_labels(
    labels: Sequence[str], text_encoder: str | None, pipe: LFDMPipeline | None = None, seed: int = 0
) -> tuple[LabelEmbeddings | None, PreTrainedModel | None, PreTrainedTokenizerBase | None]:
    """The table of label texts, and the encoder that made it.

    Args:
        labels: those of the clips; none: no table (or the pipeline's).
        text_encoder: Hub id or folder of a BERT; "none" for orthogonal vectors of `seed`, as long as those of a BERT's
            mean would be (unit variance); None for what `pipe` has.
        pipe: trained before: its rows stay, and new labels get rows of the same encoder.

    Raises:
        ValueError: if labels cannot be embedded as the U-Net knows them.
    """
    table = pipe.label_embeddings if pipe else None
    new = [label for label in labels if table is None or not table.knows(label)]
    named = text_encoder not in (None, "none")
    if pipe is not None and not named:
        encoder, tokenizer = pipe.text_encoder, pipe.tokenizer
    else:
        encoder, tokenizer = load_text_encoder(text_encoder) if named else (None, None)
    if not new:
        return table, encoder, tokenizer
    if encoder is not None:
        rows = LabelEmbeddings.from_text_encoder(new, encoder, tokenizer).embedding.weight.float()
    elif pipe is None:
        width = max(64, len(new))
        noise = torch.randn(width, width, generator=torch.Generator().manual_seed(seed))
        rows = torch.linalg.qr(noise.double()).Q[: len(new)].float() * width**0.5
    else:
        raise ValueError(
            f"`--text_encoder` is needed for labels that the model does not know yet: {', '.join(new)}. It must be the "
            "one that the model was trained with."
        )
    if pipe is not None and rows.shape[1] != pipe.unet.config.text_embed_dim:
        raise ValueError(
            f"`--text_encoder` {text_encoder} gives {rows.shape[1]} numbers a text, the U-Net was trained with "
            f"{pipe.unet.config.text_embed_dim}."
        )
    if table is not None:
        rows = torch.cat((table.embedding.weight.float(), rows))
        new = [*table.labels, *new]
    return LabelEmbeddings.from_embeddings(new, rows), encoder, tokenizer
