"""`lfdm evaluate` and its parts: which clips, generating and going on, scores, refusals, and what is written."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DiffusionPipeline
from lfdm_command import lfdm
from safetensors.torch import load_file
from tiny import TEXT_DIM, tiny_baseline, tiny_lfae, tiny_pipeline, tiny_unet
from torch import nn

from lfdm_diffusers import LabelEmbeddings
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.data.toon_faces.redrawing import redrawn_motion
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.evaluation import generation
from lfdm_diffusers.evaluation import run as evaluation_run
from lfdm_diffusers.evaluation.choices import METRICS
from lfdm_diffusers.evaluation.features import FeatureStore
from lfdm_diffusers.evaluation.reconstruction import evaluate_reconstruction, reconstruct, reconstruction_scores
from lfdm_diffusers.evaluation.report import FRECHET
from lfdm_diffusers.evaluation.report import table as score_table
from lfdm_diffusers.evaluation.scores import diversity_score
from lfdm_diffusers.evaluation.video_sets import (
    VideoSet,
    find_generated_clips,
    find_real_clips,
    is_lossless,
    spread_draws,
)
from lfdm_diffusers.metrics import frechet_distance, i3d, load_frame_detector
from lfdm_diffusers.ops.warp import sampling_grid

ROOT = Path(__file__).parents[2]
LABELS = ("happiness", "sadness", "surprise")
FRAMES, SIZE = 10, 32


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Toon faces: six people for training and four for testing, three labels each."""
    root = tmp_path_factory.mktemp("toon")
    write_toon_faces(root, 10, 4, labels=LABELS, num_frames=FRAMES, size=SIZE, format="webp", progress=False)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A pipeline of two denoising steps that knows the labels."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    table = LabelEmbeddings.from_embeddings(LABELS, torch.eye(len(LABELS), TEXT_DIM))
    pipe = tiny_pipeline(
        unet=tiny_unet(
            num_frames=FRAMES, flow_target="residual", target_mean=[0, 0, 0.5], target_std=[0.05, 0.05, 0.2]
        ),
        label_embeddings=table,
        default_num_inference_steps=2,
    )
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """The true motion of a clip is drawn again for the first test that asks for it, and kept for the others."""
    known: dict[Path, tuple[np.ndarray, np.ndarray]] = {}

    def motion(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        if clip.path not in known:
            known[clip.path] = redrawn_motion(clip)
        flow, visibility = known[clip.path]
        return flow.copy(), visibility.copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("lfdm_diffusers.data.true_motion"), "redrawn_motion", motion)
        yield


class FewFeatures(i3d.VideoDetector):
    """In the place of I3D: eight means over places and frames, and over changes between frames."""

    def __init__(self, file: Path):
        nn.Module.__init__(self)
        self.weights, self.file, self.sha256 = "original", str(file), "0" * 64
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)
        self.calls = 0

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.calls += len(clips)
        changes = (clips[:, 1:] - clips[:, :-1]).abs()
        halves = clips[..., : clips.shape[-2] // 2, :]
        return self.scale * torch.cat(
            [
                clips.mean((1, 3, 4)),
                changes.mean((1, 3, 4)),
                halves.mean((1, 2, 3, 4))[:, None],
                changes[:, -3:].mean((1, 2, 3, 4))[:, None],
            ],
            1,
        )


@pytest.fixture
def detector(monkeypatch, tmp_path) -> FewFeatures:
    detector = FewFeatures(tmp_path / "i3d")
    monkeypatch.setattr(evaluation_run, "load_i3d", lambda path: detector)
    monkeypatch.setattr(evaluation_run, "cached_assets_path", lambda *_: tmp_path / "features")
    return detector


def evaluate(source: object, data: Path, output: Path, *options: object) -> int:
    split = () if "--split" in options else ("--split", "test")
    few = ("--allow-few", "--bootstrap", 4, "--device", "cpu")
    return lfdm("evaluate", source, "--data", data, "--output", output, *split, *few, *options)


def results(output: Path) -> dict:
    return json.loads((output / "results.json").read_text())


# ---- sets of clips --------------------------------------------------------------------------------------------------


def test_spread():
    assert (
        spread_draws(3, 6) == [0, 2, 4]
        and spread_draws(6, 6) == list(range(6))
        and spread_draws(8, 3) == [0, 1, 2, 0, 1, 2, 0, 1]
    )
    assert spread_draws(7, 3) == [0, 1, 2, 0, 1, 2, 0]


def test_diversity_is_of_clips_of_one_picture():
    """Also where the last draws are spread over some of the pictures."""

    class Clips:
        """Pictures differ by hundreds, draws of one by 51."""

        sources = [*spread_draws(8, 3), 1]

        def frames(self, place: int) -> torch.Tensor:
            again = self.sources[:place].count(self.sources[place])
            return torch.full((2, 3, 4, 4), 100 * self.sources[place] + 51 * (again % 2), dtype=torch.float32)

    found = diversity_score(Clips(), Clips.sources)
    assert found["pictures_and_labels"] == 3
    counts = [Clips.sources.count(source) for source in range(3)]
    # Of 3 pairs of draws 2 differ, of 6 pairs 4, of one pair all.
    assert counts == [3, 4, 2] and found["value"] == pytest.approx(0.2 * sum((2 / 3, 4 / 6, 1)) / 3)


def test_real_clips_are_sampled_from_first_to_last(data, capsys):
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), 4, progress=False)
    assert len(real) == 12 and set(real.labels) == set(LABELS) and len(set(real.subjects)) == 4
    whole = read_clip(real.clips[5])
    assert np.array_equal(real.frames(5).permute(0, 2, 3, 1).numpy(), whole[[0, 3, 6, 9]])
    assert torch.equal(torch.cat(list(real.batches(5))), torch.stack([real.frames(i) for i in range(12)]))
    with pytest.raises(ValueError, match=r"`split` must be one that .* has .test, train., got 'valid'"):
        find_real_clips(data, "valid", "auto", ClipReader(SIZE, SIZE), 4, progress=False)
    few = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), 4, count=6, progress=False)
    assert few.clips == real.clips[::2]
    with pytest.raises(ValueError, match=r"`num_real` must be at most 12, the clips of .* got 13"):
        find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), 4, count=13, progress=False)
    with pytest.raises(ValueError, match="too short: 10 frames, at least 11 needed"):
        find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), 11, progress=False)


