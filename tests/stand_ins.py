"""Stand-ins for what the README's main command needs from outside, so that it can run where nothing can be fetched.

`python tests/stand_ins.py FOLDER` writes files laid out like the released mug128 checkpoints, with weights by formula, into
FOLDER, serves a small BERT as google-bert/bert-base-cased from a Hub on loopback, and says where: "HF_ENDPOINT=...".
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import reference
import torch
from loopback_hub import LoopbackHub
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *(chr(c) for c in range(97, 123)),
    *(f"##{chr(c)}" for c in range(97, 123)),
)


def write_checkpoints(folder: Path) -> None:
    """RegionMM_0100_S046500.pth and flowdiff_0005_S111600.pth, by formula."""
    layout = reference.layout("mug128")["state_dict"]
    lfae = {name: reference.state_dict(layout[name]) for name in ("generator", "bg_predictor", "region_predictor")}
    torch.save({"example": 0, "epoch": 0, **lfae, "optimizer": {}}, folder / "RegionMM_0100_S046500.pth")
    prefix = "denoise_fn."
    unet = {k.removeprefix(prefix): v for k, v in layout["diffusion"].items() if k.startswith(prefix)}
    torch.save(reference.unet_checkpoint(unet), folder / "flowdiff_0005_S111600.pth")


def bert_files() -> dict[str, bytes]:
    """A one-layer BERT of BERT-base's width, which spells words letter by letter."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), num_hidden_layers=1, intermediate_size=64)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.txt").write_text("\n".join(WORDS) + "\n")
        BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
        BertModel(config).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


if __name__ == "__main__":
    write_checkpoints(Path(sys.argv[1]))
    hub = LoopbackHub()
    hub.add("google-bert/bert-base-cased", bert_files())
    print(f"HF_ENDPOINT={hub.url}", flush=True)
    threading.Event().wait()  # until whoever started this kills it
