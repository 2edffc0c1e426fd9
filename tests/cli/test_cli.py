"""The command `lfdm`, in this process: what it writes, what it says, and what it does with mistakes."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from diffusers import DDIMScheduler
from lfdm_command import frames_of, lfdm
from loopback_hub import READ_TOKEN, WRITE_TOKEN
from loopback_python import LoopbackPython
from safetensors import safe_open
from tiny import LABELS, tiny_pipeline, tiny_unet

from lfdm_diffusers import LFDMPipeline, Motion, Stroke, embedded
from lfdm_diffusers.cli import main
from lfdm_diffusers.data.picture_fitting import to_rgb_tensors
from lfdm_diffusers.data.toon_faces import toon_clip
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.files.fingerprints import weights_sha256
from lfdm_diffusers.pipelines import loading
from lfdm_diffusers.pipelines.shown_labels import ShownLabels
from lfdm_diffusers.schedulers import SCHEDULERS, scheduler_by_name
from lfdm_diffusers.visualization import as_pixels, enlarge
from lfdm_diffusers.visualization import clip_files as generated_files
from lfdm_diffusers.visualization.clip_views import WATCHABLE

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("small_files")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A pipeline of two denoising steps with a card."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipe = tiny_pipeline(default_num_inference_steps=2)
    pipe.save_pretrained(folder)
    facts = {
        "dataset": "nothing",
        "license": "apache-2.0",
        "sources": {"a.pth": "00ff"},
        "notes": ["```\n# no heading\n```"],
    }
    pipe.card(facts=facts).save(folder / "README.md")
    return str(folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[str]:
    """Two pictures, one of them not square; of the same name in different folders."""
    root = tmp_path_factory.mktemp("pictures")
    paths = [root / "a" / "Face.png", root / "b" / "face.jpg"]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        noise = np.random.default_rng(i).integers(0, 255, (6, 6 + 2 * i, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).resize((40 + 20 * i, 40), PIL.Image.Resampling.BICUBIC).save(path)
    return [str(path) for path in paths]


# ---- generate: what it writes ---------------------------------------------------------------------------------------


def test_generate_writes_all_kinds(model, pictures, tmp_path, capsys):
    assert (
        lfdm(
            "generate", pictures[0], "--model", model, "--output", tmp_path / "out", "--formats", "gif,mp4,webp,png",
            "--output-size", "model", "--kinds", "all",
        )
        == 0
    )  # fmt: skip
    folder = tmp_path / "out" / "face"
    printed = capsys.readouterr()
    assert f"wrote 3 clips of Face.png to {folder}/" in printed.out and "100%" in printed.err
    tops = {f"{name}{suffix}" for name in (*LABELS, "grid") for suffix in (".gif", ".mp4", ".webp", "")}
    assert {path.name for path in folder.iterdir()} == tops | {"sheet.png", "motion"}
    still = {f"{name}{suffix}" for name in LABELS for suffix in (".png", ".safetensors")}
    moving = {f"{name}{suffix}" for name in LABELS for suffix in (".gif", ".mp4", ".webp", "")}
    assert {path.name for path in (folder / "motion").iterdir()} == still | moving

    frames = frames_of(folder / "anger")
    assert frames.shape == (4, 64, 64, 3)
    with torch.no_grad():
        pipe = LFDMPipeline.from_pretrained(model)
        video = pipe(
            PIL.Image.open(pictures[0]), "anger", generator=torch.Generator().manual_seed(0), output_type="np"
        ).frames[0]
    assert np.array_equal(frames, enlarge(as_pixels(video), 2))
    for suffix, tolerance in ((".gif", 8), (".webp", 0)):
        with PIL.Image.open(folder / f"anger{suffix}") as image:
            read = []
            for i in range(image.n_frames):
                image.seek(i)
                read.append(np.asarray(image.convert("RGB")).astype(int))
        assert len(read) == 4 and np.abs(np.stack(read) - frames).mean() <= tolerance
    with av.open(str(folder / "anger.mp4")) as container:
        read = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].average_rate == 2  # 4 frames in about 1.6 seconds
    smaller = [
        clip.reshape(4, 32, 2, 32, 2, 3).mean((2, 4)) for clip in (np.stack(read), frames)
    ]  # as its colours are
    assert len(read) == 4 and np.abs(smaller[0] - smaller[1]).mean() < 4

    grid = frames_of(folder / "grid")  # reference and three labels, two by two
    assert grid.shape[0] == 4 and 128 < grid.shape[2] < 156
    assert np.array_equal(grid[:, 4:68, 72:136], enlarge(as_pixels(video), 2))  # anger stands beside the reference
    assert np.array_equal(grid[0, 4:68, 4:68], grid[3, 4:68, 4:68])


def test_clips_are_enlarged_to_be_looked_at(model, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(generated_files, "WATCHABLE", WATCHABLE)
    options = ("--model", model, "--output", tmp_path, "--label", "anger", "--kinds", "clips", "--formats", "png")
    options += ("--output-size", "model")
    assert lfdm("generate", pictures[0], *options) == 0
    frames = frames_of(tmp_path / "face" / "anger")
    assert frames.shape == (4, 256, 256, 3)  # 32 pixels, eight times as large
    assert lfdm("generate", pictures[0], *options, "--scale", "1", "--overwrite") == 0
    assert np.array_equal(frames, enlarge(frames_of(tmp_path / "face" / "anger"), 8))


def test_motion_file(model, pictures, tmp_path):
    options = ("--model", model, "--output", tmp_path, "--label", "Surprise", "--kinds", "motion", "--formats", "gif")
    assert lfdm("generate", pictures[0], *options, "--motion-scale", "0.5", "--seed", "3") == 0
    with safe_open(tmp_path / "face" / "motion" / "surprise.safetensors", "pt") as file:
        about, flow, occlusion = file.metadata(), file.get_tensor("flow"), file.get_tensor("occlusion")
    assert flow.shape == (4, 2, 8, 8) and occlusion.shape == (4, 1, 8, 8)
    pipe = LFDMPipeline.from_pretrained(model)
    generator = torch.Generator().manual_seed(3)
    output = pipe(PIL.Image.open(pictures[0]), "surprise", motion_scale=0.5, generator=generator)
    assert torch.equal(flow, output.flow[0]) and torch.equal(occlusion, output.occlusion[0])
    wanted = {"label": "surprise", "seed": "3", "steps": "2", "scheduler": "DDPMScheduler", "motion_scale": "0.5"}
    assert wanted.items() <= about.items() and "align_corners=False" in about["flow"]
    assert not (tmp_path / "face" / "grid.gif").exists() and not (tmp_path / "face" / "surprise.gif").exists()


def test_loops_and_strokes(model, pictures, tmp_path, capsys):
    options = ("--model", model, "--output", tmp_path, "--label", "anger", "--kinds", "motion", "--formats", "gif")
    drawn = ("--loop", "--num-frames", "6", "--stroke", "8,8 12,10 @2", "--stroke", "20,20 24,20 ~9")
    assert lfdm("generate", pictures[0], *options, *drawn) == 0
    kept = Motion.load(tmp_path / "face" / "motion" / "anger.safetensors")
    strokes = [Stroke([(8, 8), (12, 10)], frames=2), Stroke([(20, 20), (24, 20)], radius=9)]
    output = LFDMPipeline.from_pretrained(model)(
        PIL.Image.open(pictures[0]), "anger", num_frames=6, loop=True, strokes=strokes,
        generator=torch.Generator().manual_seed(0), output_type="latent",
    )  # fmt: skip
    assert torch.equal(kept.flow, output.flow[0]) and kept.about["loop"] == "True"
    late = ("--stroke", "8,8 12,10 @4", "--overwrite")
    assert lfdm("generate", pictures[0], *options, *late) == 2
    assert "`--stroke`: a Stroke's `frames` must be from 1 to 3" in capsys.readouterr().err
    assert lfdm("generate", *pictures, *options, *late) == 2
    assert "`--stroke` draws on one picture, got" in capsys.readouterr().err


def test_motion_controls(model, pictures, tmp_path):
    mask = tmp_path / "mask.png"
    PIL.Image.fromarray(np.repeat(np.uint8([[0] * 16 + [255] * 16]), 32, axis=0)).save(mask)
    options = ("--model", model, "--label", "anger", "--formats", "png", "--kinds", "clips,motion", "--scale", "1")
    options = (*options, "--output-size", "model")
    changes = ("--motion-mask", mask, "--loop", "ping-pong", "--motion-scale", 2)
    assert lfdm("generate", pictures[0], *options, *changes, "--output", tmp_path / "out") == 0
    frames = frames_of(tmp_path / "out" / "face" / "anger")
    pipe = LFDMPipeline.from_pretrained(model)
    expected = pipe(
        PIL.Image.open(pictures[0]), "anger", generator=torch.Generator().manual_seed(0), motion_scale=2,
        motion_mask=PIL.Image.open(mask), loop="ping_pong",
    ).frames[0]  # fmt: skip
    assert len(frames) == 6 and np.array_equal(frames, np.stack([np.asarray(frame) for frame in expected]))
    assert (frames[:, :, :16] == frames[:1, :, :16]).all() and (frames[:, :, 16:] != frames[:1, :, 16:]).any()


def test_clips_have_the_pictures_size(model, pictures, tmp_path, capsys):
    """Of a picture with odd sides and transparency: as Python makes them, in every format as far as it goes."""
    drawn = np.asarray(PIL.Image.open(pictures[0]).resize((301, 97)).convert("RGBA")).copy()
    drawn[:, :40, 3] = 0
    PIL.Image.fromarray(drawn).save(tmp_path / "wide.png")
    options = (
        "--model",
        model,
        "--label",
        "anger",
        "--output",
        tmp_path / "out",
        "--formats",
        "png,mp4,webm,gif,apng",
        "--kinds",
        "all",
    )
    assert lfdm("generate", tmp_path / "wide.png", *options) == 0
    assert "mp4 has a row and a column more than the clip" in capsys.readouterr().out
    folder = tmp_path / "out" / "wide"
    pipe = LFDMPipeline.from_pretrained(model)
    output = pipe(
        PIL.Image.open(tmp_path / "wide.png"),
        "anger",
        generator=torch.Generator().manual_seed(0),
        output_size="picture",
    )
    frames = frames_of(folder / "anger")
    assert frames.shape == (4, 97, 301, 4) and np.array_equal(
        frames, np.stack(list(map(np.asarray, output.frames[0])))
    )
    assert not np.array_equal(frames[0], frames[3])
    for suffix, size in ((".mp4", (302, 98)), (".webm", (301, 97)), (".gif", (301, 97)), (".apng", (301, 97))):
        with av.open(str(folder / f"anger{suffix}")) as container:
            video = container.streams.video[0]
            assert (video.width, video.height) == size and len(list(container.decode(video))) == 4
    with PIL.Image.open(folder / "sheet.png") as sheet, PIL.Image.open(folder / "motion" / "anger.png") as motion:
        assert sheet.width > 500 and motion.width > 500
    with safe_open(folder / "motion" / "anger.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("flow"), output.flow[0]) and file.metadata()["output_size"] == "picture"


def test_other_output_sizes(model, pictures, tmp_path, capsys):
    options = ("--model", model, "--label", "anger", "--formats", "png", "--kinds", "clips", "--output")
    assert lfdm("generate", pictures[1], *options, tmp_path / "a", "--output-size", "30x90") == 0
    assert frames_of(tmp_path / "a" / "face" / "anger").shape == (4, 30, 90, 3)
    assert lfdm("generate", pictures[1], *options, tmp_path / "b", "--scale", 2) == 0
    assert frames_of(tmp_path / "b" / "face" / "anger").shape == (4, 80, 120, 3)
    assert lfdm("generate", pictures[1], *options, tmp_path / "c", "--output-size", "wide") == 2
    assert "must be picture, model, or HEIGHTxWIDTH in pixels, got 'wide'" in capsys.readouterr().err
    large = ("--output-size", "20000x9", "--formats", "webp")
    assert lfdm("generate", pictures[1], *options, tmp_path / "d", *large) == 1
    assert "`format` webp holds sides of at most 16383 pixels, got 20000x9" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


# ---- animate --------------------------------------------------------------------------------------------------------


def test_animate_with_a_motion_that_generate_kept(model, pictures, tmp_path, capsys):
    options = ("--model", model, "--formats", "png", "--scale", "1", "--output")
    made = ("--kinds", "clips,motion", *options, tmp_path / "a", "--label", "anger", "happiness")
    assert lfdm("generate", pictures[0], *made) == 0
    options = ("--kinds", "all", *options)
    saved = [tmp_path / "a" / "face" / "motion" / f"{name}.safetensors" for name in ("anger", "happiness")]
    assert lfdm("animate", *pictures, "--motion", *saved, *options, tmp_path / "b") == 0
    assert "wrote 2 clips of Face.png" in capsys.readouterr().out
    for name in ("anger", "happiness"):
        again = frames_of(tmp_path / "b" / "face" / name)
        assert np.array_equal(again, frames_of(tmp_path / "a" / "face" / name))
        assert not np.array_equal(again, frames_of(tmp_path / "b" / "face-2" / name))
    assert (tmp_path / "b" / "face" / "sheet.png").is_file() and (tmp_path / "b" / "face" / "grid").is_dir()
    back = ("--loop", "ping-pong", "--json", "--kinds", "clips")
    capsys.readouterr()
    assert lfdm("animate", pictures[0], "--motion", saved[0], saved[0], *options, tmp_path / "c", *back) == 0
    assert len(json.loads(capsys.readouterr().out)["pictures"][0]["files"]) == 1
    assert len(frames_of(tmp_path / "c" / "face" / "anger")) == 6


def test_animate_with_a_clip(model, pictures, tmp_path):
    drawn = toon_clip(0, 1, "surprise", 0, num_frames=5, size=32).frames
    write_clip(tmp_path / "surprise.webp", drawn, "webp", 10)
    (tmp_path / "again").mkdir()
    write_clip(tmp_path / "again" / "surprise.webp", drawn[:3], "webp", 10)
    clips = [tmp_path / "surprise.webp", tmp_path / "again" / "surprise.webp"]
    options = ("--model", model, "--formats", "png", "--scale", "1", "--output-size", "model", "--output")
    assert lfdm("animate", pictures[0], "--driving", *clips, *options, tmp_path / "out") == 0
    folder = tmp_path / "out" / "face"
    pipe = LFDMPipeline.from_pretrained(model)
    picture = PIL.Image.open(pictures[0])
    expected = pipe.animate(picture, pipe.transfer(picture, drawn)).frames[0]
    frames = frames_of(folder / "surprise")
    assert np.array_equal(frames, np.stack([np.asarray(frame) for frame in expected]))
    assert len(frames_of(folder / "surprise-2")) == 3
    assert lfdm("animate", pictures[0], "--driving", clips[0], "--absolute", *options, tmp_path / "absolute") == 0
    assert not np.array_equal(frames_of(tmp_path / "absolute" / "face" / "surprise"), frames)


def test_animate_mistakes(model, pictures, tmp_path, capsys):
    for options, message in (
        ((), "one of the arguments --motion --driving is required"),
        (("--motion", pictures[0]), "`path` must be a motion saved by this package"),
        (("--driving", tmp_path / "none.mp4"), "none.mp4"),
        (("--motion", "a.safetensors", "--absolute"), "`--absolute` is about a clip"),
        (("--motion", "a.safetensors", "--motion-mask", "none.png"), "`--motion-mask` none.png cannot be used"),
        (("--motion", "a.safetensors", "--loop", "round"), "invalid choice: 'round'"),
    ):
        assert lfdm("animate", pictures[0], "--model", model, "--output", tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


# ---- generate: a picture and a word ---------------------------------------------------------------------------------


def test_a_picture_and_a_word_give_one_clip(model, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lfdm("generate", pictures[0], "smile", "--model", model, "--seed", 4) == 0
    printed = capsys.readouterr()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")] == [Path("outputs/face/happiness.mp4")]
    assert "'smile' is taken for this model's label 'happiness'." in printed.err
    assert "wrote 1 clip of Face.png to outputs/face/, seed 4\n  happiness.mp4" in printed.out
    assert lfdm("generate", pictures[0], "smile", "joy", "--label", "Surprise", "--model", model, "--output", "b") == 0
    assert {path.name for path in Path("b/face").iterdir()} == {"happiness.mp4", "surprise.mp4"}
    Path("anger").write_bytes(Path(pictures[0]).read_bytes())  # a file of that name is a picture
    assert lfdm("generate", "anger", "surprise", "--model", model, "--output", "c") == 0
    assert [path.name for path in Path("c/anger").iterdir()] == ["surprise.mp4"]


def test_an_expression_is_held(model, pictures, tmp_path):
    options = ("--model", model, "--label", "anger", "--kinds", "motion", "--formats", "gif", "--fps", 4, "--output")
    assert lfdm("generate", pictures[0], *options, tmp_path / "a") == 0
    assert lfdm("generate", pictures[0], *options, tmp_path / "b", "--hold", 2.5) == 0
    plain, held = (Motion.load(tmp_path / name / "face" / "motion" / "anger.safetensors") for name in "ab")
    assert torch.equal(held.flow, plain.held(10).flow) and held.about["hold"] == "2.5"
    again = ("--motion", tmp_path / "a" / "face" / "motion" / "anger.safetensors", "--hold", 2.5, "--kinds", "clips")
    ways = ("--model", model, "--formats", "png", "--output", tmp_path / "c")
    assert lfdm("animate", pictures[0], *again, *ways) == 0
    assert len(frames_of(tmp_path / "c" / "face" / "anger")) == 14


def test_gifs_of_large_clips_are_small(model, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(generated_files, "GIF_SIDE", 48)
    options = ("--model", model, "--label", "anger", "--formats", "gif,png", "--output", tmp_path)
    assert lfdm("generate", pictures[1], *options) == 0
    with PIL.Image.open(tmp_path / "face" / "anger.gif") as gif:
        assert gif.size == (48, 32) and gif.n_frames == 4
        first = np.asarray(gif.convert("RGB")).astype(int)
    frames = frames_of(tmp_path / "face" / "anger")
    assert frames.shape == (4, 40, 60, 3)
    smaller = PIL.Image.fromarray(frames[0]).resize((48, 32), PIL.Image.Resampling.LANCZOS)
    assert np.abs(first - np.asarray(smaller)).mean() < 8


# ---- generate: what it depends on, what it says ----------------------------------------------------------------------


def test_a_seed_gives_the_same_clip_whatever_else_is_made(model, pictures, tmp_path):
    common = ("--model", model, "--formats", "png", "--kinds", "clips")
    several = (*common, "--label", "anger", "happiness", "--num-videos", "2", "--output", tmp_path / "all")
    assert lfdm("generate", *pictures, *several) == 0
    alone = (pictures[1], *common, "--label", "happiness", "--output")
    assert lfdm("generate", *alone, tmp_path / "alone", "--seed", "1") == 0
    among = frames_of(tmp_path / "all" / "face-2" / "happiness-seed1")
    assert np.array_equal(frames_of(tmp_path / "alone" / "face" / "happiness"), among)
    assert not np.array_equal(frames_of(tmp_path / "all" / "face-2" / "happiness-seed0"), among)
    # The same in Python.
    pipe = LFDMPipeline.from_pretrained(model)
    options = {"generator": torch.Generator().manual_seed(1), "output_size": "picture"}
    video = pipe(PIL.Image.open(pictures[1]), "happiness", **options).frames[0]
    assert np.array_equal(np.stack([np.asarray(frame) for frame in video]), among)


def test_guidance_away_from_a_label(model, pictures, tmp_path):
    """As in Python; clips of that very label are made as without it. A synonym is taken for the label."""
    common = (
        pictures[0],
        "--model",
        model,
        "--formats",
        "png",
        "--label",
        "anger",
        "happiness",
        "--guidance-scale",
        "2",
    )
    assert lfdm("generate", *common, "--output", tmp_path / "from-null") == 0
    assert lfdm("generate", *common, "--output", tmp_path / "away", "--negative-prompt", "joy") == 0
    anger, happiness = (
        [frames_of(tmp_path / how / "face" / label) for how in ("from-null", "away")]
        for label in ("anger", "happiness")
    )
    assert np.array_equal(*happiness) and not np.array_equal(*anger)
    pipe, generator = LFDMPipeline.from_pretrained(model), torch.Generator().manual_seed(0)
    options = {"guidance_scale": 2.0, "negative_prompt": "happiness", "output_size": "picture", "generator": generator}
    video = pipe(PIL.Image.open(pictures[0]), "anger", **options).frames[0]
    assert np.array_equal(np.stack([np.asarray(frame) for frame in video]), anger[1])


def test_labels_are_led_away_from_what_a_face_shows(pictures, tmp_path, capsys):
    """Of a model that sees it and has guidance, where nothing else is asked for; it is said, and kept beside the motion."""
    seen = ShownLabels(("happiness",), torch.zeros(1, 8), torch.ones(1), 1.5)
    unet = tiny_unet(image_blocks=1, image_summary=8)
    tiny_pipeline(
        unet=unet, shown_labels=seen.to_config(), default_guidance_scale=2.0, default_num_inference_steps=1
    ).save_pretrained(tmp_path / "model")
    common = (pictures[0], "--model", tmp_path / "model", "--label", "anger", "happiness", "--kinds", "motion")

    def used(name: str, *options: object) -> list[tuple]:
        assert lfdm("generate", *common, *options, "--output", tmp_path / name) == 0
        files = [tmp_path / name / "face" / "motion" / f"{label}.safetensors" for label in ("anger", "happiness")]
        about = [Motion.load(file).about for file in files]
        return [(float(each["guidance_scale"]), each.get("negative_prompt")) for each in about]

    assert used("seen") == [(1.5, "happiness"), (2.0, None)]
    assert "it shows happiness already, and other labels are led away" in capsys.readouterr().err
    assert used("said", "--negative-prompt", "anger") == [(2.0, None), (1.5, "anger")]
    assert used("plain", "--guidance-scale", 3) == [(3.0, None), (3.0, None)]
    assert "shows happiness" not in capsys.readouterr().err


def test_folder_of_pictures_and_json(model, pictures, tmp_path, capsys):
    arguments = (
        Path(pictures[0]).parent,
        pictures[0],
        "--model",
        model,
        "--output",
        tmp_path,
        "--json",
        "--num-frames",
        2,
    )
    assert lfdm("generate", *arguments, "--formats", "png", "--fps", "7", "--label", "anger", "--kinds", "all") == 0
    content = json.loads(capsys.readouterr().out)
    (picture,) = content["pictures"]  # named twice, made once
    assert picture["picture"] == pictures[0] and content["failed"] == []
    assert (content["steps"], content["num_frames"], content["fps"]) == (2, 2, 7)
    files = {
        (file["kind"], file["label"]): file["path"] for file in picture["files"] if not file["path"].endswith("ors")
    }
    assert set(files) == {("clips", "anger"), ("motion", "anger"), ("grid", None), ("sheet", None)}
    assert all(Path(path).exists() for path in files.values()) and len(frames_of(Path(files["clips", "anger"]))) == 2


def test_batch_goes_on_past_bad_pictures(model, pictures, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(Path(pictures[0]).read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("not a picture")
    PIL.Image.new("RGB", (40000, 1)).save(tmp_path / "line.png")  # would be 1.3 million pixels wide
    bad = [tmp_path / name for name in ("broken.png", "notes.txt", "line.png")]
    options = ("--model", model, "--output", tmp_path / "out", "--kinds", "clips", "--formats", "gif", "--json")
    options = (*options, "--image-fit", "center_crop")
    assert lfdm("generate", *bad, pictures[0], *options) == 1
    printed = capsys.readouterr()
    failed = {Path(one["picture"]).name: one["error"] for one in json.loads(printed.out)["failed"]}
    assert set(failed) == {"broken.png", "notes.txt", "line.png"} and "cannot be used" in failed["notes.txt"]
    assert f"error: {tmp_path / 'notes.txt'} cannot be used" in printed.err and "3 of 4 pictures" in printed.err
    assert len(list((tmp_path / "out" / "face").glob("*.gif"))) == 3 and not (tmp_path / "out" / "notes").exists()


def test_nothing_is_replaced_unasked(model, pictures, tmp_path, capsys):
    arguments = (
        "generate",
        pictures[0],
        "--model",
        model,
        "--output",
        tmp_path,
        "--kinds",
        "clips",
        "--label",
        "anger",
    )
    assert lfdm(*arguments, "--formats", "png,gif") == 0
    before = frames_of(tmp_path / "face" / "anger")
    assert lfdm(*arguments, "--formats", "png,gif", "--seed", "1") == 2
    assert "2 files, " in capsys.readouterr().err
    assert np.array_equal(frames_of(tmp_path / "face" / "anger"), before)
    (tmp_path / "face" / "mine.txt").write_text("kept")
    assert lfdm(*arguments, "--formats", "png,gif", "--seed", "1", "--overwrite") == 0
    assert not np.array_equal(frames_of(tmp_path / "face" / "anger"), before)
    assert {path.name for path in (tmp_path / "face").iterdir()} == {"anger", "anger.gif", "mine.txt"}


def test_interrupted(model, pictures, tmp_path, capsys, monkeypatch):
    write, calls = generated_files.write_clips, []

    def interrupted_later(targets, *arguments):
        calls.append(targets)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(targets, *arguments)

    monkeypatch.setattr(generated_files, "write_clips", interrupted_later)
    options = ("--model", model, "--output", tmp_path, "--kinds", "clips", "--formats", "gif")
    assert lfdm("generate", pictures[0], *options) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "face").iterdir()] == ["anger.gif"]


# ---- generate: labels, models, schedulers ---------------------------------------------------------------------------


def test_free_text_and_models_without_labels(tmp_path, pictures):
    common = ("--kinds", "clips", "--formats", "gif", "--steps", "1", "--output", tmp_path / "out")
    tiny_pipeline(text_encoder=True).save_pretrained(tmp_path / "text")
    arguments = ("generate", pictures[0], "--model", tmp_path / "text", *common, "--label", "A face: smiles!", "ANGER")
    assert lfdm(*arguments, "anger", "motion") == 0  # a folder of the result is called motion
    made = {path.name for path in (tmp_path / "out" / "face").iterdir()}
    assert made == {"a-face-smiles.gif", "anger.gif", "motion-2.gif"}
    tiny_pipeline(label_embeddings=False).save_pretrained(tmp_path / "unconditional")
    assert lfdm("generate", pictures[0], "--model", tmp_path / "unconditional", *common) == 0
    assert (tmp_path / "out" / "face" / "no-label.gif").exists()


def test_label_lists_that_cannot_be(tmp_path, pictures, capsys):
    tiny_pipeline(text_encoder=True, label_embeddings=False).save_pretrained(tmp_path / "text")
    assert lfdm("generate", pictures[0], "--model", tmp_path / "text") == 2
    assert "has no labels of its own" in capsys.readouterr().err
    tiny_pipeline(label_embeddings=False).save_pretrained(tmp_path / "none")
    assert lfdm("generate", pictures[0], "--model", tmp_path / "none", "--label", "anger") == 2
    assert "takes no labels" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_by_name(name):
    pipe = tiny_pipeline()
    pipe.scheduler = scheduler_by_name(name.upper(), pipe.scheduler)
    image = to_rgb_tensors(np.full((32, 32, 3), 0.5))
    flows = [
        pipe(
            image, "anger", num_inference_steps=4, generator=torch.Generator().manual_seed(0), output_type="latent"
        ).flow
        for _ in range(2)
    ]
    assert torch.isfinite(flows[0]).all() and torch.equal(*flows)
    assert pipe.scheduler.config.trained_betas == tiny_pipeline().scheduler.config.trained_betas


def test_scheduler_option(model, pictures, tmp_path, capsys):
    options = ("--model", model, "--output", tmp_path, "--kinds", "clips", "--formats", "gif", "--label", "anger")
    assert lfdm("generate", pictures[0], *options, "--scheduler", "heun", "--steps", "3", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["scheduler"] == "HeunDiscreteScheduler" and content["steps"] == 3


def test_half_precision(tmp_path, pictures):
    tiny_pipeline().to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16", safe_serialization=True)
    options = (
        "--model",
        tmp_path / "half",
        "--steps",
        "2",
        "--kinds",
        "motion",
        "--formats",
        "gif",
        "--label",
        "anger",
    )
    for dtype in ("float32", "bfloat16"):
        assert lfdm("generate", pictures[0], *options, "--dtype", dtype, "--output", tmp_path / dtype) == 0


def test_output_of_no_use_is_an_error(model, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "lfdm_diffusers.pipelines.pipeline_lfdm.volume_to_motion",
        lambda volume, config: (volume[:, :2] * float("nan"), volume[:, 2:]),
    )
    assert lfdm("generate", pictures[0], "--model", model, "--output", tmp_path / "out") == 2
    assert "NaN or infinite with DDPMScheduler in 2 steps" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["generate", "missing.png"], "There is no picture missing.png."),
        (["generate", "face.png", "hapiness", "--model", "MODEL"], "closest known one is 'happiness'"),
        (["generate", "mee", "anger", "--model", "MODEL"], "Unknown label 'mee'"),
        (["generate", "mee", "anger", "--model", "MODEL"], "(Nor is there a picture mee.)"),
        (["generate", "face.png", "anger", "--all-labels"], "`--all-labels` leaves no room for labels, got anger."),
        (["generate", "empty"], "There are no pictures in the folder empty."),
        (["--label", "anger", "hapiness"], "closest known one is 'happiness'"),
        (["--label", "anger", "face.png"], "(Pictures stand before `--label`.)"),
        (["--label", "anger", "--all-labels"], "not allowed with argument --label"),
        (["--negative-prompt", "anger"], "`--negative-prompt` needs a `--guidance-scale` other than 0 and 1"),
        (["--guidance-scale", "2", "--negative-prompt", "angr"], "`--negative-prompt`: Unknown label 'angr'"),
        (["--label", " "], "Unknown label ' '"),
        (["--hold", "-1"], "argument --hold: must be a number from 0 to 600, got '-1'"),
        (["--steps", "0"], "argument --steps: must be a whole number of at least 1, got '0'"),
        (["--steps", "5000"], "`--steps` must be from 1 to 1000"),
        (["--steps", "100", "--scheduler", "lcm"], "`--steps` 100 does not suit LCMScheduler"),
        (["--scheduler", "dimm"], "must be one of ddpm, ddim, dpm++"),
        (["--eta", "1.5"], "argument --eta: must be a number from 0 to 1, got '1.5'"),
        (["--motion-scale", "nan"], "argument --motion-scale: must be a number"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0"),
        (["--fps", "600"], "argument --fps: must be a number from 0.1 to 240"),
        (["--formats", "gif,avi"], "argument --formats: must be some of gif,mp4,webm,mkv,webp,png"),
        (["--kinds", ","], "argument --kinds: must be some of clips,grid,sheet,motion"),
        (["--device", "abacus"], "The device abacus cannot be used here"),
        (["--output", "face.png"], "`--output` must be a folder, but face.png is a file."),
        (["--output", "face.png/deeper"], "is a file."),
        (["--model", "./missing"], "There is no folder ./missing."),
        (["--model", "no-one/no-model"], "the Hub cannot be reached"),
        (["--model", "empty"], "empty holds no model"),
        (["--model", "face.png"], "face.png is a file"),
        (["--model", "other"], "other holds a StableDiffusionPipeline"),
        (["--model", "MODEL/lfae"], "holds a LatentFlowAutoencoder, but a whole LFDMPipeline is needed"),
        (["--model", "damaged"], "damaged could not be loaded"),
        (["info", "other"], "none of this package's models"),
        (["info", "broken"], "model_index.json cannot be read as JSON"),
        (["info", "missing"], "the Hub cannot be reached"),
        (["data", "toon-faces", "face.png"], "OUTPUT must be a folder, but face.png is a file."),
        (["data", "toon-faces", "toon", "--labels", "joy"], "labels must be different ones of anger"),
        (["data", "toon-faces", "toon", "--size", "17", "--format", "mp4"], "size must be even"),
        (["convert", "--lfae", "missing.pth", "--preset", "vox256", "--output", "out"], "missing.pth does not exist"),
        (["convert", "--output", "out"], "the following arguments are required: --lfae"),
        (["paint"], "invalid choice: 'paint'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes(model, pictures, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("face.png").write_bytes(Path(pictures[0]).read_bytes())
    Path("empty").mkdir()
    for name, text in (("other", '{"_class_name": "StableDiffusionPipeline"}'), ("broken", "{")):
        Path(name).mkdir()
        Path(name, "model_index.json").write_text(text)
    Path("damaged", "unet").mkdir(parents=True)
    Path("damaged", "model_index.json").write_text(Path(model, "model_index.json").read_text())
    before = sorted(Path().rglob("*"))
    arguments = [argument.replace("MODEL", model) for argument in arguments]
    if arguments[0].startswith("-"):
        arguments = ["generate", "face.png", "--model", model, *arguments]
    assert lfdm(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_out_of_memory_is_told(model, pictures, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore advice")

    monkeypatch.setattr(LFDMPipeline, "__call__", full)
    assert lfdm("generate", pictures[0], "--model", model, "--output", tmp_path) == 2
    assert "out of memory; ask for less at once" in capsys.readouterr().err.splitlines()[-1]


def test_faults_of_the_package_keep_their_traceback_and_say_so(model, pictures, tmp_path, capsys, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("a mistake of this package")

    monkeypatch.setattr(LFDMPipeline, "__call__", broken)
    assert lfdm("generate", pictures[0], "--model", model, "--output", tmp_path) == 1
    told = capsys.readouterr().err.splitlines()
    assert any(line.startswith("Traceback") for line in told) and told[-2] == "RuntimeError: a mistake of this package"
    assert "a fault of lfdm_diffusers" in told[-1]


def test_no_message_commands_the_terminal(capsys):
    assert lfdm("generate", "none\x1b]0;owned\x07.png") == 2
    assert lfdm("generate", "--steps", "1\x1b[2J") == 2
    assert "\x1b" not in capsys.readouterr().err.replace("\\x1b", "")


@pytest.mark.parametrize("arguments", [(), ("data",)])
def test_no_command_shows_the_help(arguments, capsys):
    assert lfdm(*arguments) == 2
    assert capsys.readouterr().err.startswith("usage: lfdm")


@pytest.mark.parametrize("command", [("generate",), ("info",), ("convert",), ("data", "toon-faces")])
def test_help_has_examples(command, capsys):
    assert lfdm(*command, "--help") == 0
    text = capsys.readouterr().out
    assert f"  lfdm {' '.join(command)}" in text.split("examples:")[1]


# ---- the others -----------------------------------------------------------------------------------------------------


def test_info(model, capsys):
    assert lfdm("info", model) == 0
    text = capsys.readouterr().out
    for line in (
        "labels      3: anger, happiness, surprise",
        "output      4 frames of 32x32 pixels",
        "trained on  nothing",
    ):
        assert line in text.splitlines()
    assert "a.pth | 00ff" in text and "licence     apache-2.0" in text and "steps       2 by default" in text
    assert lfdm("info", model, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    pipe = tiny_pipeline()
    counts = {name: sum(p.numel() for p in pipe.components[name].parameters()) for name in ("lfae", "unet")}
    assert counts.items() <= facts["parameters"].items() and facts["labels"] == list(LABELS)
    assert facts["scheduler"] == "DDPMScheduler" and facts["default_steps"] == 2 and "no heading" not in facts["card"]
    assert facts["bytes"] == sum(path.stat().st_size for path in Path(model).rglob("*") if path.is_file())


def test_info_of_other_models(model, tmp_path, capsys):
    pipe = tiny_pipeline(text_encoder=True, label_embeddings=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path)
    assert lfdm("info", tmp_path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["text_encoder"] == "BertModel" and facts["parameters"]["text_encoder"] > 0 and facts["labels"] is None
    assert facts["default_steps"] == 100 and facts["license"] is None and facts["card"] == {}
    assert facts["sentences"] is True and facts["examples"] == []
    assert lfdm("info", f"{model}/lfae") == 0
    text = capsys.readouterr().out
    assert "class       LatentFlowAutoencoder" in text and "sample_size" in text


def test_info_tells_whether_sentences_are_taken(model, tmp_path, capsys):
    assert lfdm("info", model) == 0
    text = capsys.readouterr().out
    assert "sentences   no\n" in text and "for example" not in text
    pipe = tiny_pipeline(text_encoder=True)
    pipe.save_pretrained(tmp_path / "labels")
    assert lfdm("info", tmp_path / "labels") == 0
    assert "sentences   no, trained on its labels alone\n" in capsys.readouterr().out
    rows = pipe.label_embeddings.embedding.weight.detach()
    pipe.label_embeddings = pipe.label_embeddings.with_sentences(rows, rows, ["smiles, then nods", "winks"])
    pipe.save_pretrained(tmp_path / "sentences")
    assert lfdm("info", tmp_path / "sentences") == 0
    text = capsys.readouterr().out
    assert "sentences   yes\n" in text and "\nSentences, for example\n  smiles, then nods\n  winks\n" in text


def test_data_toon_faces(tmp_path, capsys):
    arguments = ("data", "toon-faces", tmp_path / "toon", "--num-subjects", 2, "--num-test-subjects", 1, "--size", 16)
    arguments = (
        *arguments,
        "--labels",
        "fear",
        "neutral",
        "--num-frames",
        2,
        "--takes",
        1,
        "--seed",
        4,
        "--with-flow",
    )
    assert lfdm(*arguments, "--format", "webp", "--fps", 10, "--workers", 0) == 0
    said = capsys.readouterr().out
    assert "wrote 4 clips of 2 frames, 16x16 pixels, with their true flow" in said
    assert lfdm(*arguments, "--format", "webp", "--fps", 10, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clips"] == {"train": 2, "test": 2} and Path(told["metadata"]).is_file()
    assert "2 for training (1 person), 2 for testing (1 person)" in said and str(tmp_path / "toon") in said
    rows = [json.loads(line) for line in (tmp_path / "toon" / "metadata.jsonl").read_text().splitlines()]
    assert all((tmp_path / "toon" / row[name]).is_file() for row in rows for name in ("file_name", "flow"))
    settings = json.loads((tmp_path / "toon" / "toon_faces.json").read_text())
    assert (settings["seed"], settings["format"], settings["fps"]) == (4, "webp", 10)
    assert lfdm(*arguments, "--format", "png") == 2  # other settings in the same folder
    assert "choose an empty folder" in capsys.readouterr().err


def test_embedded_model_and_pictures(model, tmp_path, capsys, monkeypatch):
    for path in embedded.embedded_pictures():
        with PIL.Image.open(path) as image:
            assert image.format == "PNG" and image.size == (256, 256) and image.mode == "RGB"
    for path, (left, top, right, bottom) in embedded.embedded_photographs().items():
        with PIL.Image.open(path) as image:
            assert image.format == "JPEG" and 0 <= left < right <= image.width and 0 <= top < bottom <= image.height
    monkeypatch.setattr(embedded, "ASSETS", tmp_path / "assets")
    assert lfdm("info") == 2
    assert "holds no pretrained model" in capsys.readouterr().err
    assert lfdm("generate", "--model", model) == 2
    assert "holds no pictures" in capsys.readouterr().err
    # With both in place nothing need be named.
    pipe = LFDMPipeline.from_pretrained(model)
    for name, folder, picture in (("people128", "photographs", "astronaut.jpg"), ("toon64", "pictures", "face.png")):
        pipe.save_pretrained(tmp_path / "assets" / name)
        (tmp_path / "assets" / folder).mkdir()
        PIL.Image.new("RGB", (320, 320), "red").save(tmp_path / "assets" / folder / picture)
        chosen = [] if name == "people128" else ["--model", name]
        options = ("--output", tmp_path / name, "--formats", "gif", "--kinds", "grid", "--json", *chosen)
        assert lfdm("generate", *options) == 0
        said = capsys.readouterr()
        told = json.loads(said.out)
        assert told["model"] == name and (tmp_path / name / Path(picture).stem / "grid.gif").exists()
        moving = [[*embedded.FACES["astronaut.jpg"]]] if name == "people128" else []
        assert told["pictures"][0]["subjects"] == moving


def test_embedded_models_have_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "toon64" in embedded.embedded_models()
    assert embedded.named_model("toon64") == str(embedded.embedded_model("toon64")) == str(embedded.ASSETS / "toon64")
    assert embedded.named_model("someone/toon64") == "someone/toon64"
    folder, config = loading.named_config("toon64")
    assert folder == str(embedded.embedded_model("toon64")) and config["_class_name"] == "LFDMPipeline"
    (tmp_path / "toon64").mkdir()
    assert embedded.named_model("toon64") == "toon64"  # what lies here is meant
    with pytest.raises(ValueError, match=r"`name` must be one of .*toon64, got 'toon65'"):
        embedded.embedded_model("toon65")


def test_pictures_of_ones_own_are_taken_for_people(tmp_path, monkeypatch, capsys):
    """Without --model, and the drawn faces of the package for drawn ones."""
    faces = embedded.embedded_pictures()
    assert (embedded.model_for([]), embedded.model_for(faces[:2])) == ("people128", "toon64")
    assert embedded.model_for([faces[0], tmp_path / "photograph.jpg"]) == "people128"
    PIL.Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    monkeypatch.setattr(embedded, "ASSETS", tmp_path / "assets")
    assert lfdm("generate", tmp_path / "red.png", "--output", tmp_path / "out") == 2
    assert "people128 is missing" in capsys.readouterr().err


@pytest.mark.integration
def test_bundled_pictures_are_as_drawn():
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "reproduction" / "draw_pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    bundled = embedded.embedded_pictures()
    assert len(bundled) == len(script.SUBJECTS)
    drawn = script.toon_clip(script.SEED, script.SUBJECTS[0], "neutral", num_frames=1, size=256).frames[0]
    assert np.abs(np.asarray(PIL.Image.open(bundled[0])).astype(int) - drawn).max() <= 1


def test_entry_point():
    script = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("lfdm = ")]
    module, function = script[0].split('"')[1].split(":")
    assert getattr(importlib.import_module(module), function) is main


HUB = """
import contextlib, io
from pathlib import Path
from lfdm_diffusers.cli import generate, main

