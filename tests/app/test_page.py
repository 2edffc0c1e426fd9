"""The app in a real browser: Debian's or another Chromium, without a window."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from lfdm_diffusers.app.engine import Engine
from lfdm_diffusers.app.gallery import first_clip
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.embedded import embedded_photographs, embedded_pictures

ROOT = Path(__file__).parents[2]
webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs chromium and chromedriver"),
]
WAIT = 300  # seconds; a clip takes a few, all labels a minute, and two tests may share the machine


@contextlib.contextmanager
def served(engine: Engine) -> Iterator[str]:
    pytest.importorskip("gradio")  # here, because collecting all tests must not wait for it
    from lfdm_diffusers.app.page import launch_options, make_page

    page = make_page(engine).queue(max_size=5)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    page.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of an app with one model, of drawn faces."""
    with served(Engine("toon64")) as url:
        yield url


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--use-fake-ui-for-media-stream",  # a camera that shows a turning disc
        "--use-fake-device-for-media-stream",
    ):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


def until(browser: webdriver.Chrome, selector: str, what: str = "") -> webdriver.remote.webelement.WebElement:
    """The first element of a CSS selector that is shown, once there is one (and it holds `what`)."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    def find(browser: webdriver.Chrome) -> object:
        shown = [each for each in browser.find_elements("css selector", selector) if each.is_displayed()]
        return next((each for each in shown if what in (each.text or each.get_attribute("src") or "")), None)

    # What is drawn anew while it is looked at is looked for again.
    return WebDriverWait(browser, WAIT, ignored_exceptions=[StaleElementReferenceException]).until(
        find, f"{selector} {what}"
    )


IN_VIEW = """
    const place = arguments[0].getBoundingClientRect();
    return place.top > -2 && place.top < innerHeight / 2;
"""


def until_true(browser: webdriver.Chrome, script: str, element: webdriver.remote.webelement.WebElement) -> None:
    """Wait until a script says so of an element."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, WAIT).until(lambda browser: browser.execute_script(script, element), script)


def sources(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Which files elements show; asked at once, as they may be made anew meanwhile."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.src || '')", selector
    )


def changed(browser: webdriver.Chrome, selector: str, before: list[str]) -> None:
    """Wait until elements show other files than before."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, WAIT).until(lambda browser: set(sources(browser, selector)) - {*before, ""}, selector)


def click(browser: webdriver.Chrome, element: webdriver.remote.webelement.WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", element)


def empty(browser: webdriver.Chrome, field: str = "#picture") -> None:
    """Take the picture away."""
    for button in browser.find_elements(
        "css selector", f'{field} button[aria-label="Clear"], {field} button[title="Clear"]'
    ):
        click(browser, button)


def keep(browser: webdriver.Chrome, name: str) -> None:
    """A screenshot of the whole page, if LFDM_SCREENSHOTS names a folder."""
    if folder := os.environ.get("LFDM_SCREENSHOTS"):
        size = browser.get_window_size()
        height = browser.execute_script("return document.documentElement.scrollHeight")
        browser.set_window_size(size["width"], min(height + 150, 6000))
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))
        browser.set_window_size(size["width"], size["height"])


def click_at(browser: webdriver.Chrome, *places: tuple[float, float]) -> None:
    """Clicks on the picture that is drawn on, at shares of its width and height; each is waited for."""
    from selenium.webdriver import ActionChains

    for x, y in places:
        image = until(browser, "#stage img", "http")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
        wide, high, width, height = browser.execute_script(
            "const i = arguments[0]; return [i.clientWidth, i.clientHeight, i.naturalWidth, i.naturalHeight]", image
        )
        scale = min(wide / width, high / height, 1)  # object-fit: scale-down
        before = sources(browser, "#stage img")
        ActionChains(browser).pause(0.3).move_to_element_with_offset(
            image, round((x - 0.5) * width * scale), round((y - 0.5) * height * scale)
        ).click().perform()
        changed(browser, "#stage img", before)


def cells(browser: webdriver.Chrome, selector: str) -> list[str]:
    """What a table holds, cell by cell, but for empty ones."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' [role=gridcell]')].map(cell => cell.innerText.trim())"
    )
    return [
        text for text in browser.execute_script(script, selector) if text
    ]  # at once: a table is made anew meanwhile


