"""What every test gets: no network, no caches of the user's, one torch thread, the same chance, torch as it was before; and a Hub
on loopback for those who ask."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

# huggingface_hub reads these once, at its import: they must stand before any test module is imported.
_HF_HOME = tempfile.TemporaryDirectory(prefix="lfdm_tests_hf_home_")
os.environ["HF_HOME"] = _HF_HOME.name
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from loopback_hub import LoopbackHub  # noqa: E402
from torch_state import restored_torch_state, seed_everything  # noqa: E402

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test without a ring of its own belongs to the fast one."""
    for item in items:
        if not any(item.get_closest_marker(ring) for ring in ("fast", "parity", "integration", "gpu", "weights")):
            item.add_marker(pytest.mark.fast)


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


def pytest_unconfigure(config: pytest.Config) -> None:
    _HF_HOME.cleanup()


@pytest.fixture(scope="session")
def loopback_hub() -> Iterator[LoopbackHub]:
    """A Hub on loopback; processes started with `loopback_python.LoopbackPython(loopback_hub.url, ...)` talk to it."""
    hub = LoopbackHub()
    yield hub
    hub.close()