def test_the_fingerprint_is_that_of_the_pixels_and_labels(data, tmp_path):
    def prints(root: Path, frames: int = FRAMES) -> str:
        return find_real_clips(root, None, "auto", ClipReader(SIZE, SIZE), frames, progress=False).fingerprint

    write_toon_faces(
        tmp_path / "a", 2, 0, labels=LABELS[:2], num_frames=FRAMES, size=SIZE, format="webp", progress=False
    )
    write_toon_faces(
        tmp_path / "b", 2, 0, labels=LABELS[:2], num_frames=FRAMES, size=SIZE, format="png", progress=False
    )
    assert prints(tmp_path / "a") == prints(tmp_path / "b") != prints(tmp_path / "a", 5)
    rows = (tmp_path / "b" / "metadata.jsonl").read_text().replace("sadness", "anger")
    (tmp_path / "b" / "metadata.jsonl").write_text(rows)
    (tmp_path / "b" / "train" / "sadness").rename(tmp_path / "b" / "train" / "anger")
    assert prints(tmp_path / "b") != prints(tmp_path / "a")


def test_lossless_files(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    for format, expected in (
        ("webp", True),
        ("png", True),
        ("mkv", True),
        ("gif", False),
        ("mp4", False),
        ("webm", False),
    ):
        path = tmp_path / (f"clip.{format}" if format != "png" else "clip")
        write_clip(path, frames, format, 8)
        assert is_lossless(path) == expected
    first, *others = map(PIL.Image.fromarray, frames)
    first.save(tmp_path / "lossy.webp", save_all=True, append_images=others, quality=90)
    assert not is_lossless(tmp_path / "lossy.webp")
    first.save(tmp_path / "one.webp", lossless=True)
    assert is_lossless(tmp_path / "one.webp")
    first.save(tmp_path / "clip" / "0003.jpg")
    assert not is_lossless(tmp_path / "clip")


def test_generated_clips_must_be_what_was_made(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    write_clip(tmp_path / "happiness" / "a.webp", frames, "webp", 8)
    write_clip(tmp_path / "sadness" / "b.webp", frames, "webp", 8)
    found = find_generated_clips(tmp_path, SIZE, SIZE, FRAMES)
    assert np.array_equal(found.frames(1).permute(0, 2, 3, 1).numpy(), frames) and found.labels == list(LABELS[:2])
    with pytest.raises(
        ValueError,
        match=r"must have 16 frames of 32x32 pixels like the real ones; 2 of 2 have not, such as .*10 frames",
    ):
        find_generated_clips(tmp_path, SIZE, SIZE, 16)
    with pytest.raises(ValueError, match="must have 10 frames of 64x64"):
        find_generated_clips(tmp_path, 64, 64, FRAMES)
    write_clip(tmp_path / "sadness" / "c.gif", frames, "gif", 8)
    with pytest.raises(ValueError, match=r"1 of 3 generated clips are in lossy files, such as .*c\.gif"):
        find_generated_clips(tmp_path, SIZE, SIZE, FRAMES)
    assert len(find_generated_clips(tmp_path, SIZE, SIZE, FRAMES, allow_lossy=True)) == 3


def test_features_are_those_of_the_set_that_was_given():
    """Sets that are made and forgotten one after the other lie at the same address."""
    reader = ClipReader(8, 8)

    class Grey(VideoSet):
        def batches(self, size):
            yield torch.full((1, FRAMES, 3, 8, 8), self.num_frames, dtype=torch.uint8)

    detector = FewFeatures(Path("i3d"))
    store = FeatureStore(None, progress=False)
    for level in range(20):
        features = store(detector, Grey([None], reader, level))
        assert features[0, 0].item() == pytest.approx(level / 255)


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(model, data, tmp_path_factory) -> Path:
    """Everything that needs no detector of frames, of 24 clips."""
    output = tmp_path_factory.mktemp("scored") / "all"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_run, "load_i3d", lambda path: FewFeatures(output))
        patch.setattr(evaluation_run, "cached_assets_path", lambda *_: output.parent / "features")
        metrics = ",".join(name for name in METRICS if name not in ("fid", "sfid"))
        assert evaluate(model, data, output, "--metrics", metrics, "--batch-size", 5, "--scheduler", "ddim") == 0
    return output


@pytest.mark.integration
def test_the_card_of_an_embedded_model_is_made_of_its_results(scored, model, tmp_path):
    """reproduction/make_embedded.py reads what `lfdm evaluate` writes, and puts both into the folder."""
    import make_embedded  # with matplotlib, for which every run of other tests would wait

    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps({"step": step, "loss": 0.5}) + "\n" for step in (1, 100, 101)))
    (tmp_path / "about.md").write_text("## Training\n\nNot at all.\n")
    parts = {"pipeline": model, "results": scored / "results.json", "about": tmp_path / "about.md"}
    parts |= {"stage_one": metrics, "stage_two": metrics, "painter": metrics, "output": tmp_path / "toon64"}
    make_embedded.main([word for name, path in parts.items() for word in (f"--{name}", str(path))])
    card = (tmp_path / "toon64" / "README.md").read_text(encoding="utf-8")
    scores = results(scored)["scores"]
    l1, occlusion = scores["l1"], scores["occlusion"]
    for row in (
        f"(raw decoder output) | {l1['l1_moving']} ({l1['inpainted_l1_moving']}) | {l1['static_l1_moving']}, reference repeated |",
        f"visible and moving, pixels | {scores['epe']['value']} | {scores['epe']['no_motion']}, no flow |",
        f"visible / hidden places | {occlusion['of_visible']} / {occlusion['value']} | 1 / 0, truth |",
        f"label accuracy of generated clips | {scores['accuracy']['value']} | {scores['accuracy']['real_value']}, real clips |",
    ):
        assert row in card
    assert "24 clips for the 12 pictures and labels" in card and "Not at all." in card and "by `lfdm " in card
    assert (tmp_path / "toon64" / "results.json").read_bytes() == (scored / "results.json").read_bytes()
    assert [record["step"] for record in make_embedded.read_metrics(tmp_path / "toon64" / "painter.jsonl")] == [100]
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "toon64")
    assert pipe.config.face_frame == make_embedded.TOON_FRAME
    saved = load_file(tmp_path / "toon64" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float16}
    # Without scores, of people, with a decoder that learnt more.
    del parts["results"]
    parts |= {"decoder": metrics, "output": tmp_path / "people128", "guidance_scale": 2.5}
    make_embedded.main([word for name, path in parts.items() for word in (f"--{name}", str(path))])
    card = (tmp_path / "people128" / "README.md").read_text(encoding="utf-8")
    assert (
        "figures of Anny" in card and "## Scores" not in card and (tmp_path / "people128" / "decoder.jsonl").is_file()
    )
    config = DiffusionPipeline.from_pretrained(tmp_path / "people128").config
    assert (config.face_frame, config.default_guidance_scale) == (4.3, 2.5)


