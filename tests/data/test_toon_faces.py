"""Toon faces: same pixels everywhere, a first frame that knows no label, true flow that is true, a safe writer.

`python tests/data/test_toon_faces.py` writes the reference thumbnails anew, after a deliberate change of the drawing (raise
`toon_faces.VERSION` then).
"""

import json
import time
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from slow_drawing import draw_slowly
from warped import warp

from lfdm_diffusers.data.drawn_sets import drawn
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import LABELS, ToonClip, ToonSubject, rendering, toon_clip, write_toon_faces
from lfdm_diffusers.data.toon_faces.drawing import closed_spline, polygon
from lfdm_diffusers.data.toon_faces.expressions import Performance, perform
from lfdm_diffusers.data.toon_faces.people import HAIR_STYLES
from lfdm_diffusers.data.toon_faces.redrawing import drawn_again
from lfdm_diffusers.data.toon_faces.rendering import render
from lfdm_diffusers.data.toon_faces.rig import Rig
from lfdm_diffusers.data.true_motion import true_motion

THUMBNAILS = Path(__file__).parent / "toon_faces_thumbnails.png"
UNAWARE = ("head_x", "head_y", "roll", "yaw", "pitch", "swing", "torso_x", "torso_y", "gaze_x", "blink")


def some_frames(performance: Performance, *frames: int) -> Performance:
    """The performance in these frames alone."""
    return replace(
        performance, **{f.name: getattr(performance, f.name)[..., list(frames)] for f in fields(performance)}
    )


def painted_together(person: ToonSubject, performances: list[Performance], size: int) -> np.ndarray:
    """The frames of performances one after another: (F, size, size, 3) uint8."""
    together = {
        f.name: np.concatenate([getattr(p, f.name) for p in performances], axis=-1) for f in fields(Performance)
    }
    return render(person, replace(performances[0], **together), size)[0]


def apexes(seed: int, subject: int, labels: tuple[str, ...], take: int, size: int) -> np.ndarray:
    """The middle frames of `toon_clip(...)` with each of the labels, painted together: (L, size, size, 3) uint8."""
    person = ToonSubject.sample(seed, subject)
    return painted_together(person, [some_frames(perform(person, label, take, 3, seed), 1) for label in labels], size)


def thumbnails() -> np.ndarray:
    """Apexes of seven people, one a label, shrunk to 16 x 16: (16, 112, 3) float."""
    frames = [apexes(5, i, (label,), 1, 32)[0] for i, label in enumerate(LABELS)]
    return np.concatenate([frame.reshape(16, 2, 16, 2, 3).mean((1, 3)) for frame in frames], 1)


def inner(parts: np.ndarray) -> np.ndarray:
    """Pixels whose 5 x 5 neighbourhood is all one part, away from the picture's edge."""
    size = parts.shape[0]
    out = np.zeros(parts.shape, dtype=bool)
    centre = parts[2:-2, 2:-2]
    out[2:-2, 2:-2] = np.all(
        [parts[i : size - 4 + i, j : size - 4 + j] == centre for i in range(5) for j in range(5)], axis=0
    )
    return out


# ---- the same everywhere --------------------------------------------------------------------------------------------


def test_pixels_match_stored_thumbnails():
    from PIL import Image

    stored = np.asarray(Image.open(THUMBNAILS).convert("RGB"), dtype=np.float64)
    assert np.abs(thumbnails() - stored).max() <= 1.0


def test_same_arguments_same_pixels_and_others_differ():
    first = toon_clip(3, 2, "fear", take=1, num_frames=4, size=32)
    again = toon_clip(3, ToonSubject.sample(3, 2), "fear", take=1, num_frames=4, size=32)
    assert np.array_equal(first.frames, again.frames) and np.array_equal(first.parts, again.parts)
    for other in (dict(seed=4), dict(subject=5), dict(take=2), dict(label="anger")):
        arguments = dict(seed=3, subject=2, label="fear", take=1, num_frames=4, size=32) | other
        assert not np.array_equal(first.frames, toon_clip(**arguments).frames)


