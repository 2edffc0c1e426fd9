"""Stage two on sentences, of any data: lists in `text` of the metadata, an encoder of one's own, words that are attended to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_image, tiny_lfae, tiny_text_encoder, tiny_unet
from training_scripts import command_line, load_script, records

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.data.toon_faces import write_toon_faces
from lfdm_diffusers.training.starting_unet import with_other_embeddings, with_text_attention

train_unet = load_script("train_unet")
run, refusal = train_unet.run, train_unet.refusal


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Clips with labels and sentences, as of `lfdm data toon-faces --actions`; an auto-encoder, a U-Net's configuration, a BERT."""
    root = tmp_path_factory.mktemp("faces")
    write_toon_faces(root / "data", 3, 1, labels=("happiness",), actions=8, num_frames=4, size=32, progress=False)
    tiny_lfae(flow_grid="centers").save_pretrained(root / "lfae")
    config = {k: v for k, v in tiny_unet(block_out_channels=(8,)).config.items() if not k.startswith("_")}
    for name in ("image_latent_channels", "text_embed_dim", "sample_size", "num_frames"):
        del config[name]
    (root / "config.json").write_text(json.dumps(config))
    for part in tiny_text_encoder(max_position_embeddings=32):
        part.save_pretrained(root / "bert")
    return root


def arguments(faces: Path, output: Path, **changes) -> list[str]:
    values = {
        "train_data_dir": faces / "data", "output_dir": output, "lfae": faces / "lfae", "model_config_name_or_path": faces / "config.json",
        "text_encoder": faces / "bert", "save_text_encoder": True, "num_frames": 4, "cache_dir": faces / "cache",
        "motion_cache_dir": faces / "motion", "train_batch_size": 4, "max_train_steps": 2, "validation_steps": 0,
        "num_validation_clips": 2, "num_validation_pictures": 1, "num_inference_steps": 1, "logging_steps": 1, **changes,
    }  # fmt: skip
    return command_line(values)