def test_a_report_for_scripts(model, data, tmp_path, capsys):
    assert evaluate(model, data, tmp_path, "--metrics", "l1", "--num-real", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out) == results(tmp_path)


def test_results(scored, model, data):
    found = results(scored)
    scores, receipt = found["scores"], found["receipt"]
    assert list(scores) == [name for name in METRICS if name not in ("fid", "sfid")]
    most = dict.fromkeys(("accuracy", "identity", "background", "diversity", "l1", "occlusion"), 1.0)
    most |= dict.fromkeys(("fvd", "cfvd", "sfvd"), 8.0) | {"epe": SIZE, "timing": FRAMES, "expression": 1e6}
    for name, value in most.items():
        assert (-1 if name == "identity" else 0) <= scores[name]["value"] <= value, name
    assert abs(scores["kvd"]["value"]) < 1  # unbiased, so that it may be below 0
    fvd = scores["fvd"]
    assert fvd["value"] > fvd["real_against_real"] > 0 and fvd["interval"][0] < fvd["value"] < fvd["interval"][1]
    assert fvd["detector"] == "I3D, Kinetics-400" and fvd["real_against_real_clips"] == 6
    assert set(scores["cfvd"]["groups"]) == set(LABELS) and len(scores["sfvd"]["groups"]) == 4
    assert scores["cfvd"]["value"] == pytest.approx(np.mean(list(scores["cfvd"]["groups"].values())), rel=1e-4)
    assert 0 <= scores["accuracy"]["value"] <= 1 and set(scores["accuracy"]["groups"]) <= set(LABELS)
    assert scores["diversity"]["pictures_and_labels"] == 12 and scores["diversity"]["value"] > 0
    assert len(scores["l1"]["per_frame"]) == FRAMES and scores["l1"]["static_l1"] > 0
    assert 0 < scores["epe"]["no_motion"] < scores["epe"]["value"] < SIZE  # a model with random weights
    gap = scores["gap"]
    assert gap["unseen"] == fvd["value"] and gap["seen"] > 0 and gap["clips_each"] == 24
    assert gap["value"] == pytest.approx(gap["unseen"] - gap["seen"], rel=1e-3)
    assert gap["interval"][0] < gap["value"] < gap["interval"][1]
    assert receipt["data"]["seen_split"] == "train" and receipt["data"]["seen_sha256"] != receipt["data"]["sha256"]
    seen = [json.loads(line) for line in (scored / "generated-seen" / "metadata.jsonl").read_text().splitlines()]
    assert len(seen) == 24 and max(int(row["subject"]) for row in seen) < 6
    assert receipt["videos"] | {"generated": 24, "real": 12, "frames": FRAMES, "height": SIZE} == receipt["videos"]
    assert receipt["sampling"]["scheduler"] == "DDIMScheduler" and receipt["sampling"]["num_inference_steps"] == 2
    assert receipt["sampling"]["dtype"] == "float32" and receipt["sampling"]["seed"] == 0
    assert receipt["sampling"]["seconds_a_video"] > 0 and receipt["hardware"]["peak_memory_bytes"] > 1e8
    assert all(len(receipt["model_sha256"][name]) == 64 for name in ("lfae", "unet"))
    assert receipt["detectors"]["video"]["sha256"] == "0" * 64 and receipt["rules"]["ddof"] == 1
    assert {"torch", "diffusers", "python"} < set(receipt["software"])
    table = (scored / "results.md").read_text()
    content = results(scored)
    assert "In brackets 95% intervals." in table and any("interval" in score for score in content["scores"].values())
    for score in content["scores"].values():  # of what is not in a table it does not speak
        score.pop("interval", None), score.pop("std", None)
    assert "In brackets" not in score_table(content) and "±" not in score_table(content)
    for name in list(content["scores"]):
        if name in FRECHET:
            content["scores"].pop(name)
    assert "Covariances" not in score_table(content)
    assert "| FVD | " in table and "24 clips against 12 real ones" in table and "n - 1" in table
    with PIL.Image.open(scored / "results.png") as picture:
        assert picture.width > 500


