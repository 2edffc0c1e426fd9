"""ImaGINator: its layers against plain ones, what its output depends on, and whose gradients reach whom."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import tiny_baseline, tiny_discriminators, tiny_image, tiny_imaginator
from torch import nn

from lfdm_diffusers.models import ImaginatorGenerator
from lfdm_diffusers.models.imaginator import ImaginatorDiscriminators, convolve_frames, level_frames
from lfdm_diffusers.training.adversarial import AdversarialLoss, AdversarialTask, cross_entropy

PLAYERS = {"generator": ("generator_image", "generator_video", "reconstruction")}
PLAYERS["discriminators"] = ("discriminator_image", "discriminator_video")


def inputs(batch: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.rand(batch, 3, 32, 32, generator=generator) * 2 - 1,
        "noise": torch.randn(batch, 8, generator=generator),
        "text_embeds": torch.randn(batch, 16, generator=generator),
    }


def loss_inputs(batch: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    arguments = inputs(batch, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    pictures = (arguments.pop("image") + 1) / 2
    videos = torch.rand(batch, 3, 4, 32, 32, generator=generator)
    videos[:, :, 0] = pictures
    indices = torch.randint(4, (batch,), generator=generator)
    return {"videos": videos, "pictures": pictures, "frame_indices": indices, **arguments}


def settled_imaginator() -> ImaginatorGenerator:
    """With BatchNorm statistics of its own maps: with the first ones, an untrained model's signals die away."""
    generator = tiny_imaginator().train()
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # what comes first counts whole
    with torch.no_grad():
        generator(**inputs(16))
    return generator.eval()


def make_loss(**settings) -> AdversarialLoss:
    return AdversarialLoss(tiny_imaginator().train(), tiny_discriminators(), **settings)


def adversarial_training(**settings) -> AdversarialTask:
    pipe = tiny_baseline("imaginator")
    pipe.imaginator.train()
    return AdversarialTask(pipe, tiny_discriminators(), **settings)


@pytest.mark.parametrize("kind,kernel,stride", [("ConvTranspose", 4, 2), ("ConvTranspose", 3, 1), ("Conv", 4, 2)])
def test_convolution_over_frames_equals_the_3d_one(kind, kernel, stride):
    flat = getattr(nn, f"{kind}2d")(6, 5, (kernel, 1), stride=(stride, 1), padding=(1, 0))
    plain = getattr(nn, f"{kind}3d")(6, 5, (kernel, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0))
    plain.load_state_dict({"weight": flat.weight.unsqueeze(-1), "bias": flat.bias})
    x = torch.randn(2, 6, 4, 3, 7)  # (B, C, F, h, w)
    folded = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    output = convolve_frames(flat, folded, 4).unflatten(0, (2, -1)).transpose(1, 2)
    torch.testing.assert_close(output, plain(x), rtol=1e-4, atol=1e-5)


def test_frames_of_each_level():
    assert level_frames(16, 4) == [16, 8, 4, 2, 2]
    assert level_frames(4, 3) == [4, 2, 2, 2]
    assert level_frames(40, 4) == [40, 20, 10, 5, 5]
    assert level_frames(64, 3) == [64, 32, 16, 8]


@torch.no_grad()
@pytest.mark.parametrize("size,frames", [(32, 4), (32, 12), (64, 16)])
def test_sizes(size, frames):
    generator = tiny_imaginator(sample_size=size, num_frames=frames)
    arguments = {**inputs(), "image": torch.rand(2, 3, size, size) * 2 - 1}
    sample = generator(**arguments).sample
    assert sample.shape == (2, 3, frames, size, size)
    assert sample.abs().max() <= 1
    assert torch.equal(generator(**arguments, return_dict=False)[0], sample)
    single = generator(**{name: value[1:] for name, value in arguments.items()}).sample
    torch.testing.assert_close(single, sample[1:], rtol=1e-4, atol=1e-5)
    discriminators, indices = tiny_discriminators(sample_size=size, num_frames=frames), torch.tensor([0, frames - 1])
    judged = discriminators(sample, indices)
    assert judged.image.shape == judged.video.shape == (2,)
    alone = torch.zeros_like(sample)  # but for the frames that are judged as pictures
    for row, index in enumerate(indices):
        alone[row, :, index] = sample[row, :, index]
    of_alone = discriminators(alone, indices)
    torch.testing.assert_close(of_alone.image, judged.image)
    assert (of_alone.video - judged.video).abs().min() > 1e-4


