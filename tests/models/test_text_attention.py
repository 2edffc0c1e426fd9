"""A U-Net that attends to the tokens of a text: what it hears, padding, guidance; the released ones hear none of it."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny import (
    LABELS,
    TEXT_DIM,
    hearing_unet,
    sentence_pipeline,
    tiny_image,
    tiny_pipeline,
    tiny_text_encoder,
    tiny_unet,
)
from torch import nn

from lfdm_diffusers import LabelEmbeddings, LFDMPipeline
from lfdm_diffusers.models.text_attention import TextAttention, TextTokens, batch_texts, pack_texts, split_texts
from lfdm_diffusers.models.text_encoders import embed_text

pytestmark = pytest.mark.fast


def given(batch: int = 2, tokens: int = 5) -> dict[str, torch.Tensor | int]:
    generator = torch.Generator().manual_seed(1)
    shapes = dict(
        sample=(batch, 3, 4, 8, 8), text_embeds=(batch, 1 + tokens, TEXT_DIM), image_latents=(batch, 16, 8, 8)
    )
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} | {"timestep": 300}


def test_off_by_default_and_then_nothing_of_it_is_there():
    unet = tiny_unet()
    assert unet.config.text_attention is False
    assert not [name for name in unet.state_dict() if ".text." in name]
    heard = hearing_unet()
    assert set(unet.state_dict()) < set(heard.state_dict())


def test_attention_equals_its_formula():
    torch.manual_seed(0)
    layer = TextAttention(8, 2, 4, 6).eval()
    nn.init.normal_(layer.to_out[0].weight)
    states, mask = torch.randn(2, 3, 6), torch.tensor([[True, True, True], [True, False, False]])
    x = torch.randn(2 * 4, 8, 3, 3)
    with torch.no_grad():
        out = layer(x, 4, TextTokens(states, mask))
        for b, frame, row, column in ((0, 0, 0, 0), (0, 3, 2, 1), (1, 2, 1, 2)):
            place = x[b * 4 + frame, :, row, column]
            share = torch.tensor(frame / 3)
            angles = 2 * torch.pi * share * torch.tensor([0.5, 1.0, 2.0, 4.0])
            query = layer.norm(place) + layer.time(torch.cat((angles.sin(), angles.cos())))
            tokens = layer.norm_text(torch.cat((layer.no_text[0], states[b][mask[b]])))
            q, k, v = layer.to_q(query), layer.to_k(tokens), layer.to_v(tokens)
            heads = []
            for head in (slice(0, 4), slice(4, 8)):
                weights = (k[:, head] @ q[head] / 2).softmax(0)
                heads.append(weights @ v[:, head])
            expected = place + layer.to_out[0](torch.cat(heads))
            torch.testing.assert_close(out[b * 4 + frame, :, row, column], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_new_one_computes_what_the_unet_did_without():
    plain, heard = tiny_unet(), tiny_unet(seed=1, text_attention=True)
    missing = heard.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys and all(".text." in name for name in missing.missing_keys)
    inputs = given()
    torch.testing.assert_close(
        heard(**inputs).sample, plain(**(inputs | {"text_embeds": inputs["text_embeds"][:, 0]})).sample
    )


@torch.no_grad()
def test_it_hears_the_words_and_not_the_padding():
    unet, inputs = hearing_unet(), given()
    heard = unet(**inputs).sample
    other = inputs["text_embeds"].clone()
    other[:, 3] = other[:, 4]
    assert (unet(**(inputs | {"text_embeds": other})).sample - heard).abs().max() > 1e-3
    padded = torch.nn.functional.pad(inputs["text_embeds"], (0, 0, 0, 7))
    torch.testing.assert_close(unet(**(inputs | {"text_embeds": padded})).sample, heard, atol=1e-5, rtol=1e-4)
    alone = {name: value[:1] if torch.is_tensor(value) else value for name, value in inputs.items()}
    torch.testing.assert_close(unet(**alone).sample, heard[:1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_null_rows_hear_nothing():
    unet, inputs = hearing_unet(), given()
    silent = unet(**(inputs | {"text_embeds": None})).sample
    mixed = unet(**inputs, null_mask=torch.tensor([True, False])).sample
    torch.testing.assert_close(mixed[0], silent[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[1], unet(**inputs).sample[1], atol=1e-5, rtol=1e-4)
    assert (mixed[1] - silent[1]).abs().max() > 1e-3


def test_every_weight_learns_whether_texts_are_dropped_or_not():
    for null in ([False, False], [True, True]):
        unet = hearing_unet().train()
        unet(**given(), null_mask=torch.tensor(null)).sample.square().mean().backward()
        assert not [name for name, weight in unet.named_parameters() if weight.grad is None]


@torch.no_grad()
def test_half_precision_and_checkpointing():
    unet = hearing_unet().to(torch.bfloat16)
    inputs = {name: x.bfloat16() if torch.is_tensor(x) else x for name, x in given().items()}
    assert torch.isfinite(unet(**inputs).sample).all()
    with torch.enable_grad():
        grads = []
        for checkpointing in (False, True):
            unet = hearing_unet().train()
            if checkpointing:
                unet.enable_gradient_checkpointing()
            unet(**given()).sample.square().mean().backward()
            grads.append(unet.mid_block.attention.text.to_k.weight.grad)
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("shape", [(2, TEXT_DIM), (2, 4, TEXT_DIM + 1), (3, 4, TEXT_DIM)])
def test_other_texts_are_refused(shape):
    with pytest.raises(ValueError, match=r"`text_embeds` must have shape \(2, 1 \+ tokens, 16\)"):
        hearing_unet()(**(given() | {"text_embeds": torch.zeros(shape)}))


def test_packed_texts_come_apart():
    pooled, states = torch.randn(2, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    again, tokens = split_texts(pack_texts(pooled, states, mask))
    assert torch.equal(again, pooled) and torch.equal(tokens.mask, mask.bool())
    batch = batch_texts([torch.ones(4, 2), torch.ones(2, 2)])
    assert batch.shape == (2, 4, 2) and batch[1, 2:].abs().sum() == 0


# ---- pipelines ------------------------------------------------------------------------------------------------------


def test_a_negative_prompt_may_have_other_words():
    """Shorter or longer than the prompt, one for all videos or one for each: each row is that of its own words."""
    pipe, seen = sentence_pipeline(default_num_inference_steps=1), []
    pipe.unet.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    short, long = "happiness", "anger happiness surprise anger"
    assert pipe.encode_prompt(short)[0].shape[1] < pipe.encode_prompt(long)[0].shape[1]
    for prompts, negative in ((short, long), (long, short), ([long, short], short), ([long, short], [short, long])):
        pipe(tiny_image(), prompts, negative_prompt=negative, guidance_scale=2.0, output_type="latent")
        texts = [prompts] if isinstance(prompts, str) else prompts
        others = [negative] * len(texts) if isinstance(negative, str) else negative
        for row, text in zip(seen.pop(), [*others, *texts], strict=True):
            own = pipe.encode_prompt(text)[0][0]
            assert torch.equal(row[: len(own)], own) and not row[len(own) :].any()


def test_a_label_is_the_same_from_the_table_and_from_the_encoder():
    pipe = sentence_pipeline()
    looked_up, encoded = (
        pipe.encode_prompt(["happiness"])[0],
        embed_text(pipe.text_encoder, pipe.tokenizer, ["happiness"], tokens=True),
    )
    shared = min(looked_up.shape[1], encoded.shape[1])
    torch.testing.assert_close(looked_up[:, :shared], encoded[:, :shared], atol=1e-5, rtol=1e-4)
    assert looked_up[:, shared:].abs().sum() == 0


def test_sentences_make_videos_with_guidance_alone_and_together(tmp_path):
    pipe = sentence_pipeline()
    pipe.save_pretrained(tmp_path)
    pipe = LFDMPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    arguments = dict(num_inference_steps=2, guidance_scale=2.0, output_type="latent")
    texts = ["a face smiles", "anger", "the face of happiness and of anger waves"]
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    together = pipe(tiny_image(), texts, generator=generators, **arguments).frames
    for i, text in enumerate(texts):
        alone = pipe(tiny_image(), text, generator=torch.Generator().manual_seed(i), **arguments).frames
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=1e-3)
    other = pipe(tiny_image(), "smiles face a", generator=torch.Generator().manual_seed(0), **arguments).frames
    assert (other[0] - together[0]).abs().max() > 1e-4
    again = pipe(tiny_image(), prompt_embeds=pipe.encode_prompt(texts[:1])[0], generator=torch.Generator().manual_seed(0), **arguments)  # fmt: skip
    torch.testing.assert_close(again.frames[0], together[0], atol=1e-4, rtol=1e-3)


def test_a_table_without_tokens_is_named():
    pipe = tiny_pipeline(unet=hearing_unet())
    with pytest.raises(ValueError, match="`label_embeddings` has no tokens"):
        pipe(tiny_image(), "anger", num_inference_steps=1)
    with pytest.raises(ValueError, match=r"`prompt_embeds` must have shape \(batch, 1 \+ tokens, 16\)"):
        pipe(tiny_image(), prompt_embeds=torch.zeros(1, TEXT_DIM), num_inference_steps=1)


def test_a_strange_sentence_is_warned_of(tmp_path, caplog):
    encoder, tokenizer = tiny_text_encoder()
    table = LabelEmbeddings.from_text_encoder(LABELS, encoder, tokenizer)
    known, others = (
        embed_text(encoder, tokenizer, texts)
        for texts in (
            ["a face smiles", "the face smiles", "a face nods", "the face nods"],
            ["a face smiles", "face smiles", "the face nods", "face nods"],
        )
    )
    table = table.with_sentences(known, others)
    assert table.config.num_axes == 2 and 0 < table.config.text_radius < others.norm(dim=1).min()
    with pytest.raises(ValueError, match="`text_radius` must be given with `num_axes`"):
        LabelEmbeddings(LABELS, TEXT_DIM, num_axes=2)
    with pytest.raises(ValueError, match="`text_radius` must be a length"):
        LabelEmbeddings(LABELS, TEXT_DIM, num_axes=2, text_radius=-1.0)
    pipe = tiny_pipeline(text_encoder=True, label_embeddings=table)
    pipe.save_pretrained(tmp_path)
    pipe = LFDMPipeline.from_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        logging.getLogger("diffusers").propagate = True
        logging.getLogger("lfdm_diffusers").propagate = True
        pipe.encode_prompt(["a face smiles", "anger"])
        assert "is unlike the sentences" not in caplog.text
        pipe.encode_prompt("waves and waves of anger")
    assert "'waves and waves of anger' is unlike the sentences" in caplog.text


def test_what_a_model_says_of_sentences():
    """Labels alone, sentences beside labels (it keeps some), and texts alone."""
    encoder, tokenizer = tiny_text_encoder()
    table = LabelEmbeddings.from_text_encoder(LABELS, encoder, tokenizer)
    labels_alone = tiny_pipeline(text_encoder=True, label_embeddings=table)
    assert not labels_alone.takes_sentences and labels_alone.example_sentences == []
    assert "trained on the labels alone" in labels_alone.card().content
    known = embed_text(encoder, tokenizer, ["a face smiles", "the face waves"])
    hearing = tiny_pipeline(text_encoder=True, label_embeddings=table.with_sentences(known, known, ["a face smiles"]))
    assert hearing.takes_sentences and hearing.example_sentences == ["a face smiles"]
    assert 'It takes sentences, such as "a face smiles", and the labels below.' in hearing.card().content
    hearing.text_encoder = None  # left out to save memory: it can read no sentence
    assert not hearing.takes_sentences and hearing.example_sentences == []
    assert tiny_pipeline(text_encoder=True, label_embeddings=False).takes_sentences
    assert sentence_pipeline().takes_sentences and not tiny_pipeline().takes_sentences
    for wrong in ("a face smiles", ["a face smiles", " "], [3]):
        with pytest.raises(ValueError, match="`examples` must be"):
            LabelEmbeddings(LABELS, examples=wrong)
