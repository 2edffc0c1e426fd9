"""The options of how large pictures and clips may be say what is so."""

from __future__ import annotations

import argparse

import pytest

from lfdm_diffusers.arguments.types import add_limit_arguments
from lfdm_diffusers.cli import main
from lfdm_diffusers.files import limits

pytestmark = pytest.mark.fast


def test_the_defaults_in_the_help_are_those_of_the_bounds(monkeypatch):
    parser = argparse.ArgumentParser()
    add_limit_arguments(parser)
    told = " ".join(parser.format_help().split())
    assert f"(default: {limits.DEFAULTS[limits.MEGAPIXELS]:g})" in told
    assert f"(default: {limits.DEFAULTS[limits.GIGABYTES]:g})" in told


def test_a_command_sets_them_for_itself_and_its_processes(monkeypatch, capsys):
    for name in limits.DEFAULTS:
        monkeypatch.setenv(name, "7")
    assert main(["generate", "none.png", "--max-megapixels", "3", "--max-gigabytes", "0.5"]) == 2
    assert "There is no picture none.png" in capsys.readouterr().err
    assert limits.most_pixels() == 3_000_000 and limits.most_pixels(frame=True) == 1_000_000
    with pytest.raises(limits.TooLargeError, match=r"it takes 0\.6 GB of memory, more than the 0\.5 that are allowed"):
        limits.require_bytes(600_000_000, "it takes")
