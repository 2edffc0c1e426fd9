"""Whole figures: standing feet stand, joints keep their limits, labels act, clips follow from their seed, flow is true."""

import importlib.util
import json

import numpy as np
import pytest

from lfdm_diffusers.data.people.moves import BODY_LABELS, SIDES, perform_body, strengths
from lfdm_diffusers.data.people.person import Person
from lfdm_diffusers.data.people.rig import LIMITS, PARAMETERS, Rig, frame

MISSING = [name for name in ("anny", "numba", "scipy") if importlib.util.find_spec(name) is None]
rendered = [
    pytest.mark.integration,  # the figure takes half a minute to load
    pytest.mark.skipif(bool(MISSING), reason=f"rendering people needs {', '.join(MISSING)}: the extra [people]"),
]
# A figure of sticks: heads of bones of one side, metres, z up, face towards -y.
LEFT = {
    "upperleg01": (0.11, -0.01, 0.05), "upperleg02": (0.11, -0.03, -0.05), "lowerleg01": (0.16, -0.03, -0.37),
    "lowerleg02": (0.18, -0.01, -0.55), "foot": (0.22, 0.0, -0.745), "toe1-1": (0.19, -0.136, -0.8), "clavicle": (0.03, -0.07, 0.52),
    "shoulder01": (0.12, -0.05, 0.55), "upperarm01": (0.17, -0.015, 0.525), "upperarm02": (0.216, -0.02, 0.47),
    "lowerarm01": (0.31, -0.013, 0.35), "lowerarm02": (0.37, -0.09, 0.29), "wrist": (0.43, -0.18, 0.245),
    "finger2-1": (0.45, -0.26, 0.2), "finger5-1": (0.475, -0.21, 0.176),
}  # fmt: skip
LEG, ARM = ("upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot", "toe1-1"), ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")  # fmt: skip


@pytest.fixture(scope="module")
def sticks() -> Rig:
    names, parents, bones = ["root"], [-1], [(0.0, -0.014, 0.073)]
    for name, place in (
        ("spine05", (0, -0.014, 0.073)),
        ("spine04", (0, 0.01, 0.12)),
        ("spine03", (0, -0.015, 0.19)),
        ("spine02", (0, -0.026, 0.28)),
        ("spine01", (0, 0.007, 0.43)),
        ("neck01", (0, -0.007, 0.59)),
        ("head", (0, -0.016, 0.7)),
    ):
        names.append(name), parents.append(len(names) - 2), bones.append(place)
    for letter, sign in (("L", 1), ("R", -1)):
        for chain, start in ((LEG, 0), (ARM, names.index("spine01"))):
            above = start
            for name in chain:
                (
                    names.append(f"{name}.{letter}"),
                    parents.append(above),
                    bones.append((sign * LEFT[name][0], *LEFT[name][1:])),
                )
                above = len(names) - 1
        for name in ("finger2-1", "finger5-1"):
            (
                names.append(f"{name}.{letter}"),
                parents.append(names.index(f"wrist.{letter}")),
                bones.append((sign * LEFT[name][0], *LEFT[name][1:])),
            )
    return Rig(np.array(bones, float), tuple(names), tuple(parents), -0.817)


def joint(rig: Rig, transforms: np.ndarray, name: str) -> np.ndarray:
    i = rig.number[name]
    return transforms[i, :, :3] @ rig.bones[i] + transforms[i, :, 3]


def pose(**amounts: float) -> dict[str, float]:
    return dict.fromkeys(PARAMETERS, 0.0) | amounts


