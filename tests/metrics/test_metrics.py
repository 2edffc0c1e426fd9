"""Metrics: closed forms, known shifts, real judges on drawn clips, and the scripts that measure toon-face models."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_lfae

from lfdm_diffusers import metrics
from lfdm_diffusers.data.toon_faces import LABELS, toon_clip
from lfdm_diffusers.evaluation.reconstruction import evaluate_reconstruction
from lfdm_diffusers.metrics.judge_files import judge_file, save_judge
from lfdm_diffusers.ops.warp import sampling_grid

SCRIPTS = Path(__file__).parents[2] / "reproduction"


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ---- means and reconstruction ---------------------------------------------------------------------------------------


def test_running_mean_does_not_depend_on_batches():
    values, where = random(6, 3, 4, 4), random(6, 1, 4, 4, seed=1) > 0.5
    whole = metrics.RunningMean().add(values, where)
    parts = metrics.RunningMean()
    for i in (0, 1, 4):
        parts.add(values[i : {0: 1, 1: 4, 4: 6}[i]], where[i : {0: 1, 1: 4, 4: 6}[i]])
    assert parts.count == whole.count == 3 * where.sum()
    assert parts.value == pytest.approx(values[where.expand_as(values)].mean().item(), rel=1e-6)
    assert whole.value == pytest.approx(parts.value, rel=1e-9)
    assert math.isnan(metrics.RunningMean().add(values, torch.zeros_like(where)).value)


def test_reconstruction_scores_by_hand():
    """One pixel of four moves, by 0.4 in one colour; the reconstruction reaches half of it."""
    reference = torch.full((1, 3, 2, 2), 0.5)
    target, sample = reference.clone(), reference.clone()
    target[0, 0, 0, 0] = 0.9
    sample[0, 0, 0, 0] = 0.7
    inpainted = reference + 0.05
    scores = metrics.ReconstructionScores()
    scores.update(reference, target, sample, inpainted)
    expected = {
        "l1": 0.2 / 12,
        "inpainted_l1": (0.35 + 11 * 0.05) / 12,
        "static_l1": 0.4 / 12,
        "l1_moving": 0.2 / 3,
        "inpainted_l1_moving": (0.35 + 2 * 0.05) / 3,
        "static_l1_moving": 0.4 / 3,
    }
    assert scores.compute() == pytest.approx(expected, rel=1e-5)
    moving = metrics.moving_pixels(reference, target)
    assert metrics.reconstruction_l1(sample, target, moving) == pytest.approx(0.2 / 3, rel=1e-5)
    still = metrics.ReconstructionScores()
    still.update(reference, reference, sample, inpainted)
    assert "l1_moving" not in still.compute()
    with pytest.raises(ValueError, match=r"`frames` and `target` must have the same shape"):
        metrics.reconstruction_l1(sample, target[:, :2])


def test_clips_and_pairs_give_the_same_numbers():
    reference, target, sample, inpainted = (random(2, 4, 3, 8, 8, seed=i) for i in range(4))
    clips, pairs = metrics.ReconstructionScores(), metrics.ReconstructionScores()
    clips.update(reference[:, :1], target, sample, inpainted)
    for frame in range(4):
        pairs.update(reference[:, 0], target[:, frame], sample[:, frame], inpainted[:, frame])
    assert clips.compute() == pytest.approx(pairs.compute(), rel=1e-9)
    per_frame = metrics.reconstruction_l1_per_frame(sample, target)
    assert len(per_frame) == 4
    assert np.mean(per_frame) == pytest.approx(clips.compute()["l1"], rel=1e-9)


def test_validation_uses_the_same_definitions():
    lfae = tiny_lfae()
    reference, driving = random(3, 3, 32, 32), random(3, 3, 32, 32, seed=1)
    numbers, _ = evaluate_reconstruction(lfae, reference, driving, rows=1)
    with torch.no_grad():
        out = lfae(reference, driving)
    moving = metrics.moving_pixels(reference, driving)
    assert numbers["l1_moving"] == pytest.approx(metrics.reconstruction_l1(out.sample, driving, moving), rel=1e-5)
    assert numbers["static_l1"] == pytest.approx(metrics.reconstruction_l1(reference, driving), rel=1e-5)
    assert numbers["occlusion_min"] == pytest.approx(out.occlusion.min().item(), rel=1e-5)
    places = torch.nn.functional.interpolate(out.occlusion, (32, 32), mode="bilinear", align_corners=False)
    assert 0 < (places < 0.5).float().mean() < 1
    painted = metrics.reconstruction_l1(out.sample, driving, places < 0.5)
    assert numbers["l1_painted"] == pytest.approx(painted, rel=1e-5)


def test_occlusion_statistics():
    occlusion = torch.tensor([[0.9, 0.2], [1.0, 0.4]])[None, None]
    visibility = torch.ones(1, 1, 4, 4)
    visibility[..., :2, 2:] = 0  # the place of 0.2 is hidden
    visibility[..., 3, 3] = 0  # that of 0.4 hardly
    numbers = metrics.occlusion_statistics(occlusion, visibility)
    assert numbers == pytest.approx(
        {
            "occlusion_mean": 0.625,
            "occlusion_min": 0.2,
            "occlusion_below_half": 0.5,
            "occlusion_of_visible": 0.95,
            "occlusion_of_hidden": 0.2,
        }
    )
    visibility[..., 2:, 3] = 0  # the place of 0.4 is half hidden
    half = metrics.occlusion_statistics(occlusion, visibility)
    assert half["occlusion_of_hidden"] == pytest.approx(0.3) and half["occlusion_of_visible"] == pytest.approx(0.95)


# ---- motion ---------------------------------------------------------------------------------------------------------


def shifted_grid(side: int, pixels: tuple[float, float], size: int) -> torch.Tensor:
    """The flow `(2, side, side)` of a picture of `size` pixels read `pixels` (x, y) further on."""
    return sampling_grid(side, side, centers=True).permute(2, 0, 1) + torch.tensor(pixels)[:, None, None] * 2 / size


def test_end_point_error_of_a_known_shift():
    true = shifted_grid(32, (3.0, -4.0), 32)
    zero = metrics.zero_flow_like(true)
    assert metrics.end_point_error(zero, true) == pytest.approx(5.0, rel=1e-5)
    assert metrics.end_point_error(true, true) == 0
    assert metrics.end_point_error(shifted_grid(32, (3.0, 0.0), 32), true) == pytest.approx(4.0, rel=1e-5)
    wide = metrics.zero_flow_like(torch.zeros(2, 10, 40))
    assert metrics.end_point_error(wide + torch.tensor([2 / 40, 0.0])[:, None, None], wide) == pytest.approx(
        1, rel=1e-4
    )
    assert metrics.end_point_error(wide + torch.tensor([0.0, 2 / 10])[:, None, None], wide) == pytest.approx(
        1, rel=1e-4
    )


def test_latent_flow_is_measured_as_the_decoder_reads_it():
    """A latent flow of a known shift has no error inside, and the decoder's warp then shows the shifted picture."""
    lfae = tiny_lfae()
    latent = shifted_grid(8, (2.0, -1.0), 32)
    distance = metrics.end_point_distances(latent, shifted_grid(32, (2.0, -1.0), 32))
    assert distance.shape == (1, 32, 32)
    assert distance[:, 2:-2, 2:-2].max() < 1e-5
    assert distance[0, 16, 0] == pytest.approx(1.5, rel=1e-5)  # half a latent place, where nothing interpolates
    picture = random(1, 3, 32, 32)
    with torch.no_grad():
        warped = lfae.decode(lfae.encode(picture), latent[None], torch.ones(1, 1, 8, 8)).warped
    assert torch.allclose(warped[..., 4:-4, 4:-4], picture[..., 3:-5, 6:-2], atol=1e-5)


