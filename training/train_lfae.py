#!/usr/bin/env python
"""Stage one: train a latent flow auto-encoder on pairs of frames of any clips; see docs/training.md.

accelerate launch training/train_lfae.py --train_data_dir toon-faces --output_dir lfae-toon64 --preset toon64 \
    --perceptual none --train_batch_size 16 --max_train_steps 7000
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from huggingface_hub import HfApi
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lfdm_diffusers import LatentFlowAutoencoder
from lfdm_diffusers.convert_command import push_folder
from lfdm_diffusers.data.batches import StepBatchSampler
from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.dataset import PairDataset
from lfdm_diffusers.data.layouts import LAYOUTS
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.losses import LFAELoss, PerceptualPyramidLoss, PixelPyramidLoss, RandomTransform
from lfdm_diffusers.model_cards import lfae_card
from lfdm_diffusers.presets import LFAE_CONFIGS, get_lfae_config
from lfdm_diffusers.reconstruction import evaluate_reconstruction, reconstruction_pairs
from lfdm_diffusers.training_utils import (
    STATE_FILE,
    MetricsFile,
    average_running_statistics,
    choose_clips,
    find_checkpoint,
    learning_rate,
    load_vgg19,
    prune_checkpoints,
    require_at_least,
    require_finite,
    step_generator,
    whole_folder,
)

# A run that goes on with another value of these is no longer the run that was interrupted.
SAME_RUN = ("seed", "train_batch_size", "gradient_accumulation_steps", "num_processes", "num_clips", "resolution")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter
    )
    data = parser.add_argument_group("data")
    data.add_argument("--train_data_dir", type=Path, required=True, help="folder of clips, see docs/data.md")
    data.add_argument("--layout", default="auto", choices=["auto", *LAYOUTS])
    data.add_argument("--train_split", help="default: train, where the data have splits; else all clips")
    data.add_argument("--validation_split", help="default: validation, else test, else the training clips")
    data.add_argument("--resolution", type=int, help="side of the pictures in pixels; default: the model's")
    data.add_argument("--fit", default="letterbox", choices=["letterbox", "center_crop"])
    data.add_argument("--id_sampling", action="store_true", help="a random clip of the same subject, as for UTD-MHAD")
    data.add_argument("--no_augment", action="store_true", help="no flips, no changes of colour")
    data.add_argument("--cache_dir", help="decoded clips; default: OUTPUT_DIR/cache; 'none' decodes every time")
    data.add_argument("--dataloader_num_workers", type=int, default=0)

    model = parser.add_argument_group("model (one of the first three)")
    model.add_argument("--preset", metavar="NAME", help=f"a new model: {', '.join(LFAE_CONFIGS)}")
    model.add_argument("--model_config_name_or_path", type=Path, help="a new model: its config.json, or overrides")
    model.add_argument("--pretrained_model_name_or_path", help="weights to start from: a folder or Hub repository")
    model.add_argument("--subfolder", help="of --pretrained_model_name_or_path, such as lfae")

    loss = parser.add_argument_group("losses")
    loss.add_argument(
        "--perceptual",
        default="timm/vgg19.tv_in1k",
        help="VGG-19: Hub repository or file; 'none': pixels and gradients",
    )
    loss.add_argument(
        "--inpainted_loss_weight", type=float, default=1.0, help="0 as in the paper; see docs/training.md"
    )

    run = parser.add_argument_group("training")
    run.add_argument("--output_dir", type=Path, required=True)
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--train_batch_size", type=int, default=16, help="pairs in each process and forward pass")
    run.add_argument("--gradient_accumulation_steps", type=int, default=1)
    run.add_argument("--num_train_epochs", type=int, default=100)
    run.add_argument(
        "--num_repeats", type=int, default=1, help="times each clip counts in an epoch; published: 100, 5"
    )
    run.add_argument("--max_train_steps", type=int, help="updates of the weights; overrides --num_train_epochs")
    run.add_argument("--learning_rate", "--lr", type=float, default=2e-4)
    run.add_argument("--lr_milestones", type=float, nargs="*", default=[0.6, 0.9], help="shares of the whole training")
    run.add_argument("--lr_gamma", type=float, default=0.1, help="factor of the learning rate at each milestone")
    run.add_argument("--adam_beta1", type=float, default=0.5)
    run.add_argument("--adam_beta2", type=float, default=0.999)
    run.add_argument("--mixed_precision", choices=["no", "bf16", "fp16"], help="default: accelerate's configuration")
    run.add_argument("--allow_tf32", action="store_true", help="faster float32 on Ampere GPUs and later")
    run.add_argument("--checkpointing_steps", type=int, default=500)
    run.add_argument("--checkpoints_total_limit", type=int, help="keep only so many, the newest")
    run.add_argument("--resume_from_checkpoint", metavar="latest|PATH")
    run.add_argument(
        "--validation_steps", type=int, default=500, help="numbers and a contact sheet; 0: at the end only"
    )
    run.add_argument("--num_validation_pairs", type=int, default=32)
    run.add_argument("--logging_steps", type=int, default=10)
    run.add_argument("--report_to", default="none", help="tensorboard, wandb, ...; metrics.jsonl is always written")
    hub = parser.add_argument_group("Hub")
    hub.add_argument("--push_to_hub", action="store_true")
    hub.add_argument("--hub_model_id", help="default: the name of OUTPUT_DIR")
    hub.add_argument("--hub_token")
    hub.add_argument("--hub_private_repo", action="store_true")
    args = parser.parse_args(argv)
    at_least_1 = (
        "train_batch_size gradient_accumulation_steps num_train_epochs num_repeats max_train_steps resolution "
    )
    at_least_1 += "checkpointing_steps checkpoints_total_limit logging_steps num_validation_pairs"
    at_least_0 = "seed validation_steps dataloader_num_workers inpainted_loss_weight learning_rate"
    require_at_least(parser, args, {1: at_least_1, 0: at_least_0})
    return args


def build_model(args: argparse.Namespace, checkpoint: Path | None) -> LatentFlowAutoencoder:
    """The model to train: of the checkpoint to go on from, else pretrained or new as the arguments say.

    Raises:
        ValueError: if they do not say one thing, or the pictures' size does not fit the model.
    """
    sources = {
        name: getattr(args, name)
        for name in ("preset", "model_config_name_or_path", "pretrained_model_name_or_path")
        if getattr(args, name) is not None
    }
    if checkpoint is not None:
        model = LatentFlowAutoencoder.from_pretrained(checkpoint, subfolder="lfae")
    elif len(sources) != 1:
        raise ValueError(
            "one of `--preset`, `--model_config_name_or_path` and `--pretrained_model_name_or_path` must be given, got "
            f"{' and '.join(f'--{name}' for name in sources) or 'none'}."
        )
    elif args.pretrained_model_name_or_path:
        model = LatentFlowAutoencoder.from_pretrained(args.pretrained_model_name_or_path, subfolder=args.subfolder)
    else:
        if args.preset:
            config = get_lfae_config(args.preset)
        else:
            try:
                config = json.loads(args.model_config_name_or_path.read_text(encoding="utf-8"))
            except (OSError, json.JSONDecodeError) as error:
                raise ValueError(f"`--model_config_name_or_path` must be a JSON file: {error}") from error
        set_seed(args.seed)
        model = LatentFlowAutoencoder.from_config(config)
    size = args.resolution or model.config.sample_size
    if not size or size % model.flow_stride:
        raise ValueError(f"`--resolution` must be a multiple of {model.flow_stride} for this model, got {size}.")
    model.register_to_config(sample_size=size)
    return model.float().to(memory_format=torch.channels_last)


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and lfae/ in the output folder."""
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.report_to == "none" else args.report_to,
        project_dir=args.output_dir,
        # Without synchronised BatchNorm each process keeps its own statistics until they are averaged for saving.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if args.report_to != "none" and not accelerator.log_with:  # accelerate passes over what is not installed
        raise ValueError(f"`--report_to` {args.report_to} is not installed.")
    device, main = accelerator.device, accelerator.is_main_process
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.allow_tf32
    checkpoint = find_checkpoint(args.output_dir, args.resume_from_checkpoint)
    lfae = build_model(args, checkpoint).train()
    args.resolution = lfae.config.sample_size
    perceptual = args.perceptual != "none"
    train_clips, held_out, about = choose_clips(
        args.train_data_dir, args.layout, args.train_split, args.validation_split
    )
    hub_model_id = args.hub_model_id or args.output_dir.resolve().name
    if args.push_to_hub and main:  # before the work, so that a missing token shows now
        api = HfApi(token=args.hub_token)
        hub_model_id = api.create_repo(hub_model_id, private=args.hub_private_repo, exist_ok=True).repo_id
    with accelerator.main_process_first():  # which fills the cache
        vgg = load_vgg19(args.perceptual) if perceptual else None
        args.output_dir.mkdir(parents=True, exist_ok=True)
        size = (args.resolution, args.resolution, args.fit)
        cache = args.cache_dir or str(args.output_dir / "cache")
        reader = ClipReader(*size) if cache == "none" else CachedClipReader(cache, *size)
        train_clips, held_out = (scan_clips(clips, reader, progress=main) for clips in (train_clips, held_out))
    if main:
        print(f"training: {train_clips}\nvalidation ({about}): {held_out}", flush=True)
    pairs = PairDataset(train_clips.clips, reader, args.seed, args.id_sampling, augment=not args.no_augment)
    accumulation = args.gradient_accumulation_steps
    batch = args.train_batch_size * accelerator.num_processes
    steps = args.max_train_steps
    if steps is None:
        steps = max(1, args.num_train_epochs * args.num_repeats * len(pairs) // (batch * accumulation))
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    settings.pop("hub_token")
    settings |= {"num_processes": accelerator.num_processes, "num_clips": len(pairs), "max_train_steps": steps}
    settings["lr_milestones"] = " ".join(map(str, args.lr_milestones))  # trackers take no lists

    if device.type == "cuda" and accelerator.num_processes > 1:
        lfae = nn.SyncBatchNorm.convert_sync_batchnorm(lfae)
    loss_of = LFAELoss(
        lfae, PerceptualPyramidLoss(vgg) if perceptual else PixelPyramidLoss(), args.inpainted_loss_weight
    )
    optimizer = torch.optim.Adam(lfae.parameters(), args.learning_rate, (args.adam_beta1, args.adam_beta2))
    # The loader is not prepared: its sampler shares out batches by itself.
    loss_of, optimizer = accelerator.prepare(loss_of, optimizer)
    step = 0
    if checkpoint is not None:
        state = torch.load(checkpoint / STATE_FILE, "cpu", weights_only=True)
        step = state["step"]
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler is not None and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])
        was = state["settings"]
        changed = [f"{k} was {was[k]}, is {settings[k]}" for k in SAME_RUN if was[k] != settings[k]]
        if main:
            print(f"going on from {checkpoint}, step {step}", *changed, sep="; ", flush=True)
    share = {"process_index": accelerator.process_index, "num_processes": accelerator.num_processes}
    sampler = StepBatchSampler(
        len(pairs), batch, steps * accumulation, args.seed, first_step=step * accumulation, **share
    )
    loader = DataLoader(
        pairs, batch_sampler=sampler, num_workers=args.dataloader_num_workers, pin_memory=device.type == "cuda"
    )
    if main:
        metrics = MetricsFile(args.output_dir / "metrics.jsonl", step)
        validation = reconstruction_pairs(held_out.clips, reader, args.num_validation_pairs)
    if args.report_to != "none":
        accelerator.init_trackers("train_lfae", {k: v for k, v in settings.items() if v is not None})

    def record(values: dict[str, float]) -> None:
        metrics.write(step, values)
        accelerator.log(values, step=step)

    def validate() -> None:
        average_running_statistics(lfae)
        require_finite(lfae, step)
        if main:
            with accelerator.autocast():
                numbers, sheet = evaluate_reconstruction(lfae, *validation, batch_size=args.train_batch_size)
            record({f"validation/{name}": value for name, value in numbers.items()})
            file = args.output_dir / "samples" / f"step-{step:06d}.png"
            file.parent.mkdir(exist_ok=True)
            sheet.save(file)
            progress.write(f"step {step}: " + ", ".join(f"{k} {v:.4f}" for k, v in numbers.items()) + f"; {file}")
        accelerator.wait_for_everyone()

    def save() -> None:
        average_running_statistics(lfae)
        require_finite(lfae, step)
        if main:
            state = {"step": step, "optimizer": optimizer.state_dict(), "settings": settings, "scaler": None}
            if accelerator.scaler is not None:
                state["scaler"] = accelerator.scaler.state_dict()
            with whole_folder(args.output_dir / f"checkpoint-{step}") as folder:
                lfae.save_pretrained(folder / "lfae")
                torch.save(state, folder / STATE_FILE)
            prune_checkpoints(args.output_dir, args.checkpoints_total_limit)
        accelerator.wait_for_everyone()

    progress = tqdm(total=steps, initial=step, desc="train_lfae", unit="step", disable=not main, dynamic_ncols=True)
    window, since = {}, time.perf_counter()
    for micro, pair in enumerate(loader, step * accumulation):
        with accelerator.accumulate(loss_of):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(args.learning_rate, args.lr_gamma, args.lr_milestones, step, steps)
            generator = step_generator(args.seed, micro, accelerator.process_index)
            transform = RandomTransform.sample(len(pair.driving), generator=generator, device=device)
            images = (x.to(device, non_blocking=True) for x in (pair.reference, pair.driving))
            losses, occlusion = loss_of(*images, transform)
            loss = sum(losses.values())
            values = {"loss": loss.detach(), **{k: v.detach() for k, v in losses.items()}, "occlusion_mean": occlusion}
            values = dict(zip(values, accelerator.reduce(torch.stack(list(values.values())), "mean")))
            if not values["loss"].isfinite():  # the same in every process
                parts = ", ".join(f"{name} {values[name]:.4g}" for name in losses)
                raise FloatingPointError(f"the loss is {values['loss']:.4g} at step {step + 1} ({parts}).")
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, value in values.items():
            window.setdefault(name, []).append(value)
        if not accelerator.sync_gradients:
            continue
        step += 1
        progress.update()
        if step % args.logging_steps == 0 or step == steps:
            means = {name: torch.stack(found).mean().item() for name, found in window.items()}
            now = time.perf_counter()
            rate = len(window["loss"]) / accumulation / (now - since)
            window, since = {}, now
            progress.set_postfix(loss=f"{means['loss']:.3f}", occlusion=f"{means['occlusion_mean']:.3f}")
            if main:
                record({**means, "lr": optimizer.param_groups[0]["lr"], "steps_per_second": rate})
        # Validation first: where a run is killed between the two, the one that goes on validates again.
        if (args.validation_steps and step % args.validation_steps == 0) or step == steps:
            validate()
        if step % args.checkpointing_steps == 0 or step == steps:
            save()
    progress.close()

    average_running_statistics(lfae)
    if main:
        final = args.output_dir / "lfae"
        note = f"Trained for {steps} steps of {batch * accumulation} pairs with `training/train_lfae.py`, seed {args.seed}."
        facts = {"dataset": f"{len(pairs)} clips", "notes": [note]}
        with whole_folder(final) as folder:
            lfae.save_pretrained(folder)
            lfae_card(lfae, repo_id=hub_model_id if args.push_to_hub else None, facts=facts).save(folder / "README.md")
        print(f"wrote {final}: LatentFlowAutoencoder.from_pretrained({str(final)!r})", flush=True)
        if args.push_to_hub:
            print("pushed to", push_folder(final, hub_model_id, args.hub_token, args.hub_private_repo, "Trained LFAE"))
    accelerator.wait_for_everyone()
    accelerator.end_training()


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    try:
        train(args)
    except FloatingPointError as error:
        raise SystemExit(
            f"train_lfae: {error} Training has stopped; what was saved before is kept. Go on from there with "
            "`--resume_from_checkpoint latest` and a lower --learning_rate, or without --mixed_precision."
        ) from error
    except (ValueError, OSError) as error:
        raise SystemExit(f"train_lfae: {error}") from error


if __name__ == "__main__":
    main()
