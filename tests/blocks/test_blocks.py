"""The blocks make what `LFDMPipeline` makes, to the bit, together and one by one; and each is usable alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ModularPipeline, SequentialPipelineBlocks
from loopback_python import LoopbackPython
from PIL import Image
from tiny import tiny_image, tiny_painter, tiny_pipeline

from lfdm_diffusers import Box, LFDMBlocks, LFDMModularPipeline, LFDMPipeline, Motion, Stroke
from lfdm_diffusers.blocks import EditMotion, EncodePicture, GenerateMotion, RenderMotion

PICTURE = torch.rand(3, 48, 40, generator=torch.Generator().manual_seed(4))
MASK = (torch.arange(48)[:, None] < 20).float().expand(48, 40)
# What decides sizes, boxes, masks, batches and known motion: everywhere that the four parts must agree.
CALLS = {
    "plain": {},
    "edits": {"motion_mask": MASK, "motion_scale": 1.5, "loop": "ping_pong", "hold": 2},
    "the picture's size": {"prompt": ["anger", "surprise"], "output_size": "picture", "mask_image": MASK},
    "another size": {"height": 64, "width": 80, "motion_mask": MASK},
    "subjects": {"subjects": [Box(0, 0, 16, 16), Box(16, 16, 30, 30)], "motion_scale": 0.5},
    "strokes": {"strokes": [Stroke([(5, 5), (12, 12)])], "num_videos_per_prompt": 2, "height": 32},
    "several pictures": {
        "image": [PICTURE, tiny_image()], "prompt": ["anger", "surprise"], "num_videos_per_prompt": 2,
        "guidance_scale": 2.0, "negative_prompt": "happiness",
    },
    "a longer loop": {"loop": True, "num_frames": 9},
    "initial noise": {"latents": torch.randn(1, 3, 5, 12, 12, generator=torch.Generator().manual_seed(1))},
}  # fmt: skip


def modular(pipe: LFDMPipeline, blocks=None) -> LFDMModularPipeline:
    made = (LFDMBlocks() if blocks is None else blocks).init_pipeline()
    made.update_components(
        **{name: part for name, part in pipe.components.items() if name in made.components and part}
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def pipe() -> LFDMPipeline:
    return tiny_pipeline(painter=tiny_painter())


@pytest.fixture(scope="module")
def blocks(pipe) -> LFDMModularPipeline:
    return modular(pipe)


def asked(**changes) -> dict:
    generator = torch.Generator().manual_seed(0)
    call = {"image": PICTURE, "prompt": "anger", "num_inference_steps": 2, "output_type": "np", "generator": generator}
    return call | changes


@pytest.mark.parametrize("name", CALLS)
def test_blocks_are_the_pipeline(pipe, blocks, name):
    wanted, made = pipe(**asked(**CALLS[name])), blocks(**asked(**CALLS[name]))
    assert np.array_equal(wanted.frames, made.frames) and np.array_equal(wanted.warped, made.warped)
    assert torch.equal(wanted.flow, torch.stack([motion.flow for motion in made.motion]))
    assert torch.equal(wanted.occlusion, torch.stack([motion.occlusion for motion in made.motion]))


def test_one_by_one_with_what_each_needs(pipe):
    """Encoded once by the auto-encoder alone, then two motions, one of them edited and rendered larger, without the U-Net."""
    encode, generate = modular(pipe, EncodePicture()), modular(pipe, GenerateMotion())
    edit, render = EditMotion().init_pipeline(), modular(pipe, RenderMotion())
    assert {"unet", "scheduler"}.isdisjoint((*encode.components, *edit.components, *render.components))
    assert "painter" not in generate.components and edit.lfae is None
    state = encode(image=PICTURE)
    for prompt in ("anger", "surprise"):
        moved = generate(state=state, prompt=prompt, num_inference_steps=2, generator=torch.Generator().manual_seed(0))
        wanted = pipe(**asked(prompt=prompt))
        assert np.array_equal(render(state=moved, output_type="np", output="frames"), wanted.frames)
    motion = edit(motion=moved.motion[0], motion_scale=0.5, loop="ease", output="motion")
    assert torch.equal(motion[0].flow, moved.motion[0].edited(0.5, loop="ease").flow)
    larger = render(canvas=state.canvas, encoded=state.encoded, motion=motion, output_size=(96, 80), output_type="np")
    assert np.array_equal(larger.frames, pipe.animate(PICTURE, motion, output_size=(96, 80), output_type="np").frames)


def test_parts_of_a_pipeline_share_its_components(pipe, blocks):
    animate = blocks.part("encode", "edit", "render")
    motion = Motion(*(x[0] for x in pipe(**asked(output_type="latent")).to_tuple()[1:3]))
    made = animate(image=PICTURE, motion=motion, hold=1, output_type="np", motion_mask=MASK)
    assert np.array_equal(
        made.frames, pipe.animate(PICTURE, motion, hold=1, output_type="np", motion_mask=MASK).frames
    )
    assert animate.lfae is pipe.lfae and "unet" not in animate.components
    with pytest.raises(ValueError, match=r"`names` must be among 'encode', 'generate', 'edit', 'render'.*'paint'"):
        blocks.part("paint")


def test_finer_edits_do_not_outlive_their_motion(pipe, blocks):
    """A state holds what `EditMotion` made for finer maps; another motion is not drawn with it."""
    state = blocks(**asked(motion_mask=MASK, motion_scale=2.0))
    other = [Motion(state.motion[0].still.expand(4, -1, -1, -1).clone(), torch.ones(4, 1, 8, 8))]
    assert state.finer.maps and state.finer.of(other) == ()
    assert state.finer.of(state.motion) is state.finer.maps
    frames = blocks.part("render")(state=state, motion=other, motion_mask=None, output="frames")
    assert np.array_equal(frames, pipe.animate(PICTURE, other, output_type="np").frames)


@pytest.mark.parametrize(
    ("part", "given", "message"),
    [
        ("encode", {"image": PICTURE, "image_fit": "stretch"}, r"`image_fit` must be one of .*'stretch'"),
        ("encode", {"image": PICTURE, "height": 33, "latents": torch.zeros(1, 3, 4, 8, 8)}, "`height` must be a multiple of 4"),
        ("encode", {"image": PICTURE, "subjects": [Box(90, 0, 99, 9)]}, "`subjects` must lie in the picture"),
        ("edit", {"motion": [1]}, "`motion` must be a Motion or a non-empty list"),
        ("edit", {"motion": "still", "hold": -1}, "`hold` must be a whole number of at least 0, got -1"),
        ("edit", {"motion": "still", "motion_mask": MASK, "mask_image": MASK}, "pass one of them, got both"),
        ("render", {"output_type": "latent", "motion": "still"}, r"`output_type` must be .*got 'latent'"),
        ("render", {"motion": "three"}, r"`motion` must hold as many motions as there are pictures \(2\)"),
        ("generate", {"prompt": "xyzzy", "num_inference_steps": 1}, "'xyzzy'"),
        ("generate", {"unet": None}, "`GenerateMotion` needs `unet` and `scheduler`"),
    ],
)  # fmt: skip
def test_bad_input_is_named(pipe, blocks, part, given, message):
    still = Motion(torch.zeros(4, 2, 8, 8), torch.ones(4, 1, 8, 8))
    given = dict(given)
    if "motion" in given:
        given["motion"] = {"still": still, "three": [still] * 3}.get(str(given["motion"]), given["motion"])
    one = blocks.part(part)
    if part == "generate" and "unet" in given:
        one.register_components(unet=given.pop("unet"))
    if part in ("generate", "render"):
        given |= {name: blocks.part("encode")(image=[PICTURE] * 2, output=name) for name in ("canvas", "encoded")}
    with pytest.raises(ValueError, match=message):
        one(**given)


def test_inputs_are_the_calls(blocks):
    """What a command line, a page or a node editor shows of the blocks is what the call's own documentation says."""
    inputs = {param.name: param for param in blocks.blocks.inputs}
    assert inputs["image"].required and not inputs["prompt"].required
    assert inputs["guidance_scale"].default is None and inputs["motion_scale"].default == 1.0
    assert inputs["hold"].description.startswith("frames for which the fullest one stays")
    assert inputs["width"].description == inputs["height"].description != ""
    assert all(param.description and param.type_hint for param in inputs.values())
    assert {"image", "mask_image"} <= inputs.keys()  # what `diffusers-cli run` loads as pictures
    assert "Fit pictures to the model's frame" in blocks.part("encode").blocks.sub_blocks["encode"].doc


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_saved_pipeline_is_one_of_blocks(tmp_path, pipe, variant):
    """With the package imported no code and no trust are needed; the index names no folder, so it may be moved."""
    pipe.save_pretrained(tmp_path / "saved", variant=variant)
    folder = (tmp_path / "saved").rename(tmp_path / "moved")
    index = json.loads((folder / "modular_model_index.json").read_text())
    assert str(tmp_path) not in json.dumps(index) and not list(folder.rglob("*.py"))
    assert index["unet"][2]["variant"] == variant and index["scheduler"][2]["variant"] is None
    loaded = ModularPipeline.from_pretrained(folder)
    loaded.load_components()
    assert type(loaded) is LFDMModularPipeline and type(loaded.blocks) is LFDMBlocks
    loaded.set_progress_bar_config(disable=True)
    np.testing.assert_allclose(loaded(**asked(output="frames")), pipe(**asked()).frames, atol=1e-5)
    assert loaded.text_encoder is None and loaded.painter is not None


