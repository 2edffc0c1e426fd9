#!/usr/bin/env python
"""docs/performance.md, of the runs in docs/performance.

python benchmarks/performance_page.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from convolutions import gains
from performance_speed import DOCS, RELEASED_PEAK, RUNS, as_trained, speed_part
from speed import usual_batch
from workloads import ITEMS

from lfdm_diffusers.files.whole import write_text


def precision_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))["differences"]
    kinds = list(next(iter(content.values())))
    lines = ["| | " + " | ".join(kinds) + " |", "|" + " --- |" * (len(kinds) + 1)]
    for dtype, found in content.items():
        cells = (f"{found[kind]['mean']:.2g} (at most {found[kind]['largest']:.2g})" for kind in kinds)
        lines.append(f"| {dtype} | " + " | ".join(cells) + " |")
    return [
        "## Half precision",
        "Videos of toon64 from the same noise, against float32: mean absolute differences, latents in units of the noise "
        "at the start, pixels of [0, 1]. Two seeds in float32 differ as the last column says.",
        "```bash\npython benchmarks/precision.py --output docs/performance/precision.json\n```",
        "\n".join(lines),
        *fvd_of_precisions(),
    ]


def fvd_of_precisions() -> list[str]:
    """FVD of the model's clips in each precision that it was measured in."""
    files = {"float32": DOCS / "results" / "table1-lfdm.json"} | {
        path.stem.removeprefix("fvd-"): path for path in sorted((RUNS / "fvd").glob("fvd-*.json"))
    }
    lines = ["| | FVD | KVD | label accuracy |", "| --- | --- | --- | --- |"]
    for dtype, path in files.items():
        scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
        cells = [f"{scores[name]['value']:.4g} ± {scores[name]['standard_error']:.2g}" for name in ("fvd", "kvd")]
        lines.append("| " + " | ".join([dtype, *cells, f"{scores['accuracy']['value']:.4g}"]) + " |")
    return [
        "Of 280 people and labels that the model has not seen ([results.md](results.md), table 1):",
        "```bash\nlfdm data toon-faces toon --num-subjects 640 --num-test-subjects 40 --num-frames 16 --size 64 --format webp\n"
        "lfdm evaluate toon64 --data toon --split test --metrics fvd,kvd,accuracy --output fvd-float32\n"
        "lfdm evaluate toon64 --data toon --split test --metrics fvd,kvd,accuracy --dtype bfloat16 --output fvd-bfloat16\n```",
        "\n".join(lines),
    ]


def startup_part(path: Path) -> list[str]:
    rows = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    lines = ["| | seconds | GB |", "| --- | --- | --- |"]
    lines += [f"| {name} | {row['median']:.3g} | {row['memory_gb']:.2f} |" for name, row in rows.items()]
    return [
        "## Start-up",
        "Each in a fresh process, medians; the interpreter's own start is in them, except that `import lfdm_diffusers` is timed by itself. GB are the process's largest.",
        "```bash\npython benchmarks/startup.py --output docs/performance/startup.json\n```",
        "\n".join(lines),
    ]


def browser_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    lines = ["| | seconds |", "| --- | --- |"]
    lines += [f"| {name} | {row['median']:.3g} |" for name, row in content["browser"].items()]
    return [
        "## In a browser",
        f"The web page ([web.md](web.md)) with {content['model']} ({content['megabytes']} MB) in headless Chromium, labels of the package's photograph in {content['steps']} steps. "
        f"The page says: {content['facts']} It is served from the same machine. Medians of {len(content['browser']['the first clip']['all'])} fresh browsers.",
        "```bash\npython benchmarks/browser.py --output docs/performance/browser.json\n```",
        "\n".join(lines),
    ]


def main_command_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    rows, calls = content["main_command"], content["calls"]
    first = rows["model"]
    lines = ["| `--output-size` | seconds | | seconds of all cores | | GB |", "|" + " --- |" * 6]
    for size, row in rows.items():
        cells = [size, *(f"{row[key]:.3g} | {row[key] / first[key]:.2f}" for key in ("median", "core_seconds"))]
        lines.append("| " + " | ".join([*cells, f"{row['memory_gb']:.2f}"]) + " |")
    return [
        "## Clips of the picture's own size",
        f"The main command, `lfdm generate`: seven clips of the package's photograph by people128, at the model's size (128 pixels, enlarged) and at the picture's (512). "
        f"Medians of {calls} processes each, in turns, and beside them their ratio to the first row.",
        "```bash\npython benchmarks/main_command.py --output docs/performance/main_command.json\n```",
        "\n".join(lines),
    ]


