"""The options of the training scripts: their names stay, and what they take is checked before anything is read."""

from __future__ import annotations

import re

import pytest
from training_scripts import load_script

from lfdm_diffusers.training.arguments import one_sentence

SHARED = """
    adam_beta1 adam_beta2 allow_tf32 cache_compress cache_dir checkpointing_steps checkpoints_total_limit
    dataset_config_name dataset_name dataset_revision
    dataloader_num_workers fit gradient_accumulation_steps gradient_checkpointing help hub_model_id hub_private_repo hub_token
    layout learning_rate logging_steps lr lr_gamma lr_milestones lr_warmup_steps max_gigabytes max_grad_norm max_megapixels max_train_steps
    mixed_precision no_augment num_repeats num_train_epochs output_dir push_to_hub report_to resolution resume_from_checkpoint seed
    streaming strict_clips train_batch_size train_data_dir train_split validation_split validation_steps
"""
OF_PAIRS = """
    freeze_batchnorm_after inpainted_loss_weight motion_loss_weight num_validation_pairs perceptual perceptual_layers
    pretrained_model_name_or_path subfolder
"""
OF_DIFFUSION = """
    ema_decay flip frame_sampling gallery null_condition_prob num_frames num_inference_steps num_validation_clips
    num_validation_pictures
    prediction_type preset snr_gamma target_scale text_encoder
"""
OPTIONS = {
    "train_lfae": SHARED
    + OF_PAIRS
    + "concentration_loss_weight id_sampling model_config_name_or_path preset reference_frame still_loss_weight"
    + " true_motion_loss_weight",
    "finetune_decoder": SHARED + OF_PAIRS + "base_model true_motion",
    "train_painter": SHARED
    + "model_config_name_or_path motion_loss_weight num_validation_pairs painted_loss_weight painter perceptual perceptual_layers"
    + " pretrained_model_name_or_path scale sharpness_loss_weight subfolder true_motion",
    "train_unet": SHARED
    + OF_DIFFUSION
    + "flow_target lfae lfae_subfolder lora_alpha lora_rank model_config_name_or_path motion_cache_dir pretrained_model_name_or_path"
    + " caption_prob degrade expression_weight guidance_scale image_blocks image_summary objective reframe save_text_encoder teacher_steps text_attention timestep_bias true_motion walk_steps",
    "train_baseline": SHARED
    + OF_DIFFUSION
    + "autoencoder discriminator_lr_scale kl_weight label_embeddings model_config reconstruction_weight system",
}


@pytest.mark.parametrize("script", OPTIONS)
def test_names(script, capsys):
    """Command lines that people have written down go on working."""
    with pytest.raises(SystemExit):
        load_script(script).parse_args(["--help"])
    rows = re.findall(r"^  (-.*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"--(\w+)", row)} == set(OPTIONS[script].split())


@pytest.mark.parametrize(
    "given,told",
    [
        (["--train_batch_size", "0"], "--train_batch_size: must be a whole number of at least 1, got '0'"),
        (["--seed", "-1"], "--seed: must be a whole number of at least 0, got '-1'"),
        (["--learning_rate", "nan"], "--learning_rate/--lr: must be a number of at least 0, got 'nan'"),
        (["--adam_beta2", "1.1"], "--adam_beta2: must be a number from 0 to 1, got '1.1'"),
        (["--lr_milestones", "0.5", "x"], "--lr_milestones: must be a number of at least 0, got 'x'"),
        (["--freeze_batchnorm_after", "-0.5"], "--freeze_batchnorm_after: must be a number of at least 0, got '-0.5'"),
    ],
)
def test_numbers_out_of_range(given, told, capsys):
    with pytest.raises(SystemExit) as stop:
        load_script("train_lfae").parse_args(["--train_data_dir", "x", "--output_dir", "y", *given])
    assert stop.value.code == 2 and f"error: argument {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given,told",
    [
        (["--objective", "flow_map"], "--objective flow_map needs --pretrained_model_name_or_path"),
        (
            ["--pretrained_model_name_or_path", "x", "--teacher_steps", "4"],
            "--teacher_steps goes with --objective flow_map",
        ),
        (
            ["--objective", "flow_map", "--pretrained_model_name_or_path", "x", "--lora_rank", "4"],
            "--lora_rank does not go with --objective flow_map",
        ),
    ],
)
def test_objectives(given, told, capsys):
    with pytest.raises(SystemExit) as stop:
        load_script("train_unet").parse_args(["--train_data_dir", "x", "--output_dir", "y", *given])
    assert stop.value.code == 2 and f"error: {told}" in capsys.readouterr().err


def test_faults_and_full_memory_are_told_apart(capsys):
    with pytest.raises(SystemExit) as stop, one_sentence("train_x"):
        raise KeyError("ours")
    told = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1 and told[-2] == "KeyError: 'ours'" and "a fault of lfdm_diffusers" in told[-1]
    with pytest.raises(SystemExit, match="train_x: out of memory; take smaller batches"), one_sentence("train_x"):
        raise MemoryError
    with pytest.raises(SystemExit, match=r"^train_x: clips\nleft out: a\\x1b\[2J$"), one_sentence("train_x"):
        raise ValueError("clips\nleft out: a\x1b[2J")
