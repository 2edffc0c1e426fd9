"""People who do what a specification says: sides, strengths, order, gestures, and what stays of the first frame."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfdm_diffusers.data.captions import ACTIONS, SLOTS, Action, Specification
from lfdm_diffusers.data.captions.timing import slot_key
from lfdm_diffusers.data.captions.vocabulary import SIDES
from lfdm_diffusers.data.people.acting import FACE, GAZE, HEAD, act, taken_over
from lfdm_diffusers.data.people.actions import ACTIONS as FACIAL
from lfdm_diffusers.data.people.captions import captions
from lfdm_diffusers.data.people.expressions import LABELS, perform, rest
from lfdm_diffusers.data.people.person import Person
from lfdm_diffusers.data.people.wear import Outfit

pytestmark = pytest.mark.fast
PERSON = Person.sample(0, 3)
# Numbers of clips of this person whose first frame is at rest, and smiles.
AT_REST = next(take for take in range(100) if rest(PERSON, take, 3, 0).before[1] == 0)
SMILING = next(take for take in range(100) if rest(PERSON, take, 3, 0).before == ("happiness", rest(PERSON, take, 3, 0).before[1]) and rest(PERSON, take, 3, 0).before[1] > 0.6)  # fmt: skip


def acted(*actions: Action, frames: int = 33, take: int = AT_REST):
    return act(PERSON, Specification(actions), take, frames, 0)


def facial(performance, prefix: str) -> np.ndarray:
    """Strength of the actions whose names begin so, the largest of them, in each frame."""
    return performance.actions[:, [i for i, name in enumerate(FACIAL) if name.startswith(prefix)]].max(1)


def test_every_action_of_the_language_is_acted():
    assert set(FACE) | set(LABELS) - {"neutral"} == set(ACTIONS)
    assert all(FACE[name] or name in HEAD or name in GAZE for name in FACE)


@pytest.mark.parametrize(("name", "side"), SLOTS)
def test_an_action_moves_its_side_and_nothing_in_the_first_frame(name, side):
    action = Action(name, side)
    still, none = acted()
    moved, strengths = acted(action)
    assert not none and list(strengths) == [slot_key(action)]
    curve = strengths[slot_key(action)]
    assert curve[0] == 0 and curve[-1] == 0 and curve.max() > 0.5
    for field in ("actions", "head", "gaze"):
        assert np.allclose(getattr(moved, field)[0], getattr(still, field)[0]), field
    change = np.abs(moved.actions - still.actions).max(0)
    for part, others in (("Left", "right"), ("Right", "left")):
        if side == others and name in FACE:
            own = [change[i] for i, n in enumerate(FACIAL) if n.endswith(part) and not n.startswith("eye")]
            assert max(own) == 0
    assert (
        max(
            change.max(),
            np.abs(moved.head - still.head).max() * 3,
            np.abs(moved.gaze - still.gaze).max() * 3,
        )
        > 0.4
    )


@pytest.mark.parametrize("name", [name for name, words in ACTIONS.items() if words.graded])
def test_slight_plain_and_strong_differ(name):
    side = SIDES[ACTIONS[name].sides][0]
    tops = [max(curve.max() for curve in acted(Action(name, side, how))[1].values()) for how in ("slight", "plain", "strong")]  # fmt: skip
    assert tops[0] * 1.6 < tops[1] < tops[2] / 1.3


def test_a_wink_closes_one_eye():
    for side, open_side in (("Left", "Right"), ("Right", "Left")):
        moved = acted(Action("eyes_close", side.lower()))[0]
        assert facial(moved, f"eyeBlink{side}")[16] > 0.95 > 0.3 > facial(moved, f"eyeBlink{open_side}")[16]


def test_sides_of_head_and_gaze_are_the_persons_own():
    still = acted()[0]
    for name, field, axis, sign in (
        ("turn", "head", 0, 1),
        ("tilt", "head", 2, -1),
        ("look_aside", "gaze", 0, 1),
    ):
        left, right = (
            (getattr(acted(Action(name, side))[0], field) - getattr(still, field))[16, axis] * sign
            for side in ("left", "right")
        )
        assert left > 0.15 and right < -0.15, name


def test_one_after_the_other_and_to_and_fro():
    moved, strengths = acted(Action("look_up", begin=0.08, end=0.5), Action("happiness", begin=0.5, end=0.94))
    centre = {name: (curve * np.arange(33)).sum() / curve.sum() for name, curve in strengths.items()}
    assert centre["look_up"] < 12 and centre["happiness"] > 20
    smile = facial(moved, "mouthSmile")
    assert smile[:15].max() < 0.3 < smile[22]
    nod = (acted(Action("nod", strength="strong"))[0].head - acted()[0].head)[:, 1]
    assert (np.diff(np.sign(nod[np.abs(nod) > 0.02])) != 0).sum() == 3  # down, up, down, up


def test_a_smile_stays_while_a_brow_is_raised_and_goes_when_the_mouth_does_something_else():
    smiling = facial(acted(take=SMILING)[0], "mouthSmile")
    assert smiling.min() > 0.4
    assert np.allclose(facial(acted(Action("brows_up", "left"), take=SMILING)[0], "mouthSmile"), smiling)
    for other in ("mouth_down", "sadness"):
        assert facial(acted(Action(other), take=SMILING)[0], "mouthSmile")[16] < 0.15


def test_one_side_of_the_mouth_leaves_the_other_as_it_was():
    chosen = taken_over(Action("smile", "left"), np.zeros(len(FACIAL)))
    assert chosen[FACIAL.index("mouthSmileLeft")] and not chosen[FACIAL.index("mouthSmileRight")]
    assert chosen[FACIAL.index("jawOpen")] and not chosen[FACIAL.index("browInnerUp")]


def test_a_smile_that_goes_is_not_told_as_stillness():
    outfit = Outfit.sample(PERSON, 0)
    for take, still in ((AT_REST, True), (SMILING, False)):
        said = captions(PERSON, outfit, "neutral", perform(PERSON, "neutral", take, 9, 0), 0, take)
        assert said[0] == "neutral" and len(set(said)) == len(said) >= 5
        stays = [text for text in said[1:] if re.search(r"still|not move|stays|freeze|hold|same|nothing", text)]
        assert bool(stays) == still
        assert any("smiling" in text for text in said) != still
