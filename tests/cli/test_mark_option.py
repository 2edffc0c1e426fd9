"""`lfdm generate` marks what it writes as generated, and leaves it out if asked."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from lfdm_command import lfdm
from tiny import TEXT_DIM, tiny_pipeline

from lfdm_diffusers import LabelEmbeddings
from lfdm_diffusers.data.marks import SOURCE_TYPE

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("option", [(), ("--no-mark",)])
def test_every_file_says_that_it_was_generated(option, tmp_path):
    table = LabelEmbeddings.from_embeddings(("anger",), torch.eye(1, TEXT_DIM))
    tiny_pipeline(label_embeddings=table, default_num_inference_steps=1).save_pretrained(tmp_path / "model")
    PIL.Image.new("RGB", (40, 40), "tan").save(tmp_path / "face.png")
    command = ("generate", tmp_path / "face.png", "--model", tmp_path / "model", "--output", tmp_path / "out")
    assert lfdm(*command, "--formats", "gif,mp4", "--kinds", "clips,sheet", "--label", "anger", *option) == 0
    files = [path for path in (tmp_path / "out").rglob("*.*") if path.suffix in (".gif", ".mp4", ".png")]
    assert {path.suffix for path in files} == {".gif", ".mp4", ".png"}
    for path in files:
        assert (SOURCE_TYPE.encode() in path.read_bytes()) == (not option), path
