"""The web app: what the engine makes, what it refuses, and, where Gradio is installed, the page's API."""

from __future__ import annotations

import ast
import asyncio
import base64
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tiny import LABELS, tiny_pipeline, tiny_unet

from lfdm_diffusers import Box, LFDMPipeline, Motion, Stroke
from lfdm_diffusers.app.engine import Engine, Made
from lfdm_diffusers.app.expressions import Expressions
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.embedded import embedded_pictures
from lfdm_diffusers.pipelines.outlook import outlook
from lfdm_diffusers.pipelines.shown_labels import ShownLabels
from lfdm_diffusers.visualization import clip_files, enlarge
from lfdm_diffusers.visualization.clip_views import WATCHABLE

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("small_files")

QUICK = {"steps": 1, "num_frames": 2, "output_size": "model"}  # where it does not matter which clip is made


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline(default_num_inference_steps=2).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def engine(model) -> Engine:
    return Engine(model)


@pytest.fixture(scope="module")
def picture() -> PIL.Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return PIL.Image.fromarray(noise).resize((60, 44), PIL.Image.Resampling.BICUBIC)


def frames(path: str) -> np.ndarray:
    return read_clip(Clip(Path(path))).astype(int)


def shown(made: Made) -> np.ndarray:
    """The frames of the GIF, which are the same whenever the clip is: H.264 does not always encode a clip alike."""
    return frames(made.downloads[1])


def test_a_clip_and_its_files(engine, model, picture, monkeypatch):
    monkeypatch.setattr(clip_files, "WATCHABLE", WATCHABLE)
    told = []
    made = engine.generate(picture, "anger", seed=3, progress=lambda share, what: told.append((share, what)))
    assert [Path(path).suffix for path in made.downloads] == [".mp4", ".gif", ".safetensors"]
    assert all(Path(path).is_file() for path in (made.clip, made.views, made.sheet, *made.downloads))
    motion = Motion.load(made.downloads[-1])
    assert motion.about["label"] == "anger" and len(motion) == 4
    pipe = LFDMPipeline.from_pretrained(model)
    expected = np.stack([np.asarray(f) for f in pipe.animate(picture, motion, output_size="picture").frames[0]])
    grey = np.array([0.299, 0.587, 0.114])  # H.264 halves the resolution of colours
    assert expected.shape[1:3] == (44, 60) and np.abs((frames(made.clip) - expected) @ grey).mean() < 3
    small = engine.generate(picture, "anger", seed=3, output_size="model")
    expected = np.stack([np.asarray(frame) for frame in pipe.animate(picture, motion).frames[0]])
    expected = expected[:, 4:27]  # without the bars
    assert np.abs(frames(small.clip) - enlarge(expected, 8)).mean() < 6
    with PIL.Image.open(small.downloads[1]) as gif:
        first = np.asarray(gif.convert("RGB"))
    assert not np.array_equal(first, first[::8, ::8].repeat(8, 0).repeat(8, 1)), "enlarged smoothly"
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] < 1 and "anger, step 2 of 2" in [what for _, what in told]


def test_every_control_reaches_the_pipeline(engine, picture, monkeypatch):
    monkeypatch.setattr(
        engine, "_made", lambda files, picture, fit, name, output, *about: np.stack(list(output.frames[0]))
    )
    plain = engine.generate(picture, "anger")
    changed = {
        "seed": 1, "scheduler": "euler", "steps": 4, "guidance_scale": 3.0, "motion_scale": 0.2, "fit": "center_crop",
        "mask": PIL.Image.new("L", (32, 32), 0),
    }  # fmt: skip
    for name, value in changed.items():
        assert np.abs(engine.generate(picture, "anger", **{name: value}) - plain).mean() > 0.5 / 255, name
    assert len(engine.generate(picture, "anger", loop="ping_pong")) == 6
    assert len(engine.generate(picture, "anger", num_frames=7)) == 7
    assert len(engine.generate(picture, "anger", loop=True, num_frames=8)) == 8
    away = {"guidance_scale": 2.0, "away_from": "happiness"}
    assert (
        np.abs(
            engine.generate(picture, "anger", **away) - engine.generate(picture, "anger", guidance_scale=2.0)
        ).mean()
        > 0
    )
    smiles = [engine.generate(picture, "happiness", **options) for options in (away, {"guidance_scale": 2.0})]
    assert np.array_equal(*smiles)  # which is not led away from itself
    drawn = engine.generate(picture, "anger", strokes=[Stroke([(30, 30), (40, 20)], 2)])
    assert np.abs(drawn - plain).mean() > 0.5 / 255
    assert np.array_equal(engine.generate(picture, "anger"), plain)  # another scheduler was that call's own


