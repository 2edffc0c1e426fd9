"""Parts of a picture: masks, and faces that are found."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from tiny import IMAGE_SIZE, LABELS, tiny_pipeline

from lfdm_diffusers import Box, LFDMPipeline, find_subjects
from lfdm_diffusers.embedded import embedded_model, embedded_photographs, embedded_pictures
from lfdm_diffusers.pipelines.rendering import BORDER
from lfdm_diffusers.pipelines.subjects import _framed, box_of_mask


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    """A mask with a soft edge."""
    rows, columns = np.mgrid[:height, :width]
    return np.clip(radius - np.hypot(rows - y, columns - x), 0, 1).astype(np.float32)


def test_a_mask_confines_its_subject(pipe):
    """What a mask does not show stays to the bit, whatever form it has; a Box beside it moves by its own label."""
    picture, mask = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8), disc(60, 120, 30, 30, 18)
    mask = np.round(mask * 255) / 255  # as a picture holds it
    box = Box(70, 10, 110, 50)
    options = dict(num_inference_steps=1, generator=torch.Generator().manual_seed(0), output_type="pt")
    both = pipe(picture, LABELS[:2], subjects=[mask, box], **options).frames[0, -1]
    given = torch.from_numpy(picture).permute(2, 0, 1) / 255
    changed = (both != given).any(dim=0)
    inside = torch.from_numpy(mask > 0)
    assert not changed[:, :60][~inside[:, :60]].any()
    assert changed[inside].float().mean() > 0.8 and changed[20:40, 80:100].all()
    for other in (torch.from_numpy(mask), PIL.Image.fromarray(np.uint8(np.round(mask * 255)))):
        options["generator"].manual_seed(0)
        again = pipe(picture, LABELS[:2], subjects=[other, box], **options).frames[0, -1]
        torch.testing.assert_close(again, both, rtol=0, atol=2 / 255)


def test_masks_at_another_size_and_with_a_motion_mask(pipe):
    picture, mask = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8), disc(40, 80, 20, 40, 14)
    left = np.zeros((40, 80), np.float32)
    left[:, :40] = 1
    options = dict(num_inference_steps=1, generator=torch.Generator().manual_seed(0), output_type="stream")
    (video,) = pipe(picture, subjects=[mask], motion_mask=left, output_size=(80, 160), **options).frames
    still = video.picture()
    changed = (video[-1] != still).any(axis=-1)
    assert changed[30:50, 56:76].any() and not changed[:, 84:].any() and not changed[:8].any()


def test_the_box_of_a_mask_leaves_it_whole():
    """Its motion fades out outside of the mask."""
    mask = torch.zeros(50, 90)
    mask[10:31, 20:61] = 0.5
    box = box_of_mask(mask)
    assert ((box.left + box.right) / 2, (box.top + box.bottom) / 2) == (40.5, 20.5)
    fade = BORDER * (box.right - box.left) / 2
    assert box.left + fade <= 20.01 and box.right - fade >= 60.99


def test_frames_stay_in_the_picture_where_they_can():
    middle = _framed(np.array([200.0, 200.0]), 100, 500, 600)
    assert 170 < middle.right - middle.left < 195 and middle.left < 200 - 20 and middle.bottom > 300 + 15
    tight = _framed(np.array([20.0, 20.0]), 160, 200, 200)  # a portrait that is all face
    assert (tight.left, tight.top, tight.right, tight.bottom) == pytest.approx((0, 0, 200, 200), abs=16)
    assert tight.right - tight.left == pytest.approx(205, abs=5)
    corner = _framed(np.array([-20.0, 0.0]), 100, 500, 600)  # it reaches beyond rather than lose the face
    assert corner.left < 0 and corner.right - corner.left == pytest.approx(middle.right - middle.left)


def test_faces_are_found_and_framed():
    pytest.importorskip("cv2")
    first, second = (PIL.Image.open(path).convert("RGB") for path in embedded_pictures()[:2])
    photograph = PIL.Image.new("RGB", (900, 400), "white")
    photograph.paste(first, (40, 60))
    photograph.paste(second, (560, 80))
    boxes = find_subjects(photograph)
    assert len(boxes) == 2
    for box, x, y in zip(boxes, (168, 688), (188, 208)):
        assert abs((box.left + box.right) / 2 - x) < 30 and abs((box.top + box.bottom) / 2 - y) < 40
        assert box.right - box.left == pytest.approx(box.bottom - box.top) and 256 <= box.right - box.left <= 400
    assert find_subjects(np.full((60, 80, 3), 128, np.uint8)) == []
    large = find_subjects(photograph.resize((3600, 1600)))
    assert [box.left / 4 for box in large] == pytest.approx([box.left for box in boxes], abs=25)


def test_a_model_says_how_it_frames_faces(tmp_path):
    pytest.importorskip("cv2")
    face = PIL.Image.open(embedded_pictures()[0]).convert("RGB")
    photograph = PIL.Image.new("RGB", (900, 800), "white")
    photograph.paste(face, (300, 250))
    (people,), (drawn,) = (find_subjects(photograph, frame) for frame in (None, 3.2))
    assert people.right - people.left == pytest.approx((drawn.right - drawn.left) * 4.3 / 3.2)
    assert drawn.right - drawn.left == pytest.approx(256, abs=26) and abs(drawn.left - 300) < 26
    tiny_pipeline(face_frame=3.2).save_pretrained(tmp_path)
    loaded = LFDMPipeline.from_pretrained(tmp_path)
    assert loaded.config.get("face_frame") == 3.2
    assert LFDMPipeline.from_pretrained(embedded_model("toon64")).config.get("face_frame") == 3.2


def test_the_face_of_a_photograph():
    pytest.importorskip("cv2")
    data = pytest.importorskip("skimage.data")
    (box,) = find_subjects(data.astronaut())
    assert 170 < box.right - box.left < 195  # 4.3 times 43, from the eyes to the mouth
    assert 205 < (box.left + box.right) / 2 < 245 and 105 < (box.top + box.bottom) / 2 < 120


def test_what_has_no_eyes_is_a_face_only_where_it_fills_the_picture():
    cv2 = pytest.importorskip("cv2")
    (path,) = embedded_photographs()
    pixels = np.asarray(PIL.Image.open(path).convert("RGB").resize((512, 512))).copy()
    assert len(find_subjects(pixels)) == 1
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_alt2.xml")
    faces = cascade.detectMultiScale(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 1.1, 5)
    ((x, y, side, _),) = faces
    eyes = pixels[y + side * 3 // 10 : y + side * 47 // 100, x : x + side]
    eyes[:] = cv2.blur(eyes, (30, 1))
    faces = cascade.detectMultiScale(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 1.1, 5)
    assert len(faces) == 1 and find_subjects(pixels) == []
    assert len(find_subjects(pixels[y - 40 : y + side + 40, x - 40 : x + side + 40])) == 1


def test_refusals(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ValueError, match="needs OpenCV: pip install 'lfdm_diffusers\\[subjects\\]', or give boxes"):
        find_subjects(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="`image` must be one picture, got 2"):
        find_subjects(torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE))