@pytest.mark.parametrize("label", BODY_LABELS)
def test_feet_that_stand_do_not_slide_and_nothing_passes_its_limit(sticks, label):
    performance = perform_body(Person.sample(0, 5), label, 3, 16, 0)
    assert np.isfinite(performance.pose).all() and performance.level[0] == 0 and performance.level.max() > 0.9
    low, high = np.array([LIMITS[name] for name in PARAMETERS]).T
    assert (performance.pose >= low - 1e-9).all() and (performance.pose <= high + 1e-9).all()
    places = {side: [] for side in SIDES}
    for number in range(16):
        transforms = sticks.transforms(performance.at(number))
        for side in SIDES:
            places[side].append(joint(sticks, transforms, f"foot.{side[0]}"))
            hip, knee, ankle = (
                joint(sticks, transforms, f"{name}.{side[0]}") for name in ("upperleg01", "lowerleg01", "foot")
            )
            sole = transforms[sticks.number[f"foot.{side[0]}"], :, :3]
            # A knee bends forwards of the line from hip to ankle, as the foot points.
            line = (ankle - hip) / np.linalg.norm(ankle - hip)
            off = knee - hip - line * ((knee - hip) @ line)
            assert np.linalg.norm(off) < 0.005 or off @ frame(line, sole @ np.array([0, -1.0, 0]))[
                :, 1
            ] > -0.2 * np.linalg.norm(off)
    for side in SIDES:
        place = np.array(places[side])
        up, toe = (performance.pose[:, PARAMETERS.index(name)] for name in (f"footUp{side}", f"toeUp{side}"))
        jump = performance.pose[:, PARAMETERS.index("jump")]
        stands = (up < 1e-3) & (jump < 1e-3)
        pairs = stands[1:] & stands[:-1]
        asked = performance.pose[:, [PARAMETERS.index(f"foot{way}{side}") for way in ("Out", "Forward")]]
        assert (np.abs(np.diff(asked, axis=0)[pairs]) < 0.002).all()
        flat = pairs & (np.abs(toe[1:]) < 1) & (np.abs(toe[:-1]) < 1)
        slide = np.linalg.norm(np.diff(place, axis=0), axis=1)[flat]
        assert slide.size == 0 or slide.max() < 0.002, f"{label}: {slide.max():.4f} m a frame"


def test_arms_go_where_they_are_told(sticks):
    wrist = lambda **amounts: joint(sticks, sticks.transforms(pose(**amounts)), "wrist.L")  # noqa: E731
    shoulder = lambda **amounts: joint(sticks, sticks.transforms(pose(**amounts)), "upperarm01.L")  # noqa: E731
    hanging = wrist() - shoulder()
    assert hanging[2] < -0.4 and np.abs(hanging[:2]).max() < 0.02
    ahead = wrist(armForwardLeft=90) - shoulder(armForwardLeft=90)
    assert ahead[1] < -0.4 and abs(ahead[2]) < 0.03
    aside = wrist(armSideLeft=90) - shoulder(armSideLeft=90)
    assert aside[0] > 0.4 and abs(aside[2]) < 0.03
    # An elbow bends the hand forwards, a raised and turned arm bends it up: a wave.
    assert (wrist(elbowLeft=90) - wrist())[1] < -0.15
    wave = wrist(armSideLeft=80, armTwistLeft=90, elbowLeft=90) - shoulder(
        armSideLeft=80, armTwistLeft=90, elbowLeft=90
    )
    assert wave[2] > 0.1


def test_the_right_side_mirrors_the_left(sticks):
    left = sticks.transforms(
        pose(armForwardLeft=40, armSideLeft=30, armTwistLeft=25, elbowLeft=60, footForwardLeft=0.3, footUpLeft=0.2)
    )
    right = sticks.transforms(
        pose(
            armForwardRight=40, armSideRight=30, armTwistRight=25, elbowRight=60, footForwardRight=0.3, footUpRight=0.2
        )
    )
    for name in ("wrist", "lowerarm01", "lowerleg01", "foot"):
        assert np.allclose(joint(sticks, left, f"{name}.L"), joint(sticks, right, f"{name}.R") * [-1, 1, 1], atol=1e-9)


def test_hips_go_down_as_far_as_standing_feet_ask(sticks):
    heights = [
        joint(sticks, sticks.transforms(pose(**p)), "root")[2]
        for p in ({}, dict(hipsDown=0.3), dict(footOutLeft=0.4, footOutRight=0.4))
    ]
    assert np.isclose(heights[0] - heights[1], 0.3 * sticks.leg) and heights[2] < heights[0] - 0.05


def test_the_first_frame_does_not_know_the_label():
    person = Person.sample(0, 2)
    first = [perform_body(person, label, 4, 12, 0) for label in BODY_LABELS]
    for performance in first[1:]:
        assert np.allclose(performance.pose[0], first[0].pose[0]) and performance.facing[0] == first[0].facing[0]