def test_the_models_starting_grid_counts_as_the_stretch_it_is():
    """`sampling_grid` reads W/(W-1) too far: at the latent's corner by half a place, 2 pixels of 32 in x and in y."""
    true = metrics.zero_flow_like(torch.zeros(2, 8, 8))
    grid = sampling_grid(8, 8).permute(2, 0, 1)
    distance = metrics.end_point_distances(grid, true)
    assert distance[0, 0, 0] == pytest.approx(math.hypot(0.5, 0.5), rel=1e-5)
    assert distance[0, 4, 4] == pytest.approx(math.hypot(0.5, 0.5) / 7, rel=1e-4)


def test_true_flow_of_drawn_faces_beats_no_motion():
    """The true flow rebuilds a driving frame where it is visible, and the zero flow's error is the true motion."""
    clip = toon_clip(0, 620, "surprise", 0, 16, 64)
    flow, visible = (torch.from_numpy(x) for x in clip.flow(0, 8))
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
    warped = torch.nn.functional.grid_sample(frames[:1], flow.permute(1, 2, 0)[None], align_corners=False)[0]
    where = visible.bool() & metrics.moving_pixels(frames[0], frames[8])
    static = metrics.reconstruction_l1(frames[0], frames[8], where)
    assert metrics.reconstruction_l1(warped, frames[8], where) < 0.5 * static
    assert 0.5 < metrics.end_point_error(metrics.zero_flow_like(flow), flow, where) < 5


