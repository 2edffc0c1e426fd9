"""What the C library does with freed memory, in counted page faults of processes of their own; what stays mapped of a file of weights;
what is said of precisions that the CPU at hand has no instructions for."""

from __future__ import annotations

import ctypes
import functools
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import PIL.Image
import pytest
import torch
from tiny import IMAGE_SIZE, tiny_baseline, tiny_lfae, tiny_pipeline

from lfdm_diffusers import LatentFlowAutoencoder
from lfdm_diffusers.ops import cpu
from lfdm_diffusers.ops.cpu import concatenate_chunks, lay_channels_last
from lfdm_diffusers.pipelines.motion import Motion

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is taught")

# Where 20 MB come from, and what is left of them when they are freed, as glibc counts it: faults would also count what other blocks leave
# between them.
LAYERS = """
import ctypes, os, sys
import torch
from lfdm_diffusers.ops.cpu import keep_freed_memory, reuse_freed_memory

FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]

count = ctypes.CDLL("libc.so.6").mallinfo2
count.restype = Counts
for teach in (lambda: None, reuse_freed_memory, keep_freed_memory):
    if not os.fork():
        teach()
        before = count()
        x = torch.ones(5 * 2**20)
        mapped = count().hblks - before.hblks
        del x
        kept = count().arena - before.arena
        sizes = []
        for _ in range(12):
            x = torch.ones(5 * 2**20)
            del x
            sizes.append(count().arena)
        print(mapped, kept, len(set(sizes[6:])))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


@glibc
@pytest.mark.integration
def test_freed_memory_is_used_again():
    if not hasattr(ctypes.CDLL("libc.so.6"), "mallinfo2"):
        pytest.skip("glibc counts by mallinfo2 from 2.33 on")
    done = subprocess.run([sys.executable, "-c", LAYERS], check=True, capture_output=True, text=True)
    (mapped, kept, _), *taught = ([int(number) for number in line.split()] for line in done.stdout.splitlines())
    if not mapped or kept:
        pytest.skip("freed memory is kept here without being asked for")
    assert len(taught) == 2
    for mapped, kept, sizes in taught:
        assert not mapped
        assert kept >= 19 * 2**20  # less what was free at the heap's end before
        assert sizes == 1  # once there is a place for it, the heap neither grows nor shrinks


PIPELINES = {"lfdm": tiny_pipeline} | {n: functools.partial(tiny_baseline, n) for n in ("ldm", "vdm", "imaginator")}


@pytest.mark.parametrize("name", [*PIPELINES, "animate", "transfer"])
def test_only_running_a_pipeline_teaches_the_process(name):
    """Whoever only constructs a model keeps their process as it was."""
    taught = cpu.reuse_freed_memory.cache_info
    cpu.reuse_freed_memory.cache_clear()
    pipe = PIPELINES.get(name, tiny_pipeline)()
    pipe.set_progress_bar_config(disable=True)
    picture = torch.zeros(3, *[pipe.sample_size] * 2)
    assert taught().currsize == 0
    if name == "transfer":
        pipe.transfer(picture, picture[None])
    elif name == "animate":
        flow, occlusion = torch.zeros(2, 2, 4, 4), torch.ones(2, 1, 4, 4)
        pipe.animate(picture, Motion(flow, occlusion))
    else:
        pipe(picture, **({} if name == "imaginator" else {"num_inference_steps": 1}))
    assert taught().currsize == 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="mapped files are only listed there")
def test_weights_that_are_laid_channels_last_leave_their_file(tmp_path):
    tiny_lfae().save_pretrained(tmp_path)
    lfae = LatentFlowAutoencoder.from_pretrained(tmp_path)
    before = {name: value.clone() for name, value in lfae.state_dict().items()}
    mapped = [str(tmp_path) in Path("/proc/self/maps").read_text()]
    assert lay_channels_last(lfae) is lfae
    mapped.append(str(tmp_path) in Path("/proc/self/maps").read_text())
    assert mapped == [True, False]
    torch.testing.assert_close(dict(lfae.state_dict()), before, rtol=0, atol=0)
    kernel = lfae.conv_out.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) and kernel.requires_grad


def test_frames_are_put_together_as_they_come():
    """None of a chunk is kept until the next: between large tensors that are freed, small ones leave holes in memory."""
    kept: list[weakref.ref] = []

    def chunks(sizes: tuple[int, ...]):
        for size in sizes:
            assert not any(chunk() is not None for chunk in kept)
            expected.append([torch.randn(2, size, channels, 4, 4) for channels in (3, 1)])
            made = [x.clone() for x in expected[-1]]
            kept.extend(map(weakref.ref, made))
            yield tuple(made.pop(0) for _ in range(2))

    for sizes in ((5,), (2, 2, 1)):
        expected: list[list[torch.Tensor]] = []
        kept.clear()
        found = concatenate_chunks(chunks(sizes), 5)
        assert all(whole.is_contiguous() for whole in found)
        for whole, parts in zip(found, zip(*expected)):
            torch.testing.assert_close(whole, torch.cat(parts, dim=1), rtol=0, atol=0)
    same = torch.randn(2, 5, 3, 4, 4)  # without skips a frame is what was inpainted
    first, second = concatenate_chunks([(same, same)], 5)
    assert first.data_ptr() != second.data_ptr()
    parts = torch.randn(1, 4, 3, 2, 2, requires_grad=True)
    (whole,) = concatenate_chunks(((part,) for part in (2 * parts).split(2, dim=1)), 4)
    (gradient,) = torch.autograd.grad(whole.square().sum(), parts)
    torch.testing.assert_close(gradient, 8 * parts)


SAID = "no instructions for bfloat16"


@pytest.fixture
def lacking(monkeypatch, caplog):
    """A CPU without half precision, and what is logged on it."""
    monkeypatch.setattr(cpu, "has_instructions", lambda dtype: dtype is torch.float32)
    cpu.advise_precision.cache_clear()
    yield caplog
    cpu.advise_precision.cache_clear()


@pytest.mark.parametrize("supported", [True, False])
def test_instructions_are_those_of_the_processor(monkeypatch, supported):
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported, raising=False)
    assert cpu.has_instructions(torch.float32)
    assert cpu.has_instructions(torch.bfloat16) == supported
    monkeypatch.setattr(cpu.platform, "machine", lambda: "arm64")
    assert cpu.has_instructions(torch.bfloat16)  # it cannot be told


def test_a_precision_that_is_slow_here_is_advised_against_once(lacking):
    for device in ("cpu", "cpu", "cuda"):
        cpu.advise_precision(torch.device(device), torch.bfloat16)
    cpu.advise_precision(torch.device("cpu"), torch.float32)
    assert [SAID in record.message for record in lacking.records] == [True]


@pytest.mark.parametrize(
    "make, steps",
    [(tiny_pipeline, {"num_inference_steps": 1}), (functools.partial(tiny_baseline, "imaginator"), {})],
    ids=["lfdm", "imaginator"],
)
def test_pipelines_say_so(lacking, make, steps):
    pipe, picture = make(), PIL.Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE))
    pipe(picture, **steps)
    assert SAID not in lacking.text
    pipe.to(torch.bfloat16)(picture, **steps)
    assert SAID in lacking.text