def test_labels_differ_in_what_moves():
    person = Person.sample(1, 1)
    right = strengths(perform_body(person, "wave_right", 0, 16, 1))
    left = strengths(perform_body(person, "wave_left", 0, 16, 1))
    assert right["armSideRight"].max() > 0.15 and "armSideLeft" not in right
    assert left["armSideLeft"].max() > 0.15 and "armSideRight" not in left
    assert strengths(perform_body(person, "squat", 0, 16, 1))["hipsDown"].max() > 0.4


class TestRendered:
    pytestmark = rendered

    def test_same_arguments_same_clip_and_others_differ(self):
        from lfdm_diffusers.data.people.standing import body_clip

        first = body_clip(0, 4, "clap", num_frames=2, size=32)
        assert np.array_equal(first.frames, body_clip(0, 4, "clap", num_frames=2, size=32).frames)
        assert not np.array_equal(first.frames, body_clip(0, 4, "bow", num_frames=2, size=32).frames)
        with pytest.raises(ValueError, match=r"label must be one of arms_spread, .*; got 'dance'"):
            body_clip(0, 4, "dance")

    def test_all_of_the_person_is_inside_the_picture(self):
        from lfdm_diffusers.data.people.standing import body_clip

        clip = body_clip(0, 4, "jumping_jack", num_frames=6, size=96)
        seen = np.isin(np.arange(clip.mesh.shape[1]), clip.triangles)
        place = clip.mesh[:, seen, :2]
        assert place.min() > 0 and place.max() < 96
        assert np.ptp(place[0, :, 1]) > 0.6 * 96

    def test_warping_by_the_true_flow_reproduces_the_driving_frame(self):
        from scipy.ndimage import map_coordinates

        from lfdm_diffusers.data.people.standing import body_clip

        clip = body_clip(0, 4, "squat", num_frames=9, size=96)

        flow, visibility = clip.flow(0, 4)
        figure = (clip.surfaces[4].number >= 0) & (visibility[0] > 0)
        index = ((flow + 1) * 48 - 0.5)[::-1]
        warped = np.stack(
            [map_coordinates(clip.frames[0][..., c].astype(float), index, order=1, mode="nearest") for c in range(3)],
            -1,
        )
        moving = figure & (np.abs(flow - clip.flow(4, 4)[0]).max(0) > 2 / 96)
        assert moving.sum() > 60
        error = np.abs(warped - clip.frames[4]).mean(-1)[moving].mean()
        still = np.abs(clip.frames[0].astype(float) - clip.frames[4]).mean(-1)[moving].mean()
        assert error < 0.6 * still, f"{error:.1f} against {still:.1f} over {moving.sum()} pixels"
        behind = (clip.surfaces[4].number < 0) & (visibility[0] > 0)
        assert np.abs(flow - clip.flow(4, 4)[0])[:, behind].max() < 1e-6

    def test_data_set_has_bodies_and_says_what_they_do(self, tmp_path):
        from lfdm_diffusers.data.people.dataset import write_people

        arguments = dict(
            num_subjects=2,
            num_test_subjects=1,
            labels=("kick", "wave_left"),
            num_frames=2,
            size=24,
            format="webp",
            progress=False,
        )
        metadata = write_people(tmp_path, body=True, with_flow=True, **arguments)
        rows = [json.loads(line) for line in metadata.read_text().splitlines()]
        assert [(row["label"], row["split"]) for row in rows] == [
            ("kick", "train"),
            ("wave_left", "train"),
            ("kick", "test"),
            ("wave_left", "test"),
        ]
        assert all((tmp_path / row["file_name"]).exists() and (tmp_path / row["flow"]).exists() for row in rows)
        assert rows[1]["captions"][0] == "wave left" and all(len(row["captions"]) >= 4 for row in rows)
        with pytest.raises(ValueError, match=r"other settings .*body: True there, False now"):
            write_people(tmp_path, with_flow=True, **(arguments | dict(labels=("anger",))))

    def test_sets_of_faces_from_before_there_were_bodies_resume(self, tmp_path):
        from lfdm_diffusers.data.people.dataset import write_people

        arguments = dict(
            num_subjects=1,
            num_test_subjects=0,
            labels=("anger",),
            num_frames=1,
            size=24,
            format="webp",
            progress=False,
        )
        write_people(tmp_path, **arguments)
        settings = json.loads((tmp_path / "people.json").read_text())
        del settings["body"]
        (tmp_path / "people.json").write_text(json.dumps(settings))
        write_people(tmp_path, **arguments)
