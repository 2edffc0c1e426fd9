#!/usr/bin/env python
"""Seconds of single convolutions in the ways of `ops/convolution_cpu.py`, beside the library's own, with and without gradients.

    python benchmarks/convolutions.py --output docs/performance/convolutions.json

Shapes are those of mug128. The ways are taken in turns in one process, so that what else the machine does meets all alike, and
whether or not the package takes them on the processor at hand: "taken" says if it does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from speed import processor

from lfdm_diffusers.evaluation.report import software
from lfdm_diffusers.files.whole import write_json
from lfdm_diffusers.models.blocks_2d import FastConv2d
from lfdm_diffusers.ops import convolution_cpu

WITH_GRADIENTS = "_with_gradients"


@dataclass(frozen=True)
class Shape:
    """A convolution of maps `(maps, channels_in, side, side)` to `channels_out`, and the shorter way to be compared."""

    where: str
    way: str
    maps: int
    channels_in: int
    channels_out: int
    side: int
    kernel: int = 3


SHAPES = (
    Shape("U-Net, first level", "winograd", 40, 64, 64, 32),
    Shape("U-Net, second level", "winograd", 40, 128, 128, 16),
    Shape("U-Net, third level", "winograd", 40, 256, 256, 8),
    Shape("U-Net, fourth level", "winograd", 40, 512, 512, 4),
    Shape("decoder, bottleneck", "winograd", 2, 256, 256, 32),
    Shape("a large map", "winograd", 2, 128, 64, 128),
    Shape("decoder, to a picture", "columns", 2, 64, 3, 128, 7),
    Shape("flow predictor, deepest", "product", 1, 1024, 1024, 2),
)


WAYS: dict[str, Callable[[FastConv2d, torch.Tensor], torch.Tensor]] = {
    "winograd": convolution_cpu.by_winograd,
    "columns": convolution_cpu.by_columns,
    "product": convolution_cpu.by_product,
}
# Whether the package takes the way here.
TAKEN: dict[str, Callable[[FastConv2d, torch.Tensor], bool]] = {
    "winograd": convolution_cpu.can_use_winograd,
    "columns": convolution_cpu.has_few_channels,
    "product": convolution_cpu.has_few_places,
}


def library(conv: FastConv2d, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, conv.weight, conv.bias, padding=conv.padding)


def layer(shape: Shape) -> tuple[FastConv2d, torch.Tensor]:
    """With random weights, and maps for it that lie in memory as the models have them."""
    torch.manual_seed(0)
    conv = FastConv2d(shape.channels_in, shape.channels_out, shape.kernel, padding=shape.kernel // 2)
    x = torch.randn(shape.maps, shape.channels_in, shape.side, shape.side)
    return conv, x.contiguous(memory_format=torch.channels_last)


def measure(shape: Shape, calls: int) -> dict:
    """Medians of the library's way and of the shorter one, forward and with the gradients of maps and weights."""
    conv, x = layer(shape)
    row = asdict(shape) | {"taken": TAKEN[shape.way](conv, x)}
    ways = {"library": library, "shorter": WAYS[shape.way]}
    for gradients, end in ((False, ""), (True, WITH_GRADIENTS)):
        x = x.detach().requires_grad_(gradients)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(calls + 1):
            for name, way in ways.items():
                found[name].append(seconds(way, conv, x))
        row |= {name + end: statistics.median(times[1:]) for name, times in found.items()}
    return row


def seconds(way: Callable[[FastConv2d, torch.Tensor], torch.Tensor], conv: FastConv2d, x: torch.Tensor) -> float:
    """Of a call, and of its gradients if those of `x` are asked for."""
    since = time.perf_counter()
    with torch.set_grad_enabled(x.requires_grad):
        out = way(conv, x)
        if x.requires_grad:
            torch.autograd.grad(out, (x, conv.weight), torch.ones_like(out))
    return time.perf_counter() - since


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("convolutions.json"))
    parser.add_argument("--calls", type=int, default=15)
    args = parser.parse_args(argv)
    rows = []
    for shape in SHAPES:
        rows.append(measure(shape, args.calls))
        forward, training = gains(rows[-1])
        print(f"{shape.where}: {shape.way} {forward:.2f} times as fast, {training:.2f} with gradients", flush=True)
    machine = {"processor": processor("cpu"), "threads": torch.get_num_threads()}
    write_json(args.output, {"convolutions": rows, "machine": machine, "software": software()})


def gains(row: dict) -> tuple[float, float]:
    """How many times as fast the shorter way is, forward and with gradients."""
    return tuple(row["library" + end] / row["shorter" + end] for end in ("", WITH_GRADIENTS))


if __name__ == "__main__":
    main()
