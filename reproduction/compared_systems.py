"""The systems that LFDM is compared with on toon faces: how each is trained, and what a clip costs it, to learn and to make.

    python reproduction/compared_systems.py train --work tables    # in the folder of paper_tables.py; goes on where it was stopped
    python reproduction/compared_systems.py keep --work tables     # baselines/ in half precision, with cards and curves
    python reproduction/compared_systems.py costs                  # docs/results/costs.json, on a machine that does nothing else
    python reproduction/compared_systems.py draw                   # docs/compared-systems.webp

All see as many clips as LFDM's U-Net did, with its label embeddings, learning rates and averaging where a system has them.
What baselines/ has is neither trained nor kept again; reproduction/paper_tables.py evaluates it.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import PIL.Image
import torch
from kept_weights import TOON_FACTS, curve, draw_curves, read_metrics, save_half, write_thinned
from torch.utils.flop_counter import FlopCounterMode

from lfdm_diffusers import ImaginatorPipeline, LatentFlowAutoencoder, LFDMPipeline, ops
from lfdm_diffusers.data.dataset import ClipSample
from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.embedded import embedded_model, embedded_pictures
from lfdm_diffusers.evaluation.report import hardware, peak_memory_bytes, software
from lfdm_diffusers.files.whole import whole, write_json
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators
from lfdm_diffusers.pipelines import ImageToVideoPipeline
from lfdm_diffusers.pipelines.loading import load_pipeline
from lfdm_diffusers.training.adversarial import AdversarialLoss
from lfdm_diffusers.training.diffusion import FrameTask, MotionTask
from lfdm_diffusers.training.equivariance import RandomTransform
from lfdm_diffusers.training.frame_autoencoder import FrameAutoencoderLoss, build_frame_autoencoder
from lfdm_diffusers.training.lfae import LFAELoss
from lfdm_diffusers.training.metrics_file import last_validation
from lfdm_diffusers.training.motion_cache import MotionSample
from lfdm_diffusers.training.presets import get_autoencoder_config, get_lfae_config
from lfdm_diffusers.training.reconstruction_loss import PixelPyramidLoss
from lfdm_diffusers.visualization import contact_sheet

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
KEPT = "baselines"
COSTS = ROOT / "docs" / "results" / "costs.json"
PICTURE = ROOT / "docs" / "compared-systems.webp"
# LFDM's U-Net saw 3,400 batches of 8 clips (lfdm_diffusers/assets/toon64/README.md).
SHARED = "--train_data_dir toon --cache_dir toon-cache --preset toon64 --mixed_precision bf16 --train_batch_size 8"
SHARED += (
    " --lr_milestones .75 .92 --resume_from_checkpoint latest --checkpointing_steps 200 --checkpoints_total_limit 2"
)
CLIPS = "--flip --max_train_steps 3400"
DENOISER = f"{CLIPS} --learning_rate 5e-4 --lr_warmup_steps 200 --ema_decay .997 --max_grad_norm 1"
CALLS = 5


@dataclass(frozen=True)
class System:
    """A system and its trainings.

    Attributes:
        name, title: of its folders, and on pages.
        trainings: options of training/train_baseline.py by the folder of each run; the last leaves the pipeline.
        steps: denoising steps of DDIM, those of the LFDM paper first, then few; none where nothing is denoised.
        autoencoder_pairs: pairs of pictures that its auto-encoders saw, by the preset of each.
        clips_of_motion: whose motion was computed once for all of the denoiser's training.
    """

    name: str
    title: str
    trainings: dict[str, str]
    steps: tuple[int, ...] = ()
    autoencoder_pairs: Mapping[str, int] = field(default_factory=dict)
    clips_of_motion: int = 0

    @property
    def kept(self) -> Path:
        """Its folder in the project."""
        return ROOT / KEPT / self.name

    @property
    def is_kept(self) -> bool:
        """Whether its pipeline is there: LDM's auto-encoder may be, before its U-Net is trained."""
        return (self.kept / "model_index.json").is_file()

    def commands(self, label_embeddings: str) -> dict[str, list[str]]:
        """Arguments of training/train_baseline.py by the folder of each run; the auto-encoder's has no use for labels."""
        found = {}
        for folder, options in self.trainings.items():
            labels = [] if folder == "autoencoder" else ["--label_embeddings", label_embeddings]
            found[folder] = [*shlex.split(f"{SHARED} {options} --output_dir {folder}"), *labels]
        return found


