"""A folder of generated clips that was begun and left in its first moments is gone on with."""

from __future__ import annotations

import pytest
from leftovers import workshop_of_a_killed_process

from lfdm_diffusers.data.suffixes import GENERATED_SETTINGS as SETTINGS
from lfdm_diffusers.evaluation import generation
from lfdm_diffusers.evaluation.generation import PLAN, PlannedClip, claim_folder

pytestmark = pytest.mark.fast
CLIPS = [PlannedClip("000000.mkv", "anger", "1", 0, 0, "a.mp4")]


def test_a_claim_of_which_one_file_is_there(tmp_path, monkeypatch):
    folder = tmp_path / "generated"
    claim_folder(folder, {"a": 1}, CLIPS)
    files = {name: (folder / name).read_text() for name in (PLAN, SETTINGS)}
    for lost in files:
        (folder / lost).unlink()
        (folder / workshop_of_a_killed_process()).mkdir()
        claim_folder(folder, {"a": 1}, CLIPS)
        assert {path.name: path.read_text() for path in folder.iterdir()} == files
    (folder / SETTINGS).unlink()
    (folder / PLAN).write_text('{"file_name": "other.mp4"}\n')  # somebody's data set
    with pytest.raises(ValueError, match="must be empty or hold clips"):
        claim_folder(folder, {"a": 1}, CLIPS)


@pytest.mark.parametrize("moment", ["write_text", "write_json"])
def test_a_kill_in_the_first_moments(tmp_path, monkeypatch, moment):
    def killed(*given, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generation, moment, killed)
        claim_folder(tmp_path / "generated", {"a": 1}, CLIPS)
    claim_folder(tmp_path / "generated", {"a": 1}, CLIPS)
    assert {path.name for path in (tmp_path / "generated").iterdir()} == {PLAN, SETTINGS}