def loaded(output: Path) -> LFDMPipeline:
    pipe = LFDMPipeline.from_pretrained(output / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generated(pipe: LFDMPipeline, text: str, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    arguments = dict(num_inference_steps=1, generator=generator, output_type="latent", guidance_scale=scale)
    return pipe(tiny_image(), text, **arguments).frames


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("sentences")
    run(arguments(faces, output, text_attention=True, caption_prob=0.9))
    return output


def test_sentences_are_learned_and_the_pipeline_takes_them(faces, trained):
    pipe = loaded(trained)
    assert pipe.unet.config.text_attention and pipe.labels == ["happiness"]
    table = pipe.label_embeddings
    assert pipe.takes_sentences and 1 <= len(set(pipe.example_sentences)) == len(pipe.example_sentences)
    said = {
        text
        for row in (faces / "data" / "metadata.jsonl").read_text().splitlines()
        for text in json.loads(row)["text"]
    }
    assert said >= set(pipe.example_sentences)
    assert table.config.num_tokens > 0 and table.config.num_axes >= 5 and 0 < table.config.text_radius < 100
    # Nothing was dropped: the attention has learned.
    assert all(layer.attention.text.to_out[0].weight.abs().max() > 0 for layer in pipe.unet.down_blocks)
    assert (generated(pipe, "smiles and waves") - generated(pipe, "waves and smiles")).abs().max() > 0
    assert torch.isfinite(generated(pipe, "happiness", scale=3.0)).all()
    assert all(0 < line["denoising"] < 100 for line in records(trained) if "denoising" in line)


def test_goes_on_from_what_it_has_learned(faces, trained, tmp_path):
    run(arguments(faces, tmp_path, pretrained_model_name_or_path=trained / "pipeline", lfae=None, model_config_name_or_path=None,
                  text_encoder=None, caption_prob=1, max_train_steps=1))  # fmt: skip
    assert loaded(tmp_path).unet.config.text_attention


def test_sentences_alone_and_a_mean_alone_work_too(faces, tmp_path):
    """Without labels there is no table; without `--text_attention` the U-Net is given the mean, as released models are."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [json.loads(line) for line in (faces / "data" / "metadata.jsonl").read_text().splitlines()]
    rows = [{"file_name": row["file_name"], "split": row["split"], "caption": row["text"]} for row in rows]
    for split in ("train", "test"):
        (data / split).symlink_to(faces / "data" / split)
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(arguments(faces, tmp_path / "out", train_data_dir=data, max_train_steps=1))
    pipe = loaded(tmp_path / "out")
    assert pipe.labels is None and not pipe.unet.config.text_attention
    assert (generated(pipe, "smiles") - generated(pipe, "anger")).abs().max() > 0


def test_without_an_encoder_sentences_are_refused(faces, tmp_path):
    sentence = refusal(arguments(faces, tmp_path / "a", text_encoder="none", caption_prob=0.5, save_text_encoder=None))
    assert "`--text_encoder` must name an encoder" in sentence
    assert not (tmp_path / "a" / "motion").exists()


def test_a_trained_unet_learns_to_hear(faces, trained, tmp_path):
    pipe = loaded(trained)
    inputs = dict(sample=torch.randn(1, 3, 4, 8, 8), timestep=10, image_latents=torch.randn(1, 16, 8, 8))
    plain = tiny_unet(block_out_channels=(8,))
    hearing = with_text_attention(plain, 24)
    with torch.no_grad():
        torch.testing.assert_close(
            hearing(**inputs).sample, plain(**inputs).sample
        )  # without a text it does what it did
    pipe.unet, pipe.label_embeddings, pipe.text_encoder, pipe.tokenizer = plain, None, None, None
    pipe.save_pretrained(tmp_path / "deaf")
    more = dict(
        pretrained_model_name_or_path=tmp_path / "deaf", lfae=None, model_config_name_or_path=None, text_attention=True
    )
    assert "needs `--text_encoder`" in refusal(arguments(faces, tmp_path / "no", **more, text_encoder=None))
    run(arguments(faces, tmp_path / "out", **more, caption_prob=0.8, max_train_steps=1))
    assert loaded(tmp_path / "out").unet.config.text_attention


def test_labels_mean_what_they_did_in_the_words_of_another_encoder():
    """A U-Net that is to hear begins with what it knows of its labels, whatever their embeddings are now."""
    torch.manual_seed(3)
    plain = tiny_unet(block_out_channels=(8,))
    inputs = dict(sample=torch.randn(3, 3, 4, 8, 8), timestep=10, image_latents=torch.randn(3, 16, 8, 8))
    old, new = torch.randn(3, 16), torch.randn(3, 24) + 0.5
    hearing = with_other_embeddings(with_text_attention(plain, 24), plain, old, new)
    tokens = torch.randn(3, 2, 24)  # heard by layers that have yet to learn
    with torch.no_grad():
        wanted, found = plain(**inputs, text_embeds=old).sample, hearing(**inputs, text_embeds=torch.cat((new[:, None], tokens), 1)).sample  # fmt: skip
        assert (plain(**inputs, text_embeds=old.flip(0)).sample - wanted).abs().max() > 0.01
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(hearing(**inputs).sample, plain(**inputs).sample)


def test_several_texts_stand_beside_a_label(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(4):
        (tmp_path / "a" / f"{i}.mp4").touch()
    rows = [
        {"file_name": "a/0.mp4", "label": "nod", "text": ["nods", "says yes", "nods"]},
        {"file_name": "a/1.mp4", "text": ["shakes", "says no"]},
        {"file_name": "a/2.mp4", "text": "smiles"},
        {"file_name": "a/3.mp4", "label": "wave", "captions": "waves a hand"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [(clip.label, clip.texts) for clip in find_clips(tmp_path)]
    assert found == [
        ("nod", ("nods", "says yes")),
        ("", ("shakes", "says no")),
        ("smiles", ()),
        ("wave", ("waves a hand",)),
    ]
    rows[1]["text"] = ["shakes", {"a": 1}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="line 2: `text` must be a text or a list of texts"):
        find_clips(tmp_path)