SYSTEMS = (
    System(
        "imaginator",
        "ImaGINator",
        {
            "imaginator": f"--system imaginator {CLIPS} --learning_rate 2e-4 --adam_beta1 .5 --adam_beta2 .999 "
            "--ema_decay .997 --discriminator_lr_scale .1",
        },
    ),
    System("vdm", "VDM", {"vdm": f"--system vdm {DENOISER} --prediction_type sample --target_scale .5"}, (200, 10)),
    System(
        "ldm",
        "LDM",
        {
            "autoencoder": "--system autoencoder --learning_rate 5e-4 --lr_warmup_steps 100 --max_grad_norm 1 --max_train_steps 4000",
            "ldm": f"--system ldm --autoencoder autoencoder/vae {DENOISER} --prediction_type v_prediction --target_scale .5",
        },
        (200, 10),
        {"toon64": 4000 * 8},
    ),
)
# Its auto-encoder's stages, and its own sampling first.
LFDM = System("lfdm", "LFDM", {}, (4, 10, 200), {"toon64-coarse": 2500 * 16, "toon64": 6000 * 16}, 640 * 7)
CLIPS_SEEN = 3400 * 8


def train(work: Path) -> None:
    """What is neither kept nor trained yet."""
    script = ROOT / "training" / "train_baseline.py"
    for system in SYSTEMS:
        if system.is_kept:
            continue
        for folder, options in system.commands(str(embedded_model("toon64"))).items():
            if any((work / folder / made).is_dir() for made in ("pipeline", "vae")):
                continue
            subprocess.run([sys.executable, str(script), *options], cwd=work, check=True)


# ---- what is kept ---------------------------------------------------------------------------------------------------


def keep(work: Path) -> None:
    """Pipelines that are trained and not kept yet, in half precision with a card, thinned metrics and curves."""
    for system in SYSTEMS:
        if system.is_kept:
            continue
        trained = work / system.name / "pipeline"
        if not trained.is_dir():
            print(f"{trained} is not there: not kept")
            continue
        pipe = load_pipeline(trained, kind=ImageToVideoPipeline)
        metrics = {run: read_metrics(work / run / "metrics.jsonl") for run in system.trainings}
        with whole(system.kept) as folder:
            folder.mkdir()
            size = save_half(pipe, folder)
            for run, records in metrics.items():
                write_thinned(records, folder / f"{run}.jsonl")
            plot_trainings(metrics, folder / "training.png")
            facts = TOON_FACTS | {
                "name": f"{system.title} on toon faces",
                "notes": [about(system, metrics, work)],
            }
            pipe.card(facts=facts).save(folder / "README.md")
        print(f"wrote {system.kept.relative_to(ROOT)}: {size / 1e6:.1f} MB of weights")


def about(system: System, metrics: Mapping[str, list[dict]], work: Path) -> str:
    """For its card: why it is here, by what it was trained, for how long, and the last validation."""
    runs = system.commands("lfdm_diffusers/assets/toon64").values()
    commands = [f"python training/train_baseline.py {shlex.join(options)}" for options in runs]
    rows = ["| run | steps | hours of training | last validation |", "| --- | --- | --- | --- |"]
    for run, records in metrics.items():
        steps, speeds = curve(records, "steps_per_second", window=1)
        hours = sum((now - before) / speed for before, now, speed in zip([0, *steps], steps, speeds)) / 3600
        _, found = last_validation(work / run / "metrics.jsonl")
        scores = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        rows.append(f"| {run} | {steps[-1]} | {hours:.1f} | {scores} |")
    return "\n\n".join(
        (
            "## How it was made",
            "A baseline, trained for a comparison with latent flow diffusion, its denoiser on as many clips (docs/results.md, table 1, and docs/related.md), "
            "not to be used for what it makes. `python reproduction/compared_systems.py train` of the project ran, with seed 0 on CPU cores:",
            "\n".join(["```bash", *commands, "```"]),
            "\n".join(rows),
            "![Curves](training.png)",
        )
    )


OF_RUN = ("step", "lr", "steps_per_second", "waiting_for_data")


