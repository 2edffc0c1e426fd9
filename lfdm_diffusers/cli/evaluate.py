"""`lfdm evaluate`: generate clips for the pictures of a data set, and score them against its real clips."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from ..arguments.choices import LAYOUTS
from ..arguments.types import some_of, whole_number
from ..embedded import MODEL
from ..evaluation.choices import ANCHORS, AUTO, FEWEST, GENERATED, METRICS, PEOPLE, PLAN, TOON_FACES, TRAIN
from .options import add_json_argument, add_limits, add_sampling_arguments

EXAMPLES = """
examples:
  the package's model of drawn faces on 40 people that it has never seen:
    lfdm data toon-faces toon --num-subjects 640 --num-test-subjects 40 --num-frames 16 --size 64 --format webp \\
        --split test
    %(prog)s toon64 --data toon --split test --metrics fvd,cfvd,kvd,accuracy --output toon-scores
  the same with another sampler, and what a still picture would get:
    %(prog)s toon64 --data toon --split test --scheduler ddim --steps 100 --output toon-ddim100
    %(prog)s static --data toon --split test --output toon-static
  and what a perfect denoiser would get: real clips, as the auto-encoder gives them back:
    %(prog)s toon64 --reconstruct --data toon --split test --output toon-reconstructed
  clips that something else has made, in lossless files named by label:
    %(prog)s my-clips --data toon --split test --output my-scores
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help=f"a pipeline (folder or Hub id), a folder of clips made before, or {' or '.join(ANCHORS)}: real clips' first "
        f"frame repeated, real frames out of order (default: {MODEL}, which comes with the package)",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--data", metavar="DIR", help="folder of real clips, or tars such as shards/{000..127}.tar (docs/data.md)"
    )
    which.add_argument(
        "--dataset-name", metavar="NAME", help="data set of the Hub, or a local folder of the library datasets"
    )
    parser.add_argument("--dataset-config-name", metavar="NAME", help="of those that --dataset-name has")
    parser.add_argument("--dataset-revision", metavar="NAME", help="branch, tag or commit of --dataset-name")
    parser.add_argument(
        "--streaming", action="store_true", help="keep no more of --dataset-name than its frames at the model's size"
    )
    parser.add_argument("--split", metavar="NAME", help="split of the data, such as test (default: all clips)")
    parser.add_argument(
        "--seen-split",
        default="train",
        metavar="NAME",
        help="split that the model was trained on, for gap and for a judge of labels (default: train)",
    )
    parser.add_argument(
        "--layout", default="auto", choices=["auto", *LAYOUTS], help="layout of the data (default: auto)"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for clips and results; an interrupted run resumes there"
    )
    parser.add_argument(
        "--metrics",
        type=some_of(tuple(METRICS)),
        default=["fvd", "kvd"],
        metavar="A,B",
        help=f"some of {','.join(METRICS)} (default: fvd,kvd)",
    )
    parser.add_argument(
        "--reconstruct",
        action="store_true",
        help="score real clips as the model's auto-encoder gives them back, the limit of what it generates, and generate none",
    )
    parser.add_argument(
        "--like",
        metavar="MODEL",
        help=f"of {' and '.join(ANCHORS)}: the model beside which they are scored, whose size and number of frames they get "
        "(default: those of the real clips)",
    )
    parser.add_argument(
        "--num-videos",
        type=whole_number(1),
        metavar="N",
        help="videos to generate; pictures come again with other noise (default: one for each real clip, two for diversity and "
        "timing)",
    )
    parser.add_argument(
        "--num-real", type=whole_number(1), metavar="N", help="real clips to use, evenly spread (default: all)"
    )
    add_limits(parser)
    sampling = parser.add_argument_group("sampling")
    add_sampling_arguments(sampling)
    sampling.add_argument("--no-label", action="store_true", help="generate from the picture alone")
    sampling.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N", help="seed of all noise (default: 0)"
    )
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
        help="network of fid and sfid: inception-2015-12-05.pt, vgg19, a file or a repository",
    )
    rules.add_argument(
        "--judge",
        default=AUTO,
        metavar="NAME",
        help=f"of accuracy: {TOON_FACES} or {PEOPLE} (of this package), {TRAIN} (made of the real clips of --seen-split, a few "
        f"minutes, and kept in --output), or the file of one made before (default: the package's for drawn clips, else {TRAIN})",
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
    rules.add_argument(
        "--allow-few", action="store_true", help=f"allow Fréchet distances of fewer than {FEWEST} clips"
    )
    rules.add_argument("--allow-lossy", action="store_true", help="allow clips in GIF or video files")
    rules.add_argument(
        "--cache-dir", metavar="DIR", help="folder for features of real clips (default: in the Hub client's cache)"
    )
    add_json_argument(rules)


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 0."""
    from ..data.named_sets import NamedSet
    from ..evaluation.report import table, write_report
    from ..evaluation.run import evaluate

    options = {name: value for name, value in vars(args).items() if name in inspect.signature(evaluate).parameters}
    if args.dataset_name is not None:
        options["data"] = NamedSet(args.dataset_name, args.dataset_config_name, args.dataset_revision)
    elif args.dataset_config_name is not None or args.dataset_revision is not None or args.streaming:
        raise ValueError("`--dataset-config-name`, `--dataset-revision` and `--streaming` go with `--dataset-name`.")
    results = evaluate(**options)
    if results is None:  # another process reports
        return 0
    files = write_report(Path(args.output), results)
    if args.json:
        print(files[0].read_text(encoding="utf-8"))
        return 0
    print(table(results))
    receipt = results["receipt"]
    kept = receipt["videos"]["generated"] and receipt["kind"] != "clips"
    where = f"; clips are in {Path(args.output) / GENERATED} ({PLAN} lists them)" if kept else ""
    print(f"wrote {', '.join(map(str, files))}{where}")
    return 0
