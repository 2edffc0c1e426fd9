"""The judge of rendered people: it sees what moves at the face, not the head, and learns labels from that."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import train_people_judges

from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.metrics import load_judge
from lfdm_diffusers.metrics.flow_judge import BOX, CELLS, SIDE, FlowJudge, face_motion, fit_flow_judge
from lfdm_diffusers.metrics.judge_files import save_judge

LABELS = ("down", "still")


def textured_clip(head: tuple[float, float], mouth: float) -> np.ndarray:
    """A textured picture that moves by `head` pixels of 128 over 8 frames, and its mouth by `mouth` down, both there by frame 2."""
    noise = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    picture = F.interpolate(noise, (128, 128), mode="bicubic").clamp(0, 1)
    frames = []
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    moves = torch.exp(-((rows - 92) ** 2 + (columns - 64) ** 2) / (2 * 8**2))
    for frame in range(8):
        share = min(frame / 2, 1)
        x = columns - share * head[0]
        y = rows - share * (head[1] + mouth * moves)
        grid = torch.stack((x, y), dim=-1)[None] * 2 / 127 - 1
        moved = F.grid_sample(picture, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
        frames.append((moved[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy())
    return np.stack(frames)


@pytest.mark.parametrize("head", [(0.0, 0.0), (3.0, -2.0)])
def test_the_mouth_moves_and_the_head_does_not(head):
    pytest.importorskip("cv2")
    motion = face_motion(textured_clip(head, 3.0))
    left, top, side = BOX
    row, column = (int((2 * place - start) / side * CELLS) for place, start in ((92, top), (64, left)))
    for moment in motion:
        # Flow points from a place of the moved frame to where it came from; cells and the search smooth it.
        assert -3 * SIDE / 128 < moment[1, row - 1 : row + 1, column - 1 : column + 1].mean() < -2.5
        lowest = np.unravel_index(moment[1].argmin(), (CELLS, CELLS))
        assert abs(lowest[0] - row) <= 1 and abs(lowest[1] - column) <= 1
        assert np.abs(moment[:, : CELLS // 3]).max() < 0.7  # brows
        assert np.abs(moment[0]).max() < 1.2
    assert np.abs(face_motion(textured_clip(head, 0.0))).max() < 0.7


def test_labels_are_learnt_from_motion_and_kept_in_a_file(tmp_path):
    motion = torch.randn(20, 2, 2, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    truth = torch.arange(20) % 2
    motion[:, 0, 1, -3:] -= 3 * (1 - truth).float()[:, None, None]
    judge = fit_flow_judge(motion, truth, LABELS, 0.01)
    again = fit_flow_judge(motion, truth, LABELS, 0.01)
    assert torch.equal(judge.classify.weight, again.classify.weight) and not judge.training
    other = torch.randn(20, 2, 2, CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    other[:, 0, 1, -3:] -= 3 * (1 - truth).float()[:, None, None]
    assert (judge.classify(other.flatten(1)).argmax(1) == truth).double().mean() >= 0.9
    largest = [fit_flow_judge(motion, truth, LABELS, decay).classify.weight.abs().max() for decay in (0.01, 1)]
    assert largest[1] < largest[0] / 2
    save_judge(judge, tmp_path / "judge.safetensors", {"training_clips": 20})
    loaded = load_judge("people", tmp_path / "judge.safetensors")
    assert isinstance(loaded, FlowJudge) and loaded.labels == LABELS and loaded.facts == {"training_clips": 20}
    assert torch.equal(loaded.classify.weight, judge.classify.weight.half().float())


def test_a_clip_is_judged_by_its_motion():
    pytest.importorskip("cv2")
    clips = torch.from_numpy(np.stack([textured_clip((1, 0), 3), textured_clip((1, 0), 0)])).permute(0, 1, 4, 2, 3)
    motion = torch.from_numpy(np.stack([face_motion(clip.permute(0, 2, 3, 1).numpy()) for clip in clips]))
    judge = fit_flow_judge(motion, torch.tensor([0, 1]), LABELS, 0.001)
    assert (judge(clips.float() / 255).argmax(1) == torch.tensor([0, 1])).all()
    assert (judge(clips[:, :1].expand_as(clips).float() / 255).argmax(1) == 1).all()


@pytest.mark.integration
def test_the_script_makes_judges_that_load(tmp_path):
    """Of people who are textured pictures: surprise moves the mouth, neutral nothing."""
    pytest.importorskip("cv2")
    rows = []
    for subject in range(6):
        for label, mouth in (("surprise", 3.0), ("neutral", 0.0)):
            split, name = "test" if subject == 5 else "train", f"{label}-{subject}.mkv"
            write_clip(tmp_path / name, textured_clip((subject / 3, 0), mouth), "mkv", 25)
            rows.append({"file_name": name, "label": label, "subject": subject, "split": split})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folders = ["--data_dir", str(tmp_path), "--test_dir", str(tmp_path), "--output_dir", str(tmp_path / "judges")]
    train_people_judges.main([*folders, "--identity_steps", "2", "--batch_size", "4"])
    report = json.loads((tmp_path / "judges" / "labels.json").read_text())
    judge = load_judge("people", tmp_path / "judges" / "labels.safetensors")
    assert report["as drawn"]["accuracy"] == 1 and judge.facts["unseen_people"] == report["as drawn"]
    assert judge.facts["training_clips"] == 10 and report["confusion"]["surprise"] == "[0, 0, 0, 0, 0, 0, 1]"
    encoder = load_judge("identity", tmp_path / "judges" / "identity.safetensors")
    assert encoder.box != load_judge("identity").box and encoder.facts["steps"] == 2


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"rendered people needs OpenCV: pip install 'lfdm_diffusers\[subjects\]'"):
        face_motion(np.zeros((2, 8, 8, 3), np.uint8))
