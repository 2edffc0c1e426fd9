"""What a picture reader learns first: motion less the head's own."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from start_picture_reader import main
from tiny import tiny_pipeline

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.drawn_sets import write_flow
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.ops.warp import sampling_grid


@pytest.mark.integration
def test_it_writes_a_pipeline_whose_unet_reads(tmp_path, monkeypatch, capsys):
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path / "before")
    data, rows = tmp_path / "data", []
    rng = np.random.default_rng(0)
    grid = sampling_grid(32, 32, centers=True).movedim(-1, 0).numpy()
    for split, count in (("train", 6), ("test", 2)):
        for number in range(count):
            label = pipe.labels[number % 2]
            folder = data / split / label
            folder.mkdir(parents=True, exist_ok=True)
            write_clip(folder / f"{number}.webp", rng.integers(0, 255, (3, 32, 32, 3), dtype=np.uint8), "webp", 25)
            flow = np.stack([grid + 0.1 * frame * (number % 2) * grid**2 for frame in range(3)])
            write_flow(folder / f"{number}.flow.npz", flow, np.ones((3, 1, 32, 32)))
            rows.append(
                {"file_name": f"{split}/{label}/{number}.webp", "label": label, "subject": number, "split": split}
            )
            rows[-1]["level"] = [0.0, 0.5, 1.0]
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--data_dirs", data, "--pipeline", tmp_path / "before", "--output", tmp_path / "after"]
    monkeypatch.setattr(
        sys, "argv", ["start_picture_reader.py", *map(str, given), "--minutes", "0.02", "--image_blocks", "1"]
    )
    main()
    assert "6 clips, 2 to judge by" in capsys.readouterr().out
    after = LFDMPipeline.from_pretrained(tmp_path / "after").unet
    assert after.config.image_blocks == 1 and after.picture_reader.conv_out.weight.any()
    for name, weight in pipe.unet.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], weight)
