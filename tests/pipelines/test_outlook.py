"""What is said of a picture before anything is made of it."""

from __future__ import annotations

import PIL.Image
import pytest
import torch
from tiny import tiny_pipeline

from lfdm_diffusers.data.picture_fitting import to_rgb_tensors
from lfdm_diffusers.embedded import embedded_pictures
from lfdm_diffusers.pipelines import Box, Stroke, subjects
from lfdm_diffusers.pipelines.outlook import outlook


def scene(*places: int, size: tuple[int, int] = (400, 160), side: int = 128) -> torch.Tensor:
    """A white picture with a drawn face at each place from the left."""
    face = PIL.Image.open(embedded_pictures()[0]).convert("RGB").resize((side, side))
    picture = PIL.Image.new("RGB", size, "white")
    for x in places:
        picture.paste(face, (x, (size[1] - side) // 2))
    return to_rgb_tensors(picture)[0]


def test_faces_are_found_and_the_rest_stays():
    pytest.importorskip("cv2")
    one, two = outlook(scene(20), 3.2, 64), outlook(scene(20, 250), 3.2, 64)
    assert one.found == 1 and one.sentence.startswith("a face was found and moves, the rest of the picture stays (")
    assert two.found == 2 and "2 faces were found and move" in two.sentence
    (box,) = one.subjects
    assert abs(box.left - 20) < 12 and abs(box.right - 148) < 12 and len(two.subjects) == 2
    assert "it will be soft" not in one.sentence and "it will be soft" in outlook(scene(20), 3.2, 256).sentence


def test_what_is_framed_whole():
    pytest.importorskip("cv2")
    fills = outlook(scene(0, size=(256, 256), side=256), 3.2, 64)
    assert (fills.subjects, fills.found) == (None, 1) and fills.sentence.startswith("a face fills the picture")
    none = outlook(scene(), 3.2, 64)
    assert (none.subjects, none.found, none.image_fit) == (None, 0, "center_crop")
    assert none.sentence.startswith("no face was found; the middle square") and "faces alone" in none.sentence
    other = outlook(scene(), None, 64)  # a model of something else has seen bars
    assert (other.found, other.image_fit) == (None, "letterbox") and "on black for the model" in other.sentence


def test_strokes_and_whole_pictures():
    """A stroke in a face leaves it found, and one that leaves it takes the whole picture along; nobody looks where that is asked for."""
    pytest.importorskip("cv2")
    picture = scene(20)
    found = outlook(picture, 3.2, 64)
    assert outlook(picture, 3.2, 64, strokes=[Stroke([(60, 80), (70, 90)])]) == found
    left = outlook(picture, 3.2, 64, strokes=[Stroke([(60, 80), (300, 90)])])
    assert (left.subjects, left.found) == (None, 1) and left.sentence.startswith("a stroke leaves the faces")
    whole = outlook(picture, 3.2, 64, whole=True)
    assert (whole.subjects, whole.found) == (
        None,
        None,
    ) and "the rest of it is cut off, as if a face filled" in whole.sentence
    assert "A frame of 160 pixels is small: it will be soft." in outlook(picture, 3.2, 256, whole=True).sentence
    assert "A frame of 400 pixels is small" in outlook(picture, None, 512).sentence


def test_a_large_face_beside_another_is_not_the_picture(monkeypatch):
    boxes = [Box(0, 0, 110, 110), Box(112, 0, 124, 12)]
    monkeypatch.setattr("lfdm_diffusers.pipelines.outlook.find_subjects", lambda *arguments: boxes)
    assert outlook(torch.ones(3, 112, 128), 3.2, 64).subjects == boxes


def test_where_there_is_no_detector(monkeypatch):
    def missing(*arguments):
        raise ValueError("Finding faces needs OpenCV")

    monkeypatch.setattr("lfdm_diffusers.pipelines.outlook.find_subjects", missing)
    seen = outlook(scene(20), 3.2, 64)
    assert seen.found is None and "pip install 'lfdm_diffusers[subjects]'" in seen.sentence
    assert subjects.find_subjects is not missing


def test_a_model_of_faces_sees_no_bars():
    pipe = tiny_pipeline(face_frame=3.2, default_num_inference_steps=1)
    picture, seed = scene(20), torch.Generator().manual_seed
    options = {"prompt": "anger", "output_type": "pt"}
    made = [pipe(picture, generator=seed(0), **options, **more).frames for more in ({}, {"image_fit": "center_crop"})]
    assert torch.equal(*made)
    assert pipe.outlook(picture).image_fit == "center_crop"
    assert tiny_pipeline().outlook(picture).image_fit == "letterbox"
    with pytest.raises(ValueError, match="`image` must be one picture, got 2"):
        pipe.outlook([picture, picture])
