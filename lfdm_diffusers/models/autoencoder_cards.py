"""What a latent flow auto-encoder says of itself on a model card, and of its decoder on one of its own."""

from __future__ import annotations

from huggingface_hub import ModelCard

from ..hub.base import HubModel
from ..hub.cards import FOLDER, PAPER, TAGS, CardFacts, make_card, parameter_count, python_code, quoted


class AutoencoderCardsMixin(HubModel):
    """For an auto-encoder with a `decoder` that may be shared without the rest."""

    tags = TAGS

    def card(self, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
        """The card of the auto-encoder by itself; arguments as in `HubModel.card`."""
        size = self.config.sample_size
        return make_card(
            "Latent flow auto-encoder",
            f"The auto-encoder of [latent flow diffusion]({PAPER}): it describes the motion between two pictures as a "
            "backward flow and an occlusion map, and makes the second picture from the first by them. By itself it "
            "re-enacts; to generate, it needs a U-Net. It is also what training on other pictures starts from.",
            [
                python_code(
                    "from lfdm_diffusers import LatentFlowAutoencoder\n\n"
                    f"lfae = LatentFlowAutoencoder.from_pretrained({quoted(repo_id or FOLDER)})\n"
                    "out = lfae(reference, driving)  # both (B, 3, H, W) in [0, 1]; see out.sample, out.flow, out.occlusion"
                )
            ],
            {
                "pictures": f"{size}x{size} pixels" if size else f"sides divisible by {self.flow_stride}",
                "parameters": parameter_count(self),
                "latent map": f"{self.latent_channels} channels at 1/{self.downscale_factor} of the size",
                "regions": self.config.num_regions,
            },
            tags=self.tags,
            repo_id=repo_id,
            facts=facts,
        )

    def decoder_card(
        self, *, repo_id: str | None = None, facts: CardFacts | None = None, pipeline: bool = True
    ) -> ModelCard:
        """The card of the decoder, saved by itself (`save_decoder`).

        Args:
            repo_id, facts: as in `HubModel.card`.
            pipeline: whether the base model in `facts` is a pipeline, rather than an auto-encoder.
        """
        base = (facts or {}).get("base_model")
        named = f"[{base}](https://huggingface.co/{base})" if base else "its base model (not named here)"
        of_base = base if base and pipeline else "path/to/a/pipeline/with/its/base/model"
        return make_card(
            "Latent flow decoder",
            f"A decoder for [latent flow diffusion]({PAPER}), adapted to other pictures than {named} was trained on. It "
            "takes the place of the decoder in a pipeline with that model's auto-encoder. Encoder and flow predictor are "
            "the same, so the pipeline's U-Net stays valid: what moves, and how, stays the base model's; what is painted "
            "where the picture does not show it is new.",
            [
                python_code(
                    "from lfdm_diffusers import LFDMPipeline\n\n"
                    f"pipe = LFDMPipeline.from_pretrained({quoted(of_base)})\n"
                    f"pipe.lfae.load_decoder({quoted(repo_id or FOLDER)})"
                )
            ],
            {"base model": base, "parameters": parameter_count(self.decoder)},
            tags=self.tags,
            repo_id=repo_id,
            facts=facts,
            base_model_relation="adapter" if base else None,
        )