def until_cells(browser: webdriver.Chrome, selector: str, count: int) -> list[str]:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, WAIT).until(
        lambda browser: len(cells(browser, selector)) == count, f"{count} in {selector}"
    )
    return cells(browser, selector)


def until_value(browser: webdriver.Chrome, selector: str, holds: Callable[[str], bool]) -> None:
    """Wait until a field's value is as asked."""
    from selenium.webdriver.support.ui import WebDriverWait

    field = browser.find_element("css selector", selector)
    WebDriverWait(browser, WAIT).until(lambda browser: holds(field.get_attribute("value")), selector)


def video(browser: webdriver.Chrome, selector: str, tmp_path: Path, first: bool = False) -> np.ndarray:
    """The frames of the video that an element shows; `first` takes the one that plays when the page opens."""
    from selenium.webdriver.support.ui import WebDriverWait

    opening = tuple(Path(first_clip(photograph)).name for photograph in (True, False))

    def found(browser: webdriver.Chrome) -> str | None:
        shown = [source for source in sources(browser, f"{selector} video") if source.startswith("http")]
        return next((source for source in shown if first or not source.endswith(opening)), None)

    source = WebDriverWait(browser, WAIT).until(found, f"{selector} video")
    path = tmp_path / "shown.mp4"
    with urllib.request.urlopen(source) as response:
        path.write_bytes(response.read())
    return read_clip(Clip(path))


DROP = """
    const [target, name, type] = arguments, sent = new DataTransfer();
    sent.items.add(new File(["some words"], name, {type}));
    return ["dragover", "drop"].map(kind => {
        const event = new DragEvent(kind, {dataTransfer: sent, bubbles: true, cancelable: true});
        target.dispatchEvent(event);
        return event.defaultPrevented;  // else the browser leaves the page and opens the file
    });
"""


def test_a_dropped_file_of_another_kind_is_answered(url, browser):
    """In one sentence, and the picture that is there stays; so does the page, where a file falls beside all fields."""
    browser.get(url)
    until(browser, "#go")
    picture = until(browser, "#picture img")
    source = picture.get_attribute("src")
    assert browser.execute_script(DROP, picture, "notes.txt", "text/plain") == [True, True]
    assert until(browser, "#dropped").text == "notes.txt is not a picture; this field takes nothing else."
    assert browser.execute_script(DROP, until(browser, "h1"), "me.png", "image/png") == [True, True]
    assert until(browser, "#dropped").text == "Drop a file onto the field that it is for."
    time.sleep(2)  # what the field would do, it does later
    assert until(browser, "#picture img").get_attribute("src") == source
    keep(browser, "dropped")
    empty(browser)
    assert browser.execute_script(DROP, until(browser, "#picture button"), "clip.mp4", "video/mp4") == [True, True]
    assert until(browser, "#dropped").text.startswith("clip.mp4 is not a picture")
    click(browser, until(browser, "#dropped"))
    assert not browser.find_elements("css selector", "#dropped")
    for tab, field, what in (("From a clip", "#driving", "a video"), ("Saved motion", "#motion", "a saved motion")):
        click(browser, until(browser, "button[role=tab]", tab))
        browser.execute_script(DROP, until(browser, f"{field} button"), "notes.txt", "text/plain")
        assert until(browser, "#dropped").text.startswith(f"notes.txt is not {what}")
        click(browser, until(browser, "#dropped"))