def test_another_scheduler_loses_nothing_of_the_model(model, picture, monkeypatch):
    """Its configuration says how faces are framed, which pictures it knows and how much guidance it wants."""
    engine, asked = Engine(model), []
    pipe = engine.pipeline()
    pipe.register_to_config(face_frame=1.5, default_guidance_scale=2.0)
    call = LFDMPipeline.__call__
    monkeypatch.setattr(LFDMPipeline, "__call__", lambda self, *a, **k: (asked.append(self), call(self, *a, **k))[1])
    engine.generate(picture, "anger", scheduler="euler", num_frames=2, output_size="model")
    (other,) = asked
    assert (
        type(other.scheduler).__name__ == "EulerDiscreteScheduler" and type(pipe.scheduler).__name__ == "DDPMScheduler"
    )
    assert other.unet is pipe.unet and (other.config.face_frame, other.default_guidance()) == (1.5, 2.0)
    assert pipe.config["scheduler"] != other.config["scheduler"]


def test_subjects(engine):
    """Each box by its own label, or that of the clip; the rest of the picture stays."""
    photograph = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (44, 100, 3), dtype=np.uint8))
    subjects = [(Box(0, 2, 40, 42), "happiness"), (Box(60, 2, 100, 42), "")]
    made = engine.generate(photograph, "anger", subjects=subjects, output_size="model", seed=2)
    assert [Motion.load(path).about["label"] for path in made.downloads[2:]] == ["happiness", "anger"]
    with PIL.Image.open(made.downloads[1]) as gif:
        assert gif.size == (100, 44)
        first, last = (np.asarray((gif.seek(i), gif.convert("RGB"))[1]) for i in (0, 3))
    assert np.array_equal(first[:, 45:55], last[:, 45:55]) and (first[8:36, 65:95] != last[8:36, 65:95]).any()
    _, downloads = engine.all_labels(photograph, subjects=subjects)
    with zipfile.ZipFile(downloads[-1]) as archive:
        assert {"motion/anger.safetensors", "motion/anger-subject2.safetensors"} <= set(archive.namelist())


def test_faces(engine):
    pytest.importorskip("cv2")
    face = PIL.Image.open(embedded_pictures()[0])
    (box,) = engine.faces(face)
    assert abs((box.left + box.right) / 2 - 128) < 20
    with pytest.raises(ValueError, match="No face was found; write boxes into the table"):
        engine.faces(PIL.Image.new("RGB", (60, 60)))


def test_all_labels(engine, picture):
    grid, downloads = engine.all_labels(picture)
    assert grid in downloads and len(frames(grid)) == 4
    assert [Path(path).name for path in downloads] == ["grid.mp4", "grid.gif", "all-labels.zip"]
    with zipfile.ZipFile(downloads[-1]) as archive:
        names = set(archive.namelist())
    expected = {f"{label}{suffix}" for label in LABELS for suffix in (".mp4", ".gif")}
    assert names == expected | {f"motion/{label}.safetensors" for label in LABELS}


def test_old_files_make_room(model, picture, monkeypatch):
    engine = Engine(model)
    first, second = (Path(engine.generate(picture, "anger", **QUICK).clip).parent for _ in range(2))
    assert first != second and first.is_dir() and second.is_dir()
    os.utime(first, (0, 0))
    third = Path(engine.generate(picture, "anger", **QUICK).clip).parent
    assert not first.exists() and second.is_dir() and third.is_dir()
    root = third.parent
    engine._folder.cleanup()
    assert not root.exists()


