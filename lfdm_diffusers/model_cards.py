"""Model cards, filled from the models themselves."""

from __future__ import annotations

from huggingface_hub import ModelCard, ModelCardData


def pipeline_card(pipe, *, repo_id: str | None = None, facts: dict | None = None) -> ModelCard:
    """The card of a whole pipeline."""
    data = ModelCardData(library_name="diffusers", pipeline_tag="image-to-video", tags=["lfdm_diffusers", "lfdm"])
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {repo_id or 'LFDM pipeline'}\n\nLabels: {pipe.labels}\n")


def lfae_card(lfae, *, repo_id: str | None = None, facts: dict | None = None) -> ModelCard:
    """The card of a latent flow auto-encoder."""
    data = ModelCardData(library_name="diffusers", tags=["lfdm_diffusers", "lfdm"])
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {repo_id or 'Latent flow auto-encoder'}\n")
