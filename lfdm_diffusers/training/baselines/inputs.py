"""What the systems read alike from the options: their network's arguments, the table of labels, and examples."""

from __future__ import annotations

import argparse
from typing import Any

from ...arguments.choices import TEXT_ENCODER
from ...data.dataset import ClipDataset
from ...data.sampling import spread
from ...models import LabelEmbeddings
from ..clips import TrainingClips, label_texts
from ..labels import embed_labels, load_label_table, require_labels
from ..networks import override_network
from ..pipeline_task import HeldOut
from ..run import TrainingRun

# Arguments of networks that the data and other options decide, and `--model_config` may not.
SETTLED = ("sample_size", "num_frames", "prediction_type", "text_embed_dim")


def network_config(args: argparse.Namespace, preset: dict, cls: Any, settled: tuple[str, ...]) -> dict:
    """A network's arguments: the preset's, and over it those of `--model_config`, without what is settled."""
    return override_network(preset, args.model_config, "--model_config", cls, (*SETTLED, *settled))


def label_table(args: argparse.Namespace, run: TrainingRun, clips: TrainingClips) -> LabelEmbeddings | None:
    """The table of the clips' labels.

    Raises:
        ValueError: if the table that is to be used, or the training clips, lack one.
    """
    table: LabelEmbeddings | None
    if args.label_embeddings:
        table, source = load_label_table(args.label_embeddings), f"`--label_embeddings` {args.label_embeddings}"
    else:
        source = "`--train_split`"
        with run.accelerator.main_process_first():
            table = embed_labels(clips.labels, args.text_encoder or TEXT_ENCODER, None, args.seed)[0]
    require_labels(table, label_texts([*clips.train, *clips.held_out]), source)
    return table


def examples(args: argparse.Namespace, clips: TrainingClips) -> tuple[ClipDataset, HeldOut]:
    """Clips to train on, and what their pipeline is judged by."""
    judged = spread(clips.held_out, args.num_validation_clips)
    dataset = ClipDataset(
        clips.train, clips.reader, args.num_frames, args.frame_sampling, args.seed, not args.no_augment, args.flip
    )
    return dataset, HeldOut(
        ClipDataset(judged, clips.reader, args.num_frames, "uniform", augment=False),
        clips.pictures(args.num_validation_pictures),
        clips.labels,
        args.train_batch_size,
        args.gallery,
    )
