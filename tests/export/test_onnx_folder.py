"""A pipeline in ONNX files gives the clips that it gives in torch."""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from tiny import LABELS, TEXT_DIM, knowing_sentences, sentence_pipeline, tiny_image, tiny_pipeline, tiny_unet

from lfdm_diffusers import FullSizePainter
from lfdm_diffusers.export.folder import export_onnx
from lfdm_diffusers.export.graphs import pipeline_graphs
from lfdm_diffusers.export.onnx_files import check_graph, write_graph
from lfdm_diffusers.pipelines.shown_labels import ShownLabels

STEPS = 3
# The exporter of torch 2.6 cannot convert BatchNorm; between the two nothing was run.
can_export = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13), reason="exports with torch 2.13"
)
# Looked for, not imported: that takes seconds, which every run of other tests would pay.
pytestmark = pytest.mark.skipif(not all(map(find_spec, ("onnxruntime", "onnxscript"))), reason="needs the extra onnx")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A pipeline, and the folder of its files (float16: its own weights have been rounded, so that both have the same)."""
    unet = tiny_unet(image_blocks=1, image_block_channels=8, image_summary=4)
    for part in (unet.picture_reader, unet.picture_reader.summary):
        torch.nn.init.normal_(part.conv_out.weight)
    told = ShownLabels((LABELS[0],), torch.full((1, 4), 0.1), torch.ones(1), 3.0)
    pipe = tiny_pipeline(unet=unet, text_encoder=True, default_guidance_scale=2.0, shown_labels=told.to_config())
    pipe.lfae.register_to_config(flow_grid="centers", warp_padding="border")
    pipe.unet.register_to_config(flow_target="residual", prediction_type="v_prediction")
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction")
    pipe.register_modules(painter=FullSizePainter(scale=2, base_channels=8, coarse_channels=16, num_blocks=1))
    folder = tmp_path_factory.mktemp("onnx") / "out"
    found = export_onnx(pipe, folder, dtype="float16", num_inference_steps=[STEPS], eta=0)
    assert set(found) == {"encoder", "denoiser", "renderer", "text_encoder", "painter"} and max(found.values()) < 1e-4
    return pipe, folder


@can_export
@pytest.mark.integration
def test_a_runner_makes_the_pipelines_clip(exported):
    from lfdm_diffusers.export.runner import OnnxRunner

    pipe, folder = exported
    latents = torch.randn(1, 3, pipe.unet.config.num_frames, 8, 8, generator=torch.Generator().manual_seed(3))
    picture = tiny_image()
    wanted = pipe(picture, LABELS[1], latents=latents, num_inference_steps=STEPS, eta=0, output_type="pt")
    runner = OnnxRunner(folder)
    asked = dict(num_inference_steps=STEPS, noise=lambda shape: latents.numpy())
    shown = pipe.labels_shown(picture)
    assert shown == [LABELS[0]]
    led = pipe(
        picture, [LABELS[1]], latents=latents, num_inference_steps=STEPS, eta=0, output_type="pt",
        **pipe.guidance_away([LABELS[1]], shown),
    )  # fmt: skip
    clip = runner(picture.numpy(), LABELS[1], **asked)
    np.testing.assert_allclose(clip.flow, led.flow[0].numpy(), atol=1e-3)
    assert np.abs(clip.flow - wanted.flow[0].numpy()).max() > 1e-2
    assert runner.about["shown"] == {"labels": [LABELS[0]], "guidance_scale": 3.0}
    runner.about["shown"] = None
    clip = runner(picture.numpy(), LABELS[1], **asked)
    for name in ("frames", "warped", "flow", "occlusion"):
        np.testing.assert_allclose(getattr(clip, name), getattr(wanted, name)[0].numpy(), atol=1e-3)
    unguided = pipe(
        picture, LABELS[1], latents=latents, num_inference_steps=STEPS, guidance_scale=1, eta=0, output_type="pt"
    )
    assert np.abs(unguided.flow[0].numpy() - clip.flow).max() > 1e-2
    another = runner(picture.numpy(), LABELS[2], **asked)
    assert np.abs(another.flow - clip.flow).max() > 1e-3
    runner.about["volume"]["first_frame_is_picture"] = True
    np.testing.assert_allclose(runner(picture.numpy(), LABELS[1], **asked).frames[0], picture.numpy(), atol=1e-4)
    for text in ("a face smiles", "waves " * 40):  # more tokens than it has places for
        (wanted_text,) = pipe.encode_prompt(text)
        np.testing.assert_allclose(runner.embedding(text), wanted_text.numpy(), atol=1e-4)
    runner.about["text"] = None
    with pytest.raises(ValueError, match=r"`label` must be one of anger.*'joy'"):
        runner.embedding("joy")
    with pytest.raises(ValueError, match=r"`num_inference_steps` must be one of 3, got 5"):
        runner(picture.numpy(), num_inference_steps=5)


@can_export
@pytest.mark.integration
def test_a_runner_hears_the_words_of_a_sentence(tmp_path, caplog):
    from lfdm_diffusers.export.runner import OnnxRunner

    pipe = knowing_sentences(sentence_pipeline(default_guidance_scale=2.0))
    pipe.unet.register_to_config(prediction_type="v_prediction")
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="v_prediction")
    export_onnx(pipe, tmp_path / "out", num_inference_steps=[STEPS], eta=0)
    runner = OnnxRunner(tmp_path / "out")
    assert runner.about["labels"]["shape"] == [len(LABELS), *pipe.encode_prompt(list(LABELS))[0].shape[1:]]
    assert runner.about["graphs"]["denoiser"]["inputs"]["text_embeds"]["shape"] == [1, "num_tokens", TEXT_DIM]
    latents = torch.randn(1, 3, pipe.unet.config.num_frames, 8, 8, generator=torch.Generator().manual_seed(3))
    asked = dict(num_inference_steps=STEPS, noise=lambda shape: latents.numpy())
    flows = []
    for text in (LABELS[1], "a face smiles", "smiles face a", None):
        wanted = pipe(tiny_image(), text, latents=latents, num_inference_steps=STEPS, eta=0, output_type="pt")
        flows.append(runner(tiny_image().numpy(), text, **asked).flow)
        np.testing.assert_allclose(flows[-1], wanted.flow[0].numpy(), atol=1e-3)
    assert all(np.abs(flows[i] - flows[j]).max() > 1e-3 for i in range(4) for j in range(i))
    assert "is unlike" not in caplog.text
    logging.getLogger("lfdm_diffusers").propagate = True
    runner.embedding("waves and waves of anger")
    assert "'waves and waves of anger' is unlike the sentences" in caplog.text


@can_export
@pytest.mark.integration
def test_files_are_half_as_large_and_say_their_shapes(exported):
    import onnx

    _, folder = exported
    about = json.loads((folder / "runner.json").read_text())
    assert about["painter"] == {"scale": 2} and about["graphs"]["painter"]["inputs"]["picture"]["shape"] == [
        1,
        3,
        64,
        64,
    ]
    assert about["sampling"]["default_num_inference_steps"] == STEPS  # of which there is a table
    assert about["volume"]["frames"] == 4 and list(about["sampling"]["steps"]) == [str(STEPS)]
    model = onnx.load(folder / "denoiser.onnx")
    halved = sum(np.prod(w.dims) for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16)
    whole = sum(np.prod(w.dims) for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    assert halved > 3 * whole
    for graph in about["graphs"].values():
        nodes = onnx.load(folder / graph["file"]).graph.node
        assert {node.domain for node in nodes} <= {"", "ai.onnx"}
        assert not {node.op_type for node in nodes} & {"Loop", "Scan", "If"}


@can_export
@pytest.mark.integration
@pytest.mark.parametrize(("name", "sides"), [("denoiser", False), ("renderer", True)])
def test_graphs_of_other_lengths_and_sides(tmp_path, name, sides):
    pipe = tiny_pipeline(unet=tiny_unet(block_out_channels=(16,), num_frames=5))
    for part in (pipe.lfae, pipe.unet):
        part.requires_grad_(False)
    graph, file = pipeline_graphs(pipe)[name].with_free(True, sides), tmp_path / f"{name}.onnx"
    write_graph(graph, file, 18, "float32")
    pipe.unet.register_to_config(num_frames=7)
    other = pipeline_graphs(pipe, size=(32, 32 + pipe.stride * sides))[name]
    assert check_graph(graph, file) < 1e-4 and check_graph(other, file) < 1e-4


@can_export
@pytest.mark.slow
@pytest.mark.integration
def test_clips_of_another_length_and_size(exported, tmp_path):
    """Of files whose axes are free: torch's frames of a picture that is no square."""
    from lfdm_diffusers.export.runner import OnnxRunner

    pipe, _ = exported
    options = dict(dtype="float32", num_inference_steps=[STEPS], eta=0, dynamic=True, dynamic_size=True)
    assert max(export_onnx(pipe, tmp_path / "any", **options).values()) < 1e-4
    about = json.loads((tmp_path / "any" / "runner.json").read_text())
    shapes = {name: graph["inputs"] for name, graph in about["graphs"].items()}
    assert shapes["denoiser"]["volume"]["shape"] == [1, 3, "num_frames", "height/4", "width/4"]
    assert shapes["renderer"]["skip_0"]["shape"][2:] == ["height", "width"]
    assert shapes["painter"]["picture"]["shape"] == [1, 3, "height*2", "width*2"]
    height, width = 32 + about["picture"]["stride"], 32
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    places = height // 4, width // 4
    latents = torch.randn(1, 3, 5, *places, generator=torch.Generator().manual_seed(3))
    runner = OnnxRunner(tmp_path / "any")
    runner.about["volume"]["frames"] = 5
    clip = runner(picture.numpy(), LABELS[1], num_inference_steps=STEPS, noise=lambda shape: latents.numpy())
    graphs = pipeline_graphs(pipe, size=(height, width))
    flow, occlusion = torch.from_numpy(clip.flow), torch.from_numpy(clip.occlusion)
    assert flow.shape == (5, 2, *places) and clip.frames.shape == (5, 3, height, width)
    with torch.no_grad():
        _, *skips, _ = graphs["encoder"].module(picture[None])
        wanted, _ = graphs["renderer"].module(picture[None], flow, occlusion, *skips)
    np.testing.assert_allclose(clip.frames, wanted.numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 12}, r"`opset` must be one of 18, 19, got 12"),
        ({"dtype": "int8"}, r"`dtype` must be one of float16, float32, got 'int8'"),
        ({"eta": 2}, r"`eta` must be from 0 to 1, got 2"),
        ({"num_inference_steps": [0]}, r"`num_inference_steps` must be from 1 to 1000, got \[0\]"),
    ],
)
def test_what_is_not_allowed_writes_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(tiny_pipeline(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_kept(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        export_onnx(tiny_pipeline(), tmp_path)
    with pytest.raises(ValueError, match="something else"):
        export_onnx(tiny_pipeline(), tmp_path, overwrite=True)
    assert (tmp_path / "note.txt").read_text() == "mine"
