"""Classes known to diffusers by `import lfdm_diffusers` alone, which loads none of them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_pipeline

import lfdm_diffusers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    pipe = tiny_pipeline()
    pipe.save_pretrained(folder)
    (folder / "pipe.pickle").write_bytes(pickle.dumps(pipe))
    return folder


def python(code: str, folder: Path, **environment: str) -> list:
    """What `code` assigns to `result`, in a process of its own that starts in `folder`."""
    code = f"import json, sys\n{code}\nprint('result', json.dumps(result))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("result", 1)[1])


LOAD = """
from diffusers import AutoModel, DiffusionPipeline
import diffusers
pipe, unet = DiffusionPipeline.from_pretrained("."), AutoModel.from_pretrained(".", subfolder="unet")
result += [type(pipe).__name__, type(unet).__name__, diffusers.LFDMPipeline is diffusers.pipelines.LFDMPipeline is type(pipe)]
"""
LOADED = ["LFDMPipeline", "UNet3DVideoModel", True]


@pytest.mark.integration
def test_package_before_diffusers(folder):
    """The import is of the package alone; asking whether the tables are there, or importing them anew, loses nothing."""
    code = """
import lfdm_diffusers
result = [[name for name in ("torch", "diffusers", "transformers", "numpy", "PIL") if name in sys.modules]]
import importlib.util
tables = "diffusers.pipelines.pipeline_loading_utils"
result.append(importlib.util.find_spec(tables) is not None and tables not in sys.modules)
from diffusers import ModelMixin
result.append("lfdm_diffusers.models" in sys.modules)
"""
    again = "\nimportlib.reload(sys.modules[tables])\nresult.append('lfdm_diffusers' in sys.modules[tables].LOADABLE_CLASSES)"
    assert python(code + LOAD + again, folder) == [[], True, False, *LOADED, True]


@pytest.mark.integration
def test_package_after_diffusers(folder):
    code = """
from diffusers import DiffusionPipeline
import lfdm_diffusers
result = ["lfdm_diffusers.models" in sys.modules, hasattr(diffusers := sys.modules["diffusers"], "Nothing")]
"""
    assert python(code + LOAD, folder) == [False, False, *LOADED]


@pytest.mark.integration
def test_unpickling_in_a_process_that_has_imported_nothing(folder):
    code = """
import pickle
from pathlib import Path
pipe = pickle.loads(Path("pipe.pickle").read_bytes())
result = [type(pipe).__name__, pipe.labels]
"""
    assert python(code + LOAD, folder) == ["LFDMPipeline", ["anger", "happiness", "surprise"], *LOADED]


@pytest.mark.fast
def test_names_of_the_package():
    for name in lfdm_diffusers.__all__:
        value = getattr(lfdm_diffusers, name)
        assert name in dir(lfdm_diffusers) and (name == "__version__" or name == value.__name__)
    assert lfdm_diffusers.schedulers.SCHEDULERS and lfdm_diffusers.visualization.enlarge
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lfdm_diffusers.Nothing  # noqa: B018
