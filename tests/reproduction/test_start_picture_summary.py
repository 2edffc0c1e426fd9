"""What a summary of a picture learns first: the actions of a face. What the U-Net was given before stays."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import shown_labels
import torch
from start_picture_summary import MIRRORED, main, mirrored
from tiny import tiny_pipeline, tiny_unet

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.people.actions import ACTIONS
from lfdm_diffusers.data.video_writing import write_clip


def test_a_mirror_changes_sides():
    assert mirrored("mouthSmileLeft") == "mouthSmileRight" and mirrored("jawOpen") == "jawOpen"
    assert [MIRRORED[i] for i in MIRRORED] == list(range(len(ACTIONS)))


def drawn(data: Path, labels: list[str]) -> Path:
    """Six people to learn from and four to judge by, of whom every other smiles and is bright."""
    rows = []
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for number in range(count):
            label, smile = labels[number % 2], float(number % 2)
            folder = data / split / label
            folder.mkdir(parents=True, exist_ok=True)
            frames = rng.integers(0, 99, (3, 32, 32, 3), dtype=np.uint8) + np.uint8(120 * smile)
            write_clip(folder / f"{number}.webp", frames, "webp", 25)
            row = {"file_name": f"{split}/{label}/{number}.webp", "label": label, "subject": number, "split": split}
            rows.append(row | {"actions": {"mouthSmileLeft": [smile] * 3, "mouthSmileRight": [smile] * 3}})
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


@pytest.mark.integration
def test_it_writes_a_pipeline_whose_unet_summarises(tmp_path, monkeypatch, capsys):
    unet = tiny_unet(image_blocks=1, image_block_channels=8)
    torch.nn.init.normal_(unet.picture_reader.conv_out.weight)
    pipe = tiny_pipeline(unet=unet)
    pipe.save_pretrained(tmp_path / "before")
    data = drawn(tmp_path / "data", pipe.labels)
    given = ["--data_dirs", data, "--pipeline", tmp_path / "before", "--output", tmp_path / "after"]
    given += ["--minutes", 0.05, "--image_summary", 4, "--frames", 2]
    monkeypatch.setattr(sys, "argv", ["start_picture_summary.py", *map(str, given)])
    main()
    assert "12 pictures, 8 to judge by, 2 actions" in capsys.readouterr().out
    after = LFDMPipeline.from_pretrained(tmp_path / "after").unet
    assert after.config.image_summary == 4
    picture = torch.randn(2, unet.config.image_latent_channels, 8, 8)
    with torch.no_grad():
        gave, gives = unet.project_image(picture), after.project_image(picture)
    assert not after.picture_reader.summary.conv_out.weight.any()
    assert 0 < (gives - gave).square().mean() < 0.2 * gave.var()
    for name, weight in unet.state_dict().items():
        if not name.startswith("picture_reader."):
            torch.testing.assert_close(after.state_dict()[name], weight)


@pytest.mark.integration
def test_a_pipeline_learns_who_smiles(tmp_path, monkeypatch, capsys):
    """Those that do are called so, and of the others hardly any."""
    pipe = tiny_pipeline(unet=tiny_unet(image_blocks=1, image_block_channels=8, image_summary=4))
    pipe.save_pretrained(tmp_path / "model")
    data = drawn(tmp_path / "data", pipe.labels)
    given = ["--data_dirs", data, "--pipeline", tmp_path / "model", "--frames", 2]
    monkeypatch.setattr(sys, "argv", ["shown_labels.py", *map(str, given)])
    shown_labels.main()
    assert "12 pictures; of 4 smiles of test people" in capsys.readouterr().out
    taught = LFDMPipeline.from_pretrained(tmp_path / "model")
    told = taught.config["shown_labels"]
    assert (told["labels"], np.shape(told["weight"]), told["guidance_scale"]) == (["happiness"], (1, 4), 1.5)
    called: dict[bool, list[bool]] = {True: [], False: []}
    for path in (data / "test").rglob("*.webp"):
        with PIL.Image.open(path) as picture:
            shown = picture.convert("RGB")
        called[bool(np.asarray(shown).mean() > 110)].append(taught.labels_shown(shown) == ["happiness"])
    assert [len(told) for told in called.values()] == [2, 2]
    assert sum(called[False]) <= 1 <= sum(called[True])  # of four that do not, one lies at the bound
