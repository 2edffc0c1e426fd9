"""What is said of precisions that the CPU at hand has no instructions for."""

from __future__ import annotations

import functools

import PIL.Image
import pytest
import torch
from tiny import IMAGE_SIZE, tiny_baseline, tiny_pipeline

from lfdm_diffusers.ops import cpu as processors

SAID = "no instructions for bfloat16"


@pytest.fixture
def lacking(monkeypatch, caplog):
    """A CPU without half precision, and what is logged on it."""
    monkeypatch.setattr(processors, "has_instructions", lambda dtype: dtype is torch.float32)
    processors.advise_precision.cache_clear()
    yield caplog
    processors.advise_precision.cache_clear()


@pytest.mark.parametrize("supported", [True, False])
def test_instructions_are_those_of_the_processor(monkeypatch, supported):
    monkeypatch.setattr(processors.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported, raising=False)
    assert processors.has_instructions(torch.float32)
    assert processors.has_instructions(torch.bfloat16) == supported
    monkeypatch.setattr(processors.platform, "machine", lambda: "arm64")
    assert processors.has_instructions(torch.bfloat16)  # it cannot be told


def test_a_precision_that_is_slow_here_is_advised_against_once(lacking):
    for device in ("cpu", "cpu", "cuda"):
        processors.advise_precision(torch.device(device), torch.bfloat16)
    processors.advise_precision(torch.device("cpu"), torch.float32)
    assert [SAID in record.message for record in lacking.records] == [True]


@pytest.mark.parametrize("make", [tiny_pipeline, functools.partial(tiny_baseline, "imaginator")])
def test_pipelines_say_so(lacking, make):
    pipe, picture = make(), PIL.Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE))
    pipe(picture)
    assert SAID not in lacking.text
    pipe.to(torch.bfloat16)(picture)
    assert SAID in lacking.text
