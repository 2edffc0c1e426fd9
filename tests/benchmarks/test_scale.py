"""The parts of large data sets are measured on real clips, and sizes are those of files."""

from __future__ import annotations

import json

import pytest
import scale
from tiny import tiny_lfae

pytestmark = pytest.mark.fast


def test_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale, "MEMBERS", 20)
    monkeypatch.setattr(scale, "per_second", lambda work, items: sum(1 for item in items if work(item) is not None))
    tiny_lfae(flow_grid="centers").save_pretrained(tmp_path / "lfae")
    few = ["--clips", "2", "--frames", "4", "--pixels", "32", "--size", "32", "--lfae", str(tmp_path / "lfae")]
    scale.main([*few, "--output", str(tmp_path / "scale.json")])
    found = json.loads((tmp_path / "scale.json").read_text())["scale"]
    assert found["frames a clip"] == 4 and found["decoded a second"] == found["motion a second"] == 2
    assert found["bytes a clip, frames"] == 128 + 4 * 32 * 32 * 3
    motion = 128 + 4 * 3 * 8 * 8 * 2  # a header and float16
    assert found["bytes a clip, motion"] == 512 + -(-motion // 512) * 512 + 1024 / 2  # a tar's blocks, and its end
    assert found["clips found in tars a second"] > 0 and found["bytes a clip, index in memory"] > 100
    assert "bytes a clip, motion" in capsys.readouterr().out