def waiting_table(rows: dict[str, dict]) -> str:
    lines = ["| | waiting for data | steps a second |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {row['waiting_for_data']:.1%} | {row['steps_per_second']:.3g} |" for name, row in rows.items()
    ]
    return "\n".join(lines)


def data_part(path: Path) -> list[str]:
    rows = json.loads(path.read_text(encoding="utf-8"))["waiting"]
    return [
        "## Waiting for data",
        "The share of a training's time, with decoded clips cached as the scripts do by default; `metrics.jsonl` has it for every "
        "training as `waiting_for_data`.",
        "```bash\nlfdm data toon-faces few-toons --num-subjects 40 --num-test-subjects 4 --num-frames 16 --size 64 --format webp\n"
        "python benchmarks/data_waiting.py --train_data_dir few-toons --output docs/performance/data.json\n```",
        waiting_table(rows),
    ]


def larger_than_memory_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    sets = ", ".join(
        f"{name}: {clips:,} clips, {content['bytes'][name] / 1e9:.2g} GB" for name, clips in content["clips"].items()
    )
    gigabytes = content["memory"] / 1e9
    times = round(content["bytes"]["large"] / content["memory"])
    return [
        f"## A set of {times} times the memory",
        f"Two examples a step under a limit of {gigabytes:.2g} GB for everything, the training itself included; frames and motion "
        f"lie in their caches. {sets[0].upper()}{sets[1:]}.",
        f"```bash\npython benchmarks/larger_than_memory.py --gigabytes {gigabytes:g} --times {times} --steps 20 --output docs/performance/{path.name}\n```",
        waiting_table(content["larger_than_memory"]),
    ]


def convolutions_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    machine = content["machine"]
    lines = ["| | maps | way | the library's ms | times as fast | with gradients | taken |", "|" + " --- |" * 7]
    for row in content["convolutions"]:
        kernel, side = row["kernel"], row["side"]
        maps = f"{row['channels_in']} to {row['channels_out']} channels, {kernel}x{kernel}, {row['maps']} of {side}x{side}"
        forward, training = gains(row)
        cells = [row["where"], maps, row["way"], f"{1e3 * row['library']:.3g}", f"{forward:.2f}", f"{training:.2f}"]
        lines.append("| " + " | ".join([*cells, "yes" if row["taken"] else "no"]) + " |")
    return [
        f"## Single convolutions: {machine['processor']}, {machine['threads']} threads",
        "In float32, beside the library's convolution in turns: 3x3 ones in fewer multiplications (winograd), few output channels column by column (columns), few places as one product "
        "(product). Whether a way is taken depends on the processor and the shape ([method.md](method.md)).",
        f"```bash\npython benchmarks/convolutions.py --output docs/performance/{path.name}\n```",
        "\n".join(lines),
    ]


