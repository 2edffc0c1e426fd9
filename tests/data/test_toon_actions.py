"""Toon faces that do what a specification says: sides, strengths, order, gestures; sentences beside the clips."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lfdm_diffusers.data.captions import ACTIONS, HELD_OUT_PAIRS, SLOTS, Action, Specification
from lfdm_diffusers.data.captions.timing import specification_of
from lfdm_diffusers.data.captions.vocabulary import SIDES
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import ToonSubject, toon_clip, write_toon_faces
from lfdm_diffusers.data.toon_faces.actions import TARGETS, act
from lfdm_diffusers.data.toon_faces.redrawing import drawn_again
from lfdm_diffusers.data.toon_faces.rig import Rig
from lfdm_diffusers.data.true_motion import true_motion
from lfdm_diffusers.metrics import load_judge

pytestmark = pytest.mark.fast
PERSON = ToonSubject.sample(0, 3)
SMALL = dict(num_frames=3, size=16, progress=False)


def acted(*actions: Action, frames: int = 33, take: int = 0):
    return act(PERSON, Specification(actions), take, frames, 0)


def test_every_action_of_the_language_is_acted():
    assert set(TARGETS) == set(ACTIONS)


@pytest.mark.parametrize(("name", "side"), SLOTS)
def test_an_action_moves_its_side_and_nothing_in_the_first_frame(name, side):
    still, none = acted()
    moved, strengths = acted(Action(name, side))
    key = "_".join(filter(None, (name, side)))
    assert not none and list(strengths) == [key]
    assert strengths[key][0] == 0 and strengths[key][-1] == 0 and strengths[key].max() > 0.6
    own = [field for field in TARGETS[name] if getattr(moved, field).ndim == 2]
    for field in TARGETS[name]:
        change = getattr(moved, field) - getattr(still, field)
        assert np.abs(change[..., 0]).max() == 0, field
    for field in own:
        change = np.abs(getattr(moved, field) - getattr(still, field)).max(1)
        if side:
            assert change[{"left": 0, "right": 1}[side]] == 0 < change[{"left": 1, "right": 0}[side]], field


@pytest.mark.parametrize("name", [name for name, words in ACTIONS.items() if words.graded])
def test_slight_plain_and_strong_differ(name):
    side = SIDES[ACTIONS[name].sides][0]
    tops = [max(curve.max() for curve in acted(Action(name, side, how))[1].values()) for how in ("slight", "plain", "strong")]  # fmt: skip
    assert tops[0] * 1.6 < tops[1] < tops[2] / 1.3


@pytest.mark.parametrize(("name", "field"), [("turn", "yaw"), ("look_aside", "gaze_x"), ("tilt", "roll")])
def test_the_persons_left_is_the_pictures_right(name, field):
    still = getattr(acted()[0], field)
    left, right = (getattr(acted(Action(name, side))[0], field) - still for side in ("left", "right"))
    assert left.max() > 0.03 and np.allclose(left, -right, atol=0.02)


def test_one_after_the_other_and_to_and_fro():
    _, strengths = acted(Action("look_up", begin=0.08, end=0.5), Action("happiness", begin=0.5, end=0.94))
    centre = {name: (curve * np.arange(33)).sum() / curve.sum() for name, curve in strengths.items()}
    assert centre["look_up"] < 12 and centre["happiness"] > 20
    assert not np.any((strengths["look_up"] > 0.05) & (strengths["happiness"] > 0.05))
    nod = acted(Action("nod", strength="strong"))[0].pitch - acted()[0].pitch
    assert (np.diff(np.sign(nod[np.abs(nod) > 0.01])) != 0).sum() == 3  # down, up, down, up


def test_skin_does_not_fold_and_the_rig_is_one_to_one():
    t = np.linspace(-0.7, 0.7, 71)
    x, y = t[None, :], t[:, None]
    rng = np.random.default_rng(0)
    mx, my = rng.uniform(-0.9, 0.9, (2, 60))
    for index, (name, side) in enumerate(SLOTS):
        person, strength = ToonSubject.sample(9, index % 6), "strong" if ACTIONS[name].graded else "plain"
        state = act(person, Specification((Action(name, side, strength),)), 0, 9, 9)[0].at(4)
        rig = Rig(person)
        for carrier in (rig.skin, rig.front):
            sx, sy = carrier.local_in(state, x, y)
            (mxy, mxx), (myy, myx) = np.gradient(sx, t, t), np.gradient(sy, t, t)
            assert (mxx * myy - mxy * myx).min() > 0.02, (name, side, type(carrier).__name__)
        for carrier in (rig.skin, rig.hair_back, rig.mouth, rig.upper_lip, rig.irises[0]):
            bx, by = carrier.inward(state, *carrier.outward(state, mx, my))
            assert np.abs(bx - mx).max() < 1e-6 and np.abs(by - my).max() < 1e-6, (name, type(carrier).__name__)


def test_a_clip_of_nothing_is_the_neutral_one():
    still, neutral = toon_clip(0, 3, Specification(), 1, 3, 24), toon_clip(0, 3, "neutral", 1, 3, 24)
    assert np.array_equal(still.frames, neutral.frames) and still.label == "" and still.strengths == {}
    first = toon_clip(0, 3, Specification((Action("nod"),)), 1, 3, 24).frames[0]
    assert np.array_equal(first, neutral.frames[0])


def test_the_judge_of_expressions_takes_them_for_what_they_are_called():
    """Acted with the times of a specification, the six expressions are those that `perform` shows."""
    import torch

    judge = load_judge("expression")
    person, right = ToonSubject.sample(0, 600), 0
    for label in judge.labels:
        does = Specification(() if label == "neutral" else (Action(label),))
        clip = torch.from_numpy(toon_clip(0, person, does, 0, 4, 64).frames).permute(0, 3, 1, 2)[None] / 255
        right += judge.labels[judge(clip).logits.argmax()] == label
    assert right >= 6


def test_files_and_sentences(tmp_path):
    metadata = write_toon_faces(tmp_path, 2, 1, labels=("fear", "neutral"), actions=2, with_flow=True, **SMALL)
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    assert len(rows) == 8
    for row in rows:
        assert 4 <= len(row["text"]) == len(set(row["text"])) <= 6
        assert (tmp_path / row["file_name"]).is_dir()
        if "label" in row:
            continue
        does = Specification.from_json(row["specification"])
        assert does.meaning == specification_of(0, row["subject"], row["take"]).meaning
        assert does.pair not in HELD_OUT_PAIRS
        assert {"_".join(filter(None, (a.name, a.side))) for a in does.actions} == set(row["actions"])
        assert all(len(curve) == 3 and curve[0] == 0 for curve in row["actions"].values())
        again = drawn_again(tmp_path / row["file_name"])
        assert again.specification.meaning == does.meaning
    assert sum("label" in row for row in rows) == 4
    clip = next(clip for clip in find_clips(tmp_path) if clip.path.parent.name == "actions")
    flow, visibility = true_motion(clip)
    assert flow.shape == (3, 2, 16, 16) and visibility.shape == (3, 1, 16, 16)


def test_without_actions_all_is_as_it_was(tmp_path):
    plain = write_toon_faces(tmp_path / "plain", 1, labels=("fear",), **SMALL)
    more = write_toon_faces(tmp_path / "more", 1, labels=("fear",), actions=1, **SMALL)
    row = json.loads(plain.read_text())
    assert set(row) == {"file_name", "label", "subject", "split", "take"}
    for path in sorted((tmp_path / "plain").rglob("*.png")):
        assert path.read_bytes() == (tmp_path / "more" / path.relative_to(tmp_path / "plain")).read_bytes()
    assert len(more.read_text().splitlines()) == 2
    with pytest.raises(ValueError, match="actions: 1 there, 0 now"):
        write_toon_faces(tmp_path / "more", 1, labels=("fear",), **SMALL)
    with pytest.raises(ValueError, match="actions must be an integer of 0 or more, got -1"):
        write_toon_faces(tmp_path / "x", 1, actions=-1, **SMALL)
