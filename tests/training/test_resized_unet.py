"""A U-Net that starts from the weights of another."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_unet

from lfdm_diffusers.training.resized_unet import changed_unet, resized_unet
from lfdm_diffusers.training.starting_unet import with_picture_reader


def outputs(unet, channels: int) -> torch.Tensor:
    """Of a picture that says nothing, at several times."""
    generator = torch.Generator().manual_seed(0)
    volume, text = torch.randn(4, 3, 4, 8, 8, generator=generator), torch.randn(4, 16, generator=generator)
    with torch.no_grad():
        return unet.eval()(volume, torch.tensor([0, 40, 300, 900]), text, torch.zeros(4, channels, 8, 8)).sample


def test_frames_and_sizes_change_no_weight():
    unet = tiny_unet()
    assert resized_unet(unet, num_frames=7, sample_size=16) is unet
    assert (unet.config.num_frames, unet.config.sample_size) == (7, 16)


@pytest.mark.parametrize(("image_blocks", "image_summary"), [(0, 0), (1, 0), (1, 4)])
def test_pictures_of_another_encoder_are_to_be_learnt(image_blocks, image_summary):
    unet = tiny_unet(image_blocks=image_blocks, image_block_channels=8, image_summary=image_summary)
    channels = unet.config.image_latent_channels
    other = resized_unet(unet, image_latent_channels=2 * channels)
    assert other.config.image_latent_channels == 2 * channels and not other.conv_image.weight.any()
    torch.testing.assert_close(outputs(other, 2 * channels), outputs(unet, channels))


def test_narrower_begins_near_the_wider():
    """Much nearer than another start; what it makes of time is nearly the same."""
    torch.manual_seed(0)
    unet = tiny_unet(block_out_channels=[48, 96], norm_num_groups=8)
    channels = unet.config.image_latent_channels
    narrow = resized_unet(unet, block_out_channels=[40, 80])
    assert narrow.config.block_out_channels == [40, 80]
    kept = torch.arange(40) * 48 // 40
    assert torch.equal(narrow.conv_in.weight, unet.conv_in.weight[kept])
    wide = outputs(unet, channels)
    alike, chance = (
        torch.corrcoef(torch.stack((outputs(each, channels).flatten(), wide.flatten())))[0, 1]
        for each in (narrow, type(unet).from_config(narrow.config))
    )
    assert alike > 0.4 > 0.2 > chance.abs()
    steps = torch.arange(0, 1000, 7)
    rows, columns = torch.arange(160) * 192 // 160, torch.arange(40) * 48 // 40
    was = unet.time_embedding.linear_1(unet.time_proj(steps))[:, rows]
    now = narrow.time_embedding.linear_1(narrow.time_proj(steps))
    narrow.time_embedding.linear_1.weight.data = unet.time_embedding.linear_1.weight[rows][:, columns]
    spread = narrow.time_embedding.linear_1(narrow.time_proj(steps))
    assert (now - was).square().mean() < 0.7 * (spread - was).square().mean()


def test_other_blocks_are_refused():
    with pytest.raises(
        ValueError, match="as many blocks and the same attention; the configurations differ in block_out_channels"
    ):
        resized_unet(tiny_unet(), block_out_channels=[16, 16, 32, 32])


@pytest.mark.parametrize("given", [{}, {"text_attention": False, "learned_null_embedding": False}])
def test_what_a_configuration_left_open_can_change(given):
    """Values that nobody gave, which diffusers notes as defaults, are those of the new U-Net too unless they change."""
    changed = changed_unet(tiny_unet(**given), text_attention=True, learned_null_embedding=True)
    assert changed.config.text_attention and changed.null_text_embed is not None
    assert changed.config.block_out_channels == (16, 32)


def test_a_trained_unet_learns_to_read_pictures():
    """Until it has learnt, it computes what it did; what it adds is its own of each picture."""
    unet, generator = tiny_unet(), torch.Generator().manual_seed(0)
    reading = with_picture_reader(unet, 2)
    pictures = torch.randn(2, unet.config.image_latent_channels, 8, 8, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(reading.project_image(pictures), unet.project_image(pictures), rtol=0, atol=0)
        torch.nn.init.normal_(reading.picture_reader.conv_out.weight)
        both = reading.project_image(pictures)
        torch.testing.assert_close(both[:1], reading.project_image(pictures[:1]), rtol=1e-4, atol=1e-4)
        assert (both - unet.project_image(pictures)).abs().mean() > 0.1
    with pytest.raises(ValueError, match="`--image_blocks` must be 2, as the pretrained U-Net has, got 3"):
        with_picture_reader(reading, 3)


def test_a_trained_unet_learns_to_summarise_pictures():
    """Until it has learnt, it computes what it did; then a change in one corner of a picture is told of in all others, at any size."""
    unet, generator = with_picture_reader(tiny_unet(), 1), torch.Generator().manual_seed(0)
    torch.nn.init.normal_(unet.picture_reader.conv_out.weight)
    with pytest.raises(ValueError, match=r"`image_summary` must be 0 without `image_blocks`, which .*got 4"):
        with_picture_reader(tiny_unet(), None, 4)
    summing = with_picture_reader(unet, None, 4)
    assert summing.config.image_summary == 4 and with_picture_reader(summing, 1, 0) is summing
    with pytest.raises(ValueError, match="`--image_summary` must be 4, as the pretrained U-Net has, got 3"):
        with_picture_reader(summing, None, 3)
    for side in (8, 32):
        picture = torch.randn(1, unet.config.image_latent_channels, side, side, generator=generator)
        with torch.no_grad():
            summing.picture_reader.summary.conv_out.weight.zero_()
            torch.testing.assert_close(summing.project_image(picture), unet.project_image(picture), rtol=0, atol=0)
            torch.nn.init.normal_(summing.picture_reader.summary.conv_out.weight)
            plain = summing.project_image(picture) - unet.project_image(picture)
            picture[..., :2, :2] += 3
            changed = summing.project_image(picture) - unet.project_image(picture)
        assert plain.std() > 0 and (changed - plain).abs()[..., -1, -1].max() > 1e-4