@torch.no_grad()
def test_saved_and_loaded_makes_the_same(tmp_path):
    generator, discriminators = tiny_imaginator().train(), tiny_discriminators()
    arguments = inputs()
    generator(**arguments)  # BatchNorm statistics other than the first
    expected = generator.eval()(**arguments).sample
    generator.save_pretrained(tmp_path / "generator")
    loaded = ImaginatorGenerator.from_pretrained(tmp_path / "generator")
    assert loaded.config.noise_dim == 8
    assert torch.equal(loaded(**arguments).sample, expected)
    discriminators.save_pretrained(tmp_path / "discriminators")
    loaded = ImaginatorDiscriminators.from_pretrained(tmp_path / "discriminators")
    judge = (expected, torch.tensor([1, 3]), arguments["text_embeds"])
    torch.testing.assert_close(loaded(*judge).video, discriminators(*judge).video)


@torch.no_grad()
def test_a_batch_in_eval_mode_equals_singles():
    generator = tiny_imaginator()
    arguments = inputs()
    both = generator(**arguments).sample
    for row in range(2):
        single = generator(**{name: value[row : row + 1] for name, value in arguments.items()}).sample
        torch.testing.assert_close(single, both[row : row + 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_noise_text_and_picture_change_every_frame():
    generator = settled_imaginator()
    arguments, others = inputs(), inputs(seed=1)
    sample = generator(**arguments).sample
    for name in arguments:
        changed = generator(**{**arguments, name: others[name]}).sample
        assert ((changed - sample).abs().amax(dim=(0, 1, 3, 4)) > 1e-2).all(), name


@torch.no_grad()
def test_no_text_is_zeros():
    generator = tiny_imaginator()
    arguments = inputs()
    zeros = generator(**{**arguments, "text_embeds": torch.zeros(2, 16)}).sample
    assert torch.equal(generator(**{**arguments, "text_embeds": None}).sample, zeros)


@torch.no_grad()
@pytest.mark.parametrize("level", range(3))
def test_each_level_fuses_the_picture_into_every_frame(level):
    """With the vector and all other levels' features cut off, the picture still reaches every frame."""
    generator = settled_imaginator()
    generator.to_vector.weight.zero_()
    arguments, others = inputs(), inputs(seed=1)
    for i, block in enumerate(generator.decoder):
        if i != level:
            block.temporal.weight[block.temporal.in_channels // 2 :] = 0
    difference = generator(**{**arguments, "image": others["image"]}).sample - generator(**arguments).sample
    assert (difference.abs().amax(dim=(0, 1, 3, 4)) > 1e-3).all()
    block = generator.decoder[level]
    block.temporal.weight[block.temporal.in_channels // 2 :] = 0
    assert torch.equal(
        generator(**{**arguments, "image": others["image"]}).sample, generator(**arguments).sample
    )  # nothing else carries it


@torch.no_grad()
def test_what_each_discriminator_sees():
    discriminators = tiny_discriminators()
    videos, text, indices = torch.rand(2, 3, 4, 32, 32) * 2 - 1, torch.randn(2, 16), torch.tensor([1, 3])
    judged = discriminators(videos, indices, text)
    other_text = discriminators(videos, indices, -text)
    assert torch.equal(other_text.image, judged.image)
    # Not by the same amount: the text interacts with what is seen.
    change = other_text.video - judged.video
    assert change.abs().min() > 1e-5 and (discriminators(videos.flip(0), indices, -text).video - change).diff() != 0
    unseen = videos.clone()
    unseen[:, :, [0, 2]] *= -1  # neither video's chosen frame
    elsewhere = discriminators(unseen, indices, text)
    assert torch.equal(elsewhere.image, judged.image)
    assert (elsewhere.video - judged.video).abs().min() > 1e-5
    assert not torch.equal(discriminators(videos, indices.flip(0), text).image, judged.image)


@pytest.mark.parametrize("text", [True, False])
def test_one_backward_pass_gives_each_player_the_gradient_of_its_own_loss(text):
    loss = make_loss()
    arguments = loss_inputs()
    if not text:
        arguments["text_embeds"] = None
    sum(loss(**arguments).values()).backward()
    together = {name: weight.grad.clone() for name, weight in loss.named_parameters()}  # none is without a gradient

    # The plain way: the generator's losses through the discriminators themselves, then theirs on finished videos.
    videos, indices, embeds = 2 * arguments["videos"] - 1, arguments["frame_indices"], arguments["text_embeds"]
    made = loss.generator(2 * arguments["pictures"] - 1, arguments["noise"], embeds).sample
    judged = loss.discriminators(made, indices, embeds)
    of_generator = (
        cross_entropy(judged.image, True) + cross_entropy(judged.video, True) + 100 * (made - videos).abs().mean()
    )
    loss.zero_grad()
    of_generator.backward()
    apart = {f"generator.{name}": weight.grad.clone() for name, weight in loss.generator.named_parameters()}
    loss.zero_grad()
    for one in ("image", "video"):
        on_true = loss.discriminators(videos, indices, embeds)[one]
        on_made = loss.discriminators(made.detach(), indices, embeds)[one]
        (cross_entropy(on_true, True) + cross_entropy(on_made, False)).backward()
    apart |= {f"discriminators.{name}": weight.grad for name, weight in loss.discriminators.named_parameters()}

    assert together.keys() == apart.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(
            gradient, apart[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert all(together[f"{player}.{layer}"].abs().max() > 1e-6 for player, layer in (
        ("generator", "encoder.0.0.weight"), ("discriminators", "image.layers.0.weight"),
        ("discriminators", "video.blocks.0.spatial.weight"),
    ))  # fmt: skip


@pytest.mark.parametrize("player,own", PLAYERS.items())
def test_losses_reach_their_own_player_only(player, own):
    loss = make_loss()
    parts = loss(**loss_inputs())
    assert set(parts) == {name for names in PLAYERS.values() for name in names}
    sum(parts[name] for name in own).backward()
    reached = {name.split(".")[0] for name, weight in loss.named_parameters() if weight.grad is not None}
    assert reached == {player}


def test_cross_entropies():
    logits = torch.tensor([-2.0, 0.5])
    probability = logits.sigmoid()
    torch.testing.assert_close(cross_entropy(logits, True), -probability.log().mean())
    torch.testing.assert_close(cross_entropy(logits, False), -(1 - probability).log().mean())


def test_reconstruction_is_the_weighted_difference_of_pixels():
    loss, arguments = make_loss(reconstruction_weight=7.0), loss_inputs()
    reconstruction = loss(**arguments)["reconstruction"]
    made = loss.generator(2 * arguments["pictures"] - 1, arguments["noise"], arguments["text_embeds"]).sample
    expected = 7 * (made - (2 * arguments["videos"] - 1)).abs().mean()
    torch.testing.assert_close(reconstruction, expected)


def test_statistics_move_once_a_step():
    loss = make_loss()
    loss(**loss_inputs())
    counts = [buffer.item() for name, buffer in loss.generator.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts and set(counts) == {1}
    assert not list(loss.discriminators.buffers())


def test_a_few_steps_lower_the_reconstruction_loss():
    loss, arguments = make_loss(), loss_inputs()
    arguments["pictures"] = torch.stack([tiny_image(), tiny_image().flip(1), tiny_image().flip(2)])
    fading = torch.linspace(1, 0.4, 4).view(4, 1, 1)
    arguments["videos"] = arguments["pictures"][:, :, None] * fading
    optimizer = torch.optim.Adam(loss.parameters(), 2e-3, (0.5, 0.999))
    found = []
    for _ in range(20):
        parts = loss(**arguments)
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
        found.append(parts["reconstruction"].item())
    assert found[-1] < 0.7 * found[0]


def test_players_learn_at_their_own_rates():
    task = adversarial_training(discriminator_lr_scale=0.25)
    generator, discriminators = task.parameters()
    assert (generator["lr_scale"], discriminators["lr_scale"]) == (1.0, 0.25)
    assert {id(x) for x in generator["params"]} == {id(x) for x in task.module.generator.parameters()}
    assert {id(x) for x in discriminators["params"]} == {id(x) for x in task.module.discriminators.parameters()}


def test_averaged_generator():
    """Weights and BatchNorm statistics are averaged, and what is validated is the average; the trained ones come back."""
    task, arguments = adversarial_training(ema_decay=0.5), loss_inputs()
    generator = task.pipe.imaginator
    task.after_step()  # the first one takes all over as it is
    before = copy.deepcopy(generator.state_dict())
    with torch.no_grad():
        task.module(**arguments)  # moves statistics
        for weight in generator.parameters():
            weight.add_(1)
    task.after_step()
    trained = copy.deepcopy(generator.state_dict())
    share = []
    with task.average.in_place():
        assert not generator.training
        for name in ("encoder.0.0.weight", "encoder.1.1.running_mean", "first_places_norm.running_var"):
            moved = (generator.state_dict()[name] - before[name]) / (trained[name] - before[name])
            share.append(moved.median().item())
    assert share == pytest.approx([share[0]] * 3, rel=1e-3) and 0.4 < share[0] < 1
    assert generator.training
    torch.testing.assert_close(generator.state_dict(), trained, rtol=0, atol=0)


def test_bfloat16_autocast():
    loss, arguments = make_loss(), loss_inputs()
    parts = loss(**arguments)
    sum(parts.values()).backward()
    gradients = [weight.grad.clone() for weight in loss.parameters()]
    loss.zero_grad()
    exact = {name: part.detach() for name, part in parts.items()}
    with torch.autocast("cpu", torch.bfloat16):
        parts = loss(**arguments)
    sum(parts.values()).backward()
    for name, part in parts.items():
        assert part.dtype == torch.float32
        torch.testing.assert_close(part, exact[name], rtol=0.1, atol=0.02)
    ours, theirs = (
        torch.cat([w.grad.flatten() for w in loss.parameters()]),
        torch.cat([g.flatten() for g in gradients]),
    )
    assert nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.95


@torch.no_grad()
def test_half_precision_weights():
    arguments = inputs()
    exact = tiny_imaginator()(**arguments).sample
    half = tiny_imaginator().to(torch.bfloat16)(**{**arguments, "image": arguments["image"].bfloat16()}).sample
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize(
    "overrides,message",
    [
        ({"sample_size": 48}, "`sample_size` must be a power of two from 32 on .*got 48"),
        ({"sample_size": 16}, "`sample_size` must be a power of two from 32 on .*got 16"),
        ({"num_frames": 6}, "`num_frames` must be a multiple of 4 from 4 on, got 6"),
        ({"num_frames": 2}, "`num_frames` must be a multiple of 4 from 4 on, got 2"),
    ],
)
def test_sizes_that_cannot_be(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny_imaginator(**overrides)
    with pytest.raises(ValueError, match=message):
        tiny_discriminators(**overrides)


@torch.no_grad()
def test_wrong_shapes_are_named():
    generator, discriminators, arguments = tiny_imaginator(), tiny_discriminators(), inputs()
    wrong = {
        "image": (torch.zeros(2, 3, 64, 64), r"\(batch, 3, 32, 32\), got \(2, 3, 64, 64\)"),
        "noise": (torch.zeros(1, 8), r"\(2, 8\), got \(1, 8\)"),
        "text_embeds": (torch.zeros(2, 17), r"\(2, 16\), .*got \(2, 17\)"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(ValueError, match=f"`{name}` must have shape {message}"):
            generator(**{**arguments, name: value})
    videos, indices = torch.zeros(2, 3, 4, 32, 32), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"`videos` must have shape \(batch, 3, 4, 32, 32\), got \(2, 3, 8, 32, 32\)"):
        discriminators(torch.zeros(2, 3, 8, 32, 32), indices)
    with pytest.raises(ValueError, match=r"`frame_indices` must have shape \(2,\), got \(1,\)"):
        discriminators(videos, indices[:1])
    with pytest.raises(ValueError, match="`discriminators` must have the generator's num_frames, 4, got 8"):
        AdversarialLoss(generator, tiny_discriminators(num_frames=8))
