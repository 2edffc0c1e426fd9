"""Clips of every format and layout, frame sampling, augmentation, data sets, cache, scan, sharing among processes."""

from __future__ import annotations

import csv
import gc
import json
import os
import random
import runpy
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import torch
from clip_files import (
    CODECS,
    PICTURES,
    frames_of,
    level,
    told,
    turned_clockwise,
    write_animation,
    write_clip,
    write_folder,
    write_video,
)
from leftovers import workshop_of_a_killed_process
from torch.utils.data import DataLoader

from lfdm_diffusers.data import published_datasets as published
from lfdm_diffusers.data.augmentation import augment_clip, change_colors, change_pair, degrade, draw_pair_changes
from lfdm_diffusers.data.batches import Draw, StepBatchSampler
from lfdm_diffusers.data.cache import CachedClipReader, ClipReader
from lfdm_diffusers.data.chance import draws
from lfdm_diffusers.data.clips import Clip, UnreadableClipError, count_frames, read_clip
from lfdm_diffusers.data.dataset import ClipDataset, PairDataset, to_tensor
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.picture_fitting import fit_picture
from lfdm_diffusers.data.published_labels import MHAD_LABELS, MUG_LABELS, NATOPS_LABELS
from lfdm_diffusers.data.sampling import sample_indices, sample_pair
from lfdm_diffusers.data.scan import scan_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.data.video_files import LENIENT_NAMES, SEEK_GAP, _seeking, video_frames

pytestmark = pytest.mark.fast


def levels(*indices: int) -> list[int]:
    return [level(index) for index in indices]


# ---- clips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*CODECS, *PICTURES, ""])
def test_every_format_gives_its_frames(tmp_path, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", 7)
    frames = read_clip(path)
    assert frames.shape == (7, 32, 48, 3) and frames.dtype == np.uint8
    assert told(frames) == levels(*range(7))
    np.testing.assert_allclose(frames[:, 8:24, 32:].mean((0, 1, 2)), (200, 0, 0), atol=12)  # red, and not blue
    assert count_frames(path) == 7
    assert told(read_clip(path, [6, 0, 3, 3])) == levels(6, 0, 3, 3)
    np.testing.assert_array_equal(read_clip(path, [2, 5]), frames[[2, 5]])
    part = Clip(path, start=2, stop=6, crop=(3, 5, 23, 30))
    np.testing.assert_array_equal(read_clip(part), frames[2:6, 5:30, 3:23])
    np.testing.assert_array_equal(read_clip(part, [3, 0]), frames[[5, 2], 5:30, 3:23])
    assert count_frames(part) == 4 and count_frames(Clip(path, start=3)) == 4 == len(read_clip(Clip(path, start=3)))
    for wrong in ([7], [0, 9], [-1], []):
        with pytest.raises(ValueError, match="`indices`"):
            read_clip(path, wrong)


def test_folder_frames_in_the_order_of_their_numbers(tmp_path):
    folder = write_folder(tmp_path / "clip", frames_of(12), "img{}.jpg")
    (folder / "notes.txt").write_text("no frame")
    write_video(folder / "whole.avi", frames_of(4))
    assert told(read_clip(folder)) == levels(*range(12))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".mkv"])
def test_seeking_gives_the_same_frames(tmp_path, suffix):
    frames = frames_of(160)
    # VP8 in Matroska gets hidden frames, so that its packets are no guide to its frames.
    options = {"g": "30"} if suffix != ".mkv" else {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "30"}
    path = write_video(tmp_path / f"clip{suffix}", frames, **options)
    everything = list(video_frames(path))
    assert len(everything) == 160 and told(np.stack(everything)) == levels(*range(160))
    wanted = [3, SEEK_GAP + 40, SEEK_GAP + 41, 159]
    for indices in (wanted, wanted[1:], [159], [*wanted, 200]):
        got = list(video_frames(path, indices))
        np.testing.assert_array_equal(got, [everything[i] for i in indices if i < 160])
        np.testing.assert_array_equal(got, list(video_frames(path, indices, seek=False)))
    # mp4 and avi say how many frames they have, and are jumped in; Matroska does not, and is read through.
    assert len(list(_seeking(path, wanted))) == (4 if suffix in (".mp4", ".avi") else 0)


def test_phone_videos_are_upright(tmp_path):
    upright = frames_of(3, 48, 32)
    upright[:, 24:] //= 2
    path = turned_clockwise(write_video(tmp_path / "phone.mov", np.rot90(upright, 1, (1, 2))))
    frames = read_clip(path)
    assert frames.shape == upright.shape
    assert np.abs(frames.astype(int) - upright).mean() < 4


def test_titles_that_are_not_utf8_do_not_matter(tmp_path):
    """Old clips, such as HMDB-51's, have names in other encodings."""
    plain = write_video(tmp_path / "plain.avi", frames_of(3, 32, 48), title="Ronja")
    old = tmp_path / "old.avi"
    old.write_bytes(plain.read_bytes().replace(b"Ronja", b"R\xd3nja"))
    assert old.read_bytes() != plain.read_bytes()
    if LENIENT_NAMES:
        with pytest.raises(UnicodeDecodeError):
            av.open(str(old))
    assert told(read_clip(Clip(old))) == [level(i) for i in range(3)]