def test_transfer_and_kept_motion(engine, picture):
    made = engine.generate(picture, "surprise")
    moved = engine.transfer(picture, made.clip)
    assert len(frames(moved.clip)) == 4
    again = engine.animate(picture, made.downloads[-1])
    assert np.array_equal(shown(again), shown(made))


def kinds_of_work(engine: Engine, picture: PIL.Image.Image) -> dict[str, Callable]:
    picture = picture.resize((280, 200))  # larger than what is watched beside others, which is drawn at once
    made, expressions = engine.generate(picture, "surprise"), Expressions(engine)
    return {
        "generate": partial(engine.generate, picture, "anger"),
        "all labels": partial(engine.all_labels, picture),
        "transfer": partial(engine.transfer, picture, made.clip),
        "saved motion": partial(engine.animate, picture, made.downloads[-1]),
        "expressions": partial(expressions.make, picture),
    }


def test_all_work_says_how_far_it_is(engine, picture):
    for name, work in kinds_of_work(engine, picture).items():
        told = []
        work(progress=lambda share, what, told=told: told.append((share, what)))
        shares = [share for share, _ in told]
        assert (
            shares == sorted(shares) and shares[0] <= 0.5 and 0.7 < shares[-1] <= 1 and all(what for _, what in told)
        ), name
        assert len(set(shares)) >= 4, name


def test_all_work_can_be_stopped_while_frames_are_drawn(engine, picture):
    folder = Path(engine._folder.name)

    def stop(share: float, what: str, late: bool) -> None:
        if share > 0.7 or not late:
            raise ValueError("Stopped.")

    for work in kinds_of_work(engine, picture).values():
        for late in (False, True):
            with pytest.raises(ValueError, match="Stopped"):
                work(progress=partial(stop, late=late))
    parts = [path for path in folder.rglob("*") if path.suffix not in (".mp4", ".gif", ".png", ".safetensors", ".zip")]
    assert all(path.is_dir() for path in parts), parts  # nothing half-written is left


@pytest.mark.integration
def test_what_a_face_shows_is_seen_by_the_model(model, picture, tmp_path):
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.given import guidance_away, shown_already

    seen = ShownLabels(("happiness",), torch.zeros(1, 8), torch.ones(1), 1.5)
    unet = tiny_unet(image_blocks=1, image_summary=8)
    tiny_pipeline(unet=unet, shown_labels=seen.to_config(), default_guidance_scale=2.0).save_pretrained(tmp_path)
    engine, blind = Engine(str(tmp_path)), Engine(model)
    assert shown_already(engine)(picture) == "happiness"
    assert shown_already(engine)(None) == shown_already(blind)(picture) == shown_already(engine)("no-file.png") == ""
    assert [guidance_away(engine)(given, "") for given in ("happiness", "")] == [1.5, 2.0]
    assert guidance_away(blind)("happiness", "") == 1.0
    tensor, boxes = engine.usable(picture), [Box(0, 0, 8, 8), Box(8, 8, 16, 16)]
    assert engine.shown(engine.pipeline(), tensor, boxes, "happiness") == ["happiness"] * 2
    assert engine.shown(engine.pipeline(), tensor, boxes, "anger") == ["anger"] * 2  # seen in none, so said of all
    assert engine.shown(engine.pipeline(), tensor, None, "") == [None]
    plain, seen = {"guidance_scale": 2.0}, {"guidance_scale": 1.5, "away_from": "happiness"}
    by_itself, led, unled = (
        read_clip(Clip(Path(engine.generate(picture, "anger", steps=1, **options).clip)))
        for options in ({}, seen, plain)
    )
    assert np.array_equal(by_itself, led) and not np.array_equal(by_itself, unled)


