"""Decorators that keep the types of what they decorate, in place of others that lose arguments and results."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from diffusers import configuration_utils
from diffusers.utils import accelerate_utils

Method = TypeVar("Method", bound=Callable[..., Any])


def wraps(original: Callable[..., Any]) -> Callable[[Method], Method]:
    """`functools.wraps`, for a method."""
    return cast(Callable[[Method], Method], functools.wraps(original))


def register_to_config(init: Method) -> Method:
    """diffusers' own, for a constructor, whose arguments become the configuration."""
    return cast(Method, configuration_utils.register_to_config(init))


def apply_forward_hook(method: Method) -> Method:
    """diffusers' own, for a method beside `forward` that offloading hooks must know."""
    return cast(Method, accelerate_utils.apply_forward_hook(method))
