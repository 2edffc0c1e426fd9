"""What every test gets: no network, no caches of the user's, one torch thread, the same chance, torch as it was before; and a Hub
on loopback for those who ask."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator

# Objects between searches for unused ones, which go through all that diffusers imports: a tenth of the time of a test by default.
gc.set_threshold(100_000, 20, 20)

# huggingface_hub reads these once, at its import: they must stand before any test module is imported.
_HF_HOME = tempfile.TemporaryDirectory(prefix="lfdm_tests_hf_home_")
os.environ["HF_HOME"] = _HF_HOME.name
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from loopback_hub import LoopbackHub  # noqa: E402
from script_process import ScriptProcess  # noqa: E402
from torch_state import restored_torch_state, seed_everything  # noqa: E402

RINGS = ("fast", "parity", "integration", "gpu", "weights")
LONG_ROOMS = ("examples", "training")  # first, so that no long file is left over for one process at the end
WHOLE_ROOMS = ("tests/app/",)  # in one process: Gradio takes seconds to import

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reverse", action="store_true", help="run the tests from last to first: none depends on order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test without a ring of its own belongs to the fast one; the rooms with the longest tests come first."""
    items.sort(key=lambda item: item.path.parent.name not in LONG_ROOMS)
    if config.getoption("reverse"):
        items.reverse()
    for item in items:
        rings = [ring for ring in RINGS if item.get_closest_marker(ring)]
        rings += ["slow"] if item.get_closest_marker("slow") else []
        if not rings:
            item.add_marker(pytest.mark.fast)
        elif rings == ["slow"]:
            raise pytest.UsageError(f"{item.nodeid} is slow, and of no ring: it would be of the fast one.")
        elif len(rings) > 1 and "fast" in rings:  # a mark of the whole file, and a test that takes longer
            raise pytest.UsageError(
                f"{item.nodeid} is marked {' and '.join(rings)}: what is of another ring is not fast."
            )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """With `-n`, a file's tests run in one process, so that what they share is made once; `--dist` asks for another way."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    class FilesAndRooms(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((room for room in WHOLE_ROOMS if nodeid.startswith(room)), super()._split_scope(nodeid))

    config.option.loadscopereorder = False  # in the order above, rather than by the number of tests
    return FilesAndRooms(config, log)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    """What several tests share is the same whichever of them asks for it first."""
    if fixturedef.scope != "function":
        seed_everything()


@pytest.fixture(autouse=True)
def torch_state() -> Iterator[None]:
    """Every test begins with the same chance, and leaves torch as it found it."""
    with restored_torch_state():
        seed_everything()
        yield


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of about 64 pixels where 256 are usual, and palettes of fewer samples: a small part of the encoding."""
    monkeypatch.setattr("lfdm_diffusers.visualization.clip_files.WATCHABLE", 64)
    monkeypatch.setattr("lfdm_diffusers.data.video_writing.PALETTE_PIXELS", 2**11)


def pytest_unconfigure(config: pytest.Config) -> None:
    _HF_HOME.cleanup()


@pytest.fixture(scope="session")
def loopback_hub() -> Iterator[LoopbackHub]:
    """A Hub on loopback; processes started with `loopback_python.LoopbackPython(loopback_hub.url, ...)` talk to it."""
    hub = LoopbackHub()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def scripts(loopback_hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptProcess]:
    """Runs training scripts in processes of their own, whose Hub is the loopback one."""
    process = ScriptProcess(loopback_hub.url, tmp_path_factory.mktemp("scripts_home"))
    yield process
    process.close()
