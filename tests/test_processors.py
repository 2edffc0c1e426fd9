"""What is said of precisions that the CPU at hand has no instructions for."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from diffusers.utils import logging
from tiny import IMAGE_SIZE, tiny_pipeline

from lfdm_diffusers import processors

SAID = "no instructions for bfloat16"


@pytest.fixture
def lacking(monkeypatch, caplog):
    """A CPU without half precision, and what is logged on it."""
    monkeypatch.setattr(processors, "has_instructions", lambda dtype: dtype is torch.float32)
    processors.advise_precision.cache_clear()
    logging.enable_propagation()
    yield caplog
    logging.disable_propagation()
    processors.advise_precision.cache_clear()


def test_instructions_are_those_of_the_processor(monkeypatch):
    assert processors.has_instructions(torch.float32)
    assert processors.has_instructions(torch.bfloat16) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert processors.has_instructions(torch.bfloat16)  # it cannot be told


def test_a_precision_that_is_slow_here_is_advised_against_once(lacking):
    for device in ("cpu", "cpu", "cuda"):
        processors.advise_precision(torch.device(device), torch.bfloat16)
    processors.advise_precision(torch.device("cpu"), torch.float32)
    assert [SAID in record.message for record in lacking.records] == [True]


def test_pipelines_say_so(lacking):
    pipe, picture = tiny_pipeline(), PIL.Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE))
    pipe(picture, num_inference_steps=1)
    assert SAID not in lacking.text
    pipe.to(torch.bfloat16)(picture, num_inference_steps=1)
    assert SAID in lacking.text