def test_blocks_of_a_pipeline_that_has_no_index_of_them(tmp_path):
    pipe = tiny_pipeline(face_frame=3.0, default_num_inference_steps=2)
    pipe.save_pretrained(tmp_path)
    (tmp_path / "modular_model_index.json").unlink()
    loaded = SequentialPipelineBlocks.from_blocks_dict({"generate": GenerateMotion, "encode": EncodePicture})
    loaded = loaded.init_pipeline(tmp_path)
    loaded.load_components()
    assert loaded.config.face_frame == 3.0 and loaded.config.default_num_inference_steps == 2
    assert loaded.unet is not None and loaded.text_encoder is None and "painter" not in loaded.components
    assert loaded.part("encode")(image=PICTURE).canvas.image_fit == "center_crop"  # as a model of faces has it


def test_code_is_written_and_removed_with_the_other_code(tmp_path, pipe):
    pipe.save_pretrained(tmp_path, remote_code=True)
    config = json.loads((tmp_path / "modular_config.json").read_text())
    assert config["auto_map"] == {"ModularPipelineBlocks": "blocks.LFDMBlocks"}
    assert (tmp_path / "blocks.py").is_file()
    pipe.save_pretrained(tmp_path)
    assert not (tmp_path / "modular_config.json").exists() and not (tmp_path / "blocks.py").exists()
    (tmp_path / "blocks.py").write_text("# somebody's own\n")
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "blocks.py").read_text() == "# somebody's own\n"


