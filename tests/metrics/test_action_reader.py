"""Reading actions back from strengths over time, and the file of a reader."""

from __future__ import annotations

import pytest
import torch

from lfdm_diffusers.data.captions import SLOTS, Action, Specification
from lfdm_diffusers.data.toon_faces import ToonSubject
from lfdm_diffusers.data.toon_faces.actions import act
from lfdm_diffusers.metrics.action_reader import ActionReader, load_reader, read_actions, save_reader

pytestmark = pytest.mark.fast


def true_strengths(*actions: Action) -> torch.Tensor:
    _, found = act(ToonSubject.sample(0, 2), Specification(actions), 0, 16, 0)
    strengths = torch.zeros(16, len(SLOTS))
    for name, side in SLOTS:
        key = "_".join(filter(None, (name, side)))
        if key in found:
            strengths[:, SLOTS.index((name, side))] = torch.from_numpy(found[key])
    return strengths


def test_true_strengths_are_read_as_what_they_are():
    seen = read_actions(
        true_strengths(Action("smile", "left", "slight", 0.08, 0.5), Action("nod", "", "strong", 0.5, 0.95))
    )
    assert [(a.name, a.side, a.how) for a in seen] == [("nod", "", "strong"), ("smile", "left", "slight")]
    assert seen[1].centre < 0.4 < 0.6 < seen[0].centre
    assert read_actions(true_strengths()) == []
    assert read_actions(0.1 * torch.rand(16, len(SLOTS))) == []


def test_a_reader_comes_back_from_its_file(tmp_path):
    torch.manual_seed(0)
    reader = ActionReader().eval()
    clips = torch.rand(2, 5, 3, 48, 48)
    save_reader(reader, tmp_path / "reader.safetensors", {"steps": 0})
    with torch.no_grad():
        strengths = load_reader(tmp_path / "reader.safetensors")(clips)
        torch.testing.assert_close(strengths, reader(clips), atol=5e-3, rtol=5e-2)
    assert strengths.shape == (2, 5, len(SLOTS))
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="does not hold a reader of actions"):
        load_reader(tmp_path / "no.safetensors")