def test_transparency_is_white_and_grey_is_grey(tmp_path):
    clear = PIL.Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.webp", save_all=True, append_images=[PIL.Image.new("RGBA", (8, 8), (9, 9, 9, 255))])
    first, second = read_clip(tmp_path / "clear.webp")
    assert (first == 255).all() and (np.abs(second.astype(int) - 9) < 3).all()
    (tmp_path / "grey").mkdir()
    PIL.Image.new("L", (8, 8), 77).save(tmp_path / "grey" / "0.png")
    assert (read_clip(tmp_path / "grey") == 77).all()


def test_unreadable_clips_are_named(tmp_path):
    cases = {"gone.mp4": "no such file", "text.mp4": "", "text.gif": "", "clip.txt": "clips are"}
    for name, reason in cases.items():
        if name != "gone.mp4":
            (tmp_path / name).write_text("this is no video")
        with pytest.raises(UnreadableClipError, match=name) as caught:
            read_clip(tmp_path / name)
        assert reason in str(caught.value)
    folder = write_folder(tmp_path / "cut", frames_of(3))
    cut = folder / "0001.png"
    cut.write_bytes(cut.read_bytes()[:60])
    with pytest.raises(UnreadableClipError, match=r"cut: 0001\.png"):
        read_clip(folder)
    write_folder(tmp_path / "mixed", frames_of(2))
    write_folder(tmp_path / "mixed", frames_of(1, 16, 16), "2.png")
    with pytest.raises(UnreadableClipError, match="mixed: its frames differ in size: 48x32 and 16x16"):
        read_clip(tmp_path / "mixed")
    with pytest.raises(UnreadableClipError, match="too small for the crop"):
        read_clip(Clip(write_clip(tmp_path / "a.gif"), crop=(0, 0, 100, 100)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableClipError, match="no frames"):
        read_clip(tmp_path / "empty")


# ---- layouts --------------------------------------------------------------------------------------------------------


def listed(root: Path, clips: list[Clip]) -> list[tuple[str, str, str, str]]:
    return [(clip.path.relative_to(root).as_posix(), clip.label, clip.subject, clip.split) for clip in clips]


def test_label_and_subject_folders(tmp_path):
    root = tmp_path / "labels"
    for name in ("train/wave/b.mp4", "train/wave/a", "train/jump/x.gif", "val/wave/c.webm", "test/wave/d.webp"):
        write_clip(root / name, 2)
    (root / "train" / "wave" / ".hidden").mkdir()
    (root / "train" / "wave" / "notes.txt").write_text("none")
    expected = [
        ("test/wave/d.webp", "wave", "", "test"),
        ("train/jump/x.gif", "jump", "", "train"),
        ("train/wave/a", "wave", "", "train"),
        ("train/wave/b.mp4", "wave", "", "train"),
        ("val/wave/c.webm", "wave", "", "validation"),
    ]
    assert listed(root, find_clips(root)) == expected == listed(root, find_clips(root, "label"))
    assert listed(root, find_clips(root, split="train")) == expected[1:4]
    assert listed(root, find_clips(root, split="val")) == expected[4:]
    with pytest.raises(ValueError, match="`split` must be one of test, train, validation, got 'dev2'"):
        find_clips(root, split="dev2")
    assert listed(root / "train", find_clips(root / "train"))[0] == ("jump/x.gif", "jump", "", "")

    root = tmp_path / "subjects"
    for name in ("anna/wave/1.mp4", "anna/jump/1", "ben/wave/1.png", "ben/wave/2.png"):
        write_clip(root / name, 2)
    expected = [
        ("anna/jump/1", "jump", "anna", ""),
        ("anna/wave/1.mp4", "wave", "anna", ""),
        ("ben/wave/1.png", "wave", "ben", ""),  # animated PNGs are clips, still ones are frames
        ("ben/wave/2.png", "wave", "ben", ""),
    ]
    assert listed(root, find_clips(root)) == expected == listed(root, find_clips(root, "subject"))
    with pytest.raises(ValueError, match="root/"):
        find_clips(root, "label")
    with pytest.raises(ValueError, match="no splits"):
        find_clips(root, split="train")
    assert listed(tmp_path, find_clips(tmp_path / "subjects" / "anna" / "jump")) == [
        ("subjects/anna/jump/1", "", "", "")
    ]


def test_a_broken_animation_is_still_one_of_several(tmp_path):
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "0.webp").write_text("broken")
    write_clip(tmp_path / "wave" / "1.webp")
    assert [clip.path.name for clip in find_clips(tmp_path)] == ["0.webp", "1.webp"]


def test_no_clips_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no clips"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="`root` must be a folder"):
        find_clips(tmp_path / "gone")
    with pytest.raises(ValueError, match="`layout` must be one of auto, metadata, mug"):
        find_clips(tmp_path, "ucf")
    with pytest.raises(ValueError, match="of the layout 'mug'"):
        find_clips(tmp_path, "mug")
    write_clip(tmp_path / "a" / "b" / "c" / "d.gif")
    with pytest.raises(ValueError, match=r"root/\[split/\]\[subject/\]label/clip, got .*d\.gif"):
        find_clips(tmp_path)


