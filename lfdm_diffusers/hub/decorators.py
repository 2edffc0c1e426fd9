"""Decorators that keep the types of what they decorate, in place of others that lose arguments and results."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from diffusers import configuration_utils
from diffusers.utils import accelerate_utils

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
    """diffusers' own, for a method beside `forward` that offloading hooks must know."""
    return cast(Method, accelerate_utils.apply_forward_hook(method))
