"""docs/app.webp: the app as it opens, in Debian's Chromium without a window (`apt install chromium chromium-driver`, pip's selenium).

python reproduction/draw_app.py
"""

from __future__ import annotations

import io
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

from lfdm_diffusers.app.engine import Engine
from lfdm_diffusers.app.page import launch_options, make_page

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 1280, 1060
SETTLED = 10.4  # seconds after which the page stands still, and the gallery's clips are near their apex


def main() -> None:
    page = make_page(Engine())
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options)
    browser.set_window_size(WIDTH, HEIGHT)
    browser.get(url)
    time.sleep(SETTLED)
    Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").save(
        DOCS / "app.webp", quality=80, method=6
    )
    browser.quit()
    page.close()
    print(f"wrote {DOCS / 'app.webp'}")


if __name__ == "__main__":
    main()
