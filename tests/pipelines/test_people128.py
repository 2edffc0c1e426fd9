"""The package's model of people, on the photograph that comes with it: labels move what they name."""

import PIL.Image
import pytest
import torch

from lfdm_diffusers import LFDMPipeline
from lfdm_diffusers.embedded import embedded_model, embedded_photographs
from lfdm_diffusers.ops.warp import sampling_grid

APEX = slice(8, 15)
BROWS, CHIN = (slice(9, 14), slice(9, 23)), (slice(23, 29), slice(11, 21))  # rows and columns of the 32x32 map


@pytest.fixture(scope="module")
def moved():
    """Of a label, how far the content of each place has come down at the apex, `(32, 32)`, in pixels of the model."""
    pipe = LFDMPipeline.from_pretrained(embedded_model())
    pipe.set_progress_bar_config(disable=True)
    ((path, place),) = embedded_photographs().items()
    with PIL.Image.open(path) as photograph:
        face = photograph.crop(place)
    found = {}
    for label in ("surprise", "anger", "neutral"):
        output = pipe(face, label, generator=torch.Generator().manual_seed(1), output_type="latent")
        residual = output.flow[0, APEX] - sampling_grid(32, 32, centers=True).movedim(-1, 0)
        found[label] = -64 * residual[:, 1].mean(dim=0)
    return found


@pytest.mark.integration
def test_labels_move_what_they_name(moved):
    """Surprise raises the brows and drops the jaw; anger lowers the brows."""
    brows, chin = ({label: float(down[part].mean()) for label, down in moved.items()} for part in (BROWS, CHIN))
    assert brows["surprise"] < brows["neutral"] < brows["anger"]
    assert chin["surprise"] > chin["neutral"] + 0.5


@pytest.mark.integration
def test_what_is_around_hardly_moves(moved):
    """The backdrop at the sides of the head, in any expression: less than half a pixel on the whole, where the jaw goes several."""
    for down in moved.values():
        assert down[:6, [0, 1, -2, -1]].abs().mean() < 0.5
