#!/usr/bin/env python
"""Measure a pipeline for toon faces on people it has never seen.

    python reproduction/evaluate_toon.py MODEL_FOLDER --output results.json

Draws unseen people, re-enacts their clips with the LFAE, generates every label for each of them, and writes
results.json (numbers, and a receipt of all that made them) and a folder of pictures beside it. docs/evaluation.md says
what every number means.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from toon_people import Person, draw_person, save_pictures
from toon_scores import (
    Judged,
    background_l1,
    diversity_scores,
    identity_scores,
    judge_clips,
    label_scores,
    measure_reconstruction,
    pair_timing,
    profile_correlation,
    sampler_scores,
)
from tqdm import tqdm

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.chance import draw_generator
from lfdm_diffusers.data.toon_faces import LABELS, VERSION
from lfdm_diffusers.evaluation.report import rounded, software
from lfdm_diffusers.files.fingerprints import file_sha256
from lfdm_diffusers.files.whole import whole
from lfdm_diffusers.metrics import load_judge, occlusion_statistics
from lfdm_diffusers.metrics.toon_judges import JUDGES, judge_file
from lfdm_diffusers.schedulers import SCHEDULERS, scheduler_by_name

REFERENCE = "ddim:100:1"
CANDIDATES = (
    "ddim:10:1", "ddim:8:1", "ddim:6:1", "ddim:4:1", "ddim:10:0", "ddim:6:0", "dpm++:10", "dpm++:6", "dpm++:4",
    "unipc:10", "unipc:6",
)  # fmt: skip
WITHIN = 1.1  # a setting is as good as the reference if it loses no more than this factor


# ---- settings of the sampler ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """How to sample: `SAMPLER:STEPS[:ETA[:GUIDANCE]]`, or "default", which is the pipeline as it is."""

    name: str
    sampler: str | None
    steps: int
    eta: float = 1.0
    guidance_scale: float = 1.0

    @classmethod
    def parse(cls, text: str, pipe: LFDMPipeline) -> Setting:
        if text == "default":
            return cls(text, None, pipe.default_steps())
        sampler, _, numbers = text.partition(":")
        try:
            steps, *eta = numbers.split(":")
            setting = cls(text, sampler, int(steps), *map(float, eta))
        except (TypeError, ValueError):
            setting = None
        if setting is None or sampler not in SCHEDULERS or setting.steps < 1 or not 0 <= setting.eta <= 1:
            raise ValueError(
                f"a setting must be default or SAMPLER:STEPS[:ETA[:GUIDANCE]] with a sampler of {', '.join(SCHEDULERS)} and eta in "
                f"[0, 1], got {text!r}"
            )
        return setting


# ---- generation ------------------------------------------------------------------------------------------------------


@dataclass
class Generated:
    """Clips `(N, F, 3, H, W)` uint8 of all people and labels, their occlusion `(N, F, 1, h, w)`, and what they took."""

    frames: torch.Tensor
    occlusion: torch.Tensor
    seconds: float


def generate(
    pipe: LFDMPipeline,
    people: list[Person],
    labels: Sequence[str],
    setting: Setting,
    seed: int,
    repeat: int,
    bar: tqdm,
) -> Generated:
    """One clip of each person and label."""
    own, frames, occlusion, since = pipe.scheduler, [], [], time.perf_counter()
    if setting.sampler is not None:
        pipe.scheduler = scheduler_by_name(setting.sampler, own)
    bar.set_description(f"{setting.name}, seed {repeat}")
    try:
        for person in people:
            out = pipe(
                person.reference,
                list(labels),
                num_inference_steps=setting.steps,
                eta=setting.eta,
                guidance_scale=setting.guidance_scale,
                generator=[draw_generator(seed, repeat, person.subject, i) for i in range(len(labels))],
                output_type="pt",
            )
            frames.append((out.frames.float().cpu() * 255).round().to(torch.uint8))
            occlusion.append(out.occlusion.float().cpu())
            bar.update(setting.steps * len(labels))
    finally:
        pipe.scheduler = own
    return Generated(torch.cat(frames), torch.cat(occlusion), time.perf_counter() - since)


# ---- all of it ------------------------------------------------------------------------------------------------------


def evaluate(args: argparse.Namespace) -> dict:
    since = time.perf_counter()
    pipe = LFDMPipeline.from_pretrained(args.model).to(args.device)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(getattr(torch, args.unet_dtype))
    judges = {name: load_judge(name) for name in JUDGES}
    labels = [name for name in LABELS if pipe.labels is None or pipe.label_embeddings.knows(name)]
    if not labels:
        raise ValueError(
            f"the model must know some of the labels {', '.join(LABELS)}; it knows {', '.join(pipe.labels)}"
        )
    settings = [Setting.parse(text, pipe) for text in args.settings]
    has_default = pipe.config.get("default_num_inference_steps") is not None
    main = Setting.parse(args.main or ("default" if has_default else CANDIDATES[0]), pipe)
    reference = Setting.parse(args.reference, pipe)
    size, _ = pipe.frame_size([torch.zeros(3, 64, 64)])
    num_frames = pipe.unet.config.num_frames
    numbers = range(args.first_person, args.first_person + args.num_people)
    people = [
        draw_person(args.data_seed, number, labels, num_frames, size)
        for number in tqdm(numbers, desc="drawing", unit="person")
    ]
    truth = torch.arange(len(labels)).repeat(len(people))
    real, other_take = (torch.cat([getattr(person, name) for person in people]) for name in ("frames", "other_take"))

    stage_one, rebuilt = measure_reconstruction(pipe.lfae, people)

    runs = {(main, 0), (main, 1), *((setting, 0) for setting in (reference, *settings))}
    with tqdm(total=sum(setting.steps for setting, _ in runs) * len(truth), unit="clip-step", smoothing=0.02) as bar:
        clips, seconds, judged, settled = {}, {}, {}, {}
        for setting, repeat in sorted(runs, key=lambda run: (run[0] != main, run[0].steps, run[0].name, run[1])):
            generated = generate(pipe, people, labels, setting, args.seed, repeat, bar)
            judged[setting, repeat] = judge_clips(judges["expression"], generated.frames, labels)
            seconds[setting, repeat] = generated.seconds / len(truth)
            if setting == main:
                clips[repeat], settled[repeat] = generated.frames, generated.occlusion

    def judge(frames: torch.Tensor) -> Judged:
        return judge_clips(judges["expression"], frames, labels)

    as_drawn, again, still = judge(real), judge(other_take), judge(real[:, :1].expand_as(real))
    expressive = truth != (labels.index("neutral") if "neutral" in labels else -1)
    first, second = judged[main, 0], judged[main, 1]
    samplers = {
        setting.name: {"steps": setting.steps, "seconds_a_clip": seconds[setting, repeat]}
        | sampler_scores(found, as_drawn, truth)
        for (setting, repeat), found in judged.items()
        if repeat == 0
    }
    results = stage_one | {
        "occlusion_of_generated_clips": occlusion_statistics(settled[0]),
        "labels": {
            "names": labels,
            "real": label_scores(as_drawn, truth, len(labels)),
            "real_other_take": label_scores(again, truth, len(labels)),
            "reconstructed": label_scores(judge(rebuilt), truth, len(labels)),
            "generated": label_scores(first, truth, len(labels)),
        },
        "timing": {
            "generated_two_seeds": pair_timing(first, second, expressive)
            | {"motion_profile_correlation": profile_correlation(clips[0], clips[1])},
            "real_two_takes": pair_timing(as_drawn, again, expressive)
            | {"motion_profile_correlation": profile_correlation(real, other_take)},
        },
        "diversity": diversity_scores(clips[0], clips[1], real),
        "identity": {
            name: identity_scores(judges["identity"], frames, people)
            | {"background_l1": background_l1(frames, people)}
            for name, frames in (("real", real), ("reconstructed", rebuilt), ("generated", clips[0]))
        },
        "samplers": {
            "main": main.name,
            "reference": reference.name,
            "fastest_within_10_percent": fastest_good(samplers, samplers[reference.name]),
            "settings": samplers,
            "main_second_seed": sampler_scores(second, as_drawn, truth),
            "anchors": {
                "real_other_take": sampler_scores(again, as_drawn, truth),
                "static_reference": sampler_scores(still, as_drawn, truth),
            },
        },
    }
    pictures = save_pictures(args.pictures, pipe, people, labels, clips[0], args.num_pictures)
    files = sorted(path for path in Path(args.model).rglob("*") if path.is_file())
    receipt = {
        "command": "python reproduction/evaluate_toon.py " + " ".join(args.argv),
        "seconds": time.perf_counter() - since,
        "seed": args.seed,
        "people": f"numbers {numbers[0]} to {numbers[-1]} of toon faces, seed {args.data_seed}, version {VERSION}, takes 0 and 1",
        "clips": len(truth), "frames": num_frames, "size": size,
        "guidance_scale": main.guidance_scale, "scheduler": type(pipe.scheduler).__name__,
        "device": str(pipe.device), "unet_dtype": args.unet_dtype, "threads": torch.get_num_threads(), "machine": platform.machine(),
        "software": software(),
        "model_sha256": {str(path.relative_to(args.model)): file_sha256(path) for path in files},
        "judges_sha256": {name: file_sha256(judge_file(name)) for name in JUDGES},
        "pictures": [os.path.relpath(path, args.output.parent) for path in pictures],
    }  # fmt: skip
    return rounded({"receipt": receipt} | results)


def fastest_good(samplers: dict[str, dict], goal: dict) -> str | None:
    """Of the settings of ten steps at most that score as `goal` does, the one of fewest steps; None if there is none."""

    def good(row: dict) -> bool:
        near = row["judge_features_frechet_distance"] <= WITHIN * goal["judge_features_frechet_distance"]
        return row["steps"] <= 10 and near and row["accuracy"] >= goal["accuracy"] / WITHIN

    def cost(name: str) -> tuple[int, float]:
        return samplers[name]["steps"], samplers[name]["judge_features_frechet_distance"]

    return min((name for name, row in samplers.items() if good(row)), key=cost, default=None)


def as_json(results: dict) -> str:
    """Indented, with lists of numbers on one line."""
    return (
        re.sub(
            r"\[[^\[\]{}\"]*\]",
            lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"),
            json.dumps(results, indent=2),
        )
        + "\n"
    )


def summary(results: dict) -> str:
    """The numbers that a reader asks for first, as a few lines."""
    l1, flow, labels = (results[name] for name in ("reconstruction", "end_point_error_in_pixels", "labels"))
    timing, samplers = results["timing"], results["samplers"]
    identity, occlusion = results["identity"], results["occlusion"]
    return "\n".join(
        (
            f"L1 over moving pixels {l1['l1_moving']}, inpainted {l1['inpainted_l1_moving']}, static {l1['static_l1_moving']}",
            f"occlusion: mean {occlusion['occlusion_mean']}, least {occlusion['occlusion_min']}",
            f"end-point error, visible and moving: {flow['predicted']['visible_moving']}, zero flow {flow['zero']['visible_moving']} pixels",
            f"label accuracy: generated {labels['generated']['accuracy']}, real {labels['real']['accuracy']}, "
            f"reconstructed {labels['reconstructed']['accuracy']}",
            f"onset differs between seeds by {timing['generated_two_seeds']['onset_difference_in_frames']} frames, "
            f"between real takes by {timing['real_two_takes']['onset_difference_in_frames']}",
            f"identity: similarity {identity['generated']['similarity']} (real {identity['real']['similarity']}), "
            f"retrieval {identity['generated']['retrieval']}",
            f"fastest sampler within 10% of {samplers['reference']}: {samplers['fastest_within_10_percent']}",
        )
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "model", metavar="MODEL_FOLDER", help="a folder with an LFDMPipeline that knows toon faces' labels"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pictures", type=Path, help="folder of contact sheets (default: OUTPUT without its ending)")
    parser.add_argument("--num_pictures", type=int, default=6, help="people on contact sheets")
    parser.add_argument("--num_people", type=int, default=20)
    parser.add_argument("--first_person", type=int, default=600, help="people from here on were not trained on")
    parser.add_argument("--data_seed", type=int, default=0, help="the population's")
    parser.add_argument("--seed", type=int, default=0, help="of all noise")
    parser.add_argument(
        "--main", help="setting that is measured in full (default: the pipeline's own, else ddim:10:1)"
    )
    parser.add_argument("--reference", default=REFERENCE, help="setting that the others are compared with")
    parser.add_argument(
        "--settings", nargs="*", default=list(CANDIDATES), help="others, as SAMPLER:STEPS[:ETA[:GUIDANCE]]"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--unet_dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else argv
    for name, least in (("num_pictures", 1), ("num_people", 2), ("first_person", 0), ("data_seed", 0), ("seed", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name} must be {least} or more, got {getattr(args, name)}")
    if not Path(args.model, "model_index.json").is_file():
        parser.error(f"MODEL_FOLDER must hold a pipeline (model_index.json), got {args.model}")
    args.pictures = args.pictures or args.output.with_suffix("")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        results = evaluate(args)
        with whole(args.output) as part:
            part.write_text(as_json(results), encoding="utf-8")
    except (ValueError, OSError) as error:
        raise SystemExit(f"evaluate_toon: {error}") from error
    print(summary(results))
    print(f"wrote {args.output} and the pictures in {args.pictures}")


if __name__ == "__main__":
    main()