@pytest.mark.integration
def test_only_work_that_is_done_is_stopped(model, monkeypatch):
    """Stop is heard by the work of this visitor alone, and says so where there is none; the next work begins unstopped."""
    gradio = pytest.importorskip("gradio")
    from lfdm_diffusers.app import actions

    engine, said, ways = Engine(model), [], []
    mine, other = (gradio.Request(session_hash=name) for name in ("mine", "other"))
    monkeypatch.setattr(gradio, "Info", said.append)

    def run(request: object) -> None:
        show = actions.shown_progress(lambda share, desc: ways.append(desc), engine, request)
        show(0.5, "drawing")
        actions.stop(engine)(other if len(ways) == 1 else mine)
        show(0.6, "drawing")

    work = actions.at_work(engine, run)
    work(mine)
    assert said == ["Nothing of yours is being made."] and len(ways) == 2 and not engine.working
    with pytest.raises(gradio.Error, match="Stopped"):
        work(mine)
    ways.clear()
    work(mine)
    assert len(ways) == 2 and not engine.working


@pytest.mark.integration
def test_a_picture_that_cannot_be_used_is_told_of_once(engine, picture, tmp_path):
    pytest.importorskip("gradio")
    from lfdm_diffusers.app import actions

    (tmp_path / "fake.png").write_text("no picture")
    fake = str(tmp_path / "fake.png")
    line = actions.outlook(engine)(fake)
    assert line.startswith("**") and "fake.png" in line and str(tmp_path) not in line
    assert actions.paintable(engine)(fake) is None and actions.stage(engine)(fake, None, [], [], None)[1] is None
    assert actions.cleared(engine)(fake, None)[4] is None
    assert (
        actions.outlook(engine)(picture).startswith("The whole picture is framed")
        and actions.outlook(engine)(None) == ""
    )
    assert actions.paintable(engine)(picture).size == actions.stage(engine)(picture, None, [], [], None)[1].size


def test_a_mask_is_of_the_picture_and_faces_are_still_found(engine, picture, monkeypatch):
    """What is painted on a picture holds for its subjects; so do strokes that stay in them."""
    boxes, asked = [Box(4, 4, 40, 40)], []
    call = LFDMPipeline.__call__
    monkeypatch.setattr(LFDMPipeline, "__call__", lambda self, *a, **k: (asked.append(k), call(self, *a, **k))[1])
    monkeypatch.setattr("lfdm_diffusers.pipelines.outlook.find_subjects", lambda *arguments: boxes)
    pipe = engine.pipeline()
    monkeypatch.setattr(
        pipe,
        "outlook",
        lambda picture, fit=None, strokes=None, whole=False: outlook(picture, 3.2, 32, fit, strokes, whole),
    )
    half = PIL.Image.new("L", (30, 22))
    half.paste(255, (15, 0, 30, 22))
    options = dict(QUICK, output_size="picture", mask=half)
    inside, leaving = Stroke([(10, 10), (14, 10)]), Stroke([(10, 10), (50, 10)])
    for strokes, expected in (([], boxes), ([inside], boxes), ([leaving], None)):
        made = engine.generate(picture, "anger", **options, strokes=strokes)
        assert asked[-1]["subjects"] == expected and asked[-1]["motion_mask"].size == picture.size
        first, last = frames(made.downloads[1])[[0, -1]]
        assert np.array_equal(first[:, :20], last[:, :20]) and not np.array_equal(first, last)


@pytest.mark.integration
def test_a_painted_mask():
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.actions import painted_mask

    layer = np.zeros((10, 20, 4), np.uint8)
    assert painted_mask([]) is None and painted_mask([layer]) is None
    layer[2:4, 3:9] = (80, 160, 255, 178)
    layer[2, 3, 3] = 232  # strokes that cross
    mask = np.asarray(painted_mask([layer, np.zeros_like(layer)], opacity=178 / 255))
    assert mask.shape == (10, 20) and mask[3, 5] == mask[2, 3] == 255 and (mask > 0).sum() == 12