def test_clips_are_those_that_the_pipeline_makes_and_are_scored_alike_from_their_folder(
    scored, model, data, detector, tmp_path
):
    folder = scored / "generated"
    clips = find_clips(folder)
    assert len(clips) == 24 and all(is_lossless(clip.path) for clip in clips)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == [f"{i:06d}.mkv" for i in range(24)]
    assert rows[3] == rows[15] | {"file_name": rows[3]["file_name"]}  # once more, with other noise
    assert not np.array_equal(read_clip(folder / rows[3]["file_name"]), read_clip(folder / rows[15]["file_name"]))
    assert evaluate(folder, data, tmp_path / "again", "--metrics", "fvd,kvd") == 0
    before, after = results(scored), results(tmp_path / "again")
    assert before["scores"]["fvd"] == after["scores"]["fvd"] and before["scores"]["kvd"] == after["scores"]["kvd"]
    assert before["receipt"]["generated_sha256"] == after["receipt"]["generated_sha256"]
    assert after["receipt"]["kind"] == "clips" and after["receipt"]["sampling"] is None


@pytest.mark.integration
def test_goes_on_after_a_kill(scored, model, data, detector, tmp_path, monkeypatch, capsys):
    write, written = generation.write_clip, []

    def killed(path, *rest):
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)

    options = ("--metrics", "fvd", "--num-videos", 24, "--batch-size", 5, "--scheduler", "ddim")
    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_clip", killed)
        assert evaluate(model, data, tmp_path / "b", *options) == 130
    assert len(written) == 7 and not (tmp_path / "b" / "results.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_clip", lambda path, *rest: (written.append(path.name), write(path, *rest)))
        assert evaluate(model, data, tmp_path / "b", *options) == 0
    assert sorted(written) == [f"{i:06d}.mkv" for i in range(24)]  # none lost, none twice
    whole, resumed = results(scored), results(tmp_path / "b")
    assert resumed["receipt"]["generated_sha256"] == whole["receipt"]["generated_sha256"]
    assert resumed["scores"]["fvd"] == whole["scores"]["fvd"]
    capsys.readouterr()
    for changed in (
        ("--steps", 3),
        ("--seed", 1),
        ("--guidance-scale", 2),
        ("--no-label",),
        ("--scheduler", "ddpm"),
        ("--dtype", "bfloat16"),
    ):
        assert evaluate(model, data, tmp_path / "b", *options, *changed) == 2
        assert "made with other settings" in capsys.readouterr().err
    shutil.copytree(model, tmp_path / "unclipped")  # the same weights, another configuration
    file = tmp_path / "unclipped" / "scheduler" / "scheduler_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"thresholding": not settings["thresholding"]}))
    assert evaluate(tmp_path / "unclipped", data, tmp_path / "b", *options) == 2
    assert "made with other settings" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "generated").mkdir()
    (tmp_path / "full" / "generated" / "diary.txt").touch()
    assert evaluate(model, data, tmp_path / "full", *options) == 2
    assert "must be empty or hold clips of an earlier evaluation" in capsys.readouterr().err


