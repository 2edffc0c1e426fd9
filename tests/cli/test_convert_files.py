"""Files that `lfdm convert` is given beside checkpoints: parameters and labels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lfdm_diffusers.cli.convert import _read_labels, _read_model_params

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 60_000,  # as many as the file may hold: read to their end they take hours
        b"[" * 800 + b"]" * 800,  # deeper than Python calls itself
        b"\n".join(b" " * depth + b"a:" for depth in range(300)),
        b"a: &a [*a]\nmodel_params: []\n",
        b"model_params: 5\n",
        b"[]",
        b"a: 2001-99-99\n",  # a date that is none: the parser's own error names no file
        b"a: !!python/object/apply:os.system [ls]\n",
        b"\xff\xfe",
        b"a: 1\n" * 300_000,
        b"a: 1" + b":1" * 500_000,  # a number of base 60
        b"a: .nan\n",
        b"a: &a {b: *a}\n",
        b"num_bottleneck_blocks: 1000000000\n",
        # Each line is twice the one before.
        b"a0: &a0 {x: 1}\n" + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
        b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
    ],
)
def test_parameters_that_are_none(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^`--model-params` ") as caught:
        _read_model_params(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_parameters_are_those_of_the_section_or_of_the_whole_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model_params: {num_regions: 3}\n")
    assert _read_model_params(str(path)) == {"num_regions": 3}
    path.write_text("num_regions: 4\n")
    assert _read_model_params(str(path)) == {"num_regions": 4}
    assert _read_model_params(None) is None


def test_many_labels_are_no_name_of_a_file(tmp_path):
    labels = [f"label {number}" for number in range(200)]
    assert _read_labels(",".join(labels)) == tuple(labels)
    with pytest.raises(ValueError, match="is no file; give a text file"):
        _read_labels("a/" * 500)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_labels_and_parameters_of_a_pipe_are_refused(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for read, option in ((_read_labels, "--labels"), (_read_model_params, "--model-params")):
        with pytest.raises(ValueError, match=f"`{option}` .* is a named pipe, not a file"):
            read(str(path))


def test_labels_of_a_file_that_is_no_text(tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="`--labels` must be a text file"):
        _read_labels(str(path))