def test_refusals(engine, model, picture, tmp_path):
    long = str(tmp_path / "long.safetensors")
    Motion(torch.zeros(161, 2, 8, 8), torch.ones(161, 1, 8, 8)).save(long)
    for make, message in (
        (lambda: engine.generate(None, "anger"), "Choose a picture first"),
        (lambda: engine.generate(picture, "angre"), "Unknown label 'angre'; the closest known one is 'anger'"),
        (lambda: engine.generate(picture, "anger", steps=5000), "steps must be from 1 to 1000, got 5000"),
        (
            lambda: engine.generate(picture, "anger", strokes=[Stroke([(1, 2), (3, 4)])] * 33),
            "at most 32 strokes, got 33",
        ),
        (
            lambda: engine.generate(picture, "anger", strokes=[Stroke([(1, 2), (99, 4)])]),
            "must lie in the picture of 60x44",
        ),
        (lambda: engine.generate(picture, "anger", subjects=[(Box(0, 0, 1e5, 5), None)]), "at most 240 pixels wide"),
        (lambda: engine.generate(picture, "anger", num_frames=5000), "frames must be from 1 to 160, got 5000"),
        (lambda: engine.generate(PIL.Image.new("1", (10001, 10000)), "anger"), "at most 100 million"),
        (lambda: engine.generate(str(tmp_path / "none.png"), "anger"), "none.png does not exist"),
        (lambda: engine.generate(picture, "a" * 201), "at most 200 characters, got 201 characters"),
        (lambda: engine.generate(picture, ["anger"]), "at most 200 characters, got list"),
        (lambda: engine.transfer(picture, None), "Choose a driving clip first"),
        (lambda: engine.animate(picture, None), "Choose a motion file first"),
        (lambda: engine.animate(picture, long), "The motion has 161 frames; at most 160"),
        (lambda: engine.generate(picture, "anger", model=str(tmp_path)), "holds no model"),
        (lambda: Engine(model, may_load=False).pipeline("another/model"), "stays with the model"),
        (lambda: Engine(model, may_load=False).pipeline("people128"), "stays with the model"),
        (lambda: Engine(model, models=[]).pipeline("another/model"), "stays with the model"),
        (lambda: Engine(model, models=["a/b"]).pipeline("another/model"), "This app loads a/b, and no other model"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_models_are_loaded_once_and_few_are_kept(model, tmp_path):
    engine = Engine(model)
    others = []
    for name in "abc":
        tiny_pipeline(default_num_inference_steps=2).save_pretrained(tmp_path / name)
        others.append(str(tmp_path / name))
        assert engine.pipeline(others[-1]) is engine.pipeline(others[-1])
    assert list(engine._pipelines) == [model, others[-1]]
    assert engine.pipeline() is engine.pipeline(model)


def test_many_users_at_once_get_their_own(engine, picture):
    expected = {label: shown(engine.generate(picture, label, **QUICK)) for label in LABELS}
    assert not any(np.array_equal(expected[one], expected[other]) for one, other in pairwise(LABELS))
    found, threads = {}, []
    for label in LABELS:
        made = partial(engine.generate, picture, label, **QUICK)
        thread = threading.Thread(target=lambda label=label, made=made: found.update({label: made()}))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    assert all(np.array_equal(shown(found[label]), expected[label]) for label in LABELS)


def test_work_of_all_threads_is_done_in_one(engine, picture):
    """So that memory which one clip has freed is there for the next; what belongs to a request comes along."""
    request: ContextVar[int] = ContextVar("request")
    seen, failed = set(), []

    def ask(number: int) -> None:
        request.set(number)

        def progress(share: float, what: str) -> None:
            seen.add((threading.get_ident(), number == request.get()))

        engine.generate(picture, "anger", **QUICK, progress=progress)
        with pytest.raises(ValueError, match="Choose a motion file first"):
            engine.animate(picture, None)
        failed.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((where, same),) = seen
    assert same and where not in {thread.ident for thread in threads} | {threading.get_ident()} and len(failed) == 3


@pytest.mark.integration
def test_the_page_answers_programs(engine, picture, tmp_path):
    pytest.importorskip("gradio")
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    from lfdm_diffusers.app.page import launch_options, make_page

    picture.save(tmp_path / "picture.png")
    page = make_page(engine).queue(max_size=5)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        client = Client(url, verbose=False, download_files=str(tmp_path / "files"))
        sent = handle_file(str(tmp_path / "picture.png"))
        clip, views, motion = client.predict(picture=sent, label="anger", api_name="/generate")
        assert np.abs(frames(clip) - frames(engine.generate(picture, "anger").clip)).mean() < 1
        assert Path(views).is_file() and len(Motion.load(motion)) == 4
        drawn = {
            "strokes": [[20, 20, 30, 25, 1, None]], "subjects": [[2, 2, 30, 40, "happiness"], [30, 2, 30, 40, None]],
            "loop": "loop", "num_frames": 6,
        }  # fmt: skip
        clip, _, motions = client.predict(picture=sent, label="anger", **drawn, api_name="/generate")
        assert len(frames(clip)) == 6 and [Motion.load(path).about["label"] for path in motions] == [
            "happiness",
            "anger",
        ]
        with pytest.raises(AppError, match="Stroke 1 must have from x"):
            client.predict(picture=sent, label="anger", strokes=[[1]], api_name="/generate")
        moved = client.predict(picture=sent, driving=handle_file(clip), api_name="/transfer")
        assert len(frames(moved[0])) == 6
        with pytest.raises(AppError, match="the closest known one is 'anger'"):
            client.predict(picture=sent, label="angre", api_name="/generate")
    finally:
        page.close()


@pytest.mark.integration
def test_agents_have_the_api_as_tools(engine, picture, tmp_path):
    pytest.importorskip("gradio")
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamable_http_client

    from lfdm_diffusers.app.page import launch_options, make_page

    picture.save(tmp_path / "picture.png")
    page = make_page(engine).queue(max_size=5)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, mcp_server=True, **launch_options())

    async def as_an_agent() -> tuple:
        sent = "data:image/png;base64," + base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (reads, writes, _),
            mcp.ClientSession(reads, writes) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            good = await session.call_tool("generate", {"picture": sent, "label": "anger", "num_frames": 5})
            bad = await session.call_tool("generate", {"picture": sent, "label": "angre"})
            return tools, good, bad

    try:
        tools, good, bad = asyncio.run(as_an_agent())
        (answer,) = good.content
        clip, _, motion = (file["path"] for file in ast.literal_eval(answer.text))
        assert len(frames(clip)) == 5 and Motion.load(motion).about["label"] == "anger"
    finally:
        page.close()
    assert sorted(tools) == ["generate", "transfer"] and "subject of a picture" in tools["generate"].description
    assert bad.isError and "the closest known one is 'anger'" in bad.content[0].text


@pytest.mark.integration
def test_the_page_takes_as_many_steps_as_the_model(tmp_path):
    """Released models take 1,000 by default: more than the scale would hold otherwise, which refuses the value."""
    gradio = pytest.importorskip("gradio")
    from lfdm_diffusers.app.page import make_page

    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    engine = Engine(str(tmp_path / "tiny"))
    assert engine.pipeline().default_steps() == 1000
    sliders = [block for block in make_page(engine).blocks.values() if isinstance(block, gradio.Slider)]
    (steps,) = [slider for slider in sliders if slider.label == "Steps"]
    assert steps.preprocess(steps.value) == 1000


@pytest.mark.integration
def test_the_space_runs_by_itself(tmp_path, model):
    """The folder alone, with the package installed: what it serves makes a clip."""
    client = pytest.importorskip("gradio_client")
    shutil.copytree(ROOT / "space", tmp_path / "space")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "LFDM_MODEL": model,
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    log = tmp_path / "log.txt"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "app.py"], cwd=tmp_path / "space", env=environment, stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while "Running on local URL" not in log.read_text():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            PIL.Image.new("RGB", (32, 32), "teal").save(tmp_path / "me.png")
            app = client.Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(tmp_path / "files"))
            sent = client.handle_file(str(tmp_path / "me.png"))
            made = app.predict(picture=sent, label="anger", api_name="/generate")
            assert frames(made[0]).shape == (4, 32, 32, 3)
        finally:
            process.terminate()