def test_frames_do_not_depend_on_how_they_are_batched(monkeypatch):
    """Frames painted together equal those painted one by one, at sizes on either side of the supersampling limit."""
    monkeypatch.setattr(
        rendering, "CHUNK_PIXELS", 2 * rendering.FINE**2
    )  # all five of the small ones, two of the large
    for size in (24, rendering.FINE):
        clip = toon_clip(1, 4, "disgust", num_frames=5, size=size)
        for frame in (1, 4):
            picture, parts = render(clip.subject, some_frames(clip.performance, frame), size)
            assert np.array_equal(picture[0], clip.frames[frame]) and np.array_equal(parts[0], clip.parts[frame])


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_distances_to_a_polygon_are_exact(side):
    """To the last bit what looking at all sides from all points gives: drawn data stays what it was."""
    random = np.random.default_rng(0)
    t = np.linspace(-1.05, 1.05, 45)
    x, y = side * t[None, :], t[:, None]
    angles = np.linspace(0, 6, 9)
    curve = closed_spline(list(zip(random.uniform(0.2, 0.9, 9) * np.cos(angles), 0.6 * np.sin(angles))))
    for vertices in (curve, random.uniform(-1.3, 1.3, (7, 2))):  # the other crosses itself
        nearest, inside = np.full((45, 45), np.inf), np.zeros((45, 45), bool)
        for (ax, ay), (bx, by) in zip(vertices, np.roll(vertices, -1, 0)):
            ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
            share = np.clip((px * ex + py * ey) / (ex * ex + ey * ey + 1e-18), 0, 1)
            nearest = np.minimum(nearest, (px - share * ex) ** 2 + (py - share * ey) ** 2)
            inside ^= ((ay > y) != (by > y)) & (px < ex * py / ey)
        assert 50 < inside.sum() < 1500
        assert np.array_equal(polygon(x, y, vertices), np.where(inside, -1, 1) * np.sqrt(nearest))


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_hair_style_and_extra_can_be_drawn(style):
    index = list(HAIR_STYLES).index(style)
    clothes = ["tee", "vneck", "hoodie", "collar", "turtleneck", "stripes"][index % 6]
    beard = ["none", "stubble", "full", "goatee", "moustache"][index % 5]
    person = replace(
        ToonSubject.sample(0, index),
        hair_style=style,
        clothes_style=clothes,
        beard=beard,
        glasses=["none", "round", "square"][index % 3],
        backdrop=["plain", "disc", "hills", "dots", "rays"][index % 5],
    )
    clip = toon_clip(0, person, "happiness", num_frames=2, size=24)
    assert clip.frames.shape == (2, 24, 24, 3) and clip.frames.dtype == np.uint8
    assert clip.frames.std() > 10


# ---- labels ---------------------------------------------------------------------------------------------------------


def test_first_frame_and_head_motion_do_not_know_the_label():
    for subject in range(3):
        person = ToonSubject.sample(7, subject)
        performances = [perform(person, label, subject, 8, 7) for label in LABELS]
        for performance in performances[1:]:
            for name in UNAWARE:
                assert np.array_equal(getattr(performance, name), getattr(performances[0], name)), name
        seen = painted_together(person, [some_frames(performance, 0, 4, 7) for performance in performances], 32)
        first, middle, last = (seen[at::3] for at in range(3))
        assert (first == first[0]).all() and (last == last[0]).all()
        assert all((one != other).any() for one, other in pairwise(middle))


def test_first_frame_shows_open_eyes():
    assert all(perform(ToonSubject.sample(0, i), "neutral", 0, 16).blink[0] == 0 for i in range(50))


def test_expressions_follow_their_cues():
    """Differences to the neutral performance of the same person and take at the apex."""
    for index in range(20):
        person = ToonSubject.sample(1, index)
        rest = perform(person, "neutral", 0, 41).at(20)

        def change(label, name, person=person, rest=rest):
            return np.mean(getattr(perform(person, label, 0, 41).at(20), name) - getattr(rest, name))

        assert change("anger", "brow_inner") < -0.03 and change("anger", "brow_pinch") > 0.01
        assert change("disgust", "wrinkle") > 0.5 and change("disgust", "open") < -0.2
        assert change("fear", "brow_inner") > change("fear", "brow_outer") + 0.05 and change("fear", "open") > 0.2
        assert change("happiness", "corner") > 0.05 and change("happiness", "cheek") > 0.5
        assert change("sadness", "brow_inner") > 0.04 and change("sadness", "corner") < -0.04
        assert change("surprise", "brow_outer") > 0.05 and change("surprise", "lower") > 0.06
        assert change("surprise", "width") < -0.15 < 0.1 < change("fear", "width")


