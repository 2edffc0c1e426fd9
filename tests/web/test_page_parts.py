"""The parts of the page that need no browser, run by node, give what the package gives."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from lfdm_diffusers.data.picture_fitting import fit_picture, frame_sides
from lfdm_diffusers.export.runner import guidance_of, thresholded
from lfdm_diffusers.export.sampling import ddim_table
from lfdm_diffusers.models.full_size_painter import AGREEMENT, agreement, still_flow
from lfdm_diffusers.pipelines.motion import Motion, volume_to_motion
from lfdm_diffusers.pipelines.rendering import Box, MovedSubject, Renderer
from lfdm_diffusers.pipelines.steadying import activity, hidden, steadied, still_at_rest

NODE = shutil.which("node")
pytestmark = [pytest.mark.fast, pytest.mark.skipif(not NODE, reason="needs node")]
RULE = {"quantile": 0.9, "largest": 1e9}
STEPS = 3
# Width and height of pictures, side of the frame, and how they are fitted to it.
FRAMES = [
    (40, 40, 16, "letterbox"),
    (37, 61, 16, "letterbox"),
    (61, 37, 16, "center_crop"),
    (9, 13, 16, "center_crop"),
]


LABELS = ["anger", "happiness", "surprise"]


def case(label: int | None, scores: list[float], scale: float = 2.0) -> dict:
    """A label's number that is asked for, and the scores of what the picture may show: surprise and happiness."""
    shown = {"labels": ["surprise", "happiness"], "guidance_scale": 1.5}
    about = {"labels": {"texts": LABELS}, "sampling": {"guidance_scale": scale}, "shown": shown}
    return {"about": about, "label": label, "scores": scores}


GUIDED = [
    case(0, [2, 1]),
    case(0, [0.5, 1]),
    case(0, [-1, -2]),
    case(2, [2, 1]),
    case(None, [2, 1]),
    case(0, [2, 1], 1.0),
]


SAID = {"labels": {"normalized": ["angry", "very happy"]}}
TEXTS = {"  Very\n HAPPY ": 1, "angry": 0, " smiles, then Nods ": "smiles, then Nods", "": ""}


def flat(x: torch.Tensor | np.ndarray) -> list[float]:
    return np.asarray(x).ravel().tolist()


def rgba(picture: torch.Tensor) -> list[int]:
    """Bytes of `(3, H, W)` in [0, 1], opaque."""
    bytes = (picture * 255).round().to(torch.uint8)
    return flat(torch.cat((bytes, torch.full_like(bytes[:1], 255))).permute(1, 2, 0))


@pytest.fixture(scope="module")
def parts():
    """What was given, as tensors, and what node made of it."""
    chance = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=chance)

    pictures = [(rand(3, height, width) * 255).round() / 255 for width, height, _, _ in FRAMES]
    rows = ddim_table(DDIMScheduler(prediction_type="v_prediction"), STEPS)
    ddim = [rand(3, 2, 4, 4) * 4 - 2 for _ in range(1 + 2 * STEPS)]
    count, places, side = 2, 8, 16
    about = {"frames": count, "height": places, "width": places, "mean": [0.1, -0.1, 0.8], "std": [0.2, 0.1, 0.9]}
    added = still_flow(torch.zeros(1, 2, places, places))[0, 0, 0]
    volume = rand(3, count, places, places) * 2 - 1
    # A part that moves, and a rest.
    flow = still_flow(torch.zeros(1, 2, places, places)).repeat(count, 1, 1, 1)
    flow[:, :, 2:5, 3:6] += (rand(count, 2, 1, 1) - 0.3) * 0.5
    flow += (rand(count, 2, places, places) - 0.5) * 0.02
    decoded = rand(1, 3, side, side).repeat(count, 1, 1, 1)
    warped = decoded.clone()
    decoded[1, :, 9:12, 4:9] = 0.9
    given = SimpleNamespace(pictures=pictures, rows=rows, ddim=ddim, volume=volume, flow=flow, decoded=decoded)
    given.about, given.warped, given.box, given.occlusion = (
        about,
        warped,
        Box(-4, 3, 32, 39),
        rand(count, 1, places, places),
    )
    picture = rand(3, 41, 30)
    given.picture = (picture * 255).round() / 255
    asked = {
        "seed": 5,
        "count": 40001,
        "guided": GUIDED,
        "said": {"about": SAID, "texts": list(TEXTS), "most": [3, 5, 64]},
        "ddim": {
            "volume": flat(ddim[0]),
            "predicted": [flat(x) for x in ddim[1 : STEPS + 1]],
            "draws": [flat(x) for x in ddim[STEPS + 1 :]],
            "rows": rows,
            "rule": RULE,
        },
        "frames": [
            {"rgba": rgba(p), "width": w, "height": h, "side": s, "fit": fit}
            for p, (w, h, s, fit) in zip(pictures, FRAMES)
        ],
        "volume": {"values": flat(volume), "about": {**about, "flow_is_added_to": flat(added)}, "scale": 0.6},
        "clip": {
            "count": count,
            "height": places,
            "width": places,
            "side": side,
            "flow": flat(flow),
            "decoded": flat(decoded),
            "warped": flat(warped),
            "agreement": AGREEMENT,
            "occlusion": flat(given.occlusion),
            "paint_below": 0.6,
            "box": vars(given.box),
            "picture": {"rgba": rgba(picture), "width": 30, "height": 41},
        },
    }
    script = Path(__file__).with_name("page_parts.mjs")
    done = subprocess.run([NODE, script], input=json.dumps(asked), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return given, json.loads(done.stdout)


def test_normal_numbers_are_normal_and_those_of_the_seed(parts):
    _, made = parts
    drawn = np.array(made["normals"])
    assert len(drawn) == 40001
    moments = [drawn.mean(), drawn.std(), (drawn**3).mean(), (drawn**4).mean()]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.1)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02
    assert made["again"] == made["normals"][:8] != made["other"]


