"""`lfdm evaluate`: generate clips for the pictures of a data set, and score them against its real clips."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import ModelMixin
from huggingface_hub import cached_assets_path

from ..arguments.types import some_of, whole_number
from ..data.cache import ClipReader
from ..data.clips import iterate_frames
from ..data.layouts import LAYOUTS, find_clips
from ..embedded import MODEL, embedded_model
from ..evaluation.anchors import ANCHORS, Change, anchor, write_changed
from ..evaluation.generation import PLAN, PlannedClip, Sampling, generate_clips, plan_clips
from ..evaluation.reconstruction import has_autoencoder, reconstruct
from ..evaluation.report import hardware, software, table, write_report
from ..evaluation.scores import (
    FEWEST,
    METRICS,
    FeatureStore,
    Rules,
    accuracy_score,
    distance_scores,
    diversity_score,
    gap_score,
    reconstruction_scores,
    require_enough,
    require_true_motion,
)
from ..evaluation.video_sets import VideoSet, find_generated_clips, find_real_clips
from ..files.fingerprints import weights_sha256
from ..metrics import load_frame_detector, load_i3d
from ..pipelines import ImageToVideoPipeline, LFDMPipeline
from ..pipelines.loading import DTYPES, choose_device, load_pipeline, quiet_libraries
from ..pipelines.video_diffusion import VideoDiffusionPipeline
from ..schedulers import scheduler_by_name
from .errors import with_exit_codes
from .options import add_json_argument, add_sampling_arguments

EXAMPLES = """
examples:
  the model of this package on 40 drawn people that it has never seen:
    lfdm data toon-faces toon --num-subjects 640 --num-test-subjects 40 --num-frames 16 --size 64 --format webp
    %(prog)s --data toon --split test --metrics fvd,cfvd,kvd,accuracy --output toon-scores
  the same with another sampler, and what a still picture would get:
    %(prog)s --data toon --split test --scheduler ddim --steps 100 --output toon-ddim100
    %(prog)s static --data toon --split test --output toon-static
  and what a perfect denoiser would get: real clips, as the auto-encoder gives them back:
    %(prog)s --reconstruct --data toon --split test --output toon-reconstructed
  clips that something else has made, in lossless files named by label:
    %(prog)s my-clips --data toon --split test --output my-scores
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help=f"a pipeline (folder or Hub id), a folder of clips made before, or {' or '.join(ANCHORS)}: real clips' first "
        "frame repeated, real frames out of order (default: the model of this package)",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of real clips (docs/data.md)")
    parser.add_argument("--split", metavar="NAME", help="of the data, such as test (default: all clips)")
    parser.add_argument(
        "--seen-split", default="train", metavar="NAME", help="that the model was trained on, for gap (default: train)"
    )
    parser.add_argument("--layout", default="auto", choices=["auto", *LAYOUTS], help="of the data (default: auto)")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for clips and results; goes on there if begun"
    )
    parser.add_argument(
        "--metrics",
        type=some_of(tuple(METRICS)),
        default=["fvd", "kvd"],
        metavar="A,B",
        help=f"of {','.join(METRICS)} (default: fvd,kvd)",
    )
    parser.add_argument(
        "--reconstruct",
        action="store_true",
        help="score real clips as the model's auto-encoder gives them back, the limit of what it generates, and generate none",
    )
    parser.add_argument(
        "--num-videos",
        type=whole_number(1),
        metavar="N",
        help="to generate; pictures come again with other noise (default: one for each real clip)",
    )
    parser.add_argument(
        "--num-real", type=whole_number(1), metavar="N", help="of the real clips, evenly spread (default: all)"
    )
    sampling = parser.add_argument_group("sampling")
    add_sampling_arguments(sampling)
    sampling.add_argument("--no-label", action="store_true", help="generate from the picture alone")
    sampling.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="of all noise (default: 0)")
    sampling.add_argument(
        "--batch-size", type=whole_number(1), default=8, metavar="N", help="clips at once (default: 8)"
    )
    rules = parser.add_argument_group("how numbers are made")
    rules.add_argument(
        "--i3d", metavar="FILE", help="weights of FVD's network (default: `lfdm data i3d`'s, else the Hub's)"
    )
    rules.add_argument(
        "--frame-detector",
        metavar="NAME",
        help="of fid and sfid: inception-2015-12-05.pt, vgg19, a file or a repository",
    )
    rules.add_argument(
        "--ddof", type=int, choices=(0, 1), default=1, help="covariances are divided by n - DDOF (default: 1)"
    )
    rules.add_argument(
        "--bootstrap",
        type=whole_number(0),
        default=100,
        metavar="N",
        help="resamplings for intervals (default: 100; 0: none)",
    )
    rules.add_argument("--allow-few", action="store_true", help=f"Fréchet distances of fewer than {FEWEST} clips")
    rules.add_argument("--allow-lossy", action="store_true", help="clips made before in GIF or video files")
    rules.add_argument(
        "--cache-dir", metavar="DIR", help="features of real clips (default: in the Hub client's cache)"
    )
    add_json_argument(rules)


