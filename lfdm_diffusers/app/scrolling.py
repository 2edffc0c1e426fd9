"""Where a result comes is brought into view when it is asked for and when it is there, as on a phone, where it stands below all fields.

Gradio's own way, `scroll_to_output`, leaves the page where it is.
"""

from __future__ import annotations

from collections.abc import Callable

SCRIPT = """
() => {
    const place = document.getElementById("%s"), {top, bottom} = place.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) place.scrollIntoView({behavior: "smooth", block: "start"});
}
"""


def show_place(event: Callable, place: str) -> None:
    """Scroll to the element with the id `place`, unless all of it is in view.

    Args:
        event: when: a button's `click`, or the `success` of what it does.
    """
    event(None, None, None, js=SCRIPT % place, show_progress="hidden", api_visibility="private")