def test_denoising_is_that_of_the_runner(parts):
    given, made = parts
    x, draws = given.ddim[0].numpy(), iter(given.ddim[STEPS + 1 :])
    for row, predicted in zip(given.rows, given.ddim[1 : STEPS + 1]):
        clean, rest = (c[0] * x + c[1] * predicted.numpy() for c in (row["clean"], row["noise"]))
        x = row["next"][0] * thresholded(clean, RULE) + row["next"][1] * rest
        if row["next"][2]:
            x = x + row["next"][2] * next(draws).numpy()
    np.testing.assert_allclose(made["ddim"], x.ravel(), atol=1e-5)


def test_guidance_leads_away_from_what_the_picture_shows(parts):
    _, made = parts
    texts = [*LABELS, None]
    for case, found in zip(GUIDED, made["guided"], strict=True):
        label = None if case["label"] is None else LABELS[case["label"]]
        scale, away = guidance_of(case["about"], label, np.array(case["scores"]))
        wanted = [[label, scale], [away, 1 - scale]]
        assert [[None if n is None else texts[n], weight] for n, weight in found] == [
            each for each in wanted if each[1]
        ]
    assert GUIDED and [len(found) for found in made["guided"]] == [2, 2, 2, 2, 1, 1]
    assert [found[1][0] for found in made["guided"][:4]] == [2, 1, None, None]


def test_words_that_are_a_label_are_looked_up_and_long_ones_are_cut(parts):
    _, made = parts
    assert made["said"] == list(TEXTS.values())
    assert made["tokens"] == [[101, 7, 102], [101, 7, 8, 9, 102], [101, 7, 8, 9, 102]]


def test_pictures_are_framed_as_by_the_pipeline(parts):
    given, made = parts
    for picture, (width, height, side, fit), framed, box in zip(given.pictures, FRAMES, made["framed"], made["boxes"]):
        np.testing.assert_allclose(framed, flat(fit_picture(picture, side, side, fit)), atol=1e-5)
        sides = [box[name] for name in ("left", "top", "right", "bottom")]
        np.testing.assert_allclose(sides, frame_sides((height, width), side, side, fit), atol=1e-9)


def test_a_volume_becomes_the_same_motion(parts):
    given, made = parts
    names = {"target_mean": given.about["mean"], "target_std": given.about["std"], "flow_target": "residual"}
    flow, occlusion = volume_to_motion(given.volume[None], names)
    wanted = Motion(flow[0].transpose(0, 1), occlusion[0].transpose(0, 1)).scaled(0.6)
    np.testing.assert_allclose(made["flow"], flat(wanted.flow), atol=1e-6)
    np.testing.assert_allclose(made["occlusion"], flat(wanted.occlusion), atol=1e-6)


def test_frames_at_the_pictures_size_are_the_renderers(parts):
    given, made = parts
    flow = steadied(given.flow)
    np.testing.assert_allclose(made["steadied"], flat(flow), atol=1e-5)
    active = activity(flow, given.warped, given.decoded)
    unseen = hidden(given.occlusion, 0.6)
    share = 1 - agreement(given.warped, given.decoded)
    share = share * torch.nn.functional.interpolate(unseen, share.shape[-2:], mode="bilinear", align_corners=False)
    flow, painted, share = still_at_rest(flow, given.decoded, share, active)
    renderer = Renderer(given.picture, [MovedSubject(given.box, flow, painted, share)])
    still = (given.picture * 255).round().permute(1, 2, 0).numpy()
    for index, frame in enumerate(made["frames"]):
        frame, wanted = np.array(frame).reshape(41, 30, 4)[..., :3], renderer.pixels(index)
        assert np.abs(frame - wanted.astype(int)).max() <= 1
        assert np.abs(wanted - still).max() > 20  # it moves
        rest = (wanted == still).all(axis=-1)
        assert rest.mean() > 0.1 and (frame == still)[rest].mean() > 0.999