def lfdm(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()

def weights():
    return len([file for file in Path(home).rglob("*.safetensors")])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def process(loopback_hub, home) -> Iterator[LoopbackPython]:
    process = LoopbackPython(loopback_hub.url, home)
    yield process
    process.close()


@pytest.mark.integration
def test_models_of_the_hub(model, pictures, tmp_path, loopback_hub, process, home):
    files = {str(path.relative_to(model)): path.read_bytes() for path in Path(model).rglob("*") if path.is_file()}
    loopback_hub.add("me/cli", files)
    loopback_hub.add("me/empty", {"README.md": b"---\nlicense: mit\n---\n"})
    code = HUB + 'result = [*lfdm("info", "me/cli", "--json"), weights()]'
    rc, out, err, downloaded = process.run(code, home=str(home))
    assert (rc, err, downloaded) == (0, "", 0), "configurations and card, no weights"
    facts = json.loads(out)
    assert facts["labels"] == list(LABELS) and facts["license"] == "apache-2.0" and "Labels" in facts["card"]
    for repo_id, message in (
        ("me/nothing", "no such repository on the Hub"),
        ("me/empty", "me/empty holds no model"),
    ):
        rc, _, err = process.run(HUB + 'result = lfdm("info", repo_id)', repo_id=repo_id)
        assert rc == 2 and message in err and err.count("\n") == 1
    options = ["--model", "me/cli", "--output", str(tmp_path / "out"), "--kinds", "sheet", "--json"]
    rc, out, _ = process.run(HUB + 'result = lfdm("generate", *options)', options=[pictures[0], *options])
    assert rc == 0 and json.loads(out)["model"] == "me/cli" and (tmp_path / "out" / "face" / "sheet.png").exists()


@pytest.mark.integration
def test_push(model, tmp_path, loopback_hub, process):
    """With its card, or with one that is made; refusals and broken networks are one sentence each, and leave nothing behind."""
    pipeline, lfae = tmp_path / "pipeline", tmp_path / "lfae"
    shutil.copytree(model, pipeline)
    LFDMPipeline.from_pretrained(model).lfae.save_pretrained(lfae)

    def push(*arguments: object, token: str | None = WRITE_TOKEN) -> list:
        return process.run(HUB + 'result = lfdm("push", *arguments)', token=token, arguments=list(map(str, arguments)))

    code, out, _ = push(pipeline, "me/pushed", "--message", "first")
    assert code == 0 and "pushed" in out and "LFDMPipeline" in out
    files = loopback_hub.files("me/pushed")
    assert files["README.md"] == (pipeline / "README.md").read_bytes()
    assert set(files) >= {"model_index.json", "unet/diffusion_pytorch_model.safetensors"}
    code, out, _ = push(pipeline, "me/pushed", "--json")
    told = json.loads(out)
    assert (
        code == 0
        and told["kind"] == "LFDMPipeline"
        and told["address"].endswith("me/pushed")
        and not told["card_made"]
    )
    code, out, _ = push(lfae, "me/lfae")
    assert code == 0 and "a card with what is known" in out
    card = loopback_hub.files("me/lfae")["README.md"].decode()
    assert "library_name: diffusers" in card and 'from_pretrained("me/lfae")' in card

    scores, pipe = tmp_path / "results.json", LFDMPipeline.from_pretrained(pipeline)
    receipt = {
        "data": {"name": "faces", "split": "test"},
        "videos": {"generated": 20, "real": 40, "frames": 4, "width": 32, "height": 32},
        "sampling": {"num_inference_steps": 4, "guidance_scale": 2.0, "seed": 0},
        "model_sha256": {"unet": weights_sha256(pipe.unet), "lfae": weights_sha256(pipe.lfae)},
    }
    results = {"scores": {"fvd": {"value": 283.5, "real_against_real": 302.25}}, "receipt": receipt}
    scores.write_text(json.dumps(results))
    code, out, err = push(pipeline, "me/pushed", "--results", scores, "--benchmark", "me/faces")
    assert code == 0, err
    (entry,) = yaml.safe_load(loopback_hub.files("me/pushed")[".eval_results/me--faces.yaml"])
    assert entry["dataset"] == {"id": "me/faces", "task_id": "fvd"} and entry["value"] == 283.5
    assert (
        "20 clips against 40 real ones of faces (test)" in entry["notes"]
        and "real_against_real 302.2" in entry["notes"]
    )
    other = tmp_path / "other.json"
    receipt["model_sha256"]["unet"] = "0" * 64
    other.write_text(json.dumps(results))

    for arguments, token, message in (
        (
            (pipeline, "me/pushed", "--results", other, "--benchmark", "me/faces"),
            WRITE_TOKEN,
            "its unet is not that of",
        ),
        ((pipeline, "me/pushed", "--results", scores), WRITE_TOKEN, "go together"),
        (
            (pipeline, "me/pushed", "--results", pipeline / "model_index.json", "--benchmark", "me/faces"),
            WRITE_TOKEN,
            "results.json",
        ),
        ((lfae, "me/lfae", "--results", scores, "--benchmark", "me/faces"), WRITE_TOKEN, "scores of a pipeline"),
        ((pipeline, "me/other"), None, "Pushing needs a token"),
        ((pipeline, "me/other"), READ_TOKEN, "may not write there"),
        ((tmp_path / "none", "me/none"), WRITE_TOKEN, "There is no folder"),
        ((tmp_path, "me/none"), WRITE_TOKEN, "holds no model"),
        ((pipeline, "me/a/b"), WRITE_TOKEN, "REPO_ID"),
    ):
        code, _, err = push(*arguments, token=token)
        assert code == 2 and message in err and "Traceback" not in err, err
    weights = lfae / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    before = loopback_hub.files("me/lfae")
    code, _, err = push(lfae, "me/lfae")
    assert code == 2 and f"{weights} is broken" in err and loopback_hub.files("me/lfae") == before


@pytest.mark.integration
def test_as_a_program(model, pictures, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "lfdm_diffusers",
        "generate",
        "--model",
        model,
        "--output",
        tmp_path,
        "--kinds",
        "grid",
    ]
    done = subprocess.run(
        [*command, pictures[0], "--json"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == model and "Traceback" not in done.stderr
    assert "Warning" not in done.stderr and "100%" in done.stderr
    done = subprocess.run([*command, "missing.png"], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: There is no picture missing.png.\n")
