"""Rendered people: the same clips from a seed, people apart between splits, true flow that is true, actions that act."""

import importlib.util
import json

import numpy as np
import pytest
from warped import warp

from lfdm_diffusers.data.captions import Specification
from lfdm_diffusers.data.captions.timing import slot_key, specification_of
from lfdm_diffusers.data.clips import read_clip
from lfdm_diffusers.data.layouts import find_clips

MISSING = [name for name in ("anny", "numba", "scipy") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.integration,  # the figure takes half a minute to load
    pytest.mark.skipif(bool(MISSING), reason=f"rendering people needs {', '.join(MISSING)}: the extra [people]"),
]


@pytest.fixture(scope="module")
def people():
    from lfdm_diffusers.data.people import clip, dataset

    return {**vars(dataset), **vars(clip)}


def test_same_arguments_same_clip_and_others_differ(people):
    make = people["people_clip"]
    arguments = dict(seed=3, subject=2, label="fear", take=1, num_frames=2, size=32)
    first, again = make(**arguments), make(**arguments)
    assert np.array_equal(first.frames, again.frames)
    for other in (dict(seed=4), dict(subject=5), dict(take=2), dict(label="anger")):
        assert not np.array_equal(first.frames, make(**(arguments | other)).frames)


def test_size_and_length_are_free_and_show_the_same(people):
    small = people["people_clip"](0, 4, "surprise", num_frames=3, size=40)
    large = people["people_clip"](0, 4, "surprise", num_frames=5, size=80)
    assert small.frames.shape == (3, 40, 40, 3) and large.frames.shape == (5, 80, 80, 3)
    # The middle frames are the same moment.
    assert np.allclose(small.performance.actions[1], large.performance.actions[2])
    shrunk = large.frames[2].reshape(40, 2, 40, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small.frames[1]).mean() < 14


@pytest.mark.parametrize(("subject", "label"), [(4, "surprise"), (12, "happiness")])
def test_warping_by_the_true_flow_reproduces_the_driving_frame(people, subject, label):
    clip = people["people_clip"](0, subject, label, num_frames=9, size=96)
    flow, visibility = clip.flow(0, 5)
    assert flow.shape == (2, 96, 96) and flow.dtype == np.float32
    assert visibility.shape == (1, 96, 96) and visibility.dtype == np.float32
    figure = (clip.surfaces[5].number >= 0) & (visibility[0] > 0)
    error = np.abs(warp(clip.frames[0], flow) - clip.frames[5]).mean(-1)
    still = np.abs(clip.frames[0].astype(float) - clip.frames[5]).mean(-1)
    # What remains: light that does not turn with the head, creases, resampling of hair, the camera's noise.
    assert error[figure].mean() < 0.55 * still[figure].mean() and np.median(error[figure]) < 7
    assert 0.75 < visibility.mean() < 1
    backdrop = (clip.surfaces[5].number < 0) & (visibility[0] > 0)
    assert np.abs(flow - clip.flow(5, 5)[0])[:, backdrop].max() < 1e-6


def test_flow_follows_the_vertices_of_the_face(people):
    """Where a vertex of the face is seen, the flow of its pixel is the vertex's own motion."""
    from lfdm_diffusers.data.people.figure import load_figure

    figure = load_figure()
    clip = people["people_clip"](0, 12, "happiness", num_frames=5, size=96)
    flow, visibility = clip.flow(0, 2)
    own = clip.flow(0, 0)[0]
    x, y, z = figure.canonical.T
    face = np.flatnonzero((np.abs(x) < 0.05) & (z < -0.015) & (z > -0.09) & (y < 0.02) & (figure.inside < 0.5))
    place, before = clip.mesh[2, face], clip.mesh[0, face]
    column, row = place[:, 0].astype(int), place[:, 1].astype(int)
    number = clip.surfaces[2].number[row, column]
    around = clip.triangles[np.clip(number, 0, len(clip.triangles) - 1)]
    seen = (
        (number >= 0)
        & (number < len(clip.triangles))
        & (around == face[:, None]).any(1)
        & (visibility[0, row, column] > 0)
    )
    assert seen.sum() > 100
    moved = (flow - own)[:, row, column].T[seen] * 96 / 2
    truth = (before - place)[seen, :2]
    assert np.abs(truth).max() > 1.5
    assert np.percentile(np.abs(moved - truth), 95) < 0.25


def test_no_motion_is_identity(people):
    clip = people["people_clip"](0, 1, "neutral", num_frames=2, size=48)
    flow, visibility = clip.flow(1, 1)
    centres = (2 * np.arange(48) + 1) / 48 - 1
    assert np.abs(flow[0] - centres[None, :]).max() < 1e-5 and np.abs(flow[1] - centres[:, None]).max() < 1e-5
    assert visibility.mean() > 0.995
    with pytest.raises(ValueError, match="driving must be a frame from -2 to 1, got 2"):
        clip.flow(0, 2)


def test_shapes_and_skinning_are_those_of_anny(people):
    """The fast path of `Figure` gives what Anny's own forward pass gives, face and pose."""
    import torch

    from lfdm_diffusers.data.people.actions import ACTIONS
    from lfdm_diffusers.data.people.figure import load_figure
    from lfdm_diffusers.data.people.person import Person

    figure, person = load_figure(), Person.sample(0, 3)
    vertices, bones = figure.shaped(person.phenotype, person.local_changes)
    smile = ACTIONS.index("mouthSmileLeft")
    with torch.no_grad():
        out = figure.model(
            phenotype_kwargs=person.phenotype,
            local_changes_kwargs=person.local_changes,
            facial_actions={"mouthSmileLeft": 0.7},
        )
    theirs = out["rest_vertices"][0].numpy()
    mine = vertices + 0.7 * figure.actions[smile]
    from scipy.spatial import cKDTree

    assert cKDTree(theirs).query(mine)[0].max() < 1e-5
    assert np.abs(out["rest_bone_heads"][0].numpy() - bones).max() < 1e-5
    same = figure.posed(vertices, figure.transforms(bones, {}))
    assert np.abs(same - vertices).max() < 1e-6