def plot_trainings(metrics: Mapping[str, list[dict]], path: Path) -> None:
    """Losses of each training on the left, and validations on the right."""
    figure, rows = plt.subplots(len(metrics), 2, figsize=(10, 3.2 * len(metrics)), layout="constrained", squeeze=False)
    for (run, records), row in zip(metrics.items(), rows):
        names = dict.fromkeys(name for record in records for name in record if name not in OF_RUN)
        labels = {name: name.removeprefix("validation/").replace("_", " ") for name in names}
        for axes, held_out in zip(row, (False, True)):
            shown = {name: label for name, label in labels.items() if name.startswith("validation/") == held_out}
            title = f"{run}: {'unseen people' if held_out else 'losses'}"
            draw_curves(axes, records, shown, title, yscale="log")
    figure.savefig(path, dpi=80)
    plt.close(figure)


# ---- costs ----------------------------------------------------------------------------------------------------------


def sampling_call(pipe: ImageToVideoPipeline, steps: int | None) -> Callable[[], object]:
    """Make one video."""
    picture = PIL.Image.open(embedded_pictures()[0]).convert("RGB")
    options = {"num_inference_steps": steps} if steps else {}
    seed = torch.Generator()
    return lambda: pipe(picture, pipe.labels[0], generator=seed.manual_seed(0), output_type="pt", **options)


def training_call(pipe: ImageToVideoPipeline) -> Callable[[], object]:
    """Losses of one clip and their gradients, by what generates; flow is cached for LFDM, latents are not for LDM."""
    frames = torch.rand(1, 3, pipe.num_frames, pipe.sample_size, pipe.sample_size)
    if isinstance(pipe, ImaginatorPipeline):
        judges = ImaginatorDiscriminators(pipe.sample_size, pipe.num_frames, text_embed_dim=pipe.text_embed_dim)
        players = AdversarialLoss(pipe.imaginator.train(), judges)
        noise = torch.zeros(1, pipe.imaginator.config.noise_dim)
        given = (frames, frames[:, :, 0], pipe.encode_prompt(pipe.labels[0])[0], noise, torch.tensor([0]))
        return lambda: sum(players(*given).values()).backward()
    pipe.unet.train()
    if isinstance(pipe, LFDMPipeline):
        task = MotionTask(pipe, ema_decay=0)
        side = pipe.sample_size // pipe.downscale_factor
        sample = MotionSample(frames[:, :, 0], torch.zeros(1, 3, pipe.num_frames, side, side), [pipe.labels[0]])
    else:
        task = FrameTask(pipe, ema_decay=0)
        sample = ClipSample(frames, torch.arange(pipe.num_frames)[None], [pipe.labels[0]], [""])
    return lambda: task.module(*task.arguments(sample, [0])).backward()


def autoencoder_call(system: str, preset: str) -> Callable[[], object]:
    """Losses of one pair of pictures and their gradients, by an auto-encoder."""
    if system == "ldm":
        vae = build_frame_autoencoder(get_autoencoder_config(preset))
        side = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
        loss = FrameAutoencoderLoss(vae, PixelPyramidLoss())
        pictures, noise = torch.rand(2, 3, *[vae.config.sample_size] * 2), torch.zeros(2, 3, side, side)
        return lambda: sum(loss(pictures, noise).values()).backward()
    lfae = LatentFlowAutoencoder(**get_lfae_config(preset)).train()
    loss, pair = LFAELoss(lfae, PixelPyramidLoss()), torch.rand(2, 1, 3, *[lfae.config.sample_size] * 2)
    return lambda: sum(loss(*pair, RandomTransform.sample(1))[0].values()).backward()


def motion_call(lfae: LatentFlowAutoencoder, num_frames: int) -> Callable[[], object]:
    """Motion of one clip from its first frame, as `MotionCache` keeps it."""
    frames = torch.rand(1, 3, num_frames, *[lfae.config.sample_size] * 2)
    return lambda: lfae.predict_flow(frames[:, :, 0], frames[:, :, 1:])