@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_upload_choose_animate(url, browser, tmp_path, width, height):
    browser.set_window_size(width, height)
    browser.get(url)
    until(browser, "#go")
    picture = tmp_path / "me.png"
    PIL.Image.open(embedded_pictures()[3]).save(picture)
    empty(browser)  # another picture is shown at first
    browser.find_element("css selector", '#picture input[type="file"]').send_keys(str(picture))
    until(browser, "#picture img")
    click(browser, browser.find_element("css selector", '#label input[value="surprise"]'))
    click(browser, until(browser, "#go"))
    frames = video(browser, "#clip", tmp_path)
    assert frames.shape == (16, 256, 256, 3)
    until_true(browser, IN_VIEW, browser.find_element("css selector", "#clip video"))
    reference = np.asarray(PIL.Image.open(picture).convert("RGB").resize((256, 256))).astype(int)
    assert np.abs(frames[0] - reference).mean() < 25  # the picture that was uploaded
    assert np.abs(frames.astype(int) - frames[0]).mean(axis=(1, 2, 3)).max() > 2  # and it moves
    until(browser, "#clip-views video", "http")
    assert until(browser, "#clip-files").text.count("surprise") >= 3
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    click(browser, until(browser, "button.label-wrap", "Before and after"))
    until(browser, "#before-after img", "http")
    click(browser, until(browser, "button.label-wrap", "What was made before"))
    until(browser, "#history video, #history img", "surprise")
    keep(browser, f"generate-{width}")
    if width > 1000:
        click(browser, until(browser, "#go-all"))
        assert len(video(browser, "#grid", tmp_path)) == 16
        assert until(browser, "#grid-files").text.count("all-labels")
        keep(browser, f"all-labels-{width}")