def test_actions_do_what_their_names_say(people):
    from lfdm_diffusers.data.people.actions import ACTIONS
    from lfdm_diffusers.data.people.figure import load_figure

    figure = load_figure()
    x, y, z = figure.canonical.T
    chin = (np.abs(x) < 0.01) & (z < -0.09) & (z > -0.12) & (y < 0)
    corner = (np.abs(x - 0.025) < 0.004) & (figure.lips > 0.3)
    brow = (np.abs(x) < 0.02) & (np.abs(z - 0.02) < 0.006) & (y < 0)
    for name, where, least in (
        ("jawOpen", chin, 0.015),
        ("mouthSmileLeft", corner, 0.004),
        ("browInnerUp", brow, 0.001),
    ):
        rise = figure.actions[ACTIONS.index(name), where, 2].mean()
        assert (-rise if name == "jawOpen" else rise) > least, name
    left, right = (figure.actions[ACTIONS.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert np.abs(left[x < -0.02]).max() < 1e-3 < np.abs(right[x < -0.02]).max()


def test_data_set_is_complete_and_resumes(people, tmp_path):
    arguments = dict(num_subjects=3, num_test_subjects=1, labels=("happiness", "sadness"), num_frames=2, size=24, format="webp",
                     with_flow=True, progress=False)  # fmt: skip
    metadata = people["write_people"](tmp_path / "a", **arguments)
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    assert len(rows) == 6
    subjects = {split: {row["subject"] for row in rows if row["split"] == split} for split in ("train", "test")}
    assert subjects == {"train": {0, 1}, "test": {2}}
    for row in rows:
        assert len(row["level"]) == 2 and len(row["head"]) == 2 and len(row["captions"]) >= 4
        assert all(len(strengths) == 2 for strengths in row["actions"].values())
        assert row["before"]["label"] and row["captions"][0] == row["label"]
    clips = find_clips(tmp_path / "a", split="test")
    assert [clip.label for clip in clips] == ["happiness", "sadness"] and all(clip.path.is_file() for clip in clips)
    with np.load(tmp_path / "a" / rows[0]["flow"]) as arrays:
        assert arrays["flow"].shape == (2, 2, 24, 24) and arrays["visibility"].shape == (2, 1, 24, 24)

    # Interrupted: half the files are gone, and come back the same.
    before = {row["file_name"]: (tmp_path / "a" / row["file_name"]).read_bytes() for row in rows}
    for name in list(before)[::2]:
        (tmp_path / "a" / name).unlink()
    kept = (tmp_path / "a" / list(before)[1]).stat().st_mtime_ns
    people["write_people"](tmp_path / "a", **arguments)
    assert {name: (tmp_path / "a" / name).read_bytes() for name in before} == before
    assert (tmp_path / "a" / list(before)[1]).stat().st_mtime_ns == kept
    with pytest.raises(ValueError, match="other settings"):
        people["write_people"](tmp_path / "a", **(arguments | dict(seed=1)))


def test_clips_of_actions_stand_beside_those_of_labels(people, tmp_path):
    arguments = dict(
        num_subjects=1, num_test_subjects=0, num_frames=3, size=24, format="webp", with_flow=True, progress=False
    )
    metadata = people["write_people"](tmp_path, labels="neutral", actions=2, **arguments)
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    assert [row.get("label") for row in rows] == ["neutral", None, None]
    for row in rows[1:]:
        does = Specification.from_json(row["specification"])
        assert set(row["strengths"]) == {slot_key(action) for action in does.actions}
        assert all(len(curve) == 3 for curve in row["strengths"].values())
        assert len(set(row["captions"])) == len(row["captions"]) >= 4
        assert row["file_name"].startswith("train/actions/") and (tmp_path / row["file_name"]).is_file()
        assert (tmp_path / row["flow"]).is_file()
    clips = find_clips(tmp_path)
    assert sorted(clip.label or "" for clip in clips) == ["", "", "neutral"]
    clip = people["people_clip"](
        0, 0, specification_of(0, 0, 0), 0, num_frames=3, size=24
    )  # as drawn: files round its times
    assert np.array_equal(clip.frames, read_clip(tmp_path / rows[1]["file_name"]))
    with pytest.raises(ValueError, match="other settings"):
        people["write_people"](tmp_path, labels="neutral", actions=1, **arguments)
    for wrong, message in (
        (dict(actions=-1), "actions must be an integer of 0 or more, got -1"),
        (dict(body=True, actions=1), "actions must be 0 with body"),
    ):
        with pytest.raises(ValueError, match=message):
            people["write_people"](tmp_path / "wrong", num_subjects=1, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(num_subjects=0), "num_subjects must be an integer of 1 or more, got 0"),
        (dict(size=8), "size must be an integer of 16 or more, got 8"),
        (dict(labels=("joy",)), "labels must be different ones of anger, .*; got joy"),
        (dict(num_test_subjects=9), "num_test_subjects must be at most num_subjects = 2, got 9"),
        (dict(format="gif"), "format must be one of png, .*; got 'gif'"),
    ],
)
def test_wrong_arguments_are_named(people, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        people["write_people"](tmp_path, **(dict(num_subjects=2) | wrong))


def test_unfinished_data_sets_hold_both_splits(people):
    order = people["drawing_order"](20, 4)
    assert sorted(order) == list(range(20))
    assert sum(subject >= 16 for subject in order[:10]) == 2
