"""What `conftest.py` promises every test."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch_state import restored_torch_state


@pytest.mark.parametrize("turn", ["first", "second"])
def test_chance_is_the_same_in_every_test(turn):
    assert random.random() == random.Random(0).random()
    assert np.random.rand() == np.random.RandomState(0).rand()
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(0))


def test_a_failing_test_leaves_torch_as_it_was():
    def state() -> tuple:
        autocast = [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")]
        tf32 = torch.backends.cuda.matmul.allow_tf32
        return autocast, torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), tf32

    before = state()
    with pytest.raises(ZeroDivisionError), restored_torch_state():
        torch.autocast("cpu", torch.float16).__enter__()
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.backends.cuda.matmul.allow_tf32 = not torch.backends.cuda.matmul.allow_tf32
        changed = state()
        raise ZeroDivisionError
    assert all(now != then for now, then in zip(changed, before))
    assert state() == before