@pytest.mark.integration
def test_receipts_change_when_a_choice_changes(scored, model, data, detector, tmp_path):
    """Other noise, no label, another rule: other clips or another number, and the receipt says which."""
    base = results(scored)
    options = ("--metrics", "fvd", "--num-videos", 24, "--batch-size", 5, "--scheduler", "ddim")
    for index, (changed, where, value) in enumerate((
        (("--seed", 1), "seed", 1),
        (("--no-label",), "labels", False),
        (("--guidance-scale", 3), "guidance_scale", 3),
        (("--eta", 0), "eta", 0),
    )):  # fmt: skip
        assert evaluate(model, data, tmp_path / str(index), *options, *changed) == 0
        found = results(tmp_path / str(index))
        assert found["receipt"]["sampling"][where] == value != base["receipt"]["sampling"][where]
        assert found["receipt"]["generated_sha256"] != base["receipt"]["generated_sha256"]
        assert found["receipt"]["data"]["sha256"] == base["receipt"]["data"]["sha256"]
    assert evaluate(scored / "generated", data, tmp_path / "n", "--metrics", "fvd", "--ddof", 0) == 0
    found = results(tmp_path / "n")
    assert found["receipt"]["rules"]["ddof"] == 0 and found["scores"]["fvd"]["value"] < base["scores"]["fvd"]["value"]
    assert evaluate(scored / "generated", data, tmp_path / "t", "--metrics", "fvd", "--split", "train") == 0
    assert results(tmp_path / "t")["receipt"]["data"]["sha256"] != base["receipt"]["data"]["sha256"]


@pytest.mark.integration
def test_anchors(data, detector, tmp_path):
    for kind in ("static", "shuffled"):
        assert evaluate(kind, data, tmp_path / kind, "--metrics", "fvd,kvd,accuracy") == 0
    still = find_clips(tmp_path / "static" / "generated")
    assert all((read_clip(clip) == read_clip(clip)[:1]).all() for clip in still)
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)
    mixed = find_generated_clips(tmp_path / "shuffled" / "generated", SIZE, SIZE, FRAMES)
    assert torch.equal(mixed.frames(0)[0], real.frames(0)[0]) and not torch.equal(mixed.frames(0), real.frames(0))
    assert sorted(f.tobytes() for f in mixed.frames(0).numpy()) == sorted(f.tobytes() for f in real.frames(0).numpy())
    # Real clips themselves are nearest, and a still picture shows no expression.
    assert evaluate(data / "test", data, tmp_path / "real", "--metrics", "fvd,accuracy") == 0
    fvd = {kind: results(tmp_path / kind)["scores"]["fvd"]["value"] for kind in ("real", "static", "shuffled")}
    assert fvd["real"] == pytest.approx(0, abs=1e-6) and fvd["static"] > 1e-5 and fvd["shuffled"] > 1e-5
    still_accuracy = results(tmp_path / "static")["scores"]["accuracy"]
    assert still_accuracy["value"] < still_accuracy["real_value"]