def gigaflop(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, ops.limits(winograd=False):
        call()
    return counter.get_total_flops() / 1e9


def cost(folder: str, steps: int | None) -> dict:
    """Of one video, in bfloat16 and by itself: seconds, the process's memory and GFLOP; and GFLOP of a training example."""
    pipe = load_pipeline(folder, dtype=torch.bfloat16, kind=ImageToVideoPipeline)
    call, seconds = sampling_call(pipe, steps), []
    call()
    for _ in range(CALLS):
        since = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - since)
    memory, sampling = (peak_memory_bytes() or math.nan) / 1e9, gigaflop(call)
    return {
        "steps": steps,
        "seconds": statistics.median(seconds),
        "calls": seconds,
        "peak_memory_gb": memory,
        "gigaflop": sampling,
        "training_gigaflop": gigaflop(training_call(pipe.to(torch.float32))),
    }


def measure_costs() -> None:
    """Each system and number of steps in a process of its own; those that are not kept yet are left out."""
    found = {}
    for system in (*SYSTEMS, LFDM):
        folder = embedded_model("toon64") if system is LFDM else system.kept
        if system is not LFDM and not system.is_kept:
            print(f"{folder} is not there: not measured")
            continue
        pairs = system.autoencoder_pairs.items()
        before = sum(count * gigaflop(autoencoder_call(system.name, preset)) for preset, count in pairs)
        if system.clips_of_motion:
            pipe = load_pipeline(folder, kind=LFDMPipeline)
            with torch.no_grad():
                before += system.clips_of_motion * gigaflop(motion_call(pipe.lfae, pipe.num_frames))
        before /= 1e6
        for steps in system.steps or (None,):
            command = [sys.executable, __file__, "cost", "--folder", str(folder)]
            command += ["--steps", str(steps)] if steps else []
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(run.stdout.splitlines()[-1])
            learned = row.pop("training_gigaflop") * CLIPS_SEEN / 1e6
            row |= {"petaflop_before_denoiser": before, "training_petaflop": before + learned}
            found[row_name(system, steps)] = row
            print(f"{row_name(system, steps)}: {row['seconds']:.3g} s, {row['peak_memory_gb']:.2f} GB", flush=True)
    write_json(COSTS, {"systems": found, "software": software(), "hardware": hardware(torch.device("cpu"))})


def row_name(system: System, steps: int | None) -> str:
    """Of results: the system's, with its steps if they are not its first."""
    return system.name if steps is None or steps == system.steps[0] else f"{system.name}-{steps}"


# ---- a picture ------------------------------------------------------------------------------------------------------

SHOWN = ((611, "surprise"), (623, "happiness"), (634, "anger"))  # people whom no system has seen, and what they do
FRAMES = (0, 5, 10, 15)


def draw() -> None:
    """docs/compared-systems.webp: frames of clips by each system that is kept, of the same pictures and labels, below the real
    ones."""
    clips = [toon_clip(0, person, label, num_frames=16, size=64).frames for person, label in SHOWN]
    rows = {"real": [clip / 255 for clip in clips]}
    systems = [(system.title, system.kept, next(iter(system.steps), None)) for system in SYSTEMS if system.is_kept]
    for title, folder, steps in (*systems, ("LFDM", embedded_model("toon64"), None)):
        pipe = load_pipeline(folder, kind=ImageToVideoPipeline)
        options = {"num_inference_steps": steps} if steps else {}
        seed = torch.Generator()
        rows[title] = [
            pipe(clip[0], label, generator=seed.manual_seed(0), output_type="np", **options).frames[0]
            for clip, (_, label) in zip(clips, SHOWN)
        ]
    sheet = contact_sheet(
        [[clip[frame] for clip in made for frame in FRAMES] for made in rows.values()],
        [label if frame == 0 else f"frame {frame}" for _, label in SHOWN for frame in FRAMES],
        tile=96,
        names=list(rows),
    )
    sheet.save(PICTURE, lossless=True)
    print(f"wrote {PICTURE.name}: {sheet.width}x{sheet.height}, {PICTURE.stat().st_size // 1024} KB")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=["train", "keep", "costs", "cost", "draw"], help="cost: of one --folder, as JSON"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("tables"), help="folder of paper_tables.py (default: tables)"
    )
    parser.add_argument("--folder", help="pipeline")
    parser.add_argument("--steps", type=int)
    args = parser.parse_args(argv)
    if args.what == "train":
        train(args.work)
    elif args.what == "keep":
        keep(args.work)
    elif args.what == "draw":
        draw()
    elif args.what == "costs":
        measure_costs()
    else:
        print(json.dumps(cost(args.folder, args.steps)))


if __name__ == "__main__":
    main()
