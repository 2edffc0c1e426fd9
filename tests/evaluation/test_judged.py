"""Scores of toon faces by their judges: what real clips, still pictures and other people get."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.toon_faces import redrawing, toon_clip, write_toon_faces
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.evaluation.judged import (
    accuracy_score,
    correlation,
    identity_judge,
    judge_scores,
    other_takes,
    pair_timing,
    require_judgeable,
)
from lfdm_diffusers.evaluation.run import _label_judge
from lfdm_diffusers.evaluation.scores import Rules, places_by_source
from lfdm_diffusers.evaluation.video_sets import VideoSet, find_real_clips

LABELS = ("happiness", "neutral", "surprise")
FRAMES, SIZE = 10, 64
RULES = Rules(bootstrap=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three people, three labels each."""
    root = tmp_path_factory.mktemp("toon")
    write_toon_faces(root, 3, 3, labels=LABELS, num_frames=FRAMES, size=SIZE, format="webp", progress=False)
    return root


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """A clip is drawn again for the first test that asks for it, and kept for the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redrawing, "toon_clip", functools.cache(redrawing.toon_clip))
        yield


@pytest.fixture(scope="module")
def real(root) -> VideoSet:
    return find_real_clips(root, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)


class Changed(VideoSet):
    """Real clips, changed."""

    def frames(self, index: int) -> torch.Tensor:
        return self.change(super().frames(index))


def changed(real: VideoSet, change) -> Changed:
    clips = Changed(real.clips, real.reader, real.num_frames)
    object.__setattr__(clips, "change", change)
    return clips


def twice(clips: VideoSet) -> VideoSet:
    return replace(clips, clips=clips.clips * 2)


@pytest.mark.integration
def test_real_clips_score_like_real_clips(real):
    """All of them, given as generated ones: the scores are those beside them, and nothing differs from itself."""
    names = ["accuracy", "expression", "timing", "identity", "background"]
    found = judge_scores(names, RULES, real, twice(real), [*range(9), *range(9)])
    assert list(found) == names
    accuracy = found["accuracy"]
    assert accuracy["value"] == accuracy["real_value"] >= 8 / 9
    for name in ("sure", "probability"):
        assert accuracy[name] == pytest.approx(accuracy[f"real_{name}"]) and 0.8 < accuracy[name] <= 1
    confusion = np.array(accuracy["real_confusion"])
    assert confusion.sum() == 9 and np.trace(confusion) == round(9 * accuracy["real_value"])
    assert (
        found["expression"]["value"] < 20 < found["expression"]["real_against_real"]
    )  # covariances of 18 and of 9 rows
    timing = found["timing"]
    assert timing["value"] == timing["offset_difference"] == 0 and timing["profile_correlation"] == pytest.approx(1)
    assert 0 < timing["real_value"] < 2 and timing["real"]["profile_correlation"] < 0.99
    assert timing["without_expression"] == 0 and timing["apex_strength"] > 0.7
    assert 0 < timing["onset_mean"] < timing["offset_mean"] < FRAMES - 1
    identity = found["identity"]
    assert identity["value"] == pytest.approx(identity["real_value"]) and identity["value"] > 0.8
    assert identity["retrieval"] == identity["real_retrieval"] == 1
    assert identity["most_similar_other"] < identity["value"] - 0.3
    background = found["background"]
    assert background["value"] == pytest.approx(background["real_value"]) and 0 <= background["value"] < 0.01


def test_still_pictures_show_the_person_and_no_expression(real):
    still = changed(real, lambda frames: frames[:1].expand_as(frames))
    found = judge_scores(["accuracy", "identity", "background"], RULES, real, still, list(range(9)))
    assert found["accuracy"]["groups"]["neutral"] == 1 and found["accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["identity"]["value"] > found["identity"]["real_value"]
    assert found["background"]["value"] == 0


def test_other_people_are_noticed(real):
    """The mirrored order of people: every clip shows another person than its subject, the middle one but itself."""
    clips = [replace(clip, subject=str(2 - int(clip.subject))) for clip in real.clips]
    found = judge_scores(["identity"], RULES, real, replace(real, clips=clips), list(range(9)))["identity"]
    assert found["retrieval"] == pytest.approx(1 / 3) and found["value"] < found["real_value"] - 0.3


def test_the_first_frame_is_no_witness_of_identity(real):
    """It is the picture itself: clips that turn into another person from frame 1 on score as if all were that person."""
    other = torch.from_numpy(toon_clip(0, 2, "neutral", 0, 1, SIZE).frames).permute(0, 3, 1, 2)
    own = replace(real, clips=[clip for clip in real.clips if clip.subject == "1"])
    values = []
    for kept in (1, 0):
        turned = changed(
            own, lambda frames, kept=kept: torch.cat((frames[:kept], other.repeat(FRAMES - kept, 1, 1, 1)))
        )
        values.append(judge_scores(["identity"], RULES, real, turned, [0, 1, 2])["identity"]["value"])
    assert values[0] == pytest.approx(values[1]) and values[0] < 0.6


def test_a_brighter_background_is_measured(real):
    brighter = changed(real, lambda frames: torch.cat((frames[:1], frames[1:].clamp(max=204) + 51)))
    value = judge_scores(["background"], RULES, real, brighter, list(range(9)))["background"]["value"]
    assert 0.05 < value < 0.2 * (FRAMES - 1) / FRAMES + 0.01


@pytest.mark.parametrize("distance", [4, 5])
def test_what_comes_within_four_pixels_of_a_person_is_no_background(real, distance):
    own = replace(real, clips=[clip for clip in real.clips if clip.subject == "1"])
    drawn = [toon_clip(0, 1, clip.label, 0, FRAMES, SIZE) for clip in own.clips]
    person = np.any([clip.parts != clip.part_names.index("backdrop") for clip in drawn], axis=(0, 1))
    away = np.abs(np.argwhere(np.ones_like(person))[:, None] - np.argwhere(person)[None]).max(axis=2).min(axis=1)
    ring = torch.from_numpy(away.reshape(SIZE, SIZE) == distance)
    assert ring.any()
    painted = changed(own, lambda frames: torch.where(ring, 255 - frames, frames))
    found = judge_scores(["background"], RULES, own, painted, [0, 1, 2])["background"]
    assert (found["value"] > found["real_value"] + 0.01) == (distance > 4)
    assert distance > 4 or found["value"] == found["real_value"]


def test_accuracy_of_answers():
    """Three clips: right and sure, right and not sure (.8), wrong and sure."""
    probabilities = torch.tensor([[0.95, 0.05], [0.2, 0.8], [0.95, 0.05]])
    found = accuracy_score(("calm", "glad"), [probabilities.log()] * 2, [["calm", "glad", "glad"]] * 2)
    assert found["value"] == found["real_value"] == pytest.approx(2 / 3)
    assert found["groups"] == {"calm": 1, "glad": 0.5} and found["confusion"] == [[1, 0], [1, 1]]
    assert found["sure"] == pytest.approx(1 / 3) and found["probability"] == pytest.approx((0.95 + 0.8 + 0.05) / 3)


def test_timing_of_curves():
    """Triangles with their peaks at 4 and 6: onset and offset two frames apart; the flat one has no timing."""
    frames = torch.arange(10.0)
    early, late = ((1 - (frames - peak).abs() / 4).clamp(min=0) for peak in (4, 6))
    found = pair_timing(torch.stack((early, 0 * early)), torch.stack((late, late)))
    assert found["value"] == found["offset_difference"] == pytest.approx(2)
    assert (found["onset_mean"], found["offset_mean"]) == (2, 6)
    assert found["apex_strength"] == 0.5 and found["without_expression"] == 0.5 and found["back_to_rest"] == 0.5
    assert correlation(early[None], early[None] * 3 + 1) == pytest.approx(1)
    assert correlation(early[None], -early[None]) == pytest.approx(-1)
    assert places_by_source([0, 1, 2, 0, 2, 0]) == [[0, 3, 5], [2, 4]]


def test_other_takes_are_the_next_ones(real, root, tmp_path):
    takes = other_takes(real)
    index = next(i for i, clip in enumerate(real.clips) if (clip.label, clip.subject) == ("surprise", "1"))
    expected = toon_clip(0, 1, "surprise", 1, FRAMES, SIZE).frames
    assert np.array_equal(takes[index].permute(0, 2, 3, 1).numpy(), expected)
    for i in range(3):
        write_clip(tmp_path / "happiness" / f"{i}.webp", expected, "webp", 8)
    mine = find_real_clips(tmp_path, None, "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)
    assert other_takes(mine) is None
    found = judge_scores(["timing"], RULES, mine, twice(mine), [0, 1, 2, 0, 1, 2])["timing"]
    assert found["value"] == 0 and "real_value" not in found


@pytest.mark.fast
def test_which_judges_know_a_drawn_data_set(tmp_path):
    for number, (settings, judge) in enumerate([("toon_faces.json", "identity"), ("people.json", "people-identity")]):
        root = tmp_path / str(number)
        root.mkdir()
        (root / settings).write_text("{}")
        clips = [Clip(root / "test" / label / "0000_00.webp", label, "0") for label in LABELS]
        assert identity_judge(VideoSet(clips, ClipReader(SIZE, SIZE), FRAMES)) == judge
        bodies = [replace(clip, label="wave_right") for clip in clips]
        with pytest.raises(ValueError, match="identity needs a judge"):
            identity_judge(VideoSet(bodies, ClipReader(SIZE, SIZE), FRAMES))


@pytest.mark.fast
def test_a_library_that_is_missing_is_told_before_anything_is_generated(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    clips = VideoSet([Clip(tmp_path / "a.webp", "fear", "0")], ClipReader(SIZE, SIZE), FRAMES)
    with pytest.raises(ValueError, match="Judging labels of rendered people needs OpenCV"):
        _label_judge("people", clips, "test", "train", lambda *arguments: clips, tmp_path, 0)


def test_what_cannot_be_judged(real, root):
    with pytest.raises(ValueError, match=r"timing need the judge of toon faces, .*, not 'waving'"):
        waving = [replace(clip, label="waving") for clip in real.clips]
        require_judgeable(["timing"], replace(real, clips=waving))
    with pytest.raises(ValueError, match=r"accuracy needs a judge .*, not 'waving'.*`judge` train"):
        require_judgeable(["accuracy"], replace(real, clips=waving))
    with pytest.raises(ValueError, match=r"expression need the judge of toon faces, .*, not 'waving'"):
        judge_scores(["expression"], RULES, real, replace(real, clips=waving), list(range(9)))
    nobody = [replace(clip, subject="") for clip in real.clips]
    with pytest.raises(ValueError, match="identity needs the subject of every real clip; 9 have none"):
        require_judgeable(["identity"], replace(real, clips=nobody))
    small = find_real_clips(root, "test", "auto", ClipReader(32, 32), FRAMES, progress=False)
    with pytest.raises(
        ValueError, match="background needs clips of the model's 32x32 pixels; those of the data have 64x64"
    ):
        require_judgeable(["background"], small)
    elsewhere = replace(real, clips=[replace(clip, path=Path("clips") / clip.path.name) for clip in real.clips])
    with pytest.raises(ValueError, match=r"identity needs a judge of who is in a clip; .*toon-faces.* people"):
        require_judgeable(["identity"], elsewhere)
    for name in ("expression", "timing", "background"):
        with pytest.raises(ValueError, match=rf"{name} need clips of `lfdm data toon-faces`, which alone"):
            require_judgeable([name], elsewhere)
    strangers = [replace(clip, subject="9") for clip in real.clips]
    for name in ("identity", "background"):
        with pytest.raises(ValueError, match=rf"{name} needs generated clips of the real clips' subjects.*'9'"):
            judge_scores([name], RULES, real, replace(real, clips=strangers), list(range(9)))
    require_judgeable(["accuracy", "expression", "timing", "identity", "background"], real)