def ways_part(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    machine = content["machine"]
    parts = [
        f"## What each faster way saves: {machine['processor']}, {machine['threads']} thread",
        "How many times as long it takes without one of the ways of `lfdm_diffusers/ops`, by the least of several turns. What leaving out "
        "nothing gives is chance; so is what a way gives where it is never taken.",
        f"```bash\npython benchmarks/faster_ways.py --output docs/performance/{path.name}\n```",
    ]
    # A table for each set of ways: the U-Net has others than the auto-encoder.
    tables: dict[tuple[str, ...], list[dict]] = {}
    for row in content["ways"]:
        tables.setdefault(tuple(row["times_without"]), []).append(row)
    for names, rows in tables.items():
        heads = [
            f"{ITEMS[row['item']].split(',')[0]}: {row['model']}, {row['dtype']}, {row['turns']} turns" for row in rows
        ]
        lines = ["| without | " + " | ".join(heads) + " |", "|" + " --- |" * (len(rows) + 1)]
        for name in names:
            lines.append(f"| {name} | " + " | ".join(f"{row['times_without'][name]:.3f}" for row in rows) + " |")
        parts.append("\n".join(lines))
    return parts


KINDS = {
    "rows": speed_part,
    "convolutions": convolutions_part,
    "ways": ways_part,
    "differences": precision_part,
    "waiting": data_part,
    "larger_than_memory": larger_than_memory_part,
    "seconds": startup_part,
    "main_command": main_command_part,
    "browser": browser_part,
}


def usual(rows: list[dict], item: str, model: str, dtype: str) -> dict | None:
    """The row of an item as it is used: as trained, eager, without checkpointing."""
    ways = ("compiled", "checkpointing", "plain")
    for row in filter(as_trained, rows):
        of_it = (row["item"], row["model"], row["dtype"], row["batch"]) == (item, model, dtype, usual_batch(item))
        if of_it and not any(row[way] for way in ways):
            return row
    return None


def has_gpu(runs: list[dict]) -> bool:
    return any(row["device"] == "cuda" for content in runs for row in content["rows"])


def glance(runs: list[dict]) -> list[str]:
    """What most readers want: seconds of a clip, and of a training's step, and how well the machine is used."""
    columns = [(model, dtype) for model in ("toon64", "mug128") for dtype in ("float32", "bfloat16")]
    names = [
        f"{machine['processor']}, {machine['threads']} threads" for machine in (content["machine"] for content in runs)
    ]

    def cells(content: dict, item: str, value: str) -> list[str]:
        found = [usual(content["rows"], item, *column) for column in columns]
        allowed = [dtype == "float32" or content["machine"]["half"] for _, dtype in columns]
        return [value.format(**row) if row and row["share_of_peak"] and ok else "" for row, ok in zip(found, allowed)]

    def table(items: list[str], value: str) -> str:
        heads = ["", "", *(f"{model}, {dtype}" for model, dtype in columns)]
        lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        for item in items:
            for name, content in zip(names, runs):
                lines.append("| " + " | ".join([ITEMS[item], name, *cells(content, item, value)]) + " |")
        return "\n".join(lines)

    parts = [
        "Seconds of one clip in ten steps, and of a training's step; mug128 is the released model's size (40 frames of 128 pixels), toon64 that of the "
        "package's drawn faces (16 of 64), which takes four steps by default. Two threads are what a small laptop or a free notebook has.",
        table(["video_ddim10", "train_lfae_step", "train_unet_step"], "{seconds:.3g}"),
    ]
    if not has_gpu(runs):
        parts.append("No GPU was at hand: none was timed.")
    parts += [
        "The same as shares of what the machine multiplies at most (a product of large matrices in the same precision):",
        table(["unet_step", "decode", "video_ddim10", "train_lfae_step", "train_unet_step"], "{share_of_peak:.0%}"),
    ]
    return parts


METHOD = [
    "## How it was measured",
    "Every row of the tables below is a process of its own: "
    "the median of several calls, their spread, and the first call, which is not among them; GFLOP as torch counts them, those of convolutions in full; the "
    "peak is that of a product of 4096x4096 matrices in the same precision and process (512x512 where that takes minutes), which "
    "convolutions may surpass on processors that the library of products was not tuned for, or where they are multiplied less than they are counted "
    "([method.md](method.md)). `seconds x peak` is in GFLOP of the "
    "float32 peak: machines compare by it.",
    "`than plain` says how many times as fast a row is as the plain one of the same machine: the method's formulas in float32 with volumes of "
    "five axes ([benchmarks/plain.py](../benchmarks/plain.py)), which convolve the picture anew at every step and decode frame by frame; the tests hold both to the "
    "same numbers. `than released` compares with "
    f"the released code's figures (two CPU cores of another machine, float32, a peak of {RELEASED_PEAK} GFLOP/s) by `seconds x peak`, and in brackets by seconds "
    "as they are; its memory stands in brackets too. It is no more than a comparison across machines can be: a processor whose convolutions surpass its "
    "product of matrices gains by it. The released training step of stage two also computes the flow, which is cached here, and decodes for its log; 6.9 of its "
    "17.9 seconds are the U-Net's and Adam's.",
    "Weights are random, in files from which they are loaded. Memory is the process's "
    "largest (on GPUs the allocator's); of weights it has what is used, as files are mapped.",
]


def page() -> str:
    found = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RUNS.glob("*.json"))}
    runs = [content for content in found.values() if "rows" in content]
    parts = [
        "# Performance",
        "Written by `python benchmarks/performance_page.py` from the runs in [performance/](performance).",
        *glance(runs),
        *METHOD,
    ]
    for key, part in KINDS.items():
        for path, content in found.items():
            if key in content:
                parts += part(path)
    if not has_gpu(runs):
        parts += [
            "## GPUs",
            "No row is of one. All of them, in all three precisions, eager and compiled, with batches of 1 and 10, by one command. "
            "Rows draw their noise on the device; where a step draws some from a CPU's generator, the device waits for it.",
            "```bash\npython benchmarks/speed.py --output docs/performance/cuda.json --device cuda\npython benchmarks/performance_page.py\n"
            "python benchmarks/operations.py --item unet_step --dtype bfloat16 --batch 10 --device cuda  # what a step spends its time on\n```",
        ]
    return "\n\n".join(map(wrapped, parts)) + "\n"


def wrapped(part: str) -> str:
    """A paragraph in lines of 120 characters; headings, tables and commands as they are."""
    if part.startswith(("#", "|", "```")):
        return part
    return textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    write_text(DOCS / "performance.md", page())


if __name__ == "__main__":
    main()