@pytest.mark.integration
def test_stock_command_line(tmp_path, loopback_hub, pipe):
    """`diffusers-cli run` of a process that has not imported the package: as blocks, and as the whole pipeline."""
    pytest.importorskip("diffusers.commands.run")
    code, only = tmp_path / "code", tmp_path / "only"
    pipe.save_pretrained(code, remote_code=True)
    pipe.save_pretrained(only, remote_code=True)
    (only / "model_index.json").unlink()
    picture = Image.fromarray((PICTURE * 255).byte().permute(1, 2, 0).numpy())
    picture.save(tmp_path / "picture.png")
    call = {"image": str(tmp_path / "picture.png"), "prompt": "anger", "num_inference_steps": 2}
    process = LoopbackPython(loopback_hub.url, tmp_path / "home")
    command = """
import json, sys
from diffusers.commands.diffusers_cli import main
assert imported == ("lfdm_diffusers" in sys.modules)
sys.argv = ["diffusers-cli", "run", "-m", folder, "--trust-remote-code", "--device-map", "cpu", "--seed", "0",
            "--pipeline-kwargs", json.dumps(call), "-o", out, *more]
main()
"""
    wanted = pipe(**asked(image=picture)).frames[0]
    try:
        for folder, more in ((only, ["--output-key", "frames"]), (code, [])):
            out = tmp_path / folder.name / "clip.mp4"
            given = {"folder": str(folder), "out": str(out), "more": more, "imported": folder is code}
            process.run(command, call=call, **given)
            files = sorted(Path(out.parent, "clip-frames").glob("*.png"))
            frames = np.stack([np.asarray(Image.open(file)) for file in files])
            assert len(files) == 4 and np.abs(frames / 255 - wanted).max() < 1.5 / 255
    finally:
        process.close()


def test_the_page_of_examples_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "blocks.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 5
    monkeypatch.chdir(tmp_path)
    tiny_pipeline(painter=tiny_painter(), default_num_inference_steps=1).save_pretrained("my-pipeline")
    Image.fromarray((PICTURE * 255).byte().permute(1, 2, 0).numpy()).save("picture.png")
    names: dict = {}
    exec("\n".join(examples), names)
    assert [len(names[name]) for name in ("video", "small")] == [4, 4] and len(names["large"]) == 6
    assert names["large"][0].size == (40, 48) and names["small"][0].size == (32, 32)
    assert names["render"].lfae is not None and "unet" not in names["render"].components
