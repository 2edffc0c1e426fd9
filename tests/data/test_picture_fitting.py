"""Pictures of every kind, fitted without distortion."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import torch

from lfdm_diffusers.data.picture_fitting import fit_picture, scale_to_fit, to_rgb_tensors, to_tensors


def gradient(height: int = 6, width: int = 4) -> np.ndarray:
    """`(H, W, 3)` uint8 with a different value everywhere."""
    return (np.arange(height * width * 3).reshape(height, width, 3) * 2).astype(np.uint8)


def expected(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize(
    "image",
    [
        PIL.Image.fromarray(gradient()),
        gradient(),
        gradient()[None],
        gradient().astype(np.float32) / 255,
        gradient().astype(np.float64) / 255,
        torch.from_numpy(gradient()).permute(2, 0, 1),
        torch.from_numpy(gradient()).permute(2, 0, 1)[None].float() / 255,
        gradient()[:, ::-1][:, ::-1],  # negative strides
    ],
)
def test_forms_agree(image):
    (tensor,) = to_rgb_tensors(image)
    torch.testing.assert_close(tensor, expected(gradient()), rtol=0, atol=1e-6)


def test_alpha_is_kept_where_something_shines_through():
    pixels = np.concatenate([gradient(), np.full((6, 4, 1), 255, np.uint8)], axis=-1)
    assert to_tensors(pixels)[0].shape[0] == 3
    pixels[2, 1, 3] = 100
    (tensor,) = to_tensors(PIL.Image.fromarray(pixels))
    assert torch.equal(tensor, expected(pixels)) and to_rgb_tensors(pixels)[0].shape[0] == 3
    assert to_tensors([pixels[..., 2:], gradient()])[0].shape[0] == 4  # grey and alpha


def test_lists_mix_forms_and_sizes():
    tensors = to_rgb_tensors([PIL.Image.fromarray(gradient()), gradient(3, 5), torch.zeros(2, 3, 4, 4)])
    assert [tuple(t.shape) for t in tensors] == [(3, 6, 4), (3, 3, 5), (3, 4, 4), (3, 4, 4)]


def test_grey_palette_and_sixteen_bit():
    grey = PIL.Image.fromarray(gradient()[..., 0])
    (tensor,) = to_rgb_tensors(grey)
    assert (tensor == tensor[:1]).all()
    torch.testing.assert_close(tensor[0], torch.from_numpy(gradient()[..., 0]).float() / 255)
    palette = PIL.Image.fromarray(gradient()).quantize(64)
    torch.testing.assert_close(to_rgb_tensors(palette)[0], to_rgb_tensors(palette.convert("RGB"))[0])
    deep = PIL.Image.fromarray(np.array([[0, 65535], [32768, 0]], dtype=np.uint16))
    torch.testing.assert_close(to_rgb_tensors(deep)[0][0], torch.tensor([[0, 1], [32768 / 65535, 0]]))
    for mode in ("I", "F"):  # 32 bits: what some versions of Pillow make of 16-bit files, and floats
        scale = 1 if mode == "I" else 1 / 65535
        wide = PIL.Image.fromarray(
            (np.array([[0, 65535], [32768, 0]]) * scale).astype(np.int32 if mode == "I" else np.float32)
        )
        torch.testing.assert_close(to_rgb_tensors(wide)[0][0], to_rgb_tensors(deep)[0][0])
    torch.testing.assert_close(to_rgb_tensors(gradient()[..., 0])[0], to_rgb_tensors(grey)[0])


def test_transparency_is_laid_over_white():
    rgba = np.dstack((gradient(), np.full((6, 4), 255, np.uint8)))
    rgba[0, 0, 3] = 0
    rgba[1, 1, 3] = 128
    for image in (PIL.Image.fromarray(rgba), rgba, torch.from_numpy(rgba).permute(2, 0, 1)):
        (tensor,) = to_rgb_tensors(image)
        assert tensor[:, 0, 0].tolist() == [1, 1, 1]
        torch.testing.assert_close(tensor[:, 2, 2], expected(gradient())[:, 2, 2])
        half = expected(gradient())[:, 1, 1] * 128 / 255 + 127 / 255
        torch.testing.assert_close(tensor[:, 1, 1], half)
    see_through = PIL.Image.fromarray(np.zeros((2, 2), np.uint8), mode="P")
    see_through.info["transparency"] = 0
    assert (to_rgb_tensors(see_through)[0] == 1).all()


def test_exif_rotation_is_applied():
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    PIL.Image.fromarray(gradient()).save(file, "PNG", exif=exif)
    (tensor,) = to_rgb_tensors(PIL.Image.open(file))
    torch.testing.assert_close(tensor, expected(np.rot90(gradient(), -1).copy()))


def test_letterbox_keeps_proportions_and_centres():
    fitted = fit_picture(torch.ones(3, 10, 20), 16, 16)
    assert fitted.shape == (3, 16, 16)
    assert (fitted[:, 4:12] > 0.999).all() and (fitted[:, :4] == 0).all() and (fitted[:, 12:] == 0).all()
    odd = fit_picture(torch.ones(3, 13, 16), 16, 16)  # three black rows: the odd one below
    assert (
        (odd[:, 0] == 0).all()
        and (odd[:, 1] > 0.999).all()
        and (odd[:, 13] > 0.999).all()
        and (odd[:, 14:] == 0).all()
    )


def test_the_released_crops_give_the_released_letterboxes():
    """UTD-MHAD: 480x336 -> 128x89, 19 columns of black to the left; NATOPS: 229x260 -> 112x128, 8 rows above."""
    (columns,) = (fit_picture(torch.ones(3, 480, 336), 128, 128)[0, 64] > 0).nonzero(as_tuple=True)
    assert (columns[0], len(columns)) == (19, 89)
    (rows,) = (fit_picture(torch.ones(3, 229, 260), 128, 128)[0, :, 64] > 0).nonzero(as_tuple=True)
    assert (rows[0], len(rows)) == (8, 112)


@pytest.mark.parametrize("size", [(7, 500), (500, 7), (127, 129), (129, 127), (1, 1), (1, 1000), (128, 64)])
@pytest.mark.parametrize("fit", ["letterbox", "center_crop"])
def test_every_proportion_fits(size, fit):
    fitted = fit_picture(torch.ones(3, *size), 128, 96, fit)
    assert fitted.shape == (3, 128, 96)
    if fit == "center_crop":
        assert fitted.min() > 0.999
    else:
        scale = min(128 / size[0], 96 / size[1])
        covered = [(fitted[0].amax(dim=dim) > 0.999).sum().item() for dim in (1, 0)]
        assert all(abs(found - max(1, side * scale)) < 1 for found, side in zip(covered, size))


def test_center_crop_fills_the_frame():
    picture = torch.zeros(3, 10, 20)
    picture[:, :, 5:15] = 1
    assert (fit_picture(picture, 10, 10, "center_crop") == 1).all()
    assert (fit_picture(torch.ones(3, 10, 20), 16, 16, "center_crop") > 0.999).all()


def test_shrinking_averages():
    checks = torch.zeros(3, 64, 64)
    checks[:, ::2, ::2] = 1
    checks[:, 1::2, 1::2] = 1
    assert (fit_picture(checks, 16, 16) - 0.5).abs().max() < 0.05


def test_white_stays_white():
    """Weights of the interpolation may sum to a little more than 1, and what lies outside [0, 1] is refused later."""
    for height in (23, 26, 29, 47):
        fitted = scale_to_fit(torch.ones(3, height, 30), 16, 17, "center_crop")
        assert fitted.min() > 1 - 1e-6 and fitted.max() <= 1


def test_the_right_size_is_left_alone():
    picture = torch.rand(3, 16, 16)
    assert fit_picture(picture, 16, 16) is picture


@pytest.mark.parametrize(
    "image,message",
    [
        ("face.png", "must be a PIL image.*got str.*load_image"),
        (None, "got NoneType"),
        ([], "empty list"),
        (np.zeros((2, 3, 4, 5, 6)), "as an array must be"),
        (np.zeros((4, 4, 7)), "as an array must be"),
        (np.zeros((0, 4, 3)), "as an array must be"),
        (torch.zeros(7, 4, 4), "as a tensor must be"),
        (np.array([["a"]]), "must be uint8"),
        (PIL.Image.fromarray(np.full((2, 2), 70000, np.int32)), "from 0 to 65535"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "must be uint8"),
        (np.full((4, 4, 3), 200.0), r"floats from 200 to 200; allowed are floats in \[0, 1\]"),
        (torch.full((3, 4, 4), -1.0), "floats from -1 to -1"),
        (torch.full((3, 4, 4), float("nan")), "NaN"),
    ],
)
def test_bad_pictures_are_named(image, message):
    with pytest.raises(ValueError, match=f"`image`.*{message}"):
        to_rgb_tensors(image)


def test_unknown_fit():
    with pytest.raises(ValueError, match="`image_fit` must be one of 'letterbox', 'center_crop', got 'stretch'"):
        fit_picture(torch.zeros(3, 4, 4), 8, 8, "stretch")