def test_labels_can_be_told_apart_by_pixels():
    """Nearest mean of (apex - the same moment of the neutral clip) of unit size, learned on some people, tried on others."""
    frames = np.array([apexes(2, i, LABELS, 0, 24) for i in range(12)], dtype=np.float64).mean(-1).reshape(12, 7, -1)
    change = frames - frames[:, [LABELS.index("neutral")]]
    change /= np.abs(change).mean(-1, keepdims=True) + 1  # skins differ in contrast
    means = change[:8].mean(0)
    guess = ((change[8:, :, None] - means) ** 2).sum(-1).argmin(-1)
    assert (guess == np.arange(7)).mean() > 0.8, (guess == np.arange(7)).mean(0)


# ---- true flow ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", LABELS)
def test_material_maps_invert(label):
    """inward(outward(m)) = m for every part, at the apex and with strong head motion."""
    rng = np.random.default_rng(0)
    for index in range(4):
        person = ToonSubject.sample(8, index)
        state = perform(person, label, 0, 9).at(4)
        state = replace(state, roll=0.1, yaw=-0.06, pitch=0.03, head_x=0.04, swing=0.04)
        rig = Rig(person)
        for carrier in rig.carriers:
            mx, my = rng.uniform(-0.9, 0.9, (2, 200))
            bx, by = carrier.inward(state, *carrier.outward(state, mx, my))
            assert np.abs(bx - mx).max() < 1e-6 and np.abs(by - my).max() < 1e-6, type(carrier).__name__


def test_skin_does_not_fold():
    """The displacement of the skin keeps its orientation everywhere, so that the flow is one-to-one."""
    t = np.linspace(-0.7, 0.7, 141)
    x, y = t[None, :], t[:, None]
    for index in range(6):
        person = ToonSubject.sample(9, index)
        for label in LABELS:
            mx, my = Rig(person).skin.local_in(perform(person, label, 0, 9).at(4), x, y)
            (mxy, mxx), (myy, myx) = np.gradient(mx, t, t), np.gradient(my, t, t)
            assert (mxx * myy - mxy * myx).min() > 0.1, label


def test_no_motion_is_identity():
    clip = toon_clip(0, 1, "surprise", num_frames=5, size=48)
    flow, visibility = clip.flow(2, 2)
    centres = (2 * np.arange(48) + 1) / 48 - 1
    assert flow.shape == (2, 48, 48) and flow.dtype == np.float32
    assert visibility.shape == (1, 48, 48) and visibility.dtype == np.float32 and visibility.min() == 1
    assert np.abs(flow[0] - centres[None, :]).max() < 1e-6 and np.abs(flow[1] - centres[:, None]).max() < 1e-6


@pytest.mark.parametrize("label", LABELS)
def test_warping_by_the_true_flow_reproduces_the_driving_frame(label):
    """Over visible pixels inside one part the warped reference is the driving frame, up to creases and resampling."""
    for index in range(2):
        person = ToonSubject.sample(6, index + 20)
        performance = some_frames(perform(person, label, 1, 3, 6), 0, 1)
        clip = ToonClip(*render(person, performance, 128), label, person, 1, 6, performance)
        flow, visibility = clip.flow(0, 1)
        error = np.abs(warp(clip.frames[0], flow) - clip.frames[1]).mean(-1)
        still = np.abs(clip.frames[0].astype(float) - clip.frames[1]).mean(-1)
        visible = visibility[0] > 0
        # Backdrop left out: it stands still, but the soft shadow of the head passes over it.
        figure = visible & inner(clip.parts[1]) & (clip.parts[1] != 0)
        assert error[figure].mean() < 2 and np.percentile(error[figure], 95) < 7
        assert error[visible].mean() < 0.5 * still[visible].mean()
        assert 0.75 < visible.mean() < 1


def test_what_opens_is_hidden_in_the_reference():
    """An opening mouth and shutting lids uncover parts that the first frame does not show; the backdrop stays put."""
    person, size = ToonSubject.sample(0, 3), 64
    clip = toon_clip(0, person, "surprise", num_frames=3, size=size)
    flow, visibility = clip.flow(0, 1)
    names = clip.part_names
    mouth = clip.parts[1] == names.index("mouth")
    assert mouth.sum() > 20 and visibility[0][mouth].mean() < 0.05
    backdrop = clip.parts[1] == 0
    grid = np.stack(np.meshgrid(*[(2 * np.arange(size) + 1) / size - 1] * 2))
    assert np.abs(flow - grid)[:, backdrop].max() < 1e-6
    shut = replace(clip.performance, blink=np.linspace(0, 1, 3))
    frames, parts = render(person, shut, size)
    closing = replace(clip, frames=frames, parts=parts, performance=shut)
    _, visibility = closing.flow(0, 2)
    lids = np.isin(parts[2], [names.index("upper_lid_0"), names.index("upper_lid_1")])
    assert lids.sum() > 40 and visibility[0][lids].mean() < 0.6
    assert not np.isin(parts[2], [names.index("pupil_0"), names.index("white_1")]).any()


