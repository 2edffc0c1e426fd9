"""How commands are found and options are spelled, and that help comes before anything heavy is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_unet

from lfdm_diffusers import schedulers
from lfdm_diffusers.arguments import choices
from lfdm_diffusers.cli import COMMANDS, DATA_COMMANDS, main, make_parser
from lfdm_diffusers.cli.parser import CommandParser, dashed
from lfdm_diffusers.data import dataset, drawn_sets, layouts, picture_fitting, sampling, toon_faces, video_writing
from lfdm_diffusers.data.people import moves
from lfdm_diffusers.data.toon_faces import styles
from lfdm_diffusers.metrics import i3d
from lfdm_diffusers.models import text_encoders
from lfdm_diffusers.pipelines import loading, motion
from lfdm_diffusers.training import diffusion
from lfdm_diffusers.visualization import clip_files

ROOT = Path(__file__).parents[2]
HELP = """
import contextlib, io, json, runpy, sys
from lfdm_diffusers.cli import main

loaded, shown = {}, io.StringIO()
for line in sys.argv[1:]:
    name, *words = line.split() or [""]
    sys.argv = [name, *words]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        runpy.run_path(name, run_name="__main__") if name.endswith(".py") else main(line.split())
    loaded[line] = [name for name in ("torch", "diffusers", "transformers", "numpy", "PIL", "av") if name in sys.modules]
print(json.dumps([loaded, shown.getvalue().count("usage: ")]))
"""


@pytest.mark.fast
def test_help_loads_no_heavy_library():
    """Of every command and every training script: what it takes is known before anything is loaded that takes seconds."""
    commands = ["", "data", *COMMANDS, *(f"data {name}" for name in DATA_COMMANDS)]
    scripts = [str(path) for path in sorted((ROOT / "training").glob("*.py"))]
    lines = ["--version", "", "data", *(f"{name} --help" for name in [*commands, *scripts])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", HELP, *lines], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(scripts) == 6 and json.loads(done.stdout) == [{line: [] for line in lines}, len(lines) - 1]


GENERATE = """
import json, sys
from lfdm_diffusers.cli import main

code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


@pytest.mark.integration
def test_generate_loads_what_it_needs(tmp_path):
    """Beyond what diffusers' pipelines load: no plots, no app, no text encoder, and none of the rooms that it does not use."""
    line = ["generate", "--label", "happiness", "--steps", "1", "--kinds", "clips", "--formats", "gif", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", GENERATE, *line, "--output", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code, modules = json.loads(done.stdout.splitlines()[-1])
    rooms = {f"lfdm_diffusers.{name}" for name in ("app", "conversion", "evaluation", "metrics", "training")}
    assert code == 0 and "lfdm_diffusers.pipelines" in modules
    assert not {"matplotlib", "gradio", "onnx", "transformers.models.bert", *rooms} & set(modules)


@pytest.mark.fast
def test_every_command_has_its_options(capsys):
    """What the table names is there, and no option is spelled with underscores."""
    for line in [[name] for name in COMMANDS] + [["data", name] for name in DATA_COMMANDS]:
        with pytest.raises(SystemExit) as stop:
            main([*line, "--help"])
        text = capsys.readouterr().out
        assert stop.value.code == 0 and text.startswith(f"usage: lfdm {' '.join(line)} ")
        assert not [word for word in text.split() if word.startswith("--") and "_" in word.split("=")[0]]


@pytest.mark.fast
def test_words_of_options_are_those_that_are_understood():
    assert tuple(schedulers.SCHEDULERS) == choices.SCHEDULERS
    assert tuple(loading.DTYPES) == choices.DTYPES
    assert tuple(video_writing.SUFFIXES) == choices.FORMATS
    assert (picture_fitting.FITS, motion.LOOPS, clip_files.KINDS) == (choices.FITS, choices.LOOPS, choices.KINDS)
    assert clip_files.MOST_FPS == choices.MOST_FPS


@pytest.mark.fast
def test_words_of_data_and_training_are_those_that_are_understood():
    assert tuple(layouts.LAYOUTS) == choices.LAYOUTS
    assert (drawn_sets.SPLITS, drawn_sets.FORMATS) == (choices.SPLITS, choices.SET_FORMATS)
    assert (toon_faces.LABELS, styles.STYLES) == (choices.EXPRESSIONS, choices.STYLES)
    assert moves.BODY_LABELS == choices.BODY_ACTIONS
    assert (text_encoders.TEXT_ENCODER, i3d.PACKAGE) == (choices.TEXT_ENCODER, choices.I3D_PACKAGE)
    assert dataset.REFERENCE_FRAMES == choices.REFERENCE_FRAMES
    assert tuple(sampling.STRATEGIES) == choices.FRAME_SAMPLINGS
    for prediction_type, target in zip(choices.PREDICTION_TYPES, (*choices.FLOW_TARGETS, "absolute")):  # or it raises
        diffusion.DenoisingLoss(tiny_unet(prediction_type=prediction_type, flow_target=target), torch.ones(10))


@pytest.mark.fast
def test_loops_are_generated_or_made_of_a_motion():
    parse = make_parser().parse_args
    assert [parse(["generate", *words]).loop for words in ([], ["--loop"], ["--loop", "ping-pong"])] == [
        None,
        True,
        "ping_pong",
    ]
    with pytest.raises(SystemExit):
        parse(["animate", "--loop"])


@pytest.mark.fast
def test_underscores_are_dashes_in_names_of_options():
    words = ["a_b", "--num_frames", "3", "--image_fit=center_crop", "-x_y", "--", "--c_d"]
    assert dashed(words) == ["a_b", "--num-frames", "3", "--image-fit=center_crop", "-x_y", "--", "--c_d"]
    args = make_parser().parse_args(["generate", "my_face.png", "--num_frames", "3", "--image_fit", "center_crop"])
    assert (args.images, args.num_frames, args.image_fit) == (["my_face.png"], 3, "center_crop")
    line = [
        "convert",
        "--lfae",
        "l.pth",
        "--output",
        "out",
        "--text_encoder",
        "my_bert",
        "--labels",
        "a_b",
        "--hub_tok=x",
    ]
    args = make_parser().parse_args(line)
    assert (args.text_encoder, args.labels, args.hub_token) == ("my_bert", "a_b", "x")


@pytest.mark.fast
def test_parser_of_the_program_itself(monkeypatch):
    parser = CommandParser(fill=lambda parser: parser.add_argument("--some-option"))
    monkeypatch.setattr(sys, "argv", ["program", "--some_option", "a_b"])
    assert parser.parse_args().some_option == parser.parse_args().some_option == "a_b", "filled once"
