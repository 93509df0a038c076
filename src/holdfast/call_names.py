"""What decorated functions do with the arguments of a call: name it, and await what users' functions return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from holdfast.errors import ConfigurationError
from holdfast.key_binding import describe, instance_name, signature_of
from holdfast.keybuilders import CompiledKey, compile_key, compile_tag
from holdfast.options import KeyOption


def compile_call(function: Callable[..., Any], key: KeyOption, shared: str) -> CompiledKey:
    """Return what names a call; without a key, all calls of the function have one name.

    Args:
        function: what is decorated.
        key: what the user said.
        shared: what calls of one name share, for messages.
    """
    if key is not None and not isinstance(key, str):
        return compile_key(function, key)
    template = _name_of(function, shared).replace("{", "{{").replace("}", "}}") if key is None else key
    takes_instance = instance_name(signature_of(function)) is not None
    return CompiledKey(compile_tag(function, template, "key"), key or describe(function), takes_instance)


def _name_of(function: Callable[..., Any], shared: str) -> str:
    """Return a function's name, if it is one that no other function of its module is likely to have."""
    name = describe(function)
    whole = name.rpartition(".")[2]
    if whole == "<lambda>" or whole != getattr(inspect.unwrap(function), "__name__", whole):
        msg = f"other functions are called {name}, too, and would share its {shared}: give it a key="
        raise ConfigurationError(msg)
    return name


async def value_of(given: Any) -> Any:
    """Return a value, or what an awaitable comes to."""
    return await given if inspect.isawaitable(given) else given