def _kind(source: str | None) -> str:
    """What SOURCE is: "anchor", "clips" or "model"."""
    if source is None:
        return "model"
    path = Path(source)
    if source in ANCHORS:
        return "anchor"
    if path.is_dir() and not any((path / name).is_file() for name in ("model_index.json", "config.json")):
        return "clips"
    return "model"


def _size(args: argparse.Namespace, kind: str, pipe: ImageToVideoPipeline | None) -> tuple[int, int, int]:
    """Frames, height and width: the model's; those of the first clip made before; for an anchor those of the data."""
    if pipe is not None:
        if pipe.sample_size is None:
            raise ValueError(
                f"{args.source} does not say how large its clips are: its configuration has no sample_size."
            )
        return pipe.num_frames, pipe.sample_size, pipe.sample_size
    clips = find_clips(Path(args.source)) if kind == "clips" else find_clips(Path(args.data), args.layout)
    if kind == "anchor" and args.split is not None:
        clips = [clip for clip in clips if clip.split == args.split] or clips
    if not clips:
        raise ValueError(f"`--data` {args.data} holds no clips.")
    frames = list(iterate_frames(clips[0]))
    return len(frames), *frames[0].shape[:2]


def sampling_of(args: argparse.Namespace, pipe: ImageToVideoPipeline | None) -> Sampling | None:
    """How the clips of `pipe`, if SOURCE is one, are generated, if they are; gives it its scheduler.

    Raises:
        ValueError: for options of denoising where nothing is denoised.
    """
    if isinstance(pipe, VideoDiffusionPipeline) and not args.reconstruct:
        if args.scheduler:
            pipe.scheduler = scheduler_by_name(args.scheduler, pipe.scheduler)
        steps = args.steps or pipe.default_steps()
        return Sampling(args.seed, not args.no_label, steps, args.guidance_scale, args.eta)
    if args.scheduler or args.steps or (args.guidance_scale, args.eta) != (1, 1):
        instead = "with `--reconstruct` nothing is denoised"
        if not args.reconstruct:
            instead = f"{args.source} is {'no model' if pipe is None else f'a {type(pipe).__name__}'}"
        raise ValueError(f"`--scheduler`, `--steps`, `--guidance-scale` and `--eta` are of diffusion; {instead}.")
    return None if args.reconstruct or pipe is None else Sampling(args.seed, not args.no_label)