def test_metadata(tmp_path):
    write_clip(tmp_path / "clips" / "1.gif")
    rows = [
        {"file_name": "clips/1.gif", "label": "wave", "subject": 3, "split": "train"},
        {"file_name": "clips/gone.mp4", "text": "a dog, jumping", "split": "val"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    expected = [("clips/1.gif", "wave", "3", "train"), ("clips/gone.mp4", "a dog, jumping", "", "validation")]
    assert listed(tmp_path, find_clips(tmp_path)) == expected
    (tmp_path / "metadata.jsonl").unlink()
    with open(tmp_path / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "label", "text", "subject", "split"])
        writer.writeheader()
        writer.writerows(rows)
    assert listed(tmp_path, find_clips(tmp_path)) == expected

    split = tmp_path / "hub"  # as data sets on the Hub are laid out
    write_clip(split / "test" / "1.gif")
    (split / "test" / "metadata.csv").write_text("file_name,label\n1.gif,wave\n")
    assert listed(split, find_clips(split)) == [("test/1.gif", "wave", "", "test")]

    bad = tmp_path / "bad"
    bad.mkdir()
    for text, message in (('{"label": "x"}', "line 1.*`file_name`"), ("\nnot json", "line 2: not a JSON object")):
        (bad / "metadata.jsonl").write_text(text)
        with pytest.raises(ValueError, match=message):
            find_clips(bad)


def test_toon_faces_are_found_by_their_metadata(tmp_path):
    write_toon_faces(tmp_path, 2, num_test_subjects=1, labels=("fear",), num_frames=2, size=16, progress=False)
    assert listed(tmp_path, find_clips(tmp_path)) == [
        ("train/fear/0000_00", "fear", "0", "train"),
        ("test/fear/0001_00", "fear", "1", "test"),
    ]


def test_the_example_of_own_data_names_looks_and_actions(tmp_path):
    script = Path(__file__).parents[2] / "examples" / "emoji_metadata.py"
    runpy.run_path(str(script))["write_metadata"](tmp_path)
    train, test = (find_clips(tmp_path, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (14 * 16, 4 * 16)
    assert not {clip.subject for clip in train} & {clip.subject for clip in test}
    assert len({clip.path for clip in train + test}) == 288
    (clip,) = (c for c in test if c.subject == "woman medium-dark" and c.label == "walking")
    assert clip.path.name == "1f6b6-1f3fe-200d-2640-fe0f.webp"


def test_mug(tmp_path):
    for name in ("008/happiness/take000", "008/mixed/take000", "001/anger/take001", "002/session0/fear/take000"):
        write_folder(tmp_path / name, frames_of(2), "img_{:04d}.jpg")
    write_folder(tmp_path / "002" / "session1" / "fear" / "take000", frames_of(2), "img_{:04d}.jpg")
    write_video(tmp_path / "001" / "anger" / "take001" / "take001.avi", frames_of(4))
    (tmp_path / "001" / "anger" / "Thumbs").mkdir()
    (tmp_path / "001" / "anger" / "Thumbs" / "Thumbs.db").write_text("none")
    expected = [
        ("001/anger/take001", "anger", "001", "test"),
        ("002/session0/fear/take000", "fear", "002", "test"),
        ("008/happiness/take000", "happiness", "008", "train"),
    ]
    assert listed(tmp_path, find_clips(tmp_path)) == expected
    assert count_frames(find_clips(tmp_path, "mug")[0]) == 2
    # The split of the paper: the subjects in order, shuffled by Python's generator with seed 1234, the first half.
    subjects = sorted(published.MUG_TRAIN + published.MUG_TEST)
    random.Random(1234).shuffle(subjects)
    assert len(set(subjects)) == 52 and sorted(subjects[:26]) == sorted(published.MUG_TRAIN)
    assert set(MUG_LABELS) >= {label for _, label, _, _ in expected}


def red_from(frame: np.ndarray) -> int:
    """The column where the red half of a frame `(H, W, 3)` begins."""
    red = frame[..., 0].astype(int) - frame[..., 2]
    return int((red.mean(axis=0) > 90).argmax())


def test_mhad(tmp_path):
    for name in ("RGB-part1/a1_s1_t1_color.avi", "RGB-part1/a27_s8_t4_color.avi", "RGB-part2/a24_s5_t2_color.avi"):
        write_clip(tmp_path / name, 2, 480, 640)
    expected = [
        ("RGB-part1/a1_s1_t1_color.avi", "right arm swipe to the left", "1", "train"),
        ("RGB-part2/a24_s5_t2_color.avi", "sit to stand", "5", "train"),
        ("RGB-part1/a27_s8_t4_color.avi", "squat", "8", "test"),
    ]
    clips = find_clips(tmp_path)
    assert listed(tmp_path, clips) == expected
    cropped = read_clip(clips[0])
    assert cropped.shape == (2, 480, 336, 3) and told(cropped) == levels(0, 1)
    assert abs(red_from(cropped[0]) - (320 - 156)) <= 8  # the middle of the video; a codec's blocks are this large
    scaled = ClipReader(128, 128).read(clips[0], [0])
    assert scaled.shape == (1, 128, 89, 3) and abs(red_from(scaled[0]) - (320 - 156) * 128 / 480) <= 3
    (tmp_path / "Depth").mkdir()  # a clip whose depth recording is missing is left out
    for name in ("a1_s1_t1", "a27_s8_t4"):
        (tmp_path / "Depth" / f"{name}_depth.mat").write_text("")
    assert listed(tmp_path, find_clips(tmp_path, "mhad")) == [expected[0], expected[2]]
    # Frames as the published code prepares them are cropped already.
    write_folder(tmp_path / "crop_image" / "a1_s1_t1", frames_of(2, 48, 34), "a1_s1_t1_{:03d}.png")
    prepared = find_clips(tmp_path)[0]
    assert prepared.path.name == "a1_s1_t1"
    np.testing.assert_array_equal(read_clip(prepared), frames_of(2, 48, 34))
    subjects = set(published.MHAD_TRAIN) | set(published.MHAD_TEST)
    assert subjects == set(range(1, 9)) and len(MHAD_LABELS) == 27
    write_clip(tmp_path / "a28_s1_t1_color.avi", 2)
    with pytest.raises(ValueError, match="actions 1 to 27"):
        find_clips(tmp_path)


SEGMENTS = """// Gesture segmentation
// Subject 1
1,1,2
1:1,10
// Subject 2
1,2,2
1:3,7
2: 10,60
2,2,1
1:1,4
// Subject 3
1,3,1
1:5,6
2,3,1
"""


def test_natops(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "segmentation.txt").write_text(SEGMENTS)
    for name in ("gesture01/g01s01.avi", "gesture01/g01s02.avi", "gesture02/g02s02.avi", "gesture01/g01s03.avi"):
        write_clip(tmp_path / "data" / name, 40, 240, 320)
    write_clip(tmp_path / "data" / "gesture01" / "g01s02d.avi", 2)  # depth and mask videos are no clips
    clips = find_clips(tmp_path)
    avi = "data/gesture01/g01s02.avi"
    assert [(*row, clip.start, clip.stop) for row, clip in zip(listed(tmp_path, clips), clips)] == [
        (avi, "I Have Command", "2", "test", 2, 7),
        (avi, "I Have Command", "2", "test", 9, 60),
        ("data/gesture01/g01s03.avi", "I Have Command", "3", "train", 4, 6),
        ("data/gesture02/g02s02.avi", "All Clear", "2", "test", 0, 4),
    ]
    frames = read_clip(clips[0])
    assert frames.shape == (5, 229, 260, 3) and told(frames) == levels(2, 3, 4, 5, 6)
    reader = ClipReader(128, 128)
    scaled = reader.read(clips[0], [0])
    assert scaled.shape == (1, 112, 128, 3)
    placed = reader.place(scaled)[0]
    assert (placed[:8] == 0).all() and (placed[-8:] == 0).all() and placed[8].any() and placed[-9].any()
    report = scan_clips(clips, reader, progress=False)
    assert [bad.reason for bad in report.bad] == [f"{clips[1].name}: the file ends 20 frames before the clip does"]
    # Frames as the published code prepares them are not cropped yet.
    write_folder(tmp_path / "split_img_data" / "g24s20p05", frames_of(2, 240, 320), "g24s20p05-{0:04d}-{0:04d}.png")
    prepared = find_clips(tmp_path)[-1]
    assert (prepared.label, prepared.subject, prepared.split) == (NATOPS_LABELS[23], "20", "train")
    np.testing.assert_array_equal(read_clip(prepared), frames_of(2, 240, 320)[:, 10:239, 30:290])
    assert set(published.NATOPS_TRAIN) | set(published.NATOPS_TEST) == set(range(2, 21))
    (tmp_path / "data" / "segmentation.txt").write_text("1:3,7")
    with pytest.raises(ValueError, match=r"line 1: a segment must be take:first,last.*got '1:3,7'"):
        find_clips(tmp_path)


# ---- frames of a clip -----------------------------------------------------------------------------------------------


def test_uniform_sampling():
    assert sample_indices("uniform", 9, 5).tolist() == [0, 2, 4, 6, 8]
    assert sample_indices("uniform", 65, 40).tolist() == [int(x) for x in np.linspace(0, 64, 40)]
    assert sample_indices("uniform", 3, 5).tolist() == [0, 1, 2, 2, 2]
    assert sample_indices("uniform", 7, 1).tolist() == [0]


def test_random_sampling_moves_frames_as_far_as_their_neighbours():
    rng = np.random.default_rng(0)
    uniform = sample_indices("uniform", 100, 10)  # 0, 11, 22, ... 99
    drawn = np.stack([sample_indices("random", 100, 10, rng) for _ in range(4000)])
    assert (drawn[:, 0] == 0).all() and (drawn[:, -1] == 99).all() and (np.diff(drawn) >= 0).all()
    assert drawn[:, 1].min() == 1 and drawn[:, 1].max() > uniform[1]
    # Frame 11 moves by -10 .. 10, and frame 22 too: their places overlap, and are sorted afterwards.
    assert set(np.unique(drawn[:, 1:3])) == set(range(1, 33))
    assert sample_indices("random", 3, 5, rng).tolist() == [0, 1, 2, 2, 2]
    assert sample_indices("random", 2, 2, rng).tolist() == [0, 1]
    for length in range(1, 130):
        for count in (1, 2, 3, 16, 40):
            for strategy in ("uniform", "random", "very_random"):
                indices = sample_indices(strategy, length, count, rng)
                assert indices.shape == (count,) and indices[0] == 0 and (np.diff(indices) >= 0).all()
                assert indices[-1] < length


def test_very_random_sampling_is_with_replacement():
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_indices("very_random", 10, 10, rng) for _ in range(2000)])
    assert (drawn[:, 0] == 0).all() and (np.diff(drawn) >= 0).all() and (np.diff(drawn) == 0).any()
    assert drawn[:, -1].min() < 9  # the end is not pinned
    # Every place but the first is one of the order statistics of ten uniform draws.
    assert abs(drawn[:, 1:].mean() - np.sort(rng.integers(0, 10, (20000, 10)))[:, 1:].mean()) < 0.05
    assert sample_indices("very_random", 2, 6, rng).max() <= 1


def test_pairs_are_sorted_and_may_be_one_frame():
    rng = np.random.default_rng(0)
    pairs = [sample_pair(4, rng) for _ in range(2000)]
    counts = {pair: pairs.count(pair) for pair in set(pairs)}
    assert set(counts) == {(a, b) for a in range(4) for b in range(a, 4)}
    assert all(abs(count - (125 if a == b else 250)) < 60 for (a, b), count in counts.items())


def test_pairs_from_the_first_frame():
    rng = np.random.default_rng(0)
    pairs = [sample_pair(4, rng, from_first=True) for _ in range(900)]
    counts = {pair: pairs.count(pair) for pair in set(pairs)}
    assert set(counts) == {(0, 1), (0, 2), (0, 3)}  # never to itself
    assert all(abs(count - 300) < 60 for count in counts.values())
    assert sample_pair(1, rng, from_first=True) == (0, 0)


def test_bad_sampling_arguments():
    for call, name in (
        (lambda: sample_indices("even", 3, 3), "strategy"),
        (lambda: sample_indices("uniform", 0, 3), "length"),
        (lambda: sample_indices("uniform", 3, 0), "count"),
        (lambda: sample_indices("random", 3, 3), "rng"),
        (lambda: draws(-1, "item", 0), "seed"),
        (lambda: draws(0, "noise", 0), "purpose"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            call()


# ---- augmentation ---------------------------------------------------------------------------------------------------


def coloured(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 8, 10, 3), dtype=np.uint8)


def test_colour_changes():
    frames = coloured()
    for nothing in (("brightness", 1), ("contrast", 1), ("saturation", 1)):
        np.testing.assert_array_equal(change_colors(frames, [nothing]), frames)
    np.testing.assert_allclose(
        change_colors(frames, [("brightness", 1.5)]), np.minimum(frames * 1.5, 255), rtol=0, atol=1
    )
    grey = frames.astype(float) @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(
        change_colors(frames, [("saturation", 0)]), np.repeat(grey[..., None], 3, -1), rtol=0, atol=1
    )
    means = grey.mean((1, 2))[:, None, None, None]
    expected = np.clip(means + 0.5 * (frames - means), 0, 255)
    np.testing.assert_allclose(change_colors(frames, [("contrast", 0.5)]), expected, rtol=0, atol=2)
    red = np.zeros((1, 1, 1, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(change_colors(red, [("hue", 1 / 3)])[0, 0, 0], (0, 255, 0), atol=6)
    np.testing.assert_allclose(change_colors(red, [("hue", -1 / 3)])[0, 0, 0], (0, 0, 255), atol=6)
    one_way = change_colors(frames, [("brightness", 1.3), ("contrast", 0.7)])
    assert (one_way != change_colors(frames, [("contrast", 0.7), ("brightness", 1.3)])).any()


def test_pair_augmentation(monkeypatch):
    from lfdm_diffusers.data import augmentation

    changes = []
    monkeypatch.setattr(augmentation, "change_colors", lambda frames, what: (changes.append(what), frames)[1])
    pair = coloured()
    kinds, rng = [], np.random.default_rng(0)
    for _ in range(1000):
        got = change_pair(pair, draw_pair_changes(rng))
        options = {"same": pair, "time": pair[::-1], "mirror": pair[:, :, ::-1]}
        kinds += [name for name, option in options.items() if np.array_equal(got, option)]
    shares = [kinds.count(kind) / 1000 for kind in ("time", "mirror", "same")]
    np.testing.assert_allclose(shares, (0.5, 0.25, 0.25), atol=0.06)  # never in time and space at once
    in_order = [change_pair(pair, draw_pair_changes(rng, exchange=False)) for _ in range(1000)]
    assert all(np.array_equal(got, pair) or np.array_equal(got, pair[:, :, ::-1]) for got in in_order)
    assert abs(sum(np.array_equal(got, pair) for got in in_order) - 500) < 60
    assert len({tuple(name for name, _ in what) for what in changes}) == 24  # every order
    for name, low, high in [(n, 0.9, 1.1) for n in ("brightness", "contrast", "saturation")] + [("hue", -0.1, 0.1)]:
        amounts = [dict(what)[name] for what in changes]
        assert low <= min(amounts) < low + 0.01 and high - 0.01 < max(amounts) <= high


def test_clip_augmentation(monkeypatch):
    from lfdm_diffusers.data import augmentation

    same = np.repeat(coloured(1), 3, 0)
    got = augment_clip(same, np.random.default_rng(0))
    assert (got != same).any() and (got == got[:1]).all()  # one change for all frames
    changes = []
    monkeypatch.setattr(augmentation, "change_colors", lambda frames, what: changes.append(what))
    for seed in range(600):
        augment_clip(same, np.random.default_rng(seed))
    assert {tuple(name for name, _ in what) for what in changes} == {("brightness", "contrast", "saturation", "hue")}
    for index, (mid, reach) in enumerate(((1, 64 / 255), (1, 0.25), (1, 0.25), (0, 0.04))):
        amounts = np.array([what[index][1] for what in changes])
        assert 0.97 * reach < np.abs(amounts - mid).max() <= reach and abs((amounts - mid).mean()) < 0.1 * reach


def test_colours_may_change_after_scaling():
    """Published: before. Smooth pictures come out alike, so that a cache may hold scaled frames."""
    y, x = np.mgrid[:96, :128] / 128
    picture = (255 * np.stack([x, y, 1 - x * y], -1)).astype(np.uint8)
    scale = ClipReader(32, 32).scale
    for seed in range(5):
        before = scale(augment_clip(picture[None], np.random.default_rng(seed))[0])
        after = augment_clip(scale(picture)[None], np.random.default_rng(seed))[0]
        difference = np.abs(before.astype(int) - after)
        assert before.shape == (24, 32, 3) and difference.mean() < 1 and np.quantile(difference, 0.99) <= 4


# ---- data sets ------------------------------------------------------------------------------------------------------


def test_degraded_picture():
    """It is what it was, seen badly: less sharp, in another light, with noise; nothing has moved, and the same draw gives the same."""
    y, x = np.mgrid[:64, :64]
    picture = np.stack([128 + 100 * np.sin(x / 6) * np.sin(y / 8)] * 3, -1).astype(np.uint8)
    seen = [degrade(picture, np.random.default_rng(seed)) for seed in range(40)]
    assert {(one.shape, one.dtype) for one in seen} == {((64, 64, 3), np.dtype(np.uint8))}
    np.testing.assert_array_equal(seen[3], degrade(picture, np.random.default_rng(3)))
    alike = [np.corrcoef(one.ravel(), picture.ravel())[0, 1] for one in seen]
    assert 0.9 < min(alike) < 0.99 and max(alike) > 0.999
    means = [one.mean() for one in seen]
    assert min(means) < 110 and max(means) > 145


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> list[Clip]:
    """Five clips of three subjects, wide and high ones, of several formats."""
    root = tmp_path_factory.mktemp("faces")
    names = ("a/wave/1.gif", "a/jump/1.mp4", "b/wave/1", "b/wave/2.webp", "c/jump/1.avi")
    for index, name in enumerate(names):
        write_clip(root / name, 5 + index, *((32, 48) if index % 2 else (48, 32)))
    return scan_clips(find_clips(root), ClipReader(16, 16), progress=False).clips


def test_pairs(faces):
    reader = ClipReader(16, 16)
    dataset = PairDataset(faces, reader, augment=False)
    frames = [to_tensor(reader.place(reader.read(clip, range(clip.num_frames)))).unbind(1) for clip in faces]
    shapes = set()
    for epoch in range(8):
        for item in range(len(dataset)):
            pair = dataset[Draw(epoch, item)]
            assert pair.reference.shape == pair.driving.shape == (3, 16, 16) and pair.driving.dtype == torch.float32
            for picture in (pair.reference, pair.driving):
                assert any(torch.equal(picture, frame) for frame in frames[item])
            assert (pair.label, pair.subject) == (faces[item].label, faces[item].subject)
            shapes.add((bool(pair.reference[:, 0].max() < 0.02), bool(pair.reference[:, :, 0].max() < 0.02)))
    assert shapes == {(True, False), (False, True)}
    with pytest.raises(IndexError):
        dataset[5]
    assert len(list(PairDataset(faces[:2], ClipReader(16, 16)))) == 2


def test_pairs_of_the_first_frame_and_another(faces):
    reader = ClipReader(16, 16)
    dataset = PairDataset(faces, reader, augment=False, reference_frame="first")
    first = [to_tensor(reader.place(reader.read(clip, [0])))[:, 0] for clip in faces]
    for epoch in range(8):
        for item in range(len(dataset)):
            pair = dataset[Draw(epoch, item)]
            assert torch.equal(pair.reference, first[item]) and not torch.equal(pair.driving, first[item])
    with pytest.raises(ValueError, match="`reference_frame` must be one of random, first, got 'last'"):
        PairDataset(faces, reader, reference_frame="last")


def test_id_sampling_takes_both_frames_from_another_clip_of_the_subject(faces):
    dataset = PairDataset(faces, ClipReader(16, 16), id_sampling=True, augment=False)
    index = next(i for i, clip in enumerate(faces) if clip.subject == "a")
    draws_of_a = [dataset[Draw(epoch, index)] for epoch in range(30)]
    assert {pair.subject for pair in draws_of_a} == {"a"} and {pair.label for pair in draws_of_a} == {"wave", "jump"}
    with pytest.raises(ValueError, match="`id_sampling` needs the subject"):
        PairDataset([replace(faces[0], subject="")], ClipReader(16, 16), id_sampling=True)


def test_clip_samples(faces):
    reader = ClipReader(16, 16)
    dataset = ClipDataset(faces, reader, num_frames=4, strategy="uniform", augment=False)
    for clip, sample in zip(faces, dataset):
        assert sample.frames.shape == (3, 4, 16, 16) and sample.frames.dtype == torch.float32
        whole = torch.from_numpy(read_clip(clip)).permute(0, 3, 1, 2).float() / 255
        expected = torch.stack([fit_picture(whole[i], 16, 16) for i in sample.indices], dim=1)
        torch.testing.assert_close(sample.frames, expected, rtol=0, atol=1.01 / 255)
        assert (sample.label, sample.subject) == (clip.label, clip.subject)
    varied = ClipDataset(faces, reader, num_frames=4, strategy="very_random")
    assert len({tuple(varied[Draw(epoch, 0)].indices.tolist()) for epoch in range(10)}) > 3
    for item, clip in enumerate(faces):  # colours change before the bars come, and leave them black
        frames = varied[Draw(0, item)].frames
        high = read_clip(clip).shape[1] == 48
        assert (frames[..., :3] == 0).all() == high and (frames[:, :, :3] == 0).all() != high


@pytest.mark.parametrize("kind", [PairDataset, ClipDataset])
def test_an_item_depends_on_seed_epoch_and_number_alone(faces, kind, tmp_path):
    plain, cached = (
        kind(faces, reader, seed=7) for reader in (ClipReader(16, 16), CachedClipReader(tmp_path, 16, 16))
    )
    key = Draw(3, 4)
    first = plain[key]
    for _ in range(3):
        plain[Draw(2, 1)]
        np.random.rand()
    for again in (plain[key], cached[key]):
        assert all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in zip(first, again))
    others = [plain[Draw(4, 4)], kind(faces, ClipReader(16, 16), seed=8)[key]]
    assert all(not torch.equal(first[0], other[0]) for other in others)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are only listed there")
def test_readers_leave_no_threads_behind(tmp_path):
    """A data loader's process is forked, and hangs if it collects what waits for threads that it has not."""
    clip = Clip(write_clip(tmp_path / "a.mp4", 4))
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/task"))
        read_clip(clip)
        assert len(os.listdir("/proc/self/task")) <= before
    finally:
        gc.enable()


def test_loader_workers_give_what_one_process_gives(faces, tmp_path):
    gc.collect()  # decoders of clips that other tests read: a worker, freeing them, would wait for threads it does not have
    dataset = ClipDataset(faces, CachedClipReader(tmp_path, 16, 16), num_frames=4, seed=1)

    def batches(num_workers: int, **where) -> list:
        sampler = StepBatchSampler(len(dataset), 2, 6, seed=1, **where)
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=num_workers))

    straight = batches(0)
    assert len(straight) == 6 and straight[0].frames.shape == (2, 3, 4, 16, 16) and len(straight[0].label) == 2
    for begin, run in ((0, batches(2)), (4, batches(0, first_step=4))):
        assert len(run) == 6 - begin
        for one, other in zip(straight[begin:], run):
            assert torch.equal(one.frames, other.frames) and one.label == other.label


def test_processes_share_every_batch_without_repeats():
    for num_items, batch_size, processes in ((10, 4, 2), (7, 6, 3), (3, 8, 4)):
        steps = 3 * num_items
        whole = list(StepBatchSampler(num_items, batch_size, steps, seed=5))
        parts = [
            list(StepBatchSampler(num_items, batch_size, steps, 5, process_index=rank, num_processes=processes))
            for rank in range(processes)
        ]
        assert [
            list(chain(*shares)) for shares in zip(*parts)
        ] == whole  # the same batches for any number of processes
        line = [draw for batch in whole for draw in batch]
        assert len(set(line)) == len(line) == steps * batch_size
        orders = []
        for epoch in range(len(line) // num_items):
            in_epoch = line[epoch * num_items : (epoch + 1) * num_items]
            assert {draw.epoch for draw in in_epoch} == {epoch} and {d.item for d in in_epoch} == set(range(num_items))
            orders.append(tuple(draw.item for draw in in_epoch))
        assert len(set(orders)) > 1
        resumed = StepBatchSampler(num_items, batch_size, steps, 5, first_step=4)
        assert list(resumed) == whole[4:] and len(resumed) == steps - 4
        other = StepBatchSampler(num_items, 1, 4 + 5, 5, first_step=4, first_item=4 * batch_size)
        assert list(chain(*other)) == line[4 * batch_size :][:5]  # steps of another size go on where the line is
    for wrong, name in (
        ({"batch_size": 3, "num_processes": 2}, "batch_size"),
        ({"process_index": 1}, "process_index"),
        ({"num_items": 0}, "num_items"),
        ({"first_step": -1}, "first_step"),
        ({"first_item": -1}, "first_item"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            StepBatchSampler(**({"num_items": 4, "batch_size": 2, "num_steps": 1} | wrong))


# ---- cache ----------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("compress", [False, True])
def test_cache_holds_what_the_reader_reads(faces, tmp_path, compress):
    for fit in ("letterbox", "center_crop"):
        plain, cached = ClipReader(16, 16, fit), CachedClipReader(tmp_path / fit, 16, 16, fit, compress)
        for clip in faces:
            indices = [clip.num_frames - 1, 0, 2, 2]
            for _ in range(2):
                np.testing.assert_array_equal(cached.read(clip, indices), plain.read(clip, indices))
            assert cached.count(clip) == clip.num_frames
            assert compress or isinstance(cached._frames(clip), np.memmap)  # what is not asked for is not read
            assert cached.place(cached.read(clip, [0])).shape == (1, 16, 16, 3)
            with pytest.raises(ValueError, match="`indices` must be from 0"):
                cached.read(clip, [clip.num_frames])
        assert len(files_of(tmp_path / fit)) == len(faces)
    # Black bars are not stored: 10 rows or columns of 16.
    total = sum(path.stat().st_size for path in files_of(tmp_path / "letterbox"))
    assert total < sum(clip.num_frames * 16 * 11 * 3 + 200 for clip in faces)


def test_cache_is_read_and_not_the_clip(tmp_path, monkeypatch):
    clip, reader = Clip(write_clip(tmp_path / "a.gif", 4)), CachedClipReader(tmp_path / "cache", 16, 16)
    before = reader.read(clip, [3])
    from lfdm_diffusers.data import cache

    monkeypatch.setattr(cache, "read_clip", None)
    again = CachedClipReader(tmp_path / "cache", 16, 16).read(clip, [3])
    assert np.array_equal(again, before) and again.shape == (1, 10, 16, 3)


def test_cache_notices_changes(tmp_path):
    clip, folder = Clip(write_clip(tmp_path / "a.gif", 4)), tmp_path / "cache"
    assert CachedClipReader(folder, 16, 16).count(clip) == 4
    write_clip(clip.path, 6)
    assert CachedClipReader(folder, 16, 16).count(clip) == 6
    frames = Clip(write_clip(tmp_path / "frames", 3))
    before = CachedClipReader(folder, 16, 16).read(frames, [1])
    write_animation(frames.path / "0001.png", 255 - frames_of(1))
    os.utime(frames.path / "0001.png", ns=(1, 1))
    assert (CachedClipReader(folder, 16, 16).read(frames, [1]) != before).any()
    paths = {CachedClipReader(folder, *size).path(clip) for size in ((16, 16), (16, 32), (16, 16, "center_crop"))}
    paths |= {CachedClipReader(folder, 16, 16).path(replace(clip, start=1))}
    paths |= {CachedClipReader(folder, 16, 16).path(replace(clip, crop=(0, 0, 8, 8)))}
    assert len(paths) == 5


@pytest.mark.parametrize("compress", [False, True])
def test_cache_survives_interruptions(tmp_path, monkeypatch, compress):
    clip, folder = Clip(write_clip(tmp_path / "a.gif", 4)), tmp_path / "cache"
    reader = CachedClipReader(folder, 16, 16, compress=compress)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            reader.read(clip, [0])
    assert files_of(folder) == []
    whole = reader.read(clip, [0, 3])
    path = reader.path(clip)
    for size in (0, 60, path.stat().st_size - 5):  # cut short
        with open(path, "r+b") as file:
            file.truncate(size)
        again = CachedClipReader(folder, 16, 16, compress=compress)
        np.testing.assert_array_equal(again.read(clip, [0, 3]), whole)
    (path.parent / workshop_of_a_killed_process()).mkdir(parents=True)
    path.unlink()
    np.testing.assert_array_equal(CachedClipReader(folder, 16, 16, compress=compress).read(clip, [0, 3]), whole)
    assert files_of(folder) == [path] and list(path.parent.iterdir()) == [path]


def test_processes_share_a_cache(tmp_path):
    clips = [Clip(write_clip(tmp_path / f"{index}.gif", 4), num_frames=4) for index in range(4)]
    dataset = ClipDataset(clips * 3, CachedClipReader(tmp_path / "cache", 16, 16), num_frames=4, strategy="uniform")
    gc.collect()  # as above
    # Two processes, both of which start with the first clip.
    frames = [sample.frames for sample in DataLoader(dataset, batch_size=None, sampler=TURNS, num_workers=2)]
    plain = ClipDataset(clips * 3, ClipReader(16, 16), num_frames=4, strategy="uniform")
    assert all(torch.equal(got, plain[item].frames) for got, item in zip(frames, TURNS))
    assert len(files_of(tmp_path / "cache")) == 4


TURNS = [0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10, 11]


# ---- scan -----------------------------------------------------------------------------------------------------------


CUT = ("cut.webp", "cut.webm")


def test_scan_names_every_bad_clip_and_goes_on(tmp_path):
    for name in ("good.mp4", "good.gif", "good"):
        write_clip(tmp_path / "wave" / name, 4)
    write_clip(tmp_path / "wave" / "short.gif", 1)
    (tmp_path / "wave" / "text.mp4").write_text("this is no video")
    (tmp_path / "wave" / "nothing.avi").write_bytes(b"")
    (tmp_path / "wave" / "empty").mkdir()
    for name in CUT:
        cut = write_clip(tmp_path / "wave" / name, 30)
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    clips = [*find_clips(tmp_path), Clip(tmp_path / "wave" / "gone.mp4", "wave")]
    for reader in (ClipReader(16, 16), CachedClipReader(tmp_path / "cache", 16, 16)):
        for workers in (0, 2):
            report = scan_clips(clips, reader, workers=workers, progress=False)
            assert [clip.path.name for clip in report.clips] == ["good", "good.gif", "good.mp4"]
            assert [clip.num_frames for clip in report.clips] == [4, 4, 4]
            found = {bad.clip.path.name: bad.reason for bad in report.bad}
            assert set(found) == {"short.gif", "text.mp4", "nothing.avi", "empty", *CUT, "gone.mp4"}
            assert all(str(tmp_path / "wave" / name) in reason for name, reason in found.items())
            assert "too short: 1 frame," in found["short.gif"] and "no frames" in found["empty"]
            assert "cut off" in found["cut.webm"]
            text = str(report)
            assert text.count("left out: ") == 7 and "3 clips with 12 frames can be used, 7 cannot." in text
    assert len(files_of(tmp_path / "cache")) == 4  # the scan filled it; the short clip is in it too
    with pytest.raises(ValueError, match=r"(?s)`clips` must be readable.*cut\.webp.*gone\.mp4"):
        scan_clips(clips, ClipReader(16, 16), strict=True, progress=False)
    with pytest.raises(ValueError, match="0 clips"):
        scan_clips(clips[-1:], ClipReader(16, 16), progress=False)
    with pytest.raises(ValueError, match=r"too short: 4 frames, at least 5 needed"):
        scan_clips(clips, ClipReader(16, 16), min_frames=5, progress=False)


# ---- chance ---------------------------------------------------------------------------------------------------------


def test_a_draw_belongs_to_its_numbers():
    """Runs that are resumed, and receipts, rest on these streams: seed, purpose (0 order, 1 item), epoch, item."""
    for purpose, number in (("order", 0), ("item", 1)):
        expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, number, 2, 5])))
        np.testing.assert_array_equal(draws(7, purpose, 2, 5).random(3), expected.random(3))
