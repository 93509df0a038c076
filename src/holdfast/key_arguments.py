"""The builder by-arguments: module, qualified name and canonical arguments.

Two scripts that are run as ``__main__`` and share a namespace share the names of functions that are called alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Signature
from typing import Any

from holdfast.errors import ConfigurationError
from holdfast.key_binding import describe, instance_name
from holdfast.policy.key_canonical import canonical
from holdfast.policy.key_text import protect


def by_arguments(function: Callable[..., Any], signature: Signature, /) -> Callable[[Mapping[str, Any]], str]:
    """Name calls by the function and all its arguments but `self`, `cls` or `mcs`, which the first may be called.

    Arguments are named, with defaults filled in, so that ``f(1)``, ``f(id=1)`` and a default of 1 are one call. A
    default without a stable text, such as ``object()`` for "not given", reads ``default``.

    Raises:
        ConfigurationError: the function has no name that tells it from others.
    """
    if "<lambda>" in getattr(function, "__qualname__", "<lambda>"):
        msg = f"{describe(function)} has no name of its own to make a key of: give key=, or define it with def"
        raise ConfigurationError(msg)
    prefix = protect(describe(function))
    instance = instance_name(signature)
    defaults = {name: parameter.default for name, parameter in signature.parameters.items() if name != instance}

    def build(arguments: Mapping[str, Any]) -> str:
        texts = [f"{name}={_text(arguments[name], name, default)}" for name, default in defaults.items()]
        return f"{prefix}({','.join(texts)})"

    return build


def _text(value: object, name: str, default: object) -> str:
    try:
        return canonical(value, name)
    except ConfigurationError:
        if value is default:
            return "default"
        raise
