"""The scores of sentences: what is right about clips, by their true strengths; the scripts run."""

from __future__ import annotations

import json

import pytest
import sentences
import torch

from lfdm_diffusers.data.captions import HELD_OUT_PAIRS, SLOTS, Action, Specification
from lfdm_diffusers.data.toon_faces import ToonSubject, write_toon_faces
from lfdm_diffusers.data.toon_faces.actions import act


def true_strengths(case: sentences.Case) -> torch.Tensor:
    _, found = act(ToonSubject.sample(0, case.person), case.specification, 0, 16, 0)
    strengths = torch.zeros(16, len(SLOTS))
    for column, slot in enumerate(SLOTS):
        if (key := "_".join(filter(None, slot))) in found:
            strengths[:, column] = torch.from_numpy(found[key])
    return strengths


@pytest.mark.parametrize("group", sentences.GROUPS)
def test_what_is_truly_done_is_all_right(group):
    chosen = sentences.cases(group, 25, 0)
    assert len({case.sentence for case in chosen}) > 20 and all(case.person >= sentences.UNSEEN for case in chosen)
    assert all(case.specification.pair in HELD_OUT_PAIRS for case in chosen) == (group == "held-out pairs")
    found = sentences.summed([sentences.marks(case, true_strengths(case)) for case in chosen])
    assert set(found.values()) == {1.0}
    assert ("nothing moves" in found) >= (group == "nothing") and len(found) >= (1 if group == "nothing" else 4)


def test_what_is_done_wrong_is_wrong():
    def marks(does: tuple[Action, ...], said: tuple[Action, ...]) -> dict:
        strengths = true_strengths(sentences.Case(Specification(does), "", 5000))
        return sentences.marks(sentences.Case(Specification(said), "", 5000), strengths)

    wink, other = Action("eyes_close", "left"), Action("eyes_close", "right")
    assert marks((wink,), (other,))["left or right"] == [False]
    assert marks((wink,), (Action("nod"),))["actions"] == [False]
    assert marks((wink, Action("nod")), (wink,))["nothing else"] == [False]
    assert marks((wink,), ())["nothing moves"] == [False]
    first, then = Action("nod", begin=0.05, end=0.5), Action("smile", begin=0.5, end=0.95)
    turned = Action("smile", begin=0.05, end=0.5), Action("nod", begin=0.5, end=0.95)
    assert marks((first, then), (first, then))["order"] == [True]
    assert marks((first, then), turned)["order"] == [False]


@pytest.mark.integration
def test_reader_and_scores_run(tmp_path):
    write_toon_faces(tmp_path / "acts", 3, 1, labels=("neutral",), actions=2, size=64, num_frames=16, format="webp", progress=False)  # fmt: skip
    sentences.main(
        [
            "train",
            "--data_dir",
            str(tmp_path / "acts"),
            "--output_dir",
            str(tmp_path),
            "--steps",
            "10",
            "--batch_size",
            "2",
        ]
    )
    assert json.loads((tmp_path / "train.json").read_text())["test clips"] == 3
    reader = str(tmp_path / "actions.safetensors")
    sentences.main(["score", "--reader", reader, "--output_dir", str(tmp_path), "--count", "2"])
    assert set(json.loads((tmp_path / "score.json").read_text())["true clips"]) == {*sentences.GROUPS, "strength"}