@pytest.mark.integration
def test_each_launch_has_options_of_its_own():
    """Gradio adds what one server does at its start, and the next one must not do that again."""
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.page import launch_options

    launch_options()["app_kwargs"]["lifespan"] = "of one server"
    assert "lifespan" not in launch_options()["app_kwargs"]


@pytest.mark.integration
def test_what_was_made_is_shown_again(tmp_path):
    """The newest first, and beside its first frame the one that differs most from it."""
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.history import MOST, remembered
    from lfdm_diffusers.data.video_writing import write_clip

    clip = np.full((5, 32, 32, 3), 40, np.uint8)
    clip[1:4, 8:24, 8:24] = np.array([90, 220, 120])[:, None, None, None]
    write_clip(tmp_path / "one.gif", clip, "gif", 10)
    made, pair, shown = remembered(str(tmp_path / "one.gif"), "anger, seed 0", None)
    first, fullest = (np.asarray(picture) for picture in pair)
    assert abs(int(first[16, 16, 0]) - 40) < 8 and abs(int(fullest[16, 16, 0]) - 220) < 8
    for number in range(MOST + 2):
        made, _, shown = remembered(str(tmp_path / "one.gif"), f"{number}", made)
    assert shown == made and len(made) == MOST and made[0][1] == f"{MOST + 1}"


