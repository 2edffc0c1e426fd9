"""The app of lfdm_diffusers as a Space of the Hugging Face Hub; LFDM_MODEL names another pipeline (a Hub id) than the package's own."""

import os

from lfdm_diffusers.app import MOST_WAITING
from lfdm_diffusers.app.engine import Engine
from lfdm_diffusers.app.page import launch_options, make_page

# A public app stays with its model: visitors should not make it download others.
page = make_page(Engine(os.environ.get("LFDM_MODEL") or None, may_load=False)).queue(
    max_size=MOST_WAITING, default_concurrency_limit=1
)

if __name__ == "__main__":
    page.launch(**launch_options())
