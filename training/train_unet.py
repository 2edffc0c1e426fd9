#!/usr/bin/env python
"""Stage two: train a U-Net to generate motion in the latent space of a trained auto-encoder; see docs/training.md.

python training/train_unet.py --train_data_dir toon-faces --lfae lfae-toon64/lfae --output_dir lfdm-toon64 \
    --preset toon64 --text_encoder none --prediction_type v_prediction --train_batch_size 8 --max_train_steps 9000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lfdm_diffusers.arguments.choices import FLOW_TARGETS, OBJECTIVES, TEXT_ENCODER
from lfdm_diffusers.arguments.types import number, whole_number
from lfdm_diffusers.training.arguments import (
    SAMPLED_STEPS,
    add_clip_arguments,
    add_data_arguments,
    add_diffusion_arguments,
    add_hub_arguments,
    add_run_arguments,
    add_sample_arguments,
    add_text_encoder_argument,
    one_sentence,
    refuse_options,
    script_parser,
)
from lfdm_diffusers.training.presets import UNET_CONFIGS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = script_parser(__doc__)
    data = add_data_arguments(parser)
    add_clip_arguments(data)
    data.add_argument(
        "--motion_cache_dir", type=Path, help="flow and occlusion of the clips; default: OUTPUT_DIR/motion"
    )

    data.add_argument(
        "--true_motion",
        action="store_true",
        help="learn the clips' true motion, of drawn clips (`lfdm data`), in the place of what the auto-encoder sees in them",
    )

    data.add_argument(
        "--reframe",
        type=number(0, 0.5),
        default=0.0,
        metavar="A",
        help="turn pictures and their motion by up to A radians, scale them by up to exp(A), shift them by up to A of half a side",
    )

    data.add_argument(
        "--degrade",
        type=number(0, 1),
        default=0.0,
        metavar="P",
        help="share of the pictures that look like bad photographs: small, dark or bright, noisy, hard-pressed; their motion stays",
    )

    model = parser.add_argument_group("model (a new U-Net, or one to go on with)")
    model.add_argument("--lfae", metavar="PATH|ID", help="trained auto-encoder: a folder or Hub repository")
    model.add_argument("--lfae_subfolder", help="of --lfae, such as lfae")
    model.add_argument("--preset", metavar="NAME", help=f"a new U-Net: {', '.join(UNET_CONFIGS)}")
    model.add_argument("--model_config_name_or_path", type=Path, help="a new U-Net: its config.json, or overrides")
    model.add_argument(
        "--pretrained_model_name_or_path", help="pipeline to go on with; with --lfae, for that auto-encoder"
    )
    model.add_argument(
        "--lora_rank", type=whole_number(0), default=0, help="train adapters of this rank only (0: all weights)"
    )
    model.add_argument(
        "--image_blocks",
        type=whole_number(0),
        help="the U-Net reads the picture with so many residual blocks first, once for all frames (a pretrained one that does\n"
        "not learns to); default: 0, or as many as the pretrained one has",
    )
    model.add_argument(
        "--image_summary",
        type=whole_number(0),
        metavar="N",
        help="these blocks also make a summary of the whole picture, of N features: whether a face smiles, say; default: 0, or as\n"
        "the pretrained one has it",
    )
    model.add_argument("--lora_alpha", type=number(above=0), help="default: the rank")
    add_text_encoder_argument(
        model, " for a new U-Net; for a pretrained one its own table, where new labels get vectors of their own"
    )
    model.add_argument(
        "--text_attention",
        action="store_true",
        help="the U-Net attends to the words of a text beside their mean: for sentences and their order (a pretrained one\n"
        "that does not learns to, from --text_encoder)",
    )
    data.add_argument(
        "--caption_prob",
        type=number(0, 1),
        default=0.0,
        help="share of examples shown with one of their sentences (a list in `text` of the metadata) in the place of their\n"
        "label; clips without a label always are",
    )
    model.add_argument("--save_text_encoder", action="store_true", help="put it into the pipeline too, for free text")

    loss = add_diffusion_arguments(parser)
    loss.add_argument(
        "--flow_target",
        choices=FLOW_TARGETS,
        help="residual, standardised (default); absolute: as published, which no --target_scale goes with",
    )

    loss.add_argument(
        "--expression_weight",
        type=number(0),
        default=0.0,
        metavar="W",
        help="of framed faces: weight of the error in flow and occlusion that no affine motion of the middle explains, beside the\n"
        "whole error (default: 0; tried: 20, of the flow alone)",
    )
    loss.add_argument(
        "--timestep_bias",
        type=number(1),
        default=1.0,
        metavar="B",
        help="draw timesteps as T u^(1/B), u uniform: the more B, the more often noise that leaves the picture and the label to tell the\n"
        "motion (default: 1, all alike)",
    )

    steps = parser.add_argument_group("objective")
    steps.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default=OBJECTIVES[0],
        help="flow_map: teach a copy of the pretrained U-Net to do in 1, 2, 4 or 8 steps what it does in many",
    )
    steps.add_argument(
        "--teacher_steps",
        type=whole_number(1),
        default=8,
        help="of flow_map: steps of the pretrained U-Net for a whole clip",
    )
    steps.add_argument(
        "--walk_steps",
        type=whole_number(1),
        help="of flow_map: at most so many of these for one example, and the averaged U-Net jumps the rest; default: all",
    )
    steps.add_argument(
        "--guidance_scale",
        type=number(above=0),
        help="of flow_map: guidance that the new U-Net needs no second pass for; default: the pretrained pipeline's",
    )

    run = add_run_arguments(
        parser, batch_size=8, learning_rate=2e-4, milestones=(2 / 3, 5 / 6), adam_betas=(0.9, 0.99)
    )
    add_sample_arguments(run, steps=None)
    add_hub_arguments(parser)
    args = parser.parse_args(argv)
    if args.target_scale is not None and args.flow_target == "absolute":
        parser.error("--target_scale goes with --flow_target residual")
    if args.objective == "flow_map":
        if args.pretrained_model_name_or_path is None:
            parser.error("--objective flow_map needs --pretrained_model_name_or_path, whose U-Net teaches")
        settled = ["lfae", "lfae_subfolder", "preset", "model_config_name_or_path", "lora_rank", "lora_alpha"]
        settled += ["text_encoder", "text_attention", "image_blocks", "image_summary", "snr_gamma", "timestep_bias"]
        settled += ["expression_weight"]
        refuse_options(parser, args, settled, "does not go with --objective flow_map")
    else:
        own = ["teacher_steps", "walk_steps", "guidance_scale"]
        refuse_options(parser, args, own, "goes with --objective flow_map")
    return args


def train(args: argparse.Namespace) -> None:
    """Train, and leave checkpoints, metrics.jsonl, samples/ and pipeline/ in the output folder."""
    # Here, so that `--help` and mistakes in options do not wait for torch.
    from accelerate.utils import set_seed

    from lfdm_diffusers import LatentFlowAutoencoder, LFDMPipeline
    from lfdm_diffusers.data.sampling import spread
    from lfdm_diffusers.training.diffusion import MotionTask
    from lfdm_diffusers.training.flow_map import FlowMapTask
    from lfdm_diffusers.training.labels import embed_labels, sentences_of_run
    from lfdm_diffusers.training.motion_cache import MotionCache, MotionDataset
    from lfdm_diffusers.training.pipeline_task import HeldOut
    from lfdm_diffusers.training.resized_unet import resized_unet
    from lfdm_diffusers.training.run import TrainingRun
    from lfdm_diffusers.training.starting_unet import (
        add_lora,
        build_scheduler,
        load_pretrained,
        new_unet,
        read_config,
        resolve_defaults,
        sizes,
        with_flow_map,
        with_other_embeddings,
        with_picture_reader,
        with_text_attention,
    )

    run = TrainingRun(args, "train_unet")
    accelerator = run.accelerator
    pipe = load_pretrained(args)
    config = read_config(args, pipe and pipe.unet)
    lfae = pipe.lfae if pipe else LatentFlowAutoencoder.from_pretrained(args.lfae, subfolder=args.lfae_subfolder)
    # Its weights stay where they lie, mapped from their file: once motion is cached, most have done their work.
    lfae = lfae.float().requires_grad_(False).eval().to(run.device)
    resolve_defaults(args, lfae, config)
    run.make_repository()
    clips = run.clips(args.resolution)

    # Texts: embedded once, and before the hours that motion takes: an encoder may be refused.
    hears = args.text_attention or bool(config.get("text_attention"))
    learns_to_hear = pipe is not None and hears and not pipe.unet.config.text_attention
    if learns_to_hear and args.text_encoder in (None, "none"):
        raise ValueError("`--text_attention` of a pretrained U-Net that has none needs `--text_encoder`.")
    text_encoder = args.text_encoder or (None if pipe else TEXT_ENCODER)
    with accelerator.main_process_first():
        known_by = None if learns_to_hear else pipe  # else all labels are embedded anew, with their tokens
        table, encoder, tokenizer = embed_labels(clips.labels, text_encoder, known_by, args.seed, hears)
    width = table.config.embedding_dim if table else None if encoder is None else encoder.config.hidden_size
    sentences = sentences_of_run(clips.train, args.caption_prob, encoder, tokenizer, hears, run.device)
    if sentences is not None and table is not None:
        table = sentences.remembered_by(table, (text for clip in clips.train for text in clip.texts), args.seed)
    if not args.save_text_encoder:
        encoder = tokenizer = None

    # Motion: each process computes its share, then all of them read.
    cache = MotionCache(
        args.motion_cache_dir or args.output_dir / "motion",
        lfae,
        clips.reader,
        dtype=run.half,
        true_motion=args.true_motion,
        num_frames=args.num_frames if args.frame_sampling == "uniform" else None,
    )
    everything = list(dict.fromkeys([*clips.train, *clips.held_out]))
    cache.fill(everything[accelerator.process_index :: accelerator.num_processes], progress=run.main)
    accelerator.wait_for_everyone()
    cache.refresh()

    set_seed(args.seed)
    if pipe is None:
        unet = new_unet(args, config | {"text_attention": hears}, lfae, width)
    else:
        unet = resized_unet(pipe.unet, **config | sizes(args, lfae))
    if learns_to_hear and width is not None:
        unet = with_text_attention(unet, width)
        known = pipe and pipe.label_embeddings
        shared = [label for label in table.labels if known.knows(label)] if table and known else []
        if shared:  # whose embeddings are others now, and mean what they did
            old, new = (rows.rows(shared) for rows in (known, table))
            unet = with_other_embeddings(unet, pipe.unet, old, new[:, 0])
    unet = with_picture_reader(unet, args.image_blocks, args.image_summary)
    standardised = unet.config.flow_target == "residual" and (pipe is None or args.lfae is not None)
    if standardised:
        mean, std = cache.statistics(clips.train, accelerator.process_index, accelerator.num_processes)
        scale = args.target_scale or 1
        unet.register_to_config(target_mean=mean, target_std=[value / scale for value in std])
    # Clips are sampled from their first frame, the reference. The published U-Net leaves that frame free.
    if unet.config.flow_target == "residual":
        unet.register_to_config(first_frame_is_picture=True)
    steps = args.num_inference_steps or (pipe and pipe.config.get("default_num_inference_steps")) or SAMPLED_STEPS
    teacher, kept = None, {}
    if args.objective == "flow_map" and pipe is not None:
        teacher = unet.requires_grad_(False).eval().to(run.device)
        unet = with_flow_map(teacher)
        kept = {name: pipe.config.get(name) for name in ("face_frame", "known_pictures")}
    elif pipe is not None:
        kept = {"default_guidance_scale": pipe.config.get("default_guidance_scale")}
        if pipe.config.get("face_frame") is not None:
            run.say(
                "The new pipeline has no `face_frame`: how these clips frame faces is not known. Register it if they do as before."
            )
    if args.lora_rank:
        add_lora(unet, args.lora_rank, args.lora_alpha)
    if args.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    made = LFDMPipeline(
        lfae=lfae,
        unet=unet.train().to(run.device),
        scheduler=build_scheduler(args, pipe, standardised),
        label_embeddings=table,
        text_encoder=encoder,
        tokenizer=tokenizer,
        default_num_inference_steps=steps,
        painter=pipe.painter if pipe and args.lfae is None else None,  # it paints frames of its own auto-encoder's
        **kept,
    )
    made.set_progress_bar_config(disable=True)
    run.say(
        f"{args.num_frames} frames of {args.resolution} pixels, labels: {', '.join(clips.labels) or 'none'}",
        f"mean of the motion {unet.config.target_mean}, standard deviation {unet.config.target_std}",
    )

    judged = spread(clips.held_out, args.num_validation_clips)
    shared = (
        made,
        MotionDataset(
            clips.train,
            cache,
            args.num_frames,
            args.frame_sampling,
            args.seed,
            not args.no_augment,
            args.flip,
            args.caption_prob,
            args.reframe,
            args.degrade,
        ),
        HeldOut(
            MotionDataset(judged, cache, args.num_frames, "uniform", augment=False, caption_prob=args.caption_prob),
            clips.pictures(args.num_validation_pictures),
            clips.labels,
            args.train_batch_size,
            args.gallery,
        ),
    )
    settings = {
        "base": args.pretrained_model_name_or_path,
        "seed": args.seed,
        "null_condition_prob": args.null_condition_prob,
        "ema_decay": args.ema_decay,
    }
    task: MotionTask
    if teacher is None:
        settings |= {name: getattr(args, name) for name in ("snr_gamma", "timestep_bias", "expression_weight")}
        task = MotionTask(*shared, **settings)
    else:
        guidance = pipe.guidance_of(args.guidance_scale)
        settings |= {"guidance_scale": guidance, "teacher_steps": args.teacher_steps, "walk_steps": args.walk_steps}
        task = FlowMapTask(*shared, teacher=teacher, **settings)
    task.sentences = sentences
    run.fit(task)
    run.finish(task)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence("train_unet"):
        train(args)


if __name__ == "__main__":
    main()
