"""Decorators that keep the types of what they decorate, in place of others that lose arguments and results."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch  # noqa: F401  (see apply_forward_hook)
from diffusers import configuration_utils

from .bounds import require_argument

Method = TypeVar("Method", bound=Callable[..., Any])


def wraps(original: Callable[..., Any]) -> Callable[[Method], Method]:
    """`functools.wraps`, for a method."""
    return cast(Callable[[Method], Method], functools.wraps(original))


def register_to_config(init: Method) -> Method:
    """diffusers' own, for a constructor, whose arguments become the configuration; each is checked by its annotation first."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def checked_init(*args: Any, **kwargs: Any) -> None:
        (_, *given) = signature.bind(*args, **kwargs).arguments.items()
        for name, value in given:
            require_argument(name, signature.parameters[name].annotation, value)
        init(*args, **kwargs)

    return cast(Method, configuration_utils.register_to_config(checked_init))


def apply_forward_hook(method: Method) -> Method:
    """For a method beside `forward` that offloading hooks must know: accelerate's hook moves the weights before it.

    diffusers has such a decorator. Code that torch 2.6 compiles of it looks for `torch` where it stands, and it is not there.
    """

    @functools.wraps(method)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        hook = getattr(self, "_hf_hook", None)
        if hook is not None and hasattr(hook, "pre_forward"):
            hook.pre_forward(self)
        return method(self, *args, **kwargs)

    return cast(Method, hooked)