class Maker:
    """What gives the clips that are scored: the model, the anchor or the folder that SOURCE is.

    Attributes:
        kind: "anchor", "clips" or "model".
        pipe: of a model, else None.
        sampling: how the model samples; None if it reconstructs, or there is none.
        num_frames, height, width: of its clips.
        model_sha256: of the model's parts, else empty.
    """

    def __init__(self, args: argparse.Namespace, kind: str, device: torch.device):
        self.args, self.kind = args, kind
        self.pipe, self.model_sha256 = None, {}
        if self.kind == "model":
            self.pipe = load_pipeline(
                args.source or embedded_model(), device, DTYPES[args.dtype], ImageToVideoPipeline
            )
            networks = {name: part for name, part in self.pipe.components.items() if isinstance(part, ModelMixin)}
            networks.pop("label_embeddings", None)
            self.model_sha256 = {name: weights_sha256(network) for name, network in networks.items()}
        self.sampling = sampling_of(args, self.pipe)
        self.num_frames, self.height, self.width = _size(args, self.kind, self.pipe)

    def clips_for(self, real: VideoSet, count: int, folder: Path) -> tuple[VideoSet, float | None]:
        """`count` clips from the pictures of `real`, in `folder`, and seconds for each if a model made them just now."""
        state, seconds = PartialState(), None
        settings = {"data": real.fingerprint, "height": self.height, "width": self.width, "frames": self.num_frames}
        if self.kind == "clips":
            folder = Path(self.args.source)
        elif self.sampling is None:
            change, about = self._change()
            if state.is_main_process:
                write_changed(change, real, plan_clips(real, count), folder, settings | about)
            state.wait_for_everyone()
        else:
            settings |= {"model": self.model_sha256} | self._settings()
            seconds = generate_clips(
                self.pipe, real, plan_clips(real, count), self.sampling, folder, settings, self.args.batch_size
            )
        lossy = self.kind == "clips" and self.args.allow_lossy
        return find_generated_clips(folder, self.height, self.width, self.num_frames, lossy), seconds

    def _change(self) -> tuple[Change, dict[str, Any]]:
        """What is done to real clips where nothing samples, and the settings that it depends on."""
        if self.kind == "anchor":
            kind, seed = self.args.source, self.args.seed
            return anchor(kind, seed), {"anchor": kind, "seed": seed}

        def reconstructed(frames: torch.Tensor, clip: PlannedClip) -> torch.Tensor:
            return (reconstruct(self.pipe, frames) * 255).round().to(torch.uint8)

        return reconstructed, {"reconstructed": self.model_sha256, "dtype": self.args.dtype}

    def how(self, seconds: float | None) -> dict[str, Any] | None:
        """For the receipt: how a model sampled."""
        if self.sampling is None:
            return None
        return vars(self.sampling) | self._settings() | {"seconds_a_video": seconds}

    def _settings(self) -> dict[str, str]:
        """What decides a model's clips besides its weights and its sampling."""
        scheduler = self.pipe.components.get("scheduler")
        return {"scheduler": type(scheduler).__name__ if scheduler else None, "dtype": self.args.dtype}