def test_flow_directions():
    """A head that moved right by 0.2 is found 0.2 further left in the reference: x first, backward."""
    clip = toon_clip(0, 3, "neutral", num_frames=2, size=64)
    base = clip.performance.at(0)
    twice = {f.name: np.repeat(np.asarray(getattr(base, f.name))[..., None], 2, -1) for f in fields(base)}
    moved = replace(clip.performance, **twice)
    moved = replace(moved, head_x=moved.head_x + np.array([0.0, 0.2]))
    frames, parts = render(clip.subject, moved, 64)
    flow, _ = replace(clip, frames=frames, parts=parts, performance=moved).flow(0, 1)
    face = parts[1] == clip.part_names.index("face")
    columns = np.broadcast_to((2 * np.arange(64) + 1) / 64 - 1, (64, 64))
    assert np.allclose((flow[0] - columns)[face], -0.2 * clip.subject.zoom, atol=1e-5)


# ---- writing --------------------------------------------------------------------------------------------------------

SMALL = dict(num_subjects=3, num_test_subjects=1, labels=("anger", "neutral"), num_frames=3, size=16, progress=False)


def listing(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in sorted(root.rglob("*")) if p.is_file()}


def test_write_layout_metadata_and_resume(tmp_path):
    from PIL import Image

    metadata = write_toon_faces(tmp_path / "toon", takes=2, with_flow=True, **SMALL)
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    assert len(rows) == 3 * 2 * 2
    train, test = ({r["subject"] for r in rows if r["split"] == split} for split in ("train", "test"))
    assert train == {0, 1} and test == {2}
    for row in rows:
        assert row["file_name"] == f"{row['split']}/{row['label']}/{row['subject']:04d}_{row['take']:02d}"
        assert len(list((metadata.parent / row["file_name"]).iterdir())) == 3
    row = rows[5]
    clip = toon_clip(0, row["subject"], row["label"], row["take"], num_frames=3, size=16)
    frame = np.asarray(Image.open(metadata.parent / row["file_name"] / "0001.png"))
    assert np.array_equal(frame, clip.frames[1])
    with np.load(metadata.parent / row["flow"]) as stored:
        assert stored["flow"].shape == (3, 2, 16, 16) and stored["flow"].dtype == np.float16
        flow, visibility = clip.flow(0, 2)
        assert np.abs(stored["flow"][2] - flow).max() < 1e-3
        assert np.array_equal(stored["visibility"][2], visibility)
    before = listing(tmp_path)
    assert not [name for name in before if ".part" in name]
    # Repeating draws only what is missing.
    lost = metadata.parent / row["file_name"]
    for file in lost.iterdir():
        file.unlink()
    lost.rmdir()
    write_toon_faces(tmp_path / "toon", takes=2, with_flow=True, **SMALL)
    after = listing(tmp_path)
    assert after.keys() == before.keys()
    clips = [name for name in after if name.endswith(".png") and row["file_name"] not in name]
    assert clips and all(after[name] == before[name] for name in clips)
    with pytest.raises(ValueError, match="num_frames: 3 there, 4 now"):
        write_toon_faces(tmp_path / "toon", takes=2, with_flow=True, **(SMALL | dict(num_frames=4)))


def test_a_split_alone_is_what_it_is_in_the_whole_set(tmp_path):
    whole = write_toon_faces(tmp_path / "whole", **SMALL).read_text().splitlines(keepends=True)
    metadata = write_toon_faces(tmp_path / "parts", split="test", **SMALL)
    assert metadata.read_text() == "".join(line for line in whole if '"split": "test"' in line)
    assert not (tmp_path / "parts" / "train").exists()
    write_toon_faces(tmp_path / "parts", split="train", **SMALL)  # nothing that was there is lost
    assert metadata.read_text() == "".join(whole)
    with pytest.raises(ValueError, match="split 'test' has nobody: num_test_subjects is 0"):
        write_toon_faces(tmp_path / "none", **(SMALL | dict(num_test_subjects=0)), split="test")
    with pytest.raises(ValueError, match="split must be one of train, test or None for both, got 'tset'"):
        write_toon_faces(tmp_path / "none", **SMALL, split="tset")
    assert not (tmp_path / "none").exists()


