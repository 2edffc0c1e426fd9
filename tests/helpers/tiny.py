"""The real classes at sizes that run in milliseconds: seeded weights, eval mode, 32x32 pictures, 8x8 latents, 4 frames.

Every factory takes overrides of the constructor's arguments: `tiny_unet(num_frames=6)`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import BertConfig, BertModel, BertTokenizerFast, PreTrainedTokenizerBase
from video import tiny_image, tiny_video  # noqa: F401 (part of this module for whoever imports it)

from lfdm_diffusers import (
    FullSizePainter,
    ImaginatorGenerator,
    ImaginatorPipeline,
    LabelEmbeddings,
    LatentFlowAutoencoder,
    LDMVideoPipeline,
    LFDMPipeline,
    UNet3DVideoModel,
    VDMPipeline,
)
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators
from lfdm_diffusers.models.text_attention import TextAttention
from lfdm_diffusers.models.text_encoders import embed_text
from lfdm_diffusers.pipelines import ImageToVideoPipeline
from lfdm_diffusers.schedulers import released_scheduler

IMAGE_SIZE = 32
LATENT_SIZE = 8
NUM_FRAMES = 4
LATENT_CHANNELS = 16
TEXT_DIM = 16
LABELS = ("anger", "happiness", "surprise")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LABELS, "a", "and", "face", "of", "smiles", "the", "waves")


def tiny_lfae(seed: int = 0, **overrides) -> LatentFlowAutoencoder:
    """Pictures 32x32 (`flow_stride` 16), latent maps `(B, 16, 8, 8)`, 3 regions."""
    config = {
        "sample_size": IMAGE_SIZE,
        "num_regions": 3,
        "base_channels": 8,
        "max_channels": LATENT_CHANNELS,
        "num_bottleneck_blocks": 1,
        "flow_base_channels": 8,
        "flow_max_channels": 16,
        "flow_num_blocks": 2,
        "region_base_channels": 8,
        "region_max_channels": 16,
        "region_num_blocks": 2,
        "background_base_channels": 8,
        "background_max_channels": 16,
        "background_num_blocks": 3,
    }
    torch.manual_seed(seed)
    return LatentFlowAutoencoder(**{**config, **overrides}).eval()


def tiny_unet(seed: int = 0, **overrides) -> UNet3DVideoModel:
    """Volumes `(B, 3, 4, 8, 8)`; two levels, so sides must be even; text embeddings of 16."""
    config = {
        "sample_size": LATENT_SIZE,
        "num_frames": NUM_FRAMES,
        "image_latent_channels": LATENT_CHANNELS,
        "text_embed_dim": TEXT_DIM,
        "block_out_channels": (16, 32),
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "spatial_head_dim": 8,
        "norm_num_groups": 4,
    }
    torch.manual_seed(seed)
    return UNet3DVideoModel(**{**config, **overrides}).eval()


def tiny_imaginator(seed: int = 0, **overrides) -> ImaginatorGenerator:
    """Videos `(B, 3, 4, 32, 32)`, three levels; text embeddings of 16, noise of 8."""
    config = {
        "sample_size": IMAGE_SIZE,
        "num_frames": NUM_FRAMES,
        "base_channels": 8,
        "text_embed_dim": TEXT_DIM,
        "label_dim": 8,
        "noise_dim": 8,
    }
    torch.manual_seed(seed)
    return ImaginatorGenerator(**{**config, **overrides}).eval()


def tiny_discriminators(seed: int = 0, **overrides) -> ImaginatorDiscriminators:
    config = {"sample_size": 32, "num_frames": 4, "base_channels": 8, "text_embed_dim": 16, "label_dim": 8}
    torch.manual_seed(seed)
    return ImaginatorDiscriminators(**{**config, **overrides}).train()


def tiny_text_encoder(seed: int = 0, **overrides) -> tuple[BertModel, PreTrainedTokenizerBase]:
    """A two-layer BERT of width 16 and its word-level tokenizer (the words are `WORDS`)."""
    config = {
        "vocab_size": len(WORDS),
        "hidden_size": TEXT_DIM,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.txt").write_text("\n".join(WORDS) + "\n")
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    torch.manual_seed(seed)
    return BertModel(BertConfig(**{**config, **overrides})).eval(), tokenizer


def tiny_label_embeddings(seed: int = 0, labels: tuple[str, ...] = LABELS) -> LabelEmbeddings:
    """A table of 16 numbers for each of three labels."""
    rows = torch.randn(len(labels), TEXT_DIM, generator=torch.Generator().manual_seed(seed))
    return LabelEmbeddings.from_embeddings(labels, rows)


def tiny_painter(seed: int = 0, **changes) -> FullSizePainter:
    """Paints at twice the size, by random weights in all layers."""
    torch.manual_seed(seed)
    painter = FullSizePainter(
        **{"scale": 2, "base_channels": 4, "coarse_channels": 4, "num_blocks": 1} | changes
    ).eval()
    torch.nn.init.normal_(painter.conv_out.weight, std=0.5)
    return painter


def tiny_pipeline(
    text_encoder: bool = False, label_embeddings: bool | LabelEmbeddings = True, **components
) -> LFDMPipeline:
    """A pipeline of the parts above with the released scheduler; its progress bar is off.

    Args:
        text_encoder: whether to add the text encoder and its tokenizer.
        label_embeddings: whether to add the table of labels, or the table to add.
        components: take the place of parts, or pass other arguments of `LFDMPipeline`.
    """
    parts = {"lfae": tiny_lfae, "unet": tiny_unet, "scheduler": released_scheduler}
    if isinstance(label_embeddings, LabelEmbeddings):
        components["label_embeddings"] = label_embeddings
    elif label_embeddings:
        parts["label_embeddings"] = tiny_label_embeddings
    parts = {name: make for name, make in parts.items() if name not in components}
    components |= {name: make() for name, make in parts.items()}
    if text_encoder:
        components["text_encoder"], components["tokenizer"] = tiny_text_encoder()
    pipe = LFDMPipeline(**components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_vae(seed: int = 0) -> AutoencoderKL:
    """A frame auto-encoder: pictures 32x32, latents `(B, 3, 16, 16)`."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        sample_size=IMAGE_SIZE,
        block_out_channels=(8, 16),
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=3,
        norm_num_groups=4,
        mid_block_add_attention=False,
    ).eval()


