"""What all pipelines from one picture and one text to a video share: texts, sizes, and checks of their arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from diffusers.utils import BaseOutput, logging
from diffusers.video_processor import VideoProcessor
from huggingface_hub import ModelCard

from ..data.labels import unlike_sentences
from ..data.picture_fitting import FITS, fit_picture
from ..hub.base import HubPipeline
from ..hub.cards import FOLDER, CardFacts, make_card, parameter_count, python_code, quoted
from ..models.text_attention import batch_texts
from ..models.text_encoders import embed_text
from .checks import require_number, require_pairs, require_tensor, require_word
from .videos import pixels_of

logger = logging.get_logger(__name__)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..models import LabelEmbeddings

# Of every pipeline here.
LIMITS = (
    "* New subjects: pictures framed like those it was trained on. Another crop, background or number of subjects moves badly.",
    "* Labels other than those it was trained on mean nothing to it.",
    "* Do not use it to put real people into videos without their consent.",
)

# Of a call's videos: lists of lists of PIL images, rendered videos, an array or a tensor, as `output_type` asks; no type says which.
Videos = Any


@dataclass
class VideoPipelineOutput(BaseOutput):
    """Generated videos.

    Attributes:
        frames: a list of lists of PIL images, an array `(B, F, H, W, 3)`, a tensor `(B, F, 3, H, W)` in [0, 1], or with
            `output_type="latent"` what the pipeline decodes them from.
    """

    frames: Videos


class ImageToVideoPipeline(HubPipeline):
    """Base of the pipelines: picture and text in, video out.

    A subclass registers `label_embeddings`, `text_encoder` and `tokenizer` (each may be None) beside its own models, says
    its sizes in `sample_size`, `num_frames`, `stride` and `text_embed_dim`, and defines `__call__`. Cards are made of what it
    says of itself.

    Attributes:
        title: what it is, in a few words.
        method: how it makes a video, after "this model makes a short video ...", with links.
        tags: for the Hub.
        citation: BibTeX of the work that it implements.
        part_names: what the parts are that a card counts the parameters of, by the names of components.
        limits: what it cannot do, beside what no pipeline here can: a list in Markdown, or "".
    """

    title: ClassVar[str]
    method: ClassVar[str]
    tags: ClassVar[tuple[str, ...]] = ()
    citation: ClassVar[str] = ""
    part_names: ClassVar[dict[str, str]] = {}
    limits: ClassVar[str] = ""

    _optional_components = ["text_encoder", "tokenizer", "label_embeddings"]
    output_types: ClassVar[tuple[str, ...]] = ("pil", "np", "pt")

    text_encoder: PreTrainedModel | None
    tokenizer: PreTrainedTokenizerBase | None
    label_embeddings: LabelEmbeddings | None

    def __init__(self) -> None:
        super().__init__()
        self.video_processor = VideoProcessor(do_resize=False, do_normalize=False)

    @property
    def sample_size(self) -> int | None:
        """Side in pixels of the videos that it was trained on; None if unknown."""
        raise NotImplementedError

    @property
    def num_frames(self) -> int:
        """Frames of a video by default."""
        raise NotImplementedError

    @property
    def stride(self) -> int:
        """What the sides of generated frames are multiples of, in pixels."""
        raise NotImplementedError

    @property
    def text_embed_dim(self) -> int:
        """D of the text embeddings that it was trained with."""
        raise NotImplementedError

    @property
    def labels(self) -> list[str] | None:
        """The labels that need no text encoder; None if this model has no table of them."""
        return self.label_embeddings.labels if self.label_embeddings is not None else None

    @property
    def takes_sentences(self) -> bool:
        """Whether it reads texts and, as far as it tells, was trained on sentences: it attends to their tokens, keeps where those of
        its training lie, or has no labels that could have been all."""
        table = self.label_embeddings
        return self.text_encoder is not None and (self.hears_tokens or table is None or table.config.num_axes > 0)

    @property
    def example_sentences(self) -> list[str]:
        """Sentences that it was trained on, where it keeps some and can read them."""
        table = self.label_embeddings
        return list(table.config.examples or ()) if self.takes_sentences and table is not None else []

    def encode_prompt(
        self,
        prompt: str | Sequence[str] | None = None,
        device: torch.device | None = None,
        num_videos_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | None]:
        """Embed labels or sentences, `(len(prompt) * num_videos_per_prompt, D)`, or `(..., 1 + L, D)` where the U-Net attends to tokens
        (see `models.text_attention`); None stays None, the null condition.

        A label of the table `label_embeddings` is looked up; any other text goes through the text encoder.

        Raises:
            ValueError: for an unknown label where there is no text encoder, naming the closest one and all; for `prompt_embeds`
                that are not finite, or of another width.
        """
        self._check_texts(prompt, prompt_embeds)
        require_number("num_videos_per_prompt", num_videos_per_prompt, Integral, 1)
        device = device or self._execution_device
        if prompt is not None and prompt_embeds is None:
            texts = [prompt] if isinstance(prompt, str) else list(prompt)
            prompt_embeds = self._embed(texts, device)
        if prompt_embeds is not None:
            prompt_embeds = prompt_embeds.to(device).repeat_interleave(num_videos_per_prompt, dim=0)
        return (prompt_embeds,)

    def _embed(self, texts: list[str], device: torch.device) -> torch.Tensor:
        encoder, tokenizer, table = self.text_encoder, self.tokenizer, self.label_embeddings
        free_text = encoder is not None and tokenizer is not None
        if table is None and not free_text:
            raise ValueError(
                "`prompt` needs either `label_embeddings` or both `text_encoder` and `tokenizer`, and this pipeline has "
                "neither. Pass `prompt_embeds`, or no prompt for stochastic generation."
            )
        # Text by text: an embedding must not depend on its neighbours.
        tokens = self.hears_tokens
        known = [text for text in texts if table is not None and (table.knows(text) or not free_text)]
        other = [text for text in texts if text not in known]
        embeds: dict[str, torch.Tensor] = {}
        if other and encoder is not None and tokenizer is not None:
            embeds.update(zip(other, embed_text(encoder, tokenizer, other, device, tokens)))
        if known and table is not None:
            rows = table(torch.tensor(table.label_ids(known), device=device)).text_embeds
            if tokens and rows.ndim == 2:
                raise ValueError(
                    "`label_embeddings` has no tokens, which this U-Net attends to: make it by "
                    "`LabelEmbeddings.from_text_encoder(..., tokens=True)`."
                )
            embeds.update(zip(known, rows if tokens or rows.ndim == 2 else rows[:, 0]))
        if other and table is not None:
            self._warn_of_strange(
                table, other, torch.stack([embeds[text][0] if tokens else embeds[text] for text in other])
            )
        dtype = embeds[texts[0]].dtype
        return batch_texts([embeds[text].to(dtype) for text in texts])

    @property
    def hears_tokens(self) -> bool:
        """Whether its network is given the tokens of a text beside the pooled vector."""
        return False

    @staticmethod
    def _warn_of_strange(table: LabelEmbeddings, texts: Sequence[str], pooled: torch.Tensor) -> None:
        for text, unlikeness in zip(texts, table.unlikeness(pooled).tolist()):
            if unlikeness > 1:
                logger.warning(unlike_sentences(text))

    def frame_size(
        self,
        pictures: Sequence[torch.Tensor],
        height: int | None = None,
        width: int | None = None,
        stride: int | None = None,
    ) -> tuple[int, int]:
        """Height and width of the videos: as asked for, else as trained.

        Where the trained size is unknown, pictures `(3, H, W)` of one allowed size keep it, and others are fitted to the
        allowed size nearest to 128 pixels.
        """
        stride = stride or self.stride
        trained, near = self.sample_size, max(round(128 / stride), 1) * stride
        default_height = default_width = near if trained is None else trained
        sizes = {tuple(picture.shape[-2:]) for picture in pictures}
        if trained is None and len(sizes) == 1 and all(side % stride == 0 for size in sizes for side in size):
            default_height, default_width = sizes.pop()
        return default_height if height is None else height, default_width if width is None else width

    def fit_pictures(
        self, pictures: Sequence[torch.Tensor], height: int, width: int, image_fit: str, device: torch.device | None
    ) -> torch.Tensor:
        """Pictures `(3, H, W)` of any size, `(N, 3, height, width)` in [0, 1]."""
        fitted = torch.stack([fit_picture(picture, height, width, image_fit) for picture in pictures])
        return fitted.to(device or self._execution_device)

    def _check_texts(self, prompt: str | Sequence[str] | None, prompt_embeds: torch.Tensor | None) -> None:
        if prompt is not None and prompt_embeds is not None:
            raise ValueError("Pass either `prompt` or `prompt_embeds`, not both.")
        texts = [prompt] if isinstance(prompt, str) else prompt
        if texts is not None and (
            not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError(
                f"`prompt` must be a string, a non-empty list of strings, or None (no condition), got {prompt!r}."
            )
        if prompt_embeds is not None:
            dims = (
                ("batch", "1 + tokens", self.text_embed_dim) if self.hears_tokens else ("batch", self.text_embed_dim)
            )
            require_tensor("prompt_embeds", prompt_embeds, dims)

    @staticmethod
    def _check_generator(generator: torch.Generator | list[torch.Generator] | None) -> None:
        generators = generator if isinstance(generator, list) else [generator]
        if not all(isinstance(g, torch.Generator) for g in generators) and generator is not None:
            raise ValueError(f"`generator` must be a torch.Generator or a list of them, got {generator!r}.")

    def _check_output(
        self,
        height: int,
        width: int,
        image_fit: str,
        output_type: str,
        decode_chunk_size: int | None = None,
        stride: int | None = None,
    ) -> None:
        for name, value in (("height", height), ("width", width)):
            require_number(name, value, Integral, 1)
        stride = stride or self.stride
        for name, value in (("height", height), ("width", width)):
            if value < stride or value % stride:
                down = max(value // stride, 1) * stride
                raise ValueError(
                    f"`{name}` must be a multiple of {stride}, got {value}; the nearest are {down} and {down + stride}."
                )
        require_fit(image_fit)
        require_word("output_type", output_type, self.output_types)
        if decode_chunk_size is not None:
            require_number("decode_chunk_size", decode_chunk_size, Integral, 1)

    def _paired_prompts(
        self,
        num_pictures: int,
        prompt: str | Sequence[str] | None,
        prompt_embeds: torch.Tensor | None,
        num_videos_per_prompt: int,
        device: torch.device,
    ) -> tuple[int, torch.Tensor | None]:
        """Number of videos, and a row of text embeddings for each: n pictures with n texts, or one of either."""
        if prompt_embeds is not None:
            num_prompts = prompt_embeds.shape[0]
        else:
            num_prompts = len(prompt) if isinstance(prompt, (list, tuple)) else 1
        require_pairs(num_pictures, "prompt", num_prompts)
        batch_size = max(num_pictures, num_prompts) * num_videos_per_prompt
        (prompt_embeds,) = self.encode_prompt(prompt, device, num_videos_per_prompt, prompt_embeds)
        if prompt_embeds is not None and prompt_embeds.shape[0] < batch_size:
            prompt_embeds = prompt_embeds[:1].expand(batch_size, *prompt_embeds.shape[1:])
        return batch_size, prompt_embeds

    def card(self, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
        """The pipeline's card, filled from what it says of itself; arguments as in `HubModel.card`."""
        known, size = self.labels or [], self.sample_size
        labels = (facts or {}).get("labels") or known
        output = f"{self.num_frames} frames of {f'{size}x{size}' if size else 'any size'} pixels"
        given = "one picture and one label" if labels or self.text_encoder is not None else "one picture"
        subject, *others = LIMITS
        code = (
            "import lfdm_diffusers\nfrom diffusers import DiffusionPipeline\n\n"
            f"pipe = DiffusionPipeline.from_pretrained({quoted(repo_id or FOLDER)})\n"
            f"video = pipe(image{f', {quoted(labels[0])}' if labels else ''}).frames[0]  # a list of PIL images"
        )
        sections = {"Labels": ", ".join(f"`{label}`" for label in labels)} if labels else {}
        if earlier := [label for label in known if label not in labels]:
            others_known = ", ".join(f"`{label}`" for label in earlier)
            sections["Labels"] += (
                f"\n\nIts table holds labels of the model that it started from too, not trained here: {others_known}."
            )
        return make_card(
            self.title,
            f"Given {given}, this model makes a short video of that subject ({output}) {self.method}",
            [python_code(code), self._prompt_advice(), *self.sampling_advice()],
            {
                "output": output,
                **{
                    what: parameter_count(self.components[name])
                    for name, what in self.part_names.items()
                    if self.components.get(name) is not None
                },
                **self.sampling_facts(),
            },
            sections=sections | {"Limits": "\n".join(filter(None, [subject, self.limits, *others]))},
            tags=self.tags,
            citation=self.citation,
            repo_id=repo_id,
            facts=facts,
            pipeline_tag="image-to-video",
        )

    def sampling_facts(self) -> dict[str, str]:
        """For the card: how it comes to its videos, as far as its networks and its scheduler tell."""
        parts = [f"a table of {len(self.labels)} labels"] if self.labels else []
        if self.text_encoder is not None:
            parts.append(f"{type(self.text_encoder).__name__}, {parameter_count(self.text_encoder)}")
        return {"text": " and ".join(parts) or "none; takes `prompt_embeds`"}

    def sampling_advice(self) -> list[str]:
        """For the card: paragraphs on other ways to sample than the default."""
        return []

    def _prompt_advice(self) -> str:
        """For the card: which prompts the pipeline takes."""
        if self.labels and self.takes_sentences:
            such = (
                f", such as {', '.join(quoted(text) for text in self.example_sentences)}"
                if self.example_sentences
                else ""
            )
            return (
                f"It takes sentences{such}, and the labels below. It logs a warning for a sentence that is unlike those of its "
                "training. Without a prompt it generates without a condition."
            )
        if self.labels and self.text_encoder is not None:
            return (
                "The labels below need no text encoder: save its memory with `from_pretrained(..., text_encoder=None, "
                "tokenizer=None)`. Any other text goes through it, but the model was trained on the labels alone. Without a "
                "prompt it generates without a condition."
            )
        if self.labels:
            return "It takes the labels below, no free text; without a prompt it generates without a condition."
        if self.text_encoder is not None:
            return "It takes any text; without a prompt it generates without a condition."
        return "It holds no labels: it generates without a condition, or from `prompt_embeds`."

    def _postprocess(self, videos: torch.Tensor, output_type: str) -> Videos:
        """`(B, 3, F, H, W)` in [0, 1] in the form asked for; "stream" is a list of arrays `(F, H, W, 3)` of uint8."""
        if output_type == "stream":
            return list(pixels_of(videos.float().transpose(1, 2)))
        return self.video_processor.postprocess_video(videos.float(), output_type)


def require_fit(image_fit: object) -> None:
    """Raise a ValueError unless it is one of `FITS`."""
    require_word("image_fit", image_fit, FITS)


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """BatchNorm must use its running statistics here even if the model is being trained around the pipeline."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