@with_exit_codes
@torch.inference_mode()
def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 0."""
    device = choose_device(args.device)
    state = PartialState(cpu=device.type == "cpu")
    if state.num_processes > 1:
        device = state.device
    kind, output, names, since = _kind(args.source), Path(args.output), list(args.metrics), time.perf_counter()
    needs = {METRICS[name] for name in names}
    if args.reconstruct and (kind != "model" or args.num_videos or args.no_label or "diversity" in names):
        raise ValueError(
            "`--reconstruct` makes one clip of each real one, by a model's auto-encoder: it goes with none of `--num-videos`, "
            "`--no-label`, diversity, and a SOURCE that is no model."
        )
    if kind != "model" and (args.no_label or "diversity" in names):
        raise ValueError(f"`--no-label` and diversity are of what a model generates; {args.source} is none.")
    if kind == "clips" and args.num_videos:
        raise ValueError(f"`--num-videos` says how many to generate; those of {args.source} are there already.")
    if "model" in needs and kind != "model":
        raise ValueError(
            f"`--metrics` l1 and epe give real clips back by a model's auto-encoder; {args.source} holds none."
        )
    if "gap" in names and (kind == "clips" or args.split in (None, args.seen_split)):
        raise ValueError(
            "`--metrics` gap compares clips that are generated from the pictures of two splits: SOURCE must be a model, and "
            f"`--split` one that it was not trained on, got {args.split!r}."
        )
    if "frame detector" in needs and not args.frame_detector:
        raise ValueError(
            "`--metrics` fid and sfid need `--frame-detector`: the file inception-2015-12-05.pt, or another network."
        )
    # Whatever may be missing is looked for before anything is generated.
    video_detector = load_i3d(args.i3d) if "video detector" in needs else None
    with quiet_libraries():
        frame_detector = load_frame_detector(args.frame_detector) if "frame detector" in needs else None
    maker = Maker(args, kind, device)
    if (args.reconstruct or "l1" in names) and not has_autoencoder(maker.pipe):
        raise ValueError(
            f"`--reconstruct` and `--metrics` l1 need an auto-encoder, which {type(maker.pipe).__name__} has not."
        )
    if "epe" in names and not isinstance(maker.pipe, LFDMPipeline):
        raise ValueError(
            f"`--metrics` epe needs a latent flow auto-encoder, which {type(maker.pipe).__name__} has not."
        )

    def find_real(option: str, split: str | None, count: int | None) -> VideoSet:
        reader = ClipReader(maker.height, maker.width)
        data, progress = Path(args.data), state.is_main_process
        return find_real_clips(data, split, args.layout, reader, maker.num_frames, count, progress, option)

    real = find_real("--split", args.split, args.num_real)
    seen = find_real("--seen-split", args.seen_split, len(real)) if "gap" in names else None
    count = args.num_videos or len(real) * (2 if "diversity" in names else 1)
    if kind == "clips":
        count = len(find_clips(Path(args.source)))
    require_enough(names, real, count, args.allow_few)
    if maker.sampling:
        _check_labels(maker.pipe, real.labels + (seen.labels if seen else []), maker.sampling)
    if "epe" in names:
        require_true_motion(real)
    generated, seconds = None, None
    if needs != {"model"}:  # what those give back is kept nowhere
        generated, seconds = maker.clips_for(real, count, output / "generated")
    generated_seen = maker.clips_for(seen, count, output / "generated-seen")[0] if seen else None
    if not state.is_main_process:
        return 0

    rules = Rules(args.ddof, args.bootstrap, batch_size=args.batch_size)
    cache = Path(args.cache_dir) if args.cache_dir else cached_assets_path("lfdm_diffusers", "features", "real")
    for detector in (video_detector, frame_detector):
        if detector is not None:
            detector.to(device)
    store = FeatureStore(cache, args.batch_size)
    found = distance_scores(names, rules, real, generated, store, video_detector, frame_detector)
    if "accuracy" in names:
        found["accuracy"] = accuracy_score(real, generated, args.batch_size)
    if "diversity" in names:
        found["diversity"] = diversity_score(generated, [clip.source for clip in plan_clips(real, len(generated))])
    if "gap" in names:
        found["gap"] = gap_score(rules, (generated_seen, seen), (generated, real), store, video_detector)
    if "model" in needs:
        found |= reconstruction_scores(names, maker.pipe, real)

    detectors = {
        "video": video_detector and {"name": video_detector.name, "weights": video_detector.weights,
                                     "sha256": video_detector.sha256, "resize": video_detector.resize},
        "frame": frame_detector and {"name": frame_detector.name, "sha256": frame_detector.sha256},
    }  # fmt: skip
    receipt = {
        "source": args.source or f"embedded model {MODEL}",
        "kind": kind,
        "command": shlex.join(["lfdm", *sys.argv[1:]]),
        "data": {"name": Path(args.data).name, "split": args.split, "sha256": real.fingerprint}
        | ({"seen_split": args.seen_split, "seen_sha256": seen.fingerprint} if seen else {}),
        "videos": {"real": len(real), "generated": len(generated) if generated else 0, "frames": maker.num_frames, "height": maker.height,
                   "width": maker.width, "sampling_of_real_frames": "uniform", "lossy_files_allowed": bool(args.allow_lossy)},
        "generated_sha256": generated.fingerprint if generated else None,
        "model_sha256": maker.model_sha256,
        "sampling": maker.how(seconds) if generated else None,
        "reconstructed": bool(args.reconstruct and generated),
        "rules": vars(rules),
        "detectors": {name: about for name, about in detectors.items() if about},
        "seconds": time.perf_counter() - since,
        "software": software(),
        "hardware": hardware(device),
    }  # fmt: skip
    results = {"scores": {name: found[name] for name in names}, "receipt": receipt}
    files = write_report(output, results)
    if args.json:
        print(files[0].read_text(encoding="utf-8"))
        return 0
    print(table(results))
    kept = generated and kind != "clips"
    where = f"; clips are in {output / 'generated'} ({PLAN} lists them)" if kept else ""
    print(f"wrote {', '.join(map(str, files))}{where}")
    return 0


def _check_labels(pipe: ImageToVideoPipeline, labels: list[str], sampling: Sampling) -> None:
    """Refuse labels that the model cannot take, before the first clip."""
    if not sampling.labels or pipe.text_encoder is not None:
        return
    unknown = sorted(set(labels) - set(pipe.labels or ()))
    if unknown:
        raise ValueError(
            f"the model knows {', '.join(pipe.labels or ['no labels'])}, and has no text encoder for those of the data: "
            f"{', '.join(repr(label) for label in unknown)}. --no-label generates from pictures alone."
        )
