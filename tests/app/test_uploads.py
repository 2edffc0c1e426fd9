"""What strangers may send to the app, and what they are told."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest

from lfdm_diffusers.cli.app import is_loopback


@pytest.fixture(scope="module")
def gradio() -> ModuleType:
    return pytest.importorskip("gradio")  # here, because collecting all tests must not wait for it


@pytest.fixture(scope="module")
def uploads(gradio) -> ModuleType:
    from lfdm_diffusers.app import uploads

    return uploads


def data_url(picture: PIL.Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_a_picture_comes_as_its_file(gradio, uploads):
    upload = uploads.picture_upload()
    path = upload.preprocess(gradio.components.image.ImageData(path=None, url=data_url(PIL.Image.new("L", (3, 2)))))
    with PIL.Image.open(path) as image:
        assert image.size == (3, 2)
    assert upload.preprocess(None) is None
    sent = f"{upload.GRADIO_CACHE}/x/y.png"
    assert upload.preprocess(gradio.components.image.ImageData(path=sent)) == sent  # it is not opened here
    for path in ("/etc/passwd", f"{upload.GRADIO_CACHE}/../y.png"):
        with pytest.raises(gradio.Error, match="must be sent, not named by a path"):
            upload.preprocess(gradio.components.image.ImageData(path=path))
    for url, message in (
        ("data:image/png;base64," + "A" * (2 * uploads.MOST_UPLOADED), "more than 20 MB"),
        ("data:image/png;base64,???", "holds no file"),
        ("data:,text", "holds no file"),
    ):
        with pytest.raises(gradio.Error, match=message):
            upload.preprocess(gradio.components.image.ImageData(path=None, url=url))


def test_what_was_painted_is_bounded(gradio, uploads, tmp_path):
    PIL.Image.new("1", (3000, 3000)).save(tmp_path / "a.png")
    data = gradio.components.image_editor.EditorData
    layer = gradio.FileData(path=str(tmp_path / "a.png"))
    with pytest.raises(gradio.Error, match="what was painted has 3000x3000 pixels"):
        uploads.mask_editor().preprocess(data(background=None, layers=[layer], composite=None))
    PIL.Image.new("RGBA", (30, 20), (0, 0, 0, 255)).save(tmp_path / "a.png")
    found = uploads.mask_editor().preprocess(data(background=None, layers=[layer], composite=None))
    assert np.shape(found["layers"][0]) == (20, 30, 4)


def test_errors_name_the_file_and_no_folder_of_the_server(gradio, uploads, tmp_path):
    path = str(tmp_path / "secret" / "a\x1b.heic")

    def fails(picture: str) -> None:
        raise ValueError(f"{picture} cannot\nbe read.")

    with pytest.raises(gradio.Error) as caught:
        uploads.told(fails)(path)
    assert caught.value.message == "a\\x1b.heic cannot be read." and not caught.value.print_exception


@pytest.mark.parametrize("value", [1e20, -1, float("nan"), float("inf"), "7", [], True, 10**400])
def test_numbers_outside_of_their_bounds(uploads, value):
    with pytest.raises(ValueError, match="Steps must be a number from 1 to 1000, got"):
        uploads.asked_number("Steps", value, 1, 1000, 0)


@pytest.mark.parametrize("value", [1.5, 0.5, 1e20, float("nan"), "7", True, 10**400])
def test_whole_numbers_are_not_cut(uploads, value):
    with pytest.raises(ValueError, match="Seed must be a whole number from 0 to 2147483648, got"):
        uploads.asked_whole("Seed", value, 0, 2**31)
    assert uploads.asked_whole("Seed", 7.0, 0, 2**31) == 7 and uploads.asked_whole("Seed", None, 0, 9, 3) == 3


def test_empty_fields_take_what_is_usual(uploads):
    assert uploads.asked_number("Steps", None, 1, 1000, 0) == 0 and uploads.asked_number("Steps", 7.0, 1, 1000, 0) == 7
    assert uploads.choice("Loop", "ease", ("ease", "no")) == "ease"
    for value in (None, [], "other"):
        with pytest.raises(ValueError, match="Loop must be one of ease, no, got"):
            uploads.choice("Loop", value, ("ease", "no"))


def test_who_is_a_stranger():
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.1.2.3")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.5", "::", "example.org", "")))


def test_folders_of_the_server_are_left_out(uploads):
    without_folders = uploads.without_folders
    assert without_folders("/srv/app/models/toon64 holds no model.") == "toon64 holds no model."
    assert without_folders("/x/y.png: see https://a.example/b/c") == "y.png: see https://a.example/b/c"
    assert without_folders("16/9 and 1/2 of train/test") == "16/9 and 1/2 of train/test"


@pytest.mark.parametrize(
    "sent",
    [
        [None, 1e20, "a"],
        [None, "fast", "a"],
        [None, 1.0, "none of them"],
        [None, None, "a"],
        [None],
        [{"path": "/etc/passwd"}, 1.0, "a"],
        [{"path": "/", "meta": {"_type": "gradio.FileData"}}, 1.0, "a"],
    ],
)
@pytest.mark.parametrize("slider", [True, False])
def test_values_that_no_field_takes_are_refused_without_a_traceback(gradio, uploads, sent, slider):
    """What Gradio refuses by itself comes as a message too."""
    with gradio.Blocks() as page:
        number = gradio.Slider(0, 3, 1) if slider else gradio.Number(1, minimum=0, maximum=3)
        fields = [uploads.picture_upload(), number, gradio.Radio(["a", "b"])]
        gradio.Button().click(lambda *values: None, fields, None)
    uploads.tell_what_is_not_taken(page)
    (function,) = page.fns.values()
    if sent[1:] == [None, "a"] and not slider:  # an empty field is one
        assert asyncio.run(page.preprocess_data(function, sent, None)) == [None, None, "a"]
        return
    with pytest.raises(gradio.Error) as caught:
        asyncio.run(page.preprocess_data(function, sent, None))
    message = caught.value.message
    assert not caught.value.print_exception and "\n" not in message and "/etc" not in message


def test_a_folder_among_the_files_is_refused_before_gradio_keeps_it(gradio, uploads):
    """Gradio deletes what it was sent, by an hourly task that a folder would end."""
    with gradio.Blocks() as page:
        picture = uploads.picture_upload()
        gradio.Button().click(lambda *values: None, [picture, gradio.JSON()], None)
    uploads.tell_what_is_not_taken(page)
    (function,) = page.fns.values()
    folder = Path(picture.GRADIO_CACHE) / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    for sent in ([{"path": str(folder), "meta": {"_type": "gradio.FileData"}}, []],
                 [None, [[{"path": str(folder), "meta": {"_type": "gradio.FileData"}}]]]):  # fmt: skip
        with pytest.raises(gradio.Error, match="A file must be sent, not a folder"):
            asyncio.run(page.preprocess_data(function, sent, None))
    assert not any(page.temp_file_sets)


def test_a_request_that_is_no_json_is_answered(gradio, uploads):
    """FastAPI's own answer repeats what came, and fails at NaN."""
    from fastapi.testclient import TestClient

    with gradio.Blocks() as page:
        gradio.Button().click(lambda: None, api_name="go")
    app = gradio.routes.App.create_app(page, app_kwargs=uploads.ANSWERS)
    answer = TestClient(app).post("/gradio_api/call/go", content='{"data": NaN}')
    assert answer.status_code == 422 and answer.json() == {"detail": uploads.NOT_TAKEN}
