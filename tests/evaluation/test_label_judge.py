"""A judge of any labels, trained on real clips: what it tells apart, what it refuses, and that it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lfdm_command import lfdm
from tiny import TEXT_DIM, tiny_pipeline, tiny_unet

from lfdm_diffusers import LabelEmbeddings
from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.evaluation.judge_training import FILE, kept_label_judge, move, train_label_judge
from lfdm_diffusers.evaluation.judged import judge_scores, trained_accuracy
from lfdm_diffusers.evaluation.scores import Rules
from lfdm_diffusers.evaluation.video_sets import VideoSet
from lfdm_diffusers.metrics import LabelJudge, load_judge
from lfdm_diffusers.metrics.judge_files import save_judge

FRAMES = 6
RULES = Rules(bootstrap=0)


class Squares(VideoSet):
    """Clips of a square on a ground of its own colours that goes out and comes back ("there"), or the other way round ("back")."""

    def frames(self, index: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(int(self.clips[index].subject))
        ground, square = torch.rand(2, 3, 1, 1, generator=generator) * 255
        left, top = torch.randint(4, 28, (2,), generator=generator).tolist()
        steps = torch.tensor([0, 1, 2, 4, 8, 16])
        if self.clips[index].label == "back":
            steps = 16 - steps.flip(0)  # slow at the end: the same places, in another order in time
        frames = ground.expand(FRAMES, 3, 64, 64).clone()
        for frame, step in zip(frames, steps.tolist()):
            frame[:, top : top + 12, left + step : left + step + 12] = square
        return frames.to(torch.uint8)


def squares(count: int, first: int = 0) -> Squares:
    clips = [Clip(Path(f"{i}"), ("there", "back")[i % 2], str(first + i)) for i in range(count)]
    return Squares(clips, ClipReader(64, 64), FRAMES)


@pytest.mark.slow
@pytest.mark.integration
def test_a_judge_knows_orders_of_frames_that_it_has_not_seen():
    judge = train_label_judge(squares(48), steps=50)
    unseen = squares(20, first=1000)
    found = trained_accuracy(judge, (unseen, unseen), [unseen.labels] * 2, batch_size=8)
    assert found["value"] == found["real_value"] >= 0.9
    assert found["first_frame"] == 0.5  # which tells nothing: all are called by one label
    assert found["judge"] == "trained on 48 clips"


@pytest.mark.fast
def test_training_repeats_and_leaves_chance_alone():
    state = torch.random.get_rng_state()
    with torch.inference_mode():  # as an evaluation calls it
        first, second = (train_label_judge(squares(4), steps=1) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.labels == ("back", "there") and not first.training
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    other = train_label_judge(squares(4), seed=1, steps=1)
    assert not torch.equal(first.classify[0].weight, other.classify[0].weight)


@pytest.mark.fast
def test_what_no_judge_can_be_made_of():
    clips = squares(4)
    alike = Squares([Clip(clip.path, "there", clip.subject) for clip in clips.clips], clips.reader, FRAMES)
    with pytest.raises(ValueError, match=r"two labels or more, .*got 4 clips of 'there'"):
        train_label_judge(alike)
    bare = Squares([Clip(clip.path, "", clip.subject) for clip in clips.clips], clips.reader, FRAMES)
    with pytest.raises(ValueError, match=r"each with one; got 4 clips of ''"):
        train_label_judge(bare)


@pytest.mark.fast
def test_a_judge_is_kept_for_the_same_clips(tmp_path, monkeypatch):
    judge = kept_label_judge(squares(4), tmp_path, steps=1)
    assert judge.facts["training_clips"] == 4 and judge.facts["steps"] == 1 and len(judge.facts["clips_sha256"]) == 64
    trained = []
    monkeypatch.setattr(
        "lfdm_diffusers.evaluation.judge_training.train_label_judge",
        lambda clips, seed, steps: trained.append(len(clips)) or train_label_judge(clips, seed, steps),
    )
    again = kept_label_judge(squares(4), tmp_path, steps=1)
    assert not trained and torch.equal(again.classify[0].weight, judge.classify[0].weight)
    kept_label_judge(squares(6), tmp_path, steps=1)
    assert trained == [6]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:1000])  # cut off
    kept_label_judge(squares(6), tmp_path, steps=1)
    assert trained == [6, 6]


@pytest.mark.fast
def test_never_mirrored():
    """A label may name a side: a clip that is bright on its left stays so."""
    clips = torch.zeros(64, 1, 3, 64, 64)
    clips[..., :32] = 1
    for mirror in (False, True):
        moved = move(clips, torch.Generator().manual_seed(0), mirror=mirror)
        brighter_left = moved[..., :24].mean((1, 2, 3, 4)) > moved[..., -24:].mean((1, 2, 3, 4))
        assert brighter_left.all() == (not mirror)


@pytest.mark.fast
def test_labels_that_the_judge_does_not_know(tmp_path):
    judge = LabelJudge(("there", "back")).eval()
    judge.facts = {"training_clips": 0}
    clips = squares(2)
    waving = Squares([Clip(clip.path, "waving", clip.subject) for clip in clips.clips], clips.reader, FRAMES)
    with pytest.raises(ValueError, match=r"accuracy needs a judge .*knows there, back, not 'waving'"):
        judge_scores(["accuracy"], RULES, clips, waving, [0, 1], judge)
    save_judge(judge, tmp_path / "judge.safetensors", {"training_clips": 7})
    assert load_judge("labels", tmp_path / "judge.safetensors").labels == ("there", "back")
    with pytest.raises(ValueError, match="does not hold the judge 'expression'"):
        load_judge("expression", tmp_path / "judge.safetensors")


@pytest.mark.integration
def test_the_command_trains_a_judge_of_own_labels(tmp_path, capsys, monkeypatch):
    """Labels that no judge of this package knows: accuracy of a model, of real clips, and of first frames."""
    monkeypatch.setattr(kept_label_judge, "__defaults__", (0, 2))
    clips = squares(12)
    for i, clip in enumerate(clips.clips):
        frames = clips.frames(i).permute(0, 2, 3, 1).numpy()
        write_clip(tmp_path / "data" / ("train", "test")[i % 3 == 2] / clip.label / f"{i}.png", frames, "apng", 8)
    table = LabelEmbeddings.from_embeddings(("there", "back"), torch.eye(2, TEXT_DIM))
    tiny_pipeline(
        unet=tiny_unet(num_frames=FRAMES), label_embeddings=table, default_num_inference_steps=1
    ).save_pretrained(tmp_path / "model")
    options = ("--data", tmp_path / "data", "--metrics", "accuracy", "--device", "cpu")
    for output in ("one", "two"):
        judge = () if output == "one" else ("--judge", tmp_path / "one" / FILE)
        command = ("evaluate", tmp_path / "model", *options, "--split", "test", "--output", tmp_path / output, *judge)
        assert lfdm(*command) == 0
        assert "of their first frames" in capsys.readouterr().out
    one, two = (json.loads((tmp_path / output / "results.json").read_text()) for output in ("one", "two"))
    assert one["scores"] == two["scores"] and one["scores"]["accuracy"]["judge"] == "trained on 8 clips"
    assert one["receipt"]["label_judge"] == two["receipt"]["label_judge"] and not (tmp_path / "two" / FILE).exists()
    assert lfdm("evaluate", tmp_path / "model", *options, "--output", tmp_path / "three") == 2
    assert "`split` must name other clips, got None" in capsys.readouterr().err
