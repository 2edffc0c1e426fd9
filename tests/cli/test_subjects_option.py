"""`--subjects` of `lfdm generate` and `lfdm animate`."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from lfdm_command import frames_of, lfdm
from safetensors import safe_open
from tiny import tiny_pipeline

from lfdm_diffusers import Box, LFDMPipeline, Motion
from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.embedded import embedded_pictures

pytestmark = pytest.mark.usefixtures("small_files")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline(default_num_inference_steps=2).save_pretrained(folder)
    return str(folder)


def test_subjects_move_each_by_its_own_label(model, tmp_path, capsys):
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 130, 3), np.uint8)).save(tmp_path / "two.png")
    options = (tmp_path / "two.png", "--model", model, "--formats", "png", "--json", "--output")
    both = ("--subjects", "4,8,40,40:happiness", "72,8,40,40:Anger")
    assert lfdm("generate", *options, tmp_path / "a", *both, "--kinds", "all") == 0
    (content,) = json.loads(capsys.readouterr().out)["pictures"]
    assert content["subjects"] == [[4, 8, 44, 48], [72, 8, 112, 48]]
    folder = tmp_path / "a" / "two"
    frames = frames_of(folder / "happiness-anger")
    pipe = LFDMPipeline.from_pretrained(model)
    boxes = [Box(4, 8, 44, 48), Box(72, 8, 112, 48)]
    picture = PIL.Image.open(tmp_path / "two.png")
    expected = pipe(picture, ["happiness", "anger"], subjects=boxes, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(frames, np.stack(list(map(np.asarray, expected.frames[0]))))
    for file, label in (("happiness-anger", "happiness"), ("happiness-anger-subject2", "anger")):
        with safe_open(folder / "motion" / f"{file}.safetensors", "pt") as saved:
            assert saved.metadata()["label"] == label
    assert {path.name for path in folder.iterdir()} == {"happiness-anger", "grid", "sheet.png", "motion"}
    # One has its own label, the other that of each clip; kept motions go back to where they were.
    assert (
        lfdm("generate", *options, tmp_path / "b", "--kinds", "clips", *both[:2], "72,8,40,40", "--label", "anger")
        == 0
    )
    assert np.array_equal(frames_of(tmp_path / "b" / "two" / "anger"), frames)
    saved = [folder / "motion" / f"happiness-anger{each}.safetensors" for each in ("", "-subject2")]
    given = ("--subjects", "4,8,40,40:happiness-anger", "72,8,40,40:happiness-anger-subject2")
    assert lfdm("animate", *options, tmp_path / "c", "--kinds", "clips", "--motion", *saved, *given) == 0
    (again,) = (tmp_path / "c" / "two").iterdir()
    assert np.array_equal(frames_of(again), frames)


def test_driving_clips_of_subjects(model, tmp_path):
    drawn = [toon_clip(0, 1, label, 0, num_frames=3, size=32).frames for label in ("surprise", "happiness")]
    for name, clip in zip("ab", drawn):
        write_clip(tmp_path / f"{name}.webp", clip, "webp", 10)
    picture = np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8)
    PIL.Image.fromarray(picture).save(tmp_path / "two.png")
    options = ("--model", model, "--formats", "png", "--kinds", "clips", "--output", tmp_path / "out")
    clips = ("--driving", tmp_path / "a.webp", tmp_path / "b.webp", "--subjects", "0,0,40,40:b", "50,0,40,40:a")
    assert lfdm("animate", tmp_path / "two.png", *clips, *options) == 0
    pipe, boxes = LFDMPipeline.from_pretrained(model), [Box(0, 0, 40, 40), Box(50, 0, 90, 40)]
    motions = [pipe.transfer(picture, clip, subjects=[box])[0] for clip, box in zip(drawn[::-1], boxes)]
    expected = pipe.animate(picture, motions, subjects=boxes).frames[0]
    assert np.array_equal(frames_of(tmp_path / "out" / "two" / "b-a"), np.stack(list(map(np.asarray, expected))))


def test_faces_are_subjects_by_themselves(model, tmp_path, capsys):
    pytest.importorskip("cv2")
    face = PIL.Image.open(embedded_pictures()[0]).convert("RGB").resize((128, 128))
    photograph = PIL.Image.new("RGB", (400, 160), "white")
    for x in (20, 250):
        photograph.paste(face, (x, 16))
    photograph.save(tmp_path / "two.png")
    PIL.Image.new("RGB", (80, 60), "grey").save(tmp_path / "none.png")
    options = ("--model", model, "--formats", "png", "--label", "anger", "--output", tmp_path / "out", "--json")
    pictures = (tmp_path / "two.png", tmp_path / "none.png")
    assert lfdm("generate", *pictures, *options, "--subjects", "auto", "--kinds", "clips,motion") == 0
    printed = capsys.readouterr()
    two, none = json.loads(printed.out)["pictures"]
    assert len(two["subjects"]) == 2 and none["subjects"] == []
    assert "no face was found in " in printed.err and "--subjects X,Y,WIDTH,HEIGHT" in printed.err
    frames = frames_of(tmp_path / "out" / "two" / "anger")
    moved = (frames != frames[:1]).any(axis=(0, 3))
    assert moved[:, 20:148].any() and moved[:, 250:378].any() and not moved[:, 195:205].any()
    assert (tmp_path / "out" / "two" / "motion" / "anger-subject2.safetensors").is_file()
    assert frames_of(tmp_path / "out" / "none" / "anger").shape == (4, 60, 80, 3)


def test_a_model_of_faces_looks_for_them_and_says_what_it_saw(tmp_path, capsys):
    pytest.importorskip("cv2")
    tiny_pipeline(default_num_inference_steps=1, face_frame=3.2).save_pretrained(tmp_path / "model")
    photograph = PIL.Image.new("RGB", (300, 160), "white")
    photograph.paste(PIL.Image.open(embedded_pictures()[0]).convert("RGB").resize((128, 128)), (20, 16))
    photograph.save(tmp_path / "one.png")
    options = (tmp_path / "one.png", "anger", "--model", tmp_path / "model", "--formats", "png", "--output")
    assert lfdm("generate", *options, tmp_path / "a") == 0
    assert "one.png: a face was found and moves, the rest of the picture stays (" in capsys.readouterr().err
    frames = frames_of(tmp_path / "a" / "one" / "anger")
    moved = (frames != frames[:1]).any(axis=(0, 3))
    assert moved[:, 20:148].any() and not moved[:, 200:].any()
    for way in (("--subjects", "whole"), ("--output-size", "model")):
        assert lfdm("generate", *options, tmp_path / way[1], *way) == 0
        told = capsys.readouterr().err
        assert "was found" not in told and "one.png: the middle square of the picture is framed" in told
    for stroke, moves in (("60,80 66,84", False), ("130,80 200,80", True)):
        assert lfdm("generate", *options, tmp_path / stroke, "--stroke", stroke) == 0
        assert ("a stroke leaves the faces" if moves else "a face was found and moves") in capsys.readouterr().err
        drawn = frames_of(tmp_path / stroke / "one" / "anger")
        assert (drawn != drawn[:1]).any(axis=(0, 3))[:, 170:].any() == moves
    assert not np.array_equal(frames_of(tmp_path / "whole" / "one" / "anger"), frames)


def test_the_face_of_a_driving_clip_is_followed(tmp_path, capsys):
    """By a model of faces: as if the clip had been cut to it."""
    pytest.importorskip("cv2")
    tiny_pipeline(face_frame=3.2).save_pretrained(tmp_path / "model")
    face = PIL.Image.open(embedded_pictures()[0]).convert("RGB").resize((128, 128))
    face.save(tmp_path / "me.png")
    clip = np.full((3, 160, 300, 3), 255, np.uint8)
    clip[:, 16:144, 20:148] = np.asarray(face)
    clip[1:, 100:120, 60:110] //= 2
    clip[2, 60:80, 60:110] //= 2
    write_clip(tmp_path / "far.webp", clip, "webp", 10)
    options = ("--model", tmp_path / "model", "--kinds", "motion", "--driving", tmp_path / "far.webp", "--output")
    assert lfdm("animate", tmp_path / "me.png", *options, tmp_path / "out") == 0
    assert "far.webp: the motion of the face in it is taken." in capsys.readouterr().err
    pipe = LFDMPipeline.from_pretrained(tmp_path / "model")
    (box,) = pipe.outlook(clip[0]).subjects
    found = Motion.load(tmp_path / "out" / "me" / "motion" / "far.safetensors")
    expected = pipe.transfer(face, clip, driving_subject=box)
    torch.testing.assert_close(found.flow, expected.flow, rtol=0, atol=1e-3)
    assert (expected.flow - pipe.transfer(face, clip).flow).abs().max() > 1e-2


@pytest.mark.parametrize(
    "subjects, message",
    [
        (["face"], "must be auto, whole, or X,Y,WIDTH,HEIGHT in pixels with or without :LABEL, got 'face'"),
        (["1,2,0,4"], "must be auto, whole, or X,Y,WIDTH,HEIGHT"),
        (["auto", "1,2,3,4"], "`--subjects` must be auto alone, whole alone, or boxes alone."),
        (["1,2,3,4:angre"], "`--subjects`: Unknown label 'angre'; the closest known one is 'anger'"),
        (["500,2,30,40"], "`subjects` must lie in the picture of 40x40 pixels"),
    ],
)
def test_subjects_that_are_none(model, tmp_path, capsys, subjects, message):
    PIL.Image.new("RGB", (40, 40), "teal").save(tmp_path / "face.png")
    code = lfdm(
        "generate", tmp_path / "face.png", "--model", model, "--output", tmp_path / "out", "--subjects", *subjects
    )
    assert code == (1 if "500" in subjects[0] else 2) and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
