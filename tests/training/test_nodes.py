"""Two machines by `accelerate launch`, here two launchers on the loopback interface: they train what one process trains."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_lfae, tiny_unet
from training_scripts import ROOT, command_line, environment, load_script

from lfdm_diffusers.data.toon_faces import write_toon_faces


def launched(rank: int, port: int, argv: list[str], log: Path) -> subprocess.Popen:
    """What docs/scale.md gives for each machine; on the CPU, which the environment says."""
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--multi_gpu", "--num_machines", "2"),
        *("--num_processes", "2", "--machine_rank", str(rank), "--main_process_ip", "127.0.0.1"),
        *("--main_process_port", str(port), "--mixed_precision", "no", "--dynamo_backend", "no"),
        str(ROOT / "training" / "train_unet.py"),
        *argv,
    ]
    return subprocess.Popen(command, env=environment(), stdout=log.open("w"), stderr=subprocess.STDOUT)


@pytest.mark.slow
@pytest.mark.integration
def test_two_machines_are_one(tmp_path):
    write_toon_faces(tmp_path / "data", 3, 1, labels=("happiness", "anger"), num_frames=4, size=32, progress=False)
    tiny_lfae(flow_grid="centers").save_pretrained(tmp_path / "lfae")
    config = {key: value for key, value in tiny_unet().config.items() if not key.startswith("_")}
    for name in ("image_latent_channels", "text_embed_dim", "sample_size", "num_frames"):
        del config[name]
    (tmp_path / "config.json").write_text(json.dumps(config))

    def arguments(output: str, batch_size: int) -> list[str]:
        return command_line({
            "train_data_dir": tmp_path / "data", "output_dir": tmp_path / output, "lfae": tmp_path / "lfae",
            "model_config_name_or_path": tmp_path / "config.json", "text_encoder": "none", "num_frames": 4,
            "train_batch_size": batch_size, "max_train_steps": 3, "validation_steps": 0, "num_validation_clips": 2,
            "num_validation_pictures": 1, "num_inference_steps": 2,
        })  # fmt: skip

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = [tmp_path / f"machine-{rank}" for rank in range(2)]
    machines = [launched(rank, port, arguments("two", 2), log) for rank, log in enumerate(logs)]
    assert [machine.wait(timeout=900) for machine in machines] == [0, 0], [log.read_text() for log in logs]
    load_script("train_unet").run(arguments("one", 4))
    one, two = (
        load_file(tmp_path / output / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
        for output in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-5, rtol=0)
    # Each machine computed its share of the motion, once.
    shards = list((tmp_path / "two" / "motion").glob("*.json"))
    kept = [key for shard in shards for key in json.loads(shard.read_text())]
    assert len(shards) == 2 and len(kept) == len(set(kept)) == 6