def test_end_point_scores():
    """Half of the picture moves by 2 pixels; a flow that says so is right, and no motion is wrong there alone."""
    zero = metrics.zero_flow_like(torch.zeros(5, 2, 16, 16))
    true, moving, visible = zero.clone(), torch.zeros(5, 1, 16, 16, dtype=torch.bool), torch.ones(5, 1, 16, 16).bool()
    true[:, 0, :8] += 2 * 2 / 16
    moving[:, :, :8] = True
    visible[:, :, :4] = False
    scores = metrics.EndPointScores()
    scores.update(true, true, visible, moving, "centers")
    found = scores.compute()
    assert found["predicted"] == {"all": 0, "visible": 0, "visible_moving": 0}
    assert found["zero"] == pytest.approx({"all": 1, "visible": 2 * 4 / 12, "visible_moving": 2})
    scores.update(zero, true, visible, moving, "centers")
    assert scores.compute()["predicted"] == pytest.approx({"all": 0.5, "visible": 4 / 12, "visible_moving": 1})


def test_shapes_of_flow_are_checked():
    with pytest.raises(ValueError, match="`flow` and `true_flow`"):
        metrics.end_point_distances(torch.zeros(3, 2, 8, 8), torch.zeros(2, 2, 32, 32))
    for shape in ((3, 5, 2), (2,)):  # a flow that is the same everywhere stays so at every size
        values = random(*shape, 1, 1)
        found = metrics.upsample_flow(values.expand(*shape, 8, 8), 32, 16)
        torch.testing.assert_close(found, values.expand(*shape, 32, 16))


@pytest.mark.parametrize("flow_grid", ["corners", "centers"])
def test_latent_stillness(flow_grid):
    """The latent identity is that of the picture, up to the borders only where its departure is resized."""
    latent = sampling_grid(8, 8, centers=True).permute(2, 0, 1)
    distance = metrics.end_point_distances(latent, metrics.zero_flow_like(torch.zeros(2, 32, 32)), flow_grid)
    assert distance[0, 2:-2, 2:-2].max() < 1e-4
    assert (distance.max() < 1e-4) == (flow_grid == "centers")


def test_expression_timing():
    strength = torch.tensor(
        [
            [0.0, 0.0, 0.8, 1.0, 1.0, 0.2, 0.0],  # half at 1 + 0.5/0.8, and at 4 + 0.5/0.8
            [0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0],  # nothing happens
            [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ]
    )
    onset, offset = metrics.expression_timing(strength)
    assert onset[0] == pytest.approx(1.625)
    assert offset[0] == pytest.approx(4.625)
    assert onset[1].isnan() and offset[1].isnan()
    assert (onset[2], offset[2]) == (0, 2.5)
    assert (onset[3], offset[3]) == (5.5, 6)


def test_motion_profile():
    clips = torch.zeros(1, 4, 3, 2, 2)
    clips[0, 2:] = 0.3
    assert metrics.motion_profile(clips)[0].tolist() == pytest.approx([0, 0.3, 0])


# ---- labels, diversity, identity, Fréchet distance ------------------------------------------------------------------


def test_labels():
    predicted, labels = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
    assert metrics.label_accuracy(predicted, labels) == 0.75
    assert metrics.confusion_matrix(predicted, labels, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match="from 0 to 1"):
        metrics.confusion_matrix(predicted, labels, 2)
    with pytest.raises(ValueError, match="one number for each clip"):
        metrics.label_accuracy(predicted, labels[:3])


def test_seed_diversity():
    clip = random(4, 3, 8, 8)
    assert metrics.seed_diversity(torch.stack((clip, clip))) == 0
    three = torch.stack((torch.zeros_like(clip), torch.ones_like(clip), torch.ones_like(clip)))
    assert metrics.seed_diversity(three) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="two seeds or more"):
        metrics.seed_diversity(clip[None])


def test_identity():
    gallery = torch.eye(3)
    features = torch.tensor([[2.0, 0.1, 0.0], [0.0, 1.0, 0.9], [0.0, 0.1, 0.05]])
    assert metrics.identity_retrieval(features, torch.tensor([0, 1, 2]), gallery) == pytest.approx(2 / 3)
    similarity = metrics.identity_similarity(features[:2], gallery[:2])
    assert similarity.tolist() == pytest.approx([2 / math.hypot(2, 0.1), 1 / math.hypot(1, 0.9)])
    with pytest.raises(ValueError, match="`people`"):
        metrics.identity_retrieval(features, torch.tensor([0, 1, 3]), gallery)