def test_what_draws_waits_for_what_was_clicked_before(engine):
    """Faces that are found while a new picture is read would be cleared by that picture; Gradio's queues of one keep the order."""
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.page import make_page

    functions = make_page(engine).fns.values()
    writing = [each for each in functions if {out.elem_id for out in each.outputs} & {"subjects", "strokes"}]
    assert len(writing) == 6  # faces found, a click, two buttons, another picture, another visit
    assert {(each.concurrency_id, each.concurrency_limit) for each in writing} == {("drawing", 1)}


def test_what_was_drawn_stays_while_the_picture_does(engine, picture, tmp_path):
    """A change that Gradio tells of once more, after faces were found on that picture, does not clear them."""
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.actions import cleared

    one, two = (str(tmp_path / f"{name}.png") for name in ("one", "two"))
    for path in (one, two):
        picture.save(path)
    run = cleared(engine)
    for now, before in ((one, None), (two, one), (one, two)):
        *_, shown, last = run(now, before)
        assert shown.width == 720 and last == now
    assert all("value" not in answer for answer in run(one, one))
    assert run(None, one)[-2:] == (None, None) == run(None, None)[-2:]


def test_the_apps_own_models_are_at_hand_whatever_may_be_loaded(model):
    engine = Engine(may_load=False)
    assert engine.both and not Engine(model).both
    assert engine.pipeline("toon64").config.face_frame != engine.pipeline().config.face_frame


def test_sentences_are_on_offer_where_a_model_takes_them(model, tmp_path):
    """The field and its examples, on the page and after another model has been loaded."""
    pytest.importorskip("gradio")
    from lfdm_diffusers.app.actions import loaded
    from lfdm_diffusers.app.page import make_page

    pipe = tiny_pipeline(text_encoder=True, default_num_inference_steps=2)
    rows = pipe.label_embeddings.embedding.weight.detach()
    pipe.label_embeddings = pipe.label_embeddings.with_sentences(rows, rows, ["smiles, then nods", "winks"])
    pipe.save_pretrained(tmp_path)
    page = make_page(Engine(str(tmp_path)))
    parts = {part.elem_id: part for part in page.blocks.values() if getattr(part, "elem_id", None)}
    assert parts["text"].visible and parts["text"].label == "What happens"
    assert parts["sentences"].visible and parts["sentences"].samples == [["smiles, then nods"], ["winks"]]
    order = list(parts)
    assert order.index("text") < order.index("sentences") < order.index("label")
    (load,) = (each for each in page.fns.values() if parts["load"] in [page.blocks.get(t[0]) for t in each.targets])
    changes = loaded(Engine(model))("")
    assert len(load.outputs) == len(changes)
    text, said = changes[3:5]
    assert not text.visible and not said.visible and said.samples == []