def test_anchors_beside_a_model_of_another_size(data, detector, tmp_path):
    parts = {"lfae": tiny_lfae(sample_size=16), "unet": tiny_unet(num_frames=10, sample_size=4)}
    tiny_pipeline(**parts).save_pretrained(tmp_path / "small")
    assert evaluate("static", data, tmp_path / "out", "--metrics", "kvd", "--like", tmp_path / "small") == 0
    real = find_real_clips(data, "test", "auto", ClipReader(16, 16), 10, progress=False)
    made = find_generated_clips(tmp_path / "out" / "generated", 16, 16, 10)
    assert len(made) == len(real) and (made.frames(0) == real.frames(0)[:1]).all()


def test_features_of_real_clips_are_computed_once(scored, data, detector, tmp_path):
    for name in ("a", "b"):
        assert evaluate(scored / "generated", data, tmp_path / name, "--metrics", "fvd") == 0
    assert detector.calls == 12 + 2 * 24
    detector.sha256 = "1" * 64  # another detector
    assert evaluate(scored / "generated", data, tmp_path / "c", "--metrics", "fvd") == 0
    assert detector.calls == 24 + 3 * 24
    for path in (tmp_path / "features").glob("*"):
        path.write_bytes(path.read_bytes()[:100])  # a disk that was full
    assert evaluate(scored / "generated", data, tmp_path / "d", "--metrics", "fvd") == 0
    assert results(tmp_path / "d")["scores"] == results(tmp_path / "a")["scores"]


class Means(nn.Module):
    """In the place of Inception: the mean of each colour."""

    def forward(self, x: torch.Tensor, return_features: bool) -> torch.Tensor:
        assert x.dtype == torch.uint8 and return_features
        return x.float().mean(dim=(2, 3))


@pytest.fixture(scope="module")
def frame_detector(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "inception-2015-12-05.pt"
    torch.jit.script(Means()).save(path)
    return path


def test_frames_are_compared_too(scored, data, frame_detector, tmp_path, monkeypatch):
    path = frame_detector
    monkeypatch.setattr(evaluation_run, "cached_assets_path", lambda *_: tmp_path / "features")
    options = ("--metrics", "fid,sfid", "--frame-detector", path)
    assert evaluate(scored / "generated", data, tmp_path / "out", *options) == 0
    scores = results(tmp_path / "out")["scores"]
    assert scores["fid"]["detector"] == "Inception-v3 (2015-12-05)" and len(scores["sfid"]["groups"]) == 4
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)
    made = find_generated_clips(scored / "generated", SIZE, SIZE, FRAMES)
    means = [torch.cat([c.frames(i).float().mean((2, 3)) for i in range(len(c))]) for c in (made, real)]
    assert scores["fid"]["value"] == pytest.approx(frechet_distance(*means), rel=1e-4)
    store = FeatureStore(None, progress=False)
    assert store(load_frame_detector(path), real).shape == (12 * FRAMES, 3)


def test_mistakes_are_told_before_anything_is_generated(model, data, detector, tmp_path, capsys):
    output = tmp_path / "out"

    def refusal(source: object, *options: object) -> str:
        assert evaluate(source, data, output, *options) == 2
        return capsys.readouterr().err

    assert "must be some of fvd,cfvd" in refusal(model, "--metrics", "fvd,is")
    assert "`split` must be one that" in refusal(model, "--split", "dev")
    assert "need `frame_detector`" in refusal(model, "--metrics", "fid")
    assert "`scheduler` must be one of ddpm, ddim" in refusal(model, "--scheduler", "dimm")
    assert "must be a number from 0 to 1" in refusal(model, "--eta", 2)
    assert "There is no folder ./nothing" in refusal("./nothing")
    assert "`num_videos` must be at least 24" in refusal(model, "--metrics", "diversity", "--num-videos", 20)
    assert "the source must be a model, and `split` one" in refusal(model, "--metrics", "gap", "--split", "train")
    assert "`seen_split` must be one that" in refusal(model, "--metrics", "gap", "--seen-split", "dev")
    assert "`no_label` and diversity and timing are of what a model generates" in refusal("static", "--no-label")
    assert "static is no model" in refusal("static", "--steps", 3)
    assert "`like` says how large real clips that are changed should be" in refusal(model, "--like", model)
    assert "`metrics` l1 give real clips back by a model's auto-encoder" in refusal("static", "--metrics", "l1")
    argv = ["evaluate", model, "--data", data, "--split", "test", "--output", output, "--device", "cpu"]
    assert lfdm(*argv) == 2
    assert "FVD and FID of 12 generated and 12 real clips are refused below 50" in capsys.readouterr().err
    few = tmp_path / "few"
    write_toon_faces(few, 2, 1, labels=("anger", "fear"), num_frames=FRAMES, size=SIZE, format="webp", progress=False)
    assert lfdm(*["evaluate", model, "--data", few, "--output", output, "--allow-few"]) == 2
    assert "the model knows happiness, sadness, surprise" in capsys.readouterr().err
    assert lfdm(*["evaluate", model, "--data", few, "--split", "test", "--output", output, "--metrics", "cfvd"]) == 2
    assert "cfvd needs two clips or more of each label; too few of anger (1), fear (1)" in capsys.readouterr().err
    assert not output.exists()