def test_interrupted_writing_leaves_only_whole_clips(tmp_path, monkeypatch):
    from PIL import Image

    save, calls = Image.Image.save, []

    def fail_later(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 8:  # in the middle of the third clip
            raise KeyboardInterrupt
        save(self, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", fail_later)
    with pytest.raises(KeyboardInterrupt):
        write_toon_faces(tmp_path, **SMALL)
    assert not (tmp_path / "metadata.jsonl").exists()
    clips = [p for p in tmp_path.glob("train/*/*") if not p.name.startswith(".")]
    assert len(clips) == 2 and all(len(list(clip.iterdir())) == 3 for clip in clips)
    monkeypatch.undo()
    metadata = write_toon_faces(tmp_path, **SMALL)
    names = {json.loads(line)["file_name"] for line in metadata.read_text().splitlines()}
    assert names == {str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*/*")} and len(names) == 6


@pytest.mark.integration
def test_an_interrupt_does_not_wait_for_workers(tmp_path):
    others = set(active_children())  # of tests before
    subjects = drawn(partial(draw_slowly, tmp_path), range(6), 1, workers=2, title="slow", progress=False)
    assert next(subjects) == (0, [])
    while not list(tmp_path.glob("begun-*")):  # so that there is something to be stopped
        time.sleep(0.01)
    subjects.close()  # as an interrupt does
    while set(active_children()) - others:  # for a moment: the pool's own thread counts them too
        time.sleep(0.01)
    assert not list(tmp_path.glob("done-*"))


@pytest.mark.integration
def test_workers_write_the_same(tmp_path):
    alone = write_toon_faces(tmp_path / "alone", **SMALL)
    together = write_toon_faces(tmp_path / "together", workers=2, **SMALL)
    assert alone.read_text() == together.read_text()
    for path in (tmp_path / "alone").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "together" / path.relative_to(tmp_path / "alone")).read_bytes()


@pytest.mark.parametrize("format", ["webp", "mp4", "webm"])
def test_write_formats(tmp_path, format):
    settings = SMALL | dict(num_subjects=1, num_test_subjects=0, labels="fear", size=64)
    metadata = write_toon_faces(tmp_path, format=format, **settings)
    path = tmp_path / json.loads(metadata.read_text())["file_name"]
    assert path.name == f"0000_00.{format}"
    expected = toon_clip(0, 0, "fear", num_frames=3, size=64).frames
    if format == "webp":
        from PIL import Image, ImageSequence

        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(Image.open(path))]
        assert np.array_equal(np.stack(frames), expected)
    else:
        import av

        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert len(frames) == 3 and np.abs(np.stack(frames).astype(float) - expected).mean() < 6


def test_another_style_has_the_same_motion():
    painted, ink = (toon_clip(0, 3, "surprise", num_frames=2, size=32, style=style) for style in ("painted", "ink"))
    assert ink.frames.shape == painted.frames.shape and ink.frames.dtype == np.uint8
    assert np.array_equal(ink.parts, painted.parts)
    for ours, theirs in zip(ink.flow(0, 1), painted.flow(0, 1)):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(ink.frames, toon_clip(0, 3, "surprise", num_frames=2, size=32, style="ink").frames)
    # Paler than the painting, with dark lines where parts meet.
    assert ink.frames.mean() > painted.frames.mean() + 10
    inside = ink.parts[0, 1:, 1:] == ink.parts[0, :-1, :-1]
    frame = ink.frames[0, 1:, 1:].mean(-1)
    assert frame[~inside].mean() < frame[inside].mean() - 20


def test_styles_do_not_mix_in_one_folder(tmp_path):
    settings = dict(labels=("fear",), num_frames=2, size=16, progress=False)
    write_toon_faces(tmp_path, 1, style="ink", **settings)
    with pytest.raises(ValueError, match="style: ink there, painted now"):
        write_toon_faces(tmp_path, 1, **settings)
    old = json.loads((tmp_path / "toon_faces.json").read_text())
    old.pop("style")  # as written before there were styles
    (tmp_path / "toon_faces.json").write_text(json.dumps(old))
    write_toon_faces(tmp_path, 1, **settings)
    with pytest.raises(ValueError, match="style: painted there, ink now"):
        write_toon_faces(tmp_path, 1, style="ink", **settings)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: toon_clip(0, 0, "joy"), "label must be one of anger.*got 'joy'"),
        (lambda: toon_clip(-1, 0, "fear"), "seed must be"),
        (lambda: toon_clip(0, -1, "fear"), "subject must be"),
        (lambda: toon_clip(0, 0, "fear", take=-1), "take must be"),
        (lambda: toon_clip(0, 0, "fear", num_frames=0), "num_frames must be"),
        (lambda: toon_clip(0, 0, "fear", size=8), "size must be"),
        (lambda: toon_clip(0, 0, "fear", style="oil"), "style must be one of painted, ink, got 'oil'"),
        (lambda: write_toon_faces("x", 2, style="oil"), "style must be one of painted, ink, got 'oil'"),
        (lambda: ToonSubject.sample(0, 1.5), "index must be"),
        (lambda: toon_clip(0, 0, "fear", num_frames=2, size=16).flow(0, 2), "driving must be a frame from -2 to 1"),
        (lambda: write_toon_faces("x", 0), "num_subjects must be"),
        (lambda: write_toon_faces("x", 2, num_test_subjects=3), "num_test_subjects must be at most"),
        (lambda: write_toon_faces("x", 2, test_fraction=2), "test_fraction must be"),
        (lambda: write_toon_faces("x", 2, labels=("joy",)), "labels must be"),
        (lambda: write_toon_faces("x", 2, format="avi"), "format must be one of"),
        (lambda: write_toon_faces("x", 2, format="mp4", size=33), "size must be even"),
    ],
)
def test_bad_input_is_named(tmp_path, monkeypatch, call, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=match):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["png", "webp", "mp4"])
def test_true_motion_of_a_file(tmp_path, format):
    """As it was drawn, whether it lies beside the clip or the clip is drawn again."""
    for name, with_flow in (("with", True), ("without", False)):
        write_toon_faces(
            tmp_path / name, 1, 0, labels=("fear",), takes=2, num_frames=4, size=32, format=format, with_flow=with_flow,
            progress=False,
        )  # fmt: skip
    clips = [find_clips(tmp_path / name)[1] for name in ("with", "without")]
    (flow, visibility), (again, visible) = map(true_motion, clips)
    assert flow.shape == (4, 2, 32, 32) and visibility.shape == (4, 1, 32, 32) and visibility.dtype == bool
    assert np.abs(flow - again).max() < 2e-3 and (visibility == visible).all()  # half precision in the file


def test_a_file_is_drawn_again_and_so_are_later_takes(tmp_path):
    write_toon_faces(tmp_path, 1, 0, labels=("fear",), takes=2, num_frames=2, size=16, seed=3, progress=False)
    for later in (0, 1):
        drawn = drawn_again(tmp_path / "train/fear/0000_01", takes_later=later)
        np.testing.assert_array_equal(drawn.frames, toon_clip(3, 0, "fear", 1 + later, num_frames=2, size=16).frames)


def test_true_motion_that_is_not_known(tmp_path):
    write_toon_faces(tmp_path, 2, 0, labels=("fear",), num_frames=4, size=32, format="webp", progress=False)
    one, two = find_clips(tmp_path)
    two.path.write_bytes(one.path.read_bytes())
    with pytest.raises(ValueError, match=r"is not the clip that toon_faces\.json of its data set says"):
        true_motion(two)
    settings = tmp_path / "toon_faces.json"
    settings.write_text(settings.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(ValueError, match="drawn by version 1 of toon faces, which this is not"):
        true_motion(one)
    settings.unlink()
    with pytest.raises(ValueError, match="not in a data set that `lfdm data toon-faces` wrote"):
        true_motion(one)
    flow = one.path.with_name("0000_00.flow.npz")
    np.savez(flow, flow=np.zeros((4, 2, 32, 32)), visibility=np.ones((4, 32, 32)))
    with pytest.raises(ValueError, match=r"must hold flow \(F, 2, H, W\) and visibility"):
        true_motion(one)
    for strange in (
        np.uint8,
        complex,
    ):  # a byte for each number would take four times the file's size, which was bounded
        np.savez(flow, flow=np.zeros((4, 2, 32, 32), strange), visibility=np.ones((4, 1, 32, 32)))
        with pytest.raises(ValueError, match="must hold flow of floats"):
            true_motion(one)
    flow.write_bytes(b"?")
    with pytest.raises(ValueError, match="must hold arrays `flow` and `visibility`"):
        true_motion(one)


if __name__ == "__main__":
    from PIL import Image

    THUMBNAILS.parent.mkdir(exist_ok=True)
    Image.fromarray(np.rint(thumbnails()).astype(np.uint8)).save(THUMBNAILS)
    print(f"wrote {THUMBNAILS}")
