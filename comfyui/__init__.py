"""ComfyUI nodes (V3) for latent flow diffusion: each of the four blocks of `lfdm_diffusers.blocks` is a node."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