def tiny_baseline(name: str, **components) -> ImageToVideoPipeline:
    """A pipeline "vdm" (of pixels in patches of 4), "ldm" (of 16x16 latents in patches of 2) or "imaginator", like
    `tiny_pipeline`."""
    parts = {"label_embeddings": tiny_label_embeddings}
    if name == "imaginator":
        cls, parts = ImaginatorPipeline, parts | {"imaginator": tiny_imaginator}
    else:
        cls, side, patch = {"vdm": (VDMPipeline, 32, 4), "ldm": (LDMVideoPipeline, 16, 2)}[name]
        config = {"sample_size": side, "patch_size": patch, "image_latent_channels": 3}
        config |= {"target_mean": (0.5, 0.5, 0.5), "target_std": (0.5, 0.5, 0.5)}
        parts |= {"unet": lambda: tiny_unet(**config), "scheduler": released_scheduler}
        parts |= {"vae": tiny_vae} if name == "ldm" else {}
    components |= {part: make() for part, make in parts.items() if part not in components}
    pipe = cls(**components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def hearing_unet(**overrides) -> UNet3DVideoModel:
    """A U-Net whose text attention has learned something."""
    unet = tiny_unet(text_attention=True, **overrides)
    for module in unet.modules():
        if isinstance(module, TextAttention):
            torch.nn.init.normal_(module.to_out[0].weight, std=0.3)
    return unet


def sentence_pipeline(**parts) -> LFDMPipeline:
    """A pipeline that hears sentences, with a table of labels that holds their tokens."""
    encoder, tokenizer = tiny_text_encoder()
    table = LabelEmbeddings.from_text_encoder(LABELS, encoder, tokenizer, tokens=True)
    return tiny_pipeline(text_encoder=True, unet=hearing_unet(), label_embeddings=table, **parts)


def knowing_sentences(pipe: LFDMPipeline) -> LFDMPipeline:
    """The pipeline, as if it had been trained on faces that smile or nod."""
    some, others = (
        embed_text(pipe.text_encoder, pipe.tokenizer, texts)
        for texts in (
            ["a face smiles", "the face smiles", "smiles face a", "the face nods"],
            ["a face smiles", "smiles face a", "face smiles", "the face nods"],
        )
    )
    pipe.register_modules(label_embeddings=pipe.label_embeddings.with_sentences(some, others))
    return pipe
