"""The same clips from a folder, from tars, from the Hub and from a table train the same weights, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from loopback_python import RemoteError
from safetensors.torch import load_file
from tar_files import write_tar
from tiny import tiny_lfae
from training_scripts import assert_same, command_line, load_script

from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces

train_lfae = load_script("train_lfae")
run, refusal = train_lfae.run, train_lfae.refusal


FIND = """
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.named_sets import NamedSet
result = [clip.label for clip in find_clips(NamedSet(**named), name="--x")]
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    labels = ("happiness", "surprise")
    write_toon_faces(root / "data", 3, 1, labels=labels, num_frames=4, size=32, format="webp", progress=False)
    (root / "config.json").write_text(json.dumps(dict(tiny_lfae().config)))
    return root


@pytest.fixture(scope="module")
def clips(faces) -> list[Clip]:
    return find_clips(faces / "data")


def arguments(faces: Path, output: Path, **changes) -> list[str]:
    values = {
        "output_dir": output,
        "model_config_name_or_path": faces / "config.json",
        "perceptual": "none",
        "train_batch_size": 2,
        "max_train_steps": 3,
        "validation_steps": 0,
        "num_validation_pairs": 2,
        **changes,
    }
    return command_line(values)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "lfae" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def from_a_folder(faces, tmp_path_factory) -> dict[str, torch.Tensor]:
    output = tmp_path_factory.mktemp("folder")
    run(arguments(faces, output, train_data_dir=faces / "data"))
    return weights(output)


@pytest.mark.integration
def test_tars(faces, clips, from_a_folder, tmp_path):
    for number, shard in enumerate((clips[:2], clips[2:5], clips[5:])):
        members = {}
        for index, clip in enumerate(shard):
            members[f"{index}.webp"] = clip.path.read_bytes()
            members[f"{index}.json"] = json.dumps({"label": clip.label, "split": clip.split})
        write_tar(tmp_path / f"s-{number:02d}.tar", members)
    run(arguments(faces, tmp_path / "out", train_data_dir=tmp_path / "s-{00..02}.tar", dataloader_num_workers=1))
    assert_same(weights(tmp_path / "out"), from_a_folder)


@pytest.mark.integration
def test_files_of_the_hub(faces, clips, from_a_folder, tmp_path, loopback_hub, scripts):
    rows = ["file_name,label,split"]
    rows += [f"{n}.webp,{clip.label},{clip.split}" for n, clip in enumerate(clips)]
    files = {f"{n}.webp": clip.path.read_bytes() for n, clip in enumerate(clips)}
    loopback_hub.add("datasets/me/faces", {"small/" + name: content for name, content in files.items()})
    loopback_hub.add("datasets/me/faces", {"small/metadata.csv": "\n".join(rows).encode(), "large/a.webp": b""})
    named = {"dataset_name": "me/faces", "dataset_config_name": "small"}
    said, before = tmp_path / "said", len(loopback_hub.requests)
    assert scripts.done("train_lfae", arguments(faces, tmp_path / "out", **named), said) == [0], said.read_text()
    assert_same(weights(tmp_path / "out"), from_a_folder)
    assert not any("large" in request for request in loopback_hub.requests[before:])  # only what is needed comes
    for changes, told in {
        ("name", "me/nothing"): "`--x` 'me/nothing' cannot be had from the Hub: ",
        ("config", "medium"): "`--x` 'me/faces' has no folder 'medium'",
        ("revision", "v9"): "`--x` 'me/faces' cannot be had from the Hub: ",
    }.items():
        with pytest.raises(RemoteError, match=told) as refused:
            scripts.run(FIND, named={"name": "me/faces", changes[0]: changes[1]})
        assert refused.value.kind == "ValueError"


def table_of(datasets, clips: list[Clip]) -> object:
    """Rows of the library `datasets`: the bytes of clips, and their labels as numbers with names."""
    labels = sorted({clip.label for clip in clips})
    features = {"video": datasets.Video(decode=False), "label": datasets.ClassLabel(names=labels)}
    return datasets.Dataset.from_dict(
        {
            "video": [{"bytes": clip.path.read_bytes(), "path": None} for clip in clips],
            "label": [labels.index(clip.label) for clip in clips],
        },
        features=datasets.Features(features),
    )