def test_only_what_is_painted_moves(url, browser, tmp_path):
    from selenium.webdriver import ActionChains

    browser.set_window_size(1280, 900)
    browser.get(url)
    until(browser, "#go")
    click(browser, browser.find_element("css selector", '#label input[value="surprise"]'))
    click(browser, until(browser, "button.label-wrap", "Framing"))
    until(browser, '#editor button[aria-label="Brush"]')
    canvas = until(browser, "#editor canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    strokes = ActionChains(browser).pause(2).move_to_element_with_offset(canvas, -100, -70).click_and_hold()
    for x, y in ((200, 0), (0, 30), (-200, 0), (0, -60), (200, 0)):  # brows
        strokes = strokes.move_by_offset(x, y)
    strokes.release().pause(1).perform()
    keep(browser, "painted")
    click(browser, until(browser, "#go"))
    frames = video(browser, "#clip", tmp_path).astype(int)
    moved = np.abs(frames - frames[0]).max(axis=(0, 3))
    assert moved[:110].mean() > 5 * moved[160:].mean(), "brows move, the mouth does not (but for H.264)"


@pytest.mark.parametrize("width, height", [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_stroke_is_drawn_and_obeyed(url, browser, tmp_path, width, height):
    """The mouth's corner is drawn up by two clicks; the clip goes there, and a button takes the stroke back."""
    browser.set_window_size(width, height)
    browser.get(url)
    until(browser, "#go")
    click(browser, browser.find_element("css selector", '#label input[value="neutral"]'))
    click(browser, until(browser, "#go"))
    plain = video(browser, "#clip", tmp_path).astype(int)
    before = sources(browser, "#clip video")
    click(browser, until(browser, "button.label-wrap", "Strokes"))
    click_at(browser, (0.5, 0.75), (0.5, 0.9))
    found = [float(cell) for cell in until_cells(browser, "#strokes", 4)]
    assert np.abs(np.subtract(found, [128, 192, 128, 230])).max() <= 3
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    keep(browser, f"stroke-{width}")
    click(browser, until(browser, "#go"))
    changed(browser, "#clip video", before)
    frames = video(browser, "#clip", tmp_path).astype(int)
    moved = np.abs(frames[8] - frames[0]).mean(axis=2)
    assert moved[190:245, 100:156].mean() > 2 * np.abs(plain[8] - plain[0]).mean(axis=2)[190:245, 100:156].mean()
    click(browser, until(browser, "#clear-strokes"))
    until_cells(browser, "#strokes", 0)


def test_a_loop_has_no_jump(url, browser, tmp_path):
    """Generated as a loop, and longer than the model's own clips: the last frame is a neighbour of the first."""
    browser.set_window_size(1440, 900)
    browser.get(url)
    until(browser, "#go")
    click(browser, browser.find_element("css selector", '#label input[value="surprise"]'))
    click(browser, until(browser, "button.label-wrap", "Motion"))
    click(browser, browser.find_element("css selector", '#loop input[value="as a loop"]'))
    number = until(browser, '#frames input[type="number"]')
    browser.execute_script(
        "arguments[0].value = 24; for (const e of ['input', 'change', 'blur']) arguments[0].dispatchEvent(new Event(e, {bubbles: true}))",
        number,
    )
    keep(browser, "loop")
    click(browser, until(browser, "#go"))
    frames = video(browser, "#clip", tmp_path).astype(int)
    assert len(frames) == 24
    steps = np.abs(np.diff(np.concatenate((frames, frames[:1])), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() > 1 and steps[-1] <= steps[:-1].max()


@pytest.mark.parametrize("width, height", [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_boxes_are_proposed_moved_and_drawn(url, browser, tmp_path, width, height):
    """Two people in a picture: a found face, another by two corners, each with its label; the rest stays."""
    from selenium.webdriver import ActionChains, Keys

    pytest.importorskip("cv2")
    scene = PIL.Image.new("RGB", (640, 320), (96, 128, 152))
    for number, face in enumerate(embedded_pictures()[:2]):
        scene.paste(PIL.Image.open(face).convert("RGB"), (32 + 320 * number, 32))
    scene.save(tmp_path / "two.png")
    browser.set_window_size(width, height)
    browser.get(url)
    until(browser, "#go")
    empty(browser)
    browser.find_element("css selector", '#picture input[type="file"]').send_keys(str(tmp_path / "two.png"))
    until(browser, "#picture img", "two")
    click(browser, browser.find_element("css selector", '#label input[value="surprise"]'))
    click(browser, until(browser, "button.label-wrap", "Strokes"))
    until(browser, "#stage img", "http")
    click(browser, until(browser, "#find-faces"))
    found = [float(cell) for cell in until_cells(browser, "#subjects", 8)]
    assert abs(found[0] + found[2] / 2 - 160) < 30 and abs(found[4] + found[6] / 2 - 480) < 30
    click(browser, until(browser, '#what input[value="box 2 anew"]'))
    click_at(browser, (0.55, 0.1), (0.95, 0.9))
    moved = [float(cell) for cell in until_cells(browser, "#subjects", 8)]
    assert moved[:4] == found[:4] and np.abs(np.subtract(moved[4:], [352, 32, 256, 256])).max() <= 3
    # Its label is written into its row.
    cell = browser.find_elements("css selector", "#subjects [role=gridcell]")[-1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    ActionChains(browser).double_click(cell).pause(0.5).send_keys("happiness", Keys.ENTER).perform()
    until_cells(browser, "#subjects", 9)
    keep(browser, f"boxes-{width}")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    click(browser, until(browser, "#go"))
    frames = video(browser, "#clip", tmp_path).astype(int)
    assert frames.shape == (16, 320, 640, 3)
    change = np.abs(frames - frames[0]).max(axis=(0, 3))
    assert change[:, 292:346].mean() < 4 < min(change[64:288, 64:256].mean(), change[64:256, 384:576].mean())
    kept = until(browser, "#clip-files").text
    assert kept.count("safetensors") == 2
    keep(browser, f"boxes-made-{width}")


def test_another_model(url, browser, tmp_path):
    """Its labels, steps and size take the place of the first one's, for this visitor alone; what is no model is said."""
    from tiny import LABELS, tiny_pipeline

    tiny_pipeline(default_num_inference_steps=3).save_pretrained(tmp_path / "tiny")
    browser.set_window_size(1280, 900)
    browser.get(url)
    click(browser, until(browser, 'button[role="tab"]', "Model"))
    name = until(browser, "#model textarea, #model input")
    name.send_keys(str(tmp_path))
    click(browser, until(browser, "#load"))
    assert "holds no model" in until(browser, ".toast-body", "holds no model").text
    name.clear()
    name.send_keys(str(tmp_path / "tiny"))
    click(browser, until(browser, "#load"))
    assert "32x32 pixels, 4 frames, 3 steps" in until(browser, "#about", "32x32").text
    click(browser, until(browser, 'button[role="tab"]', "Generate"))
    until(browser, "#label", LABELS[-1])
    assert browser.find_element("css selector", "#label").text.split()[1:] == list(LABELS)
    click(browser, until(browser, "#go"))
    assert video(browser, "#clip", tmp_path).shape == (4, 256, 256, 3)


def test_a_photograph_moves_by_the_model_of_people(browser, tmp_path):
    """The page begins with one. A drawn example is taken for what it is, an upload for a photograph; both models have the seven labels."""
    ((bundled, _),) = embedded_photographs().items()
    with PIL.Image.open(bundled) as photograph:
        photograph.crop((104, 0, 344, 240)).save(tmp_path / "photograph.png")
    browser.set_window_size(1280, 900)
    with served(Engine(models=[])) as url:
        browser.get(url)
        assert video(browser, "#clip", tmp_path, first=True).shape == (24, 512, 512, 3)
        until(browser, "#outlook", "face was found")
        until_value(browser, "#away input", lambda value: value == "happiness")  # what the photograph shows
        shown = sources(browser, "#picture img")
        click(browser, browser.find_elements("css selector", "#gallery [data-tile]")[4])  # a drawn face, surprised
        changed(browser, "#picture img", shown)
        until(browser, "#kind label.selected", "drawn")
        until(browser, "#label label.selected", "surprise")
        until(browser, "#outlook", "whole picture")
        until_value(browser, "#away input", lambda value: value == "nothing that counts")
        click(browser, until(browser, "button.label-wrap", "Motion"))
        click(browser, browser.find_elements("css selector", ".gallery button, .gallery-item")[1])
        until(browser, "#kind label.selected", "drawn")
        until_value(browser, "#frames input", lambda value: value == "16")
        browser.find_element("css selector", "#picture input[type=file]").send_keys(str(tmp_path / "photograph.png"))
        until(browser, "#kind label.selected", "photograph")
        until_value(browser, "#frames input", lambda value: value == "24")
        click(browser, until(browser, "#go"))
        assert video(browser, "#clip", tmp_path).shape == (24, 240, 240, 3)
        keep(browser, "photograph")


def test_expressions_answer_at_once(url, browser, tmp_path):
    """A clip plays when the page opens; what will become of the picture is said; sliders mix what was made once."""
    browser.set_window_size(1280, 900)
    browser.get(url)
    assert len(video(browser, "#clip", tmp_path, first=True)) == 16
    playing = "return !arguments[0].paused && arguments[0].loop && arguments[0].currentTime > 0"
    until_true(browser, playing, browser.find_element("css selector", "#clip video"))
    assert "picture" in until(browser, "#outlook", "picture").text
    keep(browser, "load")
    click(browser, until(browser, "button.label-wrap", "Sampling"))
    before = until(browser, "#seed input").get_attribute("value")
    click(browser, until(browser, "#random-seed"))
    until_value(browser, "#seed input", lambda value: value not in (before, ""))
    click(browser, until(browser, 'button[role="tab"]', "Expressions"))
    click(browser, until(browser, "#go-expressions"))
    assert len(video(browser, "#mix-clip", tmp_path)) == 26  # ten of them held
    keep(browser, "expressions")
    shown = sources(browser, "#mix-still img")
    slider = browser.find_element("css selector", "#mix-surprise input[type=range]")
    script = "arguments[0].value = 1; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    browser.execute_script(script, slider)
    changed(browser, "#mix-still img", shown)


@pytest.mark.parametrize("button, shown_in", [("#go", "#clip"), ("#go-all", "#grid")])
def test_how_long_it_takes_is_said_and_it_can_be_stopped(url, browser, tmp_path, button, shown_in):
    browser.set_window_size(1280, 900)
    browser.get(url)
    until(browser, "#go")
    click(browser, until(browser, "button.label-wrap", "Sampling"))
    steps = until(browser, "#steps input[type=number]")
    browser.execute_script("arguments[0].value = 100; arguments[0].dispatchEvent(new Event('input'))", steps)
    click(browser, until(browser, button))
    told = until(
        browser, f"{shown_in} .progress-text, {shown_in} .meta-text, {shown_in} .progress-level", "seconds left"
    )
    assert re.search(r"step \d+ of 100, \d+ seconds left", told.text), told.text
    keep(browser, f"during-{button[1:]}")
    click(browser, until(browser, f"#stop-{shown_in[1:]}"))
    assert until(browser, ".toast-body", "Stopped.")
    assert len(browser.find_elements("css selector", ".toast-body")) == 1
    browser.get(url)  # and the next clip is made
    click(browser, until(browser, "#go"))
    assert len(video(browser, "#clip", tmp_path)) == 16


def test_what_is_missing_is_said(url, browser):
    browser.set_window_size(1280, 900)
    browser.get(url)
    click(browser, until(browser, 'button[role="tab"]', "Saved motion"))
    click(browser, until(browser, "#go-kept"))
    assert "Choose a motion file first" in until(browser, ".toast-body", "Choose").text
    assert len(browser.find_elements("css selector", ".toast-body")) == 1
    keep(browser, "message")


def test_motion_from_a_clip(url, browser, tmp_path):
    from lfdm_diffusers.data.toon_faces import toon_clip
    from lfdm_diffusers.data.video_writing import write_clip

    clip = toon_clip(1, 40, "happiness", num_frames=12, size=128).frames
    write_clip(tmp_path / "smile.mp4", clip, "mp4", 10)
    browser.set_window_size(1280, 900)
    browser.get(url)
    click(browser, until(browser, 'button[role="tab"]', "From a clip"))
    until(browser, "#go-transfer")
    browser.find_element("css selector", '#driving input[type="file"]').send_keys(str(tmp_path / "smile.mp4"))
    until(browser, "#driving video")
    click(browser, until(browser, "#go-transfer"))
    assert len(video(browser, "#moved", tmp_path)) == 12
    keep(browser, "transfer")


def test_a_transfer_can_be_stopped(url, browser, tmp_path):
    from lfdm_diffusers.data.toon_faces import toon_clip
    from lfdm_diffusers.data.video_writing import write_clip

    clip = toon_clip(1, 40, "happiness", num_frames=12, size=64).frames
    write_clip(tmp_path / "long.mp4", np.concatenate([clip] * 12), "mp4", 25)
    with PIL.Image.open(embedded_pictures()[0]) as picture:
        picture.resize((1400, 1400)).save(tmp_path / "large.png")  # so that drawing all frames takes its time
    browser.set_window_size(1280, 900)
    browser.get(url)
    click(browser, until(browser, 'button[role="tab"]', "From a clip"))
    go = until(browser, "#go-transfer")
    empty(browser, "#moving-picture")
    for name, file in (("#moving-picture", "large.png"), ("#driving", "long.mp4")):
        browser.find_element("css selector", f'{name} input[type="file"]').send_keys(str(tmp_path / file))
    until(browser, "#driving video")
    until(browser, "#moving-picture img", "large")
    click(browser, go)
    until(browser, "#moved .progress-text, #moved .meta-text, #moved .progress-level", "seconds left")
    keep(browser, "during-transfer")
    click(browser, until(browser, "#stop-moved"))
    assert until(browser, ".toast-body", "Stopped.")
    assert len(browser.find_elements("css selector", ".toast-body")) == 1


def test_a_driving_clip_is_recorded_by_the_camera(url, browser, tmp_path):
    browser.set_window_size(1440, 900)
    browser.get(url)
    until(browser, "#go")
    click(browser, until(browser, 'button[role="tab"]', "From a clip"))
    click(browser, until(browser, '#driving button[aria-label="Capture from camera"]'))
    click(browser, until(browser, "#driving button", "Click to Access Webcam"))
    click(browser, until(browser, "#driving button", "Record"))
    time.sleep(5)  # of the disc's turning; a slow machine's first seconds are empty
    click(browser, until(browser, "#driving button", "Stop"))
    until(browser, '#driving button[title="Clear"]')
    bottoms = [
        browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().bottom", each)
        for each in ('#driving button[aria-label="Capture from camera"]', "#driving")
    ]
    assert bottoms[0] <= bottoms[1], "its buttons are not cut off"
    click(browser, until(browser, "#go-transfer"))
    assert len(video(browser, "#moved", tmp_path)) >= 2
    keep(browser, "camera")
