"""The arguments of a call, bound to a function's parameters as Python itself would bind them.

`inspect.Signature.bind` takes 8 µs a call. Instead a function with the same parameters is generated once: calling it
binds in C, fills defaults in, and raises the function's own `TypeError` for arguments that do not fit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, Signature
from types import MethodType
from typing import Any, Final

from holdfast.errors import ConfigurationError

INSTANCE_NAMES: Final = frozenset({"self", "cls", "mcs"})


class _Reference:
    """Stands for a default in the text of a signature: its representation is the name that the default goes by."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def describe(function: Callable[..., Any]) -> str:
    """Return a function's module and qualified name, for keys and messages."""
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return a function's signature, as it is called.

    A `functools.partial` may say in `__wrapped__` what it stands for, as those do that Django's `method_decorator`
    makes; Python would then take the signature of that, `self` and all, for its own.

    Raises:
        ConfigurationError: it has none that Python can tell, as some functions written in C.
    """
    try:
        return inspect.signature(_without_wrapped(function))
    except (TypeError, ValueError):
        msg = f"{describe(function)} has no signature to bind a call's arguments to: wrap it in a def with parameters"
        raise ConfigurationError(msg) from None


def _without_wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function like this one, whose partials do not say what they wrap."""
    if isinstance(function, MethodType) or hasattr(function, "__signature__"):
        return function
    inner = inspect.unwrap(function, stop=lambda each: isinstance(each, partial) or hasattr(each, "__signature__"))
    if not isinstance(inner, partial):
        return function
    return partial(_without_wrapped(inner.func), *inner.args, **inner.keywords)


def instance_name(signature: Signature) -> str | None:
    """Return the name of the first parameter, if it is one that stands for an instance or a class."""
    first = next(iter(signature.parameters), None)
    return first if first in INSTANCE_NAMES else None


def free_prefix(signature: Signature) -> str:
    """Return a beginning that no parameter's name has, so that names that start with it cannot be shadowed."""
    prefix = "_key_"
    while any(name.startswith(prefix) for name in signature.parameters):
        prefix += "_"
    return prefix


def define(
    function: Callable[..., Any], signature: Signature, body: str, values: Mapping[str, object]
) -> Callable[..., Any]:
    """Return a new function with a signature's parameters and defaults.

    Args:
        function: lends its name, which `TypeError` messages show.
        signature: the parameters.
        body: the text of the function's one line. All names in it are parameters or in `values`.
        values: what the body refers to, by names that start with the signature's `free_prefix`.
    """
    namespace: dict[str, Any] = dict(values)
    parameters: list[Parameter] = []
    for index, parameter in enumerate(signature.parameters.values()):
        default = parameter.default
        if default is not Parameter.empty:
            # By reference: a default may be any object, and it must be the very one that the function has.
            name = f"{free_prefix(signature)}default_{index}"
            namespace[name] = default
            default = _Reference(name)
        parameters.append(parameter.replace(default=default, annotation=Parameter.empty))
    source = f"def bound{Signature(parameters)}: {body}"
    # The text holds checked identifiers and escaped literals only. Python's dataclasses make methods this way as well:
    # there is no other way to a function that has given parameters and binds at C speed.
    exec(compile(source, f"<key of {describe(function)}>", "exec"), namespace)  # noqa: S102 - as said above
    bound: Callable[..., Any] = namespace["bound"]
    bound.__name__ = getattr(function, "__name__", "bound")
    bound.__qualname__ = getattr(function, "__qualname__", "bound")
    return bound
