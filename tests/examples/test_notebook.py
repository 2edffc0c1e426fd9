"""examples/quickstart.ipynb runs from its first cell to its last, and pushes what it made."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from pathlib import Path

import PIL.Image
import pytest
from loopback_hub import WRITE_TOKEN, LoopbackHub

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def pictures(notebook: dict) -> list[PIL.Image.Image]:
    """What its cells show."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    html = ["".join(o.get("data", {}).get("text/html", "")) for cell in cells for o in cell["outputs"]]
    found = [re.search(r"data:image/webp;base64,([^\"]+)\"", text) for text in html]
    return [PIL.Image.open(io.BytesIO(base64.b64decode(match[1]))) for match in found if match]


@pytest.mark.integration
def test_it_runs(loopback_hub: LoopbackHub, tmp_path):
    (tmp_path / "training").symlink_to(ROOT / "training")
    shutil.copytree(NOTEBOOK.parent, tmp_path / "examples")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {
        "HF_ENDPOINT": loopback_hub.url,
        "HF_TOKEN": WRITE_TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    settings |= {"HF_HOME": str(tmp_path / "home"), "REPO_ID": "me/toon64-grey", "PYTHONPATH": path}
    settings["OMP_NUM_THREADS"] = "1"  # beside other tests more threads only wait for each other
    notebook = nbformat.read(NOTEBOOK, 4)
    (training,) = [cell for cell in notebook.cells if '"--max_train_steps",\n    "80",' in cell.source]
    training.source = training.source.replace('"80",', '"2",')  # what it learns is not looked at here
    resources = {"metadata": {"path": str(tmp_path / "examples")}}
    nbclient.NotebookClient(notebook, timeout=1800, resources=resources).execute(env=os.environ | settings)
    shown, kept = pictures(notebook), pictures(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    assert [picture.size for picture in shown] == [picture.size for picture in kept], (
        "run again, and kept with its outputs"
    )
    counts = [getattr(picture, "n_frames", 1) for picture in shown]
    most = [24, 24, 1, 46, 16, 16, 16]  # WebP makes one of frames that are the same
    assert all(0.8 * count <= found <= count for found, count in zip(counts, most, strict=True)), counts
    files = loopback_hub.files("me/toon64-grey")
    assert {"README.md", "model_index.json", "lfae/diffusion_pytorch_model.safetensors"} <= set(files)
    assert b"library_name: diffusers" in files["README.md"]


def test_what_is_kept_names_no_folders_of_the_machine_that_ran_it():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/", text) and '"name": "stderr"' not in text
