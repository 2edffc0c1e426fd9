"""What the C library does with freed memory: counted page faults of processes of their own. What stays mapped of a file of weights."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_lfae

from lfdm_diffusers import LatentFlowAutoencoder
from lfdm_diffusers.ops.cpu import lay_channels_last

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is taught")

# Maps of 5 and 10 MB that come and go, as in a U-Net; the faults after the first rounds.
LAYERS = """
import resource
import torch
x = torch.ones(5 * 2**18)
for i in range(60):
    if i == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    y = x + 1
    z = torch.cat((x, y))
    x = z[: 5 * 2**18] * 1.0
print("faults", resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    done = subprocess.run([sys.executable, "-c", first + LAYERS], check=True, capture_output=True, text=True)
    return int(done.stdout.split("faults")[1])


IMPORTS = "from lfdm_diffusers import LabelEmbeddings; from lfdm_diffusers.ops.cpu import keep_freed_memory\n"


@glibc
@pytest.mark.integration
def test_freed_memory_is_used_again():
    untaught = faults(IMPORTS)
    # Of 20,000. What imports leave behind differs from one process to the next, so that a map or two, of 1,280 each, may miss.
    if untaught < 10_000:
        pytest.skip("freed memory is kept here without being asked for")
    assert 4 * faults(IMPORTS + "LabelEmbeddings(['a'], 4)\n") < untaught  # as any model does
    assert 4 * faults(IMPORTS + "keep_freed_memory()\n") < untaught


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