def test_short_clips_are_no_fvd(data, tmp_path, monkeypatch, capsys):
    """Nine frames are refused by the detector's own rule, whatever made them."""
    monkeypatch.setattr(evaluation_run, "load_i3d", lambda path: FewFeatures(tmp_path))
    write_toon_faces(tmp_path / "nine", 3, 3, labels=LABELS, num_frames=9, size=SIZE, format="webp", progress=False)
    assert evaluate("static", tmp_path / "nine", tmp_path / "out", "--cache-dir", tmp_path / "features") == 2
    assert "at least 10 frames for I3D, got 9" in capsys.readouterr().err


def test_reconstruction_alone_generates_nothing(model, data, tmp_path):
    assert evaluate(model, data, tmp_path / "out", "--metrics", "epe") == 0
    found = results(tmp_path / "out")
    assert found["receipt"]["videos"]["generated"] == 0 and found["receipt"]["sampling"] is None
    assert not (tmp_path / "out" / "generated").exists()
    assert "12 real clips of toon" in (tmp_path / "out" / "results.md").read_text()


def test_end_point_error_needs_true_motion(model, data, tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    other = tmp_path / "mine"
    write_clip(other / "happiness" / "a.webp", frames, "webp", 8)
    argv = ["evaluate", model, "--data", other, "--metrics", "epe", "--device", "cpu", "--output", tmp_path / "out"]
    assert lfdm(*argv) == 2
    assert "there is no a.flow.npz beside it" in capsys.readouterr().err
    still = sampling_grid(SIZE, SIZE, centers=True).permute(2, 0, 1).expand(FRAMES, 2, SIZE, SIZE).numpy()
    visibility = np.ones((FRAMES, 1, SIZE, SIZE), bool)
    np.savez(other / "happiness" / "a.flow.npz", flow=still, visibility=visibility)
    assert lfdm(*argv) == 0
    assert results(tmp_path / "out")["scores"]["epe"]["no_motion"] == 0
    np.savez(other / "happiness" / "a.flow.npz", flow=still[:, :, ::2, ::2], visibility=visibility[:, :, ::2, ::2])
    assert lfdm(*argv) == 2
    assert "clips of the model's 32x32 pixels" in capsys.readouterr().err


@pytest.mark.integration
def test_two_processes_score_the_clips_of_one(scored, model, data, frame_detector, tmp_path, monkeypatch):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "lfdm_diffusers",
    ]
    options = [
        "--num-videos",
        "24",
        "--batch-size",
        "5",
        "--scheduler",
        "ddim",
        "--device",
        "cpu",
        "--metrics",
        "accuracy,fid",
        "--frame-detector",
        str(frame_detector),
        "--cache-dir",
        str(tmp_path / "features"),
        "--allow-few",
        "--bootstrap",
        "4",
    ]
    argv = [
        "evaluate",
        str(model),
        "--data",
        str(data),
        "--split",
        "test",
        "--output",
        str(tmp_path / "two"),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run([*command, *argv], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote ") == 1
    one, two = results(scored), results(tmp_path / "two")
    assert two["receipt"]["generated_sha256"] == one["receipt"]["generated_sha256"]
    assert two["scores"]["accuracy"] == one["scores"]["accuracy"]
    alone = ("--metrics", "fid", "--frame-detector", frame_detector, "--cache-dir", tmp_path / "others")
    assert evaluate(scored / "generated", data, tmp_path / "one", *alone) == 0
    assert two["scores"]["fid"] == results(tmp_path / "one")["scores"]["fid"]
    kept = [load_file(next((tmp_path / name).iterdir())) for name in ("features", "others")]
    torch.testing.assert_close(*kept, rtol=0, atol=0)


@pytest.mark.parametrize("system", ["lfdm", "ldm", "vdm"])
def test_real_clips_given_back(system, model, data, detector, tmp_path):
    """They are scored like generated ones, and L1 is theirs; pixels are diffused as they are."""
    if system != "lfdm":
        model = tmp_path / system
        unet = {"target_mean": [0.4] * 3, "target_std": [0.3] * 3, "image_latent_channels": 3, "num_frames": FRAMES}
        side, patch = (32, 4) if system == "vdm" else (16, 2)
        tiny_baseline(system, unet=tiny_unet(sample_size=side, patch_size=patch, **unet)).save_pretrained(model)
    output = tmp_path / "out"
    assert evaluate(model, data, output, "--reconstruct", "--metrics", "fvd,l1") == 0
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)
    made = find_generated_clips(output / "generated", SIZE, SIZE, FRAMES)
    pipe = DiffusionPipeline.from_pretrained(model)
    found, difference = results(output), 0.0
    for i in range(len(real)):
        expected = reconstruct(pipe, real.frames(i))
        assert (made.frames(i) / 255 - expected).abs().max() <= 0.51 / 255
        difference += (expected - real.frames(i) / 255).abs().mean().item() / len(real)
    assert found["scores"]["l1"]["value"] == pytest.approx(difference, rel=1e-3, abs=1e-6)
    assert ("inpainted_l1" in found["scores"]["l1"]) == (system == "lfdm")
    assert (difference < 1e-5) == (system == "vdm") and found["scores"]["l1"]["static_l1"] > 1e-3
    assert found["scores"]["fvd"]["value"] >= 0 and found["receipt"]["reconstructed"]
    assert found["receipt"]["sampling"] is None
    assert "Not generated: the real clips" in (output / "results.md").read_text()


def test_what_cannot_be_reconstructed(model, data, detector, tmp_path, capsys):
    def refusal(source, *options) -> str:
        assert evaluate(source, data, tmp_path / "out", "--reconstruct", *options) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    for source, options in (("static", ()), (model, ("--num-videos", 60)), (model, ("--no-label",))):
        assert "`reconstruct` makes one clip of each real one" in refusal(source, *options)
    assert "with `reconstruct` nothing is denoised" in refusal(model, "--steps", 3)
    tiny_baseline("imaginator").save_pretrained(tmp_path / "gan")
    assert "needs an auto-encoder, which ImaginatorPipeline has not" in refusal(tmp_path / "gan", "--metrics", "kvd")
    tiny_baseline("ldm").save_pretrained(tmp_path / "ldm")
    assert "epe needs a latent flow auto-encoder" in refusal(tmp_path / "ldm", "--metrics", "epe")


def test_modes_are_put_back_even_if_an_evaluation_fails():
    lfae = tiny_lfae().train()
    lfae.bottleneck.eval()  # a part that is frozen
    before = {name: module.training for name, module in lfae.named_modules()}
    pictures = torch.rand(2, 3, SIZE, SIZE)
    evaluate_reconstruction(lfae, pictures, pictures, rows=1)
    assert {name: module.training for name, module in lfae.named_modules()} == before
    with pytest.raises((ValueError, RuntimeError)):
        evaluate_reconstruction(lfae, pictures, pictures[..., :7])
    assert {name: module.training for name, module in lfae.named_modules()} == before


def test_the_first_frame_is_no_witness_of_occlusion(data):
    """Nothing is hidden in it; the statistics are those of the other frames."""
    pipe = tiny_pipeline(lfae=tiny_lfae(flow_grid="centers", warp_padding="border"))
    predict = pipe.lfae.predict_flow

    def hidden_later(reference, driving):
        motion = predict(reference, driving)
        motion.occlusion = torch.full_like(motion.occlusion, 0.25)
        motion.occlusion[:, :, 0] = 1
        return motion

    pipe.lfae.predict_flow = hidden_later
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, count=3, progress=False)
    found = reconstruction_scores(["occlusion"], pipe, real, progress=False)["occlusion"]
    assert found == {"value": 0.25, "mean": 0.25, "min": 0.25, "below_half": 1, "of_visible": 0.25}


