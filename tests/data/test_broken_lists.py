"""Lists and archives of data sets that are broken, cut off or larger than they seem."""

from __future__ import annotations

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from lfdm_diffusers.data.drawn_sets import rows_of_other_split
from lfdm_diffusers.data.published_datasets import read_natops_segments
from lfdm_diffusers.data.true_motion import true_motion
from lfdm_diffusers.files import limits
from lfdm_diffusers.training.metrics_file import MetricsFile, last_validation

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("line", ["// Subject " + "9" * 5000, "1:" + "9" * 5000 + ",3", "1:2," + "9" * 5000])
def test_numbers_of_thousands_of_digits(tmp_path, line):
    path = tmp_path / "segmentation.txt"
    path.write_text(f"// Subject 1\n1,2,3\n{line}\n1:0,5\n")
    with pytest.raises(ValueError, match=r"segmentation\.txt, line 4: a segment must be"):
        read_natops_segments(path)


@pytest.mark.parametrize("content", ["{", "[]\n", '{"a": 1}\n', "[" * 100_000])
def test_a_broken_list_of_a_drawn_set(tmp_path, content):
    path = tmp_path / "metadata.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"metadata\.jsonl cannot be read as the list of a drawn data set"):
        rows_of_other_split(path, "train")


def packed(path, header_shape, zeros=0):
    """An archive whose flow says that it has a shape, and holds so many zero bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": header_shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("flow.npy", header.getvalue() + bytes(zeros))
        archive.writestr("visibility.npy", header.getvalue())


def test_archives_of_more_than_is_allowed(tmp_path, monkeypatch):
    clip, path = SimpleNamespace(path=tmp_path / "a.mp4"), tmp_path / "a.flow.npz"
    packed(path, (1, 2, 1000, 1000), zeros=8_000_000)  # 8 kB
    assert path.stat().st_size < 20_000
    monkeypatch.setenv(limits.GIGABYTES, "0.004")
    with pytest.raises(ValueError, match=r"a\.flow\.npz.* take 0\.008 GB of memory"):
        true_motion(clip)


def test_archives_that_claim_more_than_they_hold(tmp_path):
    clip, path = SimpleNamespace(path=tmp_path / "a.mp4"), tmp_path / "a.flow.npz"
    packed(path, (10**9, 2, 10**4, 10**4))
    with pytest.raises(ValueError, match=r"a\.flow\.npz must hold arrays"):
        true_motion(clip)


def test_lines_that_are_no_records_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = '{"step": 3, "validation/fvd": 2.5}\n'
    path.write_text(whole + '[]\n{}\n{"step": "x"}\n' + "[" * 100_000 + '\n{"step": 4, "valida')
    assert last_validation(path) == (3, {"fvd": 2.5})
    MetricsFile(path, 3)
    assert path.read_text() == whole