# ---- judges ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unseen_clips() -> torch.Tensor:
    """Two unseen people in all seven labels, `(14, 16, 3, 64, 64)`."""
    frames = np.stack([toon_clip(0, person, label, 0, 16, 64).frames for person in (611, 630) for label in LABELS])
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255


def test_expression_judge_knows_unseen_people(unseen_clips):
    judge = metrics.load_judge("expression")
    seen = judge(unseen_clips)
    labels = torch.arange(7).repeat(2)
    assert judge.labels == LABELS
    assert metrics.label_accuracy(seen.logits.argmax(1), labels) >= 13 / 14
    expressive = labels != LABELS.index("neutral")
    assert seen.strength[expressive].amax(1).min() > 0.5
    assert seen.strength[~expressive].amax(1).max() < 0.5
    onset, offset = metrics.expression_timing(seen.strength[expressive])
    assert (onset > 0.5).all() and (onset < 6).all() and (offset > 8).all() and (offset < 15).all()
    # A face that does not move shows no expression, whatever it looks like.
    still = judge(unseen_clips[:, 8:9].expand_as(unseen_clips))
    assert (still.logits.argmax(1) == LABELS.index("neutral")).all()


def test_identity_judge_tells_people_apart(unseen_clips):
    judge = metrics.load_judge("identity")
    gallery = judge(unseen_clips[[0, 7], 0])
    features = judge(unseen_clips[:, 8])
    who = torch.tensor([0, 1]).repeat_interleave(7)
    assert metrics.identity_retrieval(features, who, gallery) == 1
    assert metrics.identity_similarity(features, gallery[who]).min() > 0.5
    assert metrics.identity_similarity(*gallery) < 0.5


def test_judges_take_other_sizes(unseen_clips):
    judge = metrics.load_judge("expression")
    small = torch.nn.functional.interpolate(unseen_clips[:7].flatten(0, 1), size=48, mode="bilinear", antialias=True)
    large = torch.nn.functional.interpolate(small, size=128, mode="bilinear").unflatten(0, (7, 16))
    assert judge(large[:, ::2]).strength.shape == (7, 8)
    assert metrics.label_accuracy(judge(large).logits.argmax(1), torch.arange(7)) >= 6 / 7


def test_files_of_judges(tmp_path):
    judge = metrics.load_judge("identity")
    assert Path(judge.facts["script"]).name == "train_toon_judges.py"  # wherever it lay then
    save_judge(judge, tmp_path / "again.safetensors", {"steps": 0})
    again = metrics.load_judge("identity", tmp_path / "again.safetensors")
    picture = random(1, 3, 64, 64)
    assert torch.equal(again(picture), judge(picture))
    assert again.facts == {"steps": 0}
    assert sum(judge_file(name).stat().st_size for name in ("expression", "identity")) < 2e6
    with pytest.raises(ValueError, match="does not hold the judge 'expression'"):
        metrics.load_judge("expression", judge_file("identity"))
    with pytest.raises(ValueError, match="does not hold the judge 'identity'"):
        metrics.load_judge("identity", tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="`name` must be one of expression, identity"):
        metrics.load_judge("age")


def test_frame_features_are_means_of_the_last_map():
    class Network(torch.nn.Module):
        """Two maps: the picture, and its left half."""

        def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
            return [pictures, pictures[..., : pictures.shape[-1] // 2]]

    pictures = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    pictures[1, 0, :, :4], pictures[2, 1, :, 4:] = 255, 255
    detector = metrics.FrameDetector(Network(), "halves", "none", None)
    features = metrics.frame_features(detector, pictures, batch_size=2)
    assert features.dtype == torch.float32 and features.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match=r"`pictures` must be uint8 .* got torch.float32 \(3, 3, 8, 8\)"):
        metrics.frame_features(detector, pictures.float())


# ---- scripts --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.integration
def test_training_of_judges(tmp_path):
    """A few steps on a few people: the script draws, trains, tests, and writes judges that load."""
    script = load_script("train_toon_judges")
    arguments = ["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "judges"), "--batch_size", "7"]
    arguments += ["--num_people", "4", "--num_test_people", "1", "--expression_steps", "3", "--identity_steps", "3"]
    script.main(arguments)
    report = json.loads((tmp_path / "judges" / "expression.json").read_text())
    judge = metrics.load_judge("expression", tmp_path / "judges" / "expression.safetensors")
    assert judge.facts["unseen_people_accuracy"] == report["as drawn"]["accuracy"]
    assert report["confusion"]["labels"] == list(LABELS)
    first = judge.classify.weight
    script.main([*arguments, "--only", "expression"])
    assert torch.equal(
        metrics.load_judge("expression", tmp_path / "judges" / "expression.safetensors").classify.weight, first
    )