def test_reconstruction_of_an_auto_encoder_that_keeps_still(data):
    """With flow 0 and occlusion 1 the result is the first frame: L1 is that of repeating it."""
    lfae = tiny_lfae(flow_grid="centers", warp_padding="border")
    pipe = tiny_pipeline(lfae=lfae)
    real = find_real_clips(data, "test", "auto", ClipReader(SIZE, SIZE), FRAMES, progress=False)
    predict = lfae.predict_flow

    def still(reference, driving):
        motion = predict(reference, driving)
        grid = sampling_grid(*motion.flow.shape[-2:], motion.flow.device, True).permute(2, 0, 1)[None, :, None]
        motion.flow, motion.occlusion = grid.expand_as(motion.flow), torch.ones_like(motion.occlusion)
        return motion

    lfae.predict_flow = still
    scores = reconstruction_scores(["l1", "epe"], pipe, real, progress=False)
    found = scores["l1"]
    assert found["value"] == pytest.approx(found["static_l1"], rel=0.2)
    assert found["per_frame"][0] < 0.01 < max(found["per_frame"])
    assert np.mean(found["per_frame"]) == pytest.approx(found["value"], rel=1e-5)
    assert (
        scores["epe"]["value"] == pytest.approx(scores["epe"]["no_motion"], rel=1e-3) and scores["epe"]["value"] > 0.3
    )
