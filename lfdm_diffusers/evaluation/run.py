"""`evaluate`: clips of a model, an anchor or a folder, scored against real ones. The command, scripts and tests call it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from huggingface_hub import cached_assets_path

from ..data.cache import CachedClipReader, ClipReader
from ..data.clips import ClipList
from ..data.named_sets import NamedSet
from ..data.streamed_sets import stream_together
from ..data.toon_faces import LABELS
from ..embedded import MODEL, embedded_model
from ..metrics import FlowJudge, FrameDetector, LabelJudge, VideoDetector, load_frame_detector, load_i3d, load_judge
from ..metrics.flow_judge import opencv
from ..ops.cpu import reuse_freed_memory
from ..ops.number_types import float32_by_default
from ..pipelines import ImageToVideoPipeline
from ..pipelines.loading import DTYPES, choose_device, load_pipeline, quiet_libraries
from .choices import AUTO, GENERATED, METRICS, PEOPLE, TOON_FACES, TRAIN
from .features import FeatureStore
from .generation import plan_clips
from .judge_training import kept_label_judge
from .judged import is_of_people, is_of_toon_faces, judge_scores, require_judgeable
from .reconstruction import OF_MOTION, reconstruction_scores, require_true_motion
from .report import hardware, software
from .scores import PAIRED, Rules, distance_scores, diversity_score, gap_score, require_enough
from .sources import OF_DENOISING, Anchor, ClipFolder, ClipSource, Generator, Model, Reconstructor, kind_of
from .video_sets import VideoSet, find_real_clips


@float32_by_default()
@torch.inference_mode()
def evaluate(
    source: str | Path | None,
    data: str | Path | NamedSet,
    metrics: Sequence[str] = ("fvd", "kvd"),
    *,
    output: str | Path,
    split: str | None = None,
    seen_split: str = "train",
    layout: str = "auto",
    reconstruct: bool = False,
    like: str | Path | None = None,
    num_videos: int | None = None,
    num_real: int | None = None,
    scheduler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    eta: float = 1.0,
    no_label: bool = False,
    seed: int = 0,
    batch_size: int = 8,
    device: str | None = None,
    dtype: str = "float32",
    i3d: str | Path | None = None,
    frame_detector: str | None = None,
    judge: str | Path = AUTO,
    ddof: int = 1,
    bootstrap: int = 100,
    allow_few: bool = False,
    allow_lossy: bool = False,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
) -> dict[str, Any] | None:
    """Generate clips for the pictures of a data set, and score them against its real clips; docs/evaluation.md.

    Args:
        source: a pipeline (folder or Hub id), a folder of clips made before, or "static" or "shuffled": real clips' first
            frames repeated, real frames out of order. None is the package's `people128`.
        data: folder of real clips, tars such as shards/{000..127}.tar, or a data set by its name.
        metrics: of `METRICS`.
        output: folder whose `generated` gets the clips; goes on there if it was begun with the same settings.
        split, layout: of the data; a split of None takes all clips.
        seen_split: that the model was trained on, for gap and for a judge of labels.
        reconstruct: score real clips as the model's auto-encoder gives them back, and generate none.
        like: of "static" and "shuffled": the model beside which they are scored, whose size and number of frames they get;
            without it they are as large and long as the real clips.
        num_videos: to generate; pictures come again with other noise. By default one for each real clip, or the two that
            some of the metrics compare.
        num_real: of the real clips, evenly spread; None takes all.
        scheduler, steps, guidance_scale, eta: of sampling; the model's own scheduler, steps and guidance by default.
        no_label: generate from the picture alone.
        seed: of all noise.
        batch_size: clips at once.
        device, dtype: as words; the fastest device by default.
        i3d, frame_detector: the networks of FVD and FID, as `load_i3d` and `load_frame_detector` take them.
        judge: of accuracy: "toon-faces" or "people" (of this package), "train" (a `LabelJudge` of the real clips of `seen_split`,
            kept in `output`), or the file of one made before. "auto": the first two for such clips, else the third.
        ddof: covariances are divided by n - ddof.
        bootstrap: resamplings for intervals; 0 leaves them out.
        allow_few: Fréchet distances of fewer than `FEWEST` clips.
        allow_lossy: clips made before in GIF or video files.
        cache_dir: for features of real clips; by default in the Hub client's cache.
        streaming: of `data` by name, keep no more than its frames at the model's size, in the folder `cache` of `output`.

    Returns:
        `scores`, by name, and `receipt`, all that decides them; `lfdm_diffusers.evaluation.report` writes and prints them.
        None in all processes but the main one, if several share the work.

    Raises:
        ValueError: for arguments that do not go together, and for what cannot be had or scored; before anything is
            generated.
    """
    since, names, output = time.perf_counter(), list(metrics), Path(output)
    data = data if isinstance(data, NamedSet) else Path(data)
    place = choose_device(device)
    reuse_freed_memory()
    state = PartialState(cpu=place.type == "cpu")
    if state.num_processes > 1:
        place = state.device
    kind = kind_of(source)
    name = source or f"embedded model {MODEL}"
    _require_together(
        names, kind, name, split=split, seen_split=seen_split, reconstruct=reconstruct, num_videos=num_videos,
        no_label=no_label, like=like, frame_detector=frame_detector,
        denoising=bool(scheduler or steps or guidance_scale is not None or eta != 1),
    )  # fmt: skip

    # Whatever may be missing is looked for before anything is generated.
    needs = {METRICS[name] for name in names}
    detectors = Detectors(
        load_i3d(i3d) if "video detector" in needs else None,
        _load_frame_detector(frame_detector) if frame_detector and "frame detector" in needs else None,
    )
    clip_source: ClipSource
    if kind == "clips":
        clip_source = ClipFolder(Path(str(source)), allow_lossy)
    elif kind == "anchor":
        if streaming and like is None:
            raise ValueError(
                "`streaming` keeps frames at one size: give `like`, the model beside which real clips are scored."
            )
        beside = None if like is None else load_pipeline(like, kind=ImageToVideoPipeline)
        clip_source = Anchor(str(source), seed, data, layout, split, beside)
    else:
        pipe = load_pipeline(source or embedded_model(), place, DTYPES[dtype], ImageToVideoPipeline)
        if reconstruct:
            clip_source = Reconstructor(pipe, name, dtype)
        else:
            clip_source = Generator(
                pipe, name, dtype=dtype, batch_size=batch_size, seed=seed, labels=not no_label,
                scheduler=scheduler, steps=steps, guidance_scale=guidance_scale, eta=eta,
            )  # fmt: skip
        clip_source.require(names)

    reader = ClipReader(clip_source.height, clip_source.width)
    found_clips: Path | NamedSet | ClipList = data
    if streaming and isinstance(data, NamedSet):
        reader = CachedClipReader(output / "cache", reader.height, reader.width)
        found_clips = stream_together(data, reader, "data", 0, state.process_index, state.num_processes)

    def find_real(argument: str, split: str | None, count: int | None) -> VideoSet:
        return find_real_clips(
            found_clips, split, layout, reader, clip_source.num_frames, count, state.is_main_process, argument
        )

    real = find_real("split", split, num_real)
    seen = find_real("seen_split", seen_split, len(real)) if "gap" in names else None
    count = num_videos or len(real) * (2 if set(PAIRED) & set(names) else 1)
    if isinstance(clip_source, ClipFolder):
        count = clip_source.count
    require_enough(names, real, count, allow_few)
    if isinstance(clip_source, Generator):
        clip_source.require_labels(real.labels + (seen.labels if seen else []))
    if set(OF_MOTION) & set(names):
        require_true_motion(real)
    label_judge = None
    if state.is_main_process:  # which alone judges
        if "accuracy" in names:
            label_judge = _label_judge(judge, real, split, seen_split, find_real, output, seed)
        require_judgeable(names, real, label_judge.labels if label_judge else LABELS)

    generated, seconds = None, None
    if needs != {"model"}:  # what those give back is kept nowhere
        generated, seconds = clip_source.clips_for(real, count, output / GENERATED)
    generated_seen = clip_source.clips_for(seen, count, output / "generated-seen")[0] if seen else None
    cache = Path(cache_dir) if cache_dir else cached_assets_path("lfdm_diffusers", "features", "real")
    store = FeatureStore(cache, batch_size, state.is_main_process, state.process_index, state.num_processes)
    detectors.to(place)
    for need, detector in (("video detector", detectors.video), ("frame detector", detectors.frame)):
        if detector is not None and generated is not None and need in needs:
            store(detector, real, keep=True)
            store(detector, generated)
    if detectors.video is not None and seen is not None and generated_seen is not None:  # of gap alone
        store(detectors.video, seen, keep=True)
        store(detectors.video, generated_seen)
    if not state.is_main_process:
        return None

    rules = Rules(ddof, bootstrap, batch_size=batch_size)
    found: dict[str, Any] = {}
    if generated is not None:
        found = distance_scores(names, rules, real, generated, store, detectors.video, detectors.frame)
        sources = [clip.source for clip in plan_clips(real, count)]
        if "judge" in needs:
            found |= judge_scores(names, rules, real, generated, sources, label_judge)
        if "diversity" in names:
            found["diversity"] = diversity_score(generated, sources)
        if seen is not None and generated_seen is not None and detectors.video is not None:
            found["gap"] = gap_score(rules, (generated_seen, seen), (generated, real), store, detectors.video)
    if "model" in needs and isinstance(clip_source, Model):
        found |= reconstruction_scores(names, clip_source.pipe, real)

    receipt = {
        "source": str(name),
        "kind": kind,
        "command": shlex.join(["lfdm", *sys.argv[1:]]),
        "data": {"name": data.name, "split": split, "sha256": real.fingerprint}
        | ({"seen_split": seen_split, "seen_sha256": seen.fingerprint} if seen else {}),
        "videos": {"real": len(real), "generated": len(generated) if generated else 0, "frames": clip_source.num_frames,
                   "height": clip_source.height, "width": clip_source.width, "sampling_of_real_frames": "uniform",
                   "lossy_files_allowed": bool(allow_lossy)},
        "generated_sha256": generated.fingerprint if generated else None,
        "model_sha256": clip_source.model_sha256,
        "sampling": _how_sampled(clip_source, seconds) if generated else None,
        "reconstructed": bool(reconstruct and generated),
        "rules": vars(rules),
        "detectors": detectors.about(),
        "label_judge": label_judge.facts if label_judge else None,
        "seconds": time.perf_counter() - since,
        "software": software(),
        "hardware": hardware(place),
    }  # fmt: skip
    return {"scores": {name: found[name] for name in names}, "receipt": receipt}


def _require_together(
    names: list[str],
    kind: str,
    source: object,
    *,
    split: str | None,
    seen_split: str,
    reconstruct: bool,
    num_videos: int | None,
    no_label: bool,
    like: str | Path | None,
    frame_detector: str | None,
    denoising: bool,
) -> None:
    """Refuse arguments of `evaluate` that do not go together; `denoising` says whether any of those was given.

    Raises:
        ValueError: naming them.
    """
    if not names or set(names) - set(METRICS):
        raise ValueError(f"`metrics` must be some of {', '.join(METRICS)}, got {', '.join(names) or 'none'}.")
    paired = [name for name in PAIRED if name in names]
    if reconstruct and (kind != "model" or num_videos or no_label or paired):
        raise ValueError(
            "`reconstruct` makes one clip of each real one, by a model's auto-encoder: it goes with none of `num_videos`, "
            f"`no_label`, {', '.join(PAIRED)}, and a source that is no model."
        )
    if kind != "model" and (no_label or paired):
        raise ValueError(f"`no_label` and {' and '.join(PAIRED)} are of what a model generates; {source} is none.")
    if kind != "anchor" and like is not None:
        raise ValueError(f"`like` says how large real clips that are changed should be; {source} is no anchor.")
    if kind == "clips" and num_videos:
        raise ValueError(f"`num_videos` says how many to generate; those of {source} are there already.")
    if kind != "model" and (of_model := [name for name in names if METRICS[name] == "model"]):
        raise ValueError(
            f"`metrics` {' and '.join(of_model)} give real clips back by a model's auto-encoder; {source} holds none."
        )
    if "gap" in names and (kind == "clips" or split in (None, seen_split)):
        raise ValueError(
            "`metrics` gap compares clips that are generated from the pictures of two splits: the source must be a model, and "
            f"`split` one that it was not trained on, got {split!r}."
        )
    if "frame detector" in {METRICS[name] for name in names} and not frame_detector:
        raise ValueError(
            "`metrics` fid and sfid need `frame_detector`: the file inception-2015-12-05.pt, or another network."
        )
    if denoising and (reconstruct or kind != "model"):
        instead = "with `reconstruct` nothing is denoised" if reconstruct else f"{source} is no model"
        raise ValueError(f"{OF_DENOISING} are of diffusion; {instead}.")


def _label_judge(
    judge: str | Path,
    real: VideoSet,
    split: str | None,
    seen_split: str,
    find_real: Callable[[str, str | None, int | None], VideoSet],
    output: Path,
    seed: int,
) -> LabelJudge | FlowJudge | None:
    """The judge of accuracy that `evaluate` was asked for; None is that of toon faces.

    Raises:
        ValueError: if there are no clips to train one on that are not the ones to be judged, or it needs what is not installed.
    """
    if judge == TOON_FACES or (judge == AUTO and is_of_toon_faces(real)):
        return None
    if judge == PEOPLE or (judge == AUTO and is_of_people(real)):
        opencv()
        return load_judge("people")
    if judge not in (AUTO, TRAIN):
        return load_judge("labels", judge)
    if split in (None, seen_split):
        raise ValueError(
            f"`metrics` accuracy needs a judge of these labels, which is trained on the clips of `seen_split` ({seen_split}); "
            f"`split` must name other clips, got {split!r}. Or give `judge` the file of one that was made before."
        )
    return kept_label_judge(find_real("seen_split", seen_split, None), output, seed)


def _load_frame_detector(name: str) -> FrameDetector:
    with quiet_libraries():
        return load_frame_detector(name)


def _how_sampled(source: ClipSource, seconds: float | None) -> dict[str, Any] | None:
    """For the receipt: how a model sampled."""
    if not isinstance(source, Generator):
        return None
    return vars(source.sampling) | source.surroundings() | {"seconds_a_video": seconds}


class Detectors:
    """The networks whose features distances compare; None where no score needs one."""

    def __init__(self, video: VideoDetector | None, frame: FrameDetector | None):
        self.video, self.frame = video, frame

    def to(self, device: torch.device) -> None:
        for detector in (self.video, self.frame):
            if detector is not None:
                detector.to(device)

    def about(self) -> dict[str, dict[str, Any]]:
        """For the receipt: which they are."""
        fields = {"video": ("name", "weights", "sha256", "resize"), "frame": ("name", "sha256")}
        detectors = {"video": self.video, "frame": self.frame}
        return {
            kind: {field: getattr(detector, field) for field in fields[kind]}
            for kind, detector in detectors.items()
            if detector is not None
        }