@pytest.mark.integration
def test_streamed_from_the_hub(faces, clips, from_a_folder, tmp_path, loopback_hub, scripts):
    """What comes by once trains the same."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    for split in ("train", "test"):
        table_of(datasets, [clip for clip in clips if clip.split == split]).to_parquet(tmp_path / f"{split}.parquet")
        loopback_hub.add("datasets/me/tables", {f"{split}.parquet": (tmp_path / f"{split}.parquet").read_bytes()})
    named = {"dataset_name": "me/tables", "streaming": True}
    said = tmp_path / "said"
    assert scripts.done("train_lfae", arguments(faces, tmp_path / "out", **named), said) == [0], said.read_text()
    assert_same(weights(tmp_path / "out"), from_a_folder)
    assert not any(str(path).endswith(".parquet") for path in scripts.home.rglob("*"))
    two, told = arguments(faces, tmp_path / "two", **named), tmp_path / "told"
    assert scripts.done("train_lfae", two, told, processes=2) == [0, 0], told.read_text()
    decoded = sum(1 for clip in clips if clip.split == "train")
    assert f"training: {decoded} clips with {4 * decoded} frames can be used, 0 cannot." in told.read_text()


@pytest.mark.integration
def test_tables(faces, clips, from_a_folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    splits = {split: [clip for clip in clips if clip.split == split] for split in ("train", "test")}
    datasets.disable_progress_bars()
    tables = datasets.DatasetDict({split: table_of(datasets, chosen) for split, chosen in splits.items()})
    tables.save_to_disk(str(tmp_path / "saved"))
    for split, table in tables.items():
        (tmp_path / "parquet").mkdir(exist_ok=True)
        table.to_parquet(str(tmp_path / "parquet" / f"{split}-00000-of-00001.parquet"))
    for folder in ("saved", "parquet"):
        run(arguments(faces, tmp_path / folder / "out", dataset_name=tmp_path / folder))
        assert_same(weights(tmp_path / folder / "out"), from_a_folder)
        run(arguments(faces, tmp_path / folder / "once", dataset_name=tmp_path / folder, streaming=True))
        assert_same(weights(tmp_path / folder / "once"), from_a_folder)
    tables.remove_columns("video").save_to_disk(str(tmp_path / "empty"))
    assert "has no column of videos, only label" in refusal(
        arguments(faces, tmp_path / "out", dataset_name=tmp_path / "empty")
    )


def test_refusals(faces, tmp_path, capsys):
    for named, told in {
        "./nothing": "`--dataset_name` must be a Hub id or a folder, got './nothing', which is neither",
        str(faces / "config.json"): "which is neither",
        str(tmp_path): "holds neither clips, nor tars, nor tables: nothing",
    }.items():
        assert told in refusal(arguments(faces, tmp_path / "out", dataset_name=named))
    named = {"dataset_name": faces / "data", "streaming": True, "cache_dir": "none"}
    assert "`--streaming` keeps frames in `--cache_dir`, which must be a folder" in refusal(
        arguments(faces, tmp_path / "out", **named)
    )
    assert "`--streaming` goes with `--dataset_name`" in refusal(
        arguments(faces, tmp_path / "out", train_data_dir=faces / "data", streaming=True)
    )
    assert "`--dataset_revision` goes with `--dataset_name`" in refusal(
        arguments(faces, tmp_path / "out", train_data_dir=faces / "data", dataset_revision="main")
    )
    refusal(arguments(faces, tmp_path / "out", train_data_dir=faces / "data", dataset_name="me/faces"))
    assert "argument --dataset_name: not allowed with argument --train_data_dir" in capsys.readouterr().err
    refusal(arguments(faces, tmp_path / "out"))
    assert "one of the arguments --train_data_dir --dataset_name is required" in capsys.readouterr().err
