"""An exported folder run by ONNX Runtime and numpy alone: what any other runner does, in the fewest lines.

runner = OnnxRunner("toon64-onnx")
clip = runner(picture, "happiness", seed=0)  # picture (3, 64, 64) in [0, 1]; clip.frames (16, 3, 64, 64)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.labels import unlike_sentences
from ..files.exported import read_runner
from ..files.extras import required

logger = logging.getLogger(__name__)


class RunnerClip(NamedTuple):
    """What `OnnxRunner` makes, float32.

    Attributes:
        frames: `(F, 3, H, W)` in [0, 1].
        warped: `(F, 3, H, W)`, the picture moved by the flow alone.
        flow: `(F, 2, h, w)`, absolute sampling grid (x, y) in [-1, 1].
        occlusion: `(F, 1, h, w)` in [0, 1].
    """

    frames: np.ndarray
    warped: np.ndarray
    flow: np.ndarray
    occlusion: np.ndarray


def guidance_of(about: Mapping[str, Any], label: str | None, scores: np.ndarray | None) -> tuple[float, str | None]:
    """The scale of guidance, and what it leads away from: no label, or the one that the picture shows already.

    Args:
        about: `runner.json`.
        label: what is asked for; None is no label, which nothing guides.
        scores: of the labels that a picture may show, if the encoder gives them.
    """
    if label is None:
        return 1.0, None
    scale, shown = about["sampling"]["guidance_scale"], about.get("shown")
    if not shown or scores is None or scale in (0, 1) or scores.max() <= 0:
        return scale, None
    found = shown["labels"][int(scores.argmax())]
    return (scale, None) if found == label else (shown["guidance_scale"], found)


def thresholded(clean: np.ndarray, rule: dict[str, Any] | None) -> np.ndarray:
    """A clean volume as diffusers thresholds it."""
    if rule is None:
        return clean
    size = np.clip(np.quantile(np.abs(clean), rule["quantile"]), 1, rule["largest"])
    return np.clip(clean, -size, size) / size


class OnnxRunner:
    """Generates clips from the folder that `export_onnx` wrote.

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, folder: str | Path):
        runtime = required("onnxruntime", "onnx", "running ONNX files")
        folder = Path(folder)
        self.about, _ = read_runner(folder)
        self._sessions = {
            name: runtime.InferenceSession(str(folder / graph["file"]), providers=["CPUExecutionProvider"])
            for name, graph in self.about["graphs"].items()
        }
        labels = self.about["labels"]
        if self.about.get("text"):
            tokenizers = required("tokenizers", "onnx", "embedding texts")
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / self.about["text"]["tokenizer"]))
            self._tokenizer.enable_truncation(self.about["text"]["max_tokens"])
        self._table = labels and np.fromfile(folder / labels["file"], dtype="<f4").reshape(labels["shape"])

    def _run(self, graph: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self.about["graphs"][graph]["outputs"]
        return dict(zip(outputs, self._sessions[graph].run(outputs, inputs)))

    def embedding(self, label: str | None) -> np.ndarray:
        """Of a label as `runner.json` spells it, or of any text where it has an encoder, `(1, D)`, or with its tokens `(1, 1 + L, D)`;
        None is no condition. A text that is unlike all that the model was trained on is warned of.

        Raises:
            ValueError: for a label that it does not hold.
        """
        if label is None:
            return np.array([self.about["null_embedding"]], np.float32)
        labels, text = self.about["labels"], self.about.get("text")
        if text and (labels is None or label not in labels["texts"]):
            ids = np.array([self._tokenizer.encode(label).ids], np.int64)
            heard = self._run(text["graph"], input_ids=ids, attention_mask=np.ones_like(ids))
            if heard.get("unlikeness", np.zeros(1))[0] > 1:
                logger.warning(unlike_sentences(label))
            return heard["text_embeds"]
        if labels is None or label not in labels["texts"]:
            raise ValueError(f"`label` must be one of {', '.join(labels['texts'] if labels else [])}, got {label!r}.")
        return self._table[[labels["texts"].index(label)]]

    def __call__(
        self,
        picture: np.ndarray,
        label: str | None = None,
        seed: int = 0,
        num_inference_steps: int | None = None,
        noise: Callable[[tuple[int, ...]], np.ndarray] | None = None,
    ) -> RunnerClip:
        """One clip.

        Args:
            picture: `(3, H, W)` in [0, 1], of the size in `runner.json`; of files with free sides, of multiples of its stride.
            label: one of its labels.
            seed: of the noise.
            num_inference_steps: one of the numbers of steps that it has tables for.
            noise: called with a shape for each draw; by default numpy's, from `seed`.
        """
        volume_about, sampling = self.about["volume"], self.about["sampling"]
        steps = sampling["steps"].get(str(num_inference_steps or sampling["default_num_inference_steps"]))
        if steps is None:
            raise ValueError(
                f"`num_inference_steps` must be one of {', '.join(sampling['steps'])}, got {num_inference_steps}."
            )
        draw = noise or np.random.default_rng(seed).standard_normal
        picture = np.asarray(picture, np.float32)[None]
        encoded = self._run("encoder", picture=picture)
        projection = encoded.pop("image_projection")
        sides = (
            side * volume_about[name] // self.about["picture"]["size"]
            for side, name in zip(picture.shape[-2:], ("height", "width"))
        )
        shape = (1, volume_about["channels"], volume_about["frames"], *sides)
        x = draw(shape).astype(np.float32)
        # A text of zero weight in the prediction is not asked about.
        guidance, away_from = guidance_of(self.about, label, encoded.pop("shown", None))
        texts = [(self.embedding(label), guidance), (self.embedding(away_from), 1 - guidance)]
        for step in steps:
            predicted = sum(
                weight
                * self._run(
                    "denoiser",
                    volume=x,
                    timestep=np.array([step["timestep"]], np.int64),
                    text_embeds=embedding,
                    image_projection=projection,
                )["prediction"]
                for embedding, weight in texts
                if weight
            )
            clean, rest = (c[0] * x + c[1] * predicted for c in (step["clean"], step["noise"]))
            clean = thresholded(clean, sampling["thresholding"])
            if volume_about["first_frame_is_picture"]:
                clean[:, :, 0] = self._still()[:, None, None]
            x = step["next"][0] * clean + step["next"][1] * rest
            if step["next"][2]:
                x = x + step["next"][2] * draw(shape)
            x = x.astype(np.float32)
        flow, occlusion = self._motion(x[0])
        frames = self._run("renderer", picture=picture, flow=flow, occlusion=occlusion, **encoded)
        return RunnerClip(frames["frames"], frames["warped"], flow, occlusion)

    def _still(self) -> np.ndarray:
        """A volume's values where nothing moves and all is seen, `(3,)`."""
        mean, std = (np.array(self.about["volume"][name]) for name in ("mean", "std"))
        return (np.array([0, 0, 1]) - mean) / std

    def _motion(self, volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flow and occlusion `(F, 2 and 1, h, w)` of a clean volume `(3, F, h, w)`."""
        about = self.about["volume"]
        mean, std = (np.array(about[name], np.float32).reshape(3, 1, 1, 1) for name in ("mean", "std"))
        motion = (volume * std + mean).transpose(1, 0, 2, 3)
        flow, occlusion = motion[:, :2].copy(), motion[:, 2:].clip(0, 1)
        if about["flow_is_added_to"] is not None:
            across, down = (self._places(side) for side in reversed(flow.shape[-2:]))
            flow[:, 0] += across
            flow[:, 1] += down[:, None]
        return flow, np.ascontiguousarray(occlusion)

    def _places(self, side: int) -> np.ndarray:
        """The coordinate of each of `side` places, in [-1, 1]: that of its centre."""
        told = np.array(self.about["volume"]["flow_is_added_to"], np.float32)
        return told if len(told) == side else ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)
