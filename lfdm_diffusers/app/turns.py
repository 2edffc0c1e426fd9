"""Work of many threads, done in one."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


def in_turn(method: Method) -> Method:
    """A method that does its work in the one thread of its object's `_worker`, when those that were called before are done.

    A lock would do for order, but not for memory: glibc gives every thread a heap of its own, and what one clip has freed in it is of
    no use to the next clip in another thread, so that a server grows until every heap has held the largest clip.
    """

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = contextvars.copy_context().run  # Gradio's progress belongs to the context of a request
        return self._worker.submit(run, method, self, *args, **kwargs).result()

    return cast(Method, wrapper)
