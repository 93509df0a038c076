"""The registry of key builders, and the compilation of a function's key.

`compile_key` runs once a function, when decorating; the `CompiledKey` that it returns runs once a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from inspect import Signature
from typing import Any, Final, cast

from holdfast._calls import is_async
from holdfast.errors import ConfigurationError
from holdfast.key_arguments import by_arguments
from holdfast.key_binding import define, describe, free_prefix, instance_name, signature_of
from holdfast.key_requests import by_request
from holdfast.key_templates import compile_template
from holdfast.policy.key_text import VERSION_MARK, escape, shorten
from holdfast.policy.keys import guard
from holdfast.typing import KeyBuilder

ENTRY_POINTS: Final = "holdfast.key_builders"
"""The group in which other packages offer key builders."""


@dataclass(frozen=True, slots=True)
class CompiledKey:
    """How the calls of one function are named."""

    name_of: Callable[..., str]
    """Takes the arguments as the undecorated function does, and returns the entry's name: escaped, shortened, without
    namespace and braces. Arguments that do not fit raise the function's `TypeError`."""
    pattern: str
    """What statistics and events show: the template, or the function's module and qualified name."""
    takes_instance: bool
    """Whether the function's first parameter is called `self`, `cls` or `mcs`."""


def compile_key(
    function: Callable[..., Any],
    key: str | Callable[..., str] | None = None,
    builder: KeyBuilder | None = None,
    version: str = "",
) -> CompiledKey:
    """Compile the key of a function.

    Args:
        function: the function as it was before decorating; a `functools.partial` is named as the call that it makes.
        key: a template, or a callable that takes the call's arguments and returns the name, or None for `builder`.
        builder: what names calls when there is no key; by-arguments if there is no builder either.
        version: text that becomes part of each name, so that a new version starts with no entries.

    Raises:
        ConfigurationError: the key does not fit the function; the message says what would.

    Example:
        >>> def product(product_id, lang="en"): ...
        >>> compile_key(product, "product:{product_id}").name_of(product_id=7)
        'product:7'
    """
    suffix = version_suffix(version)
    takes_instance = instance_name(signature_of(function)) is not None
    if key is not None and not isinstance(key, str):
        return CompiledKey(_by_callable(function, key, suffix), describe(function), takes_instance)
    if isinstance(function, partial):
        whole = compile_key(function.func, key, builder, version)
        name_of: Callable[..., str] = partial(whole.name_of, *function.args, **function.keywords)
        return CompiledKey(name_of, whole.pattern, takes_instance)
    if isinstance(key, str):
        name_of = compile_template(function, signature_of(function), key, suffix=suffix)
        return CompiledKey(name_of, key, takes_instance)
    return CompiledKey(_by_builder(function, builder or by_arguments, suffix), describe(function), takes_instance)


def compile_tag(function: Callable[..., Any], template: str, option: str = "tags") -> Callable[..., str]:
    """Return what makes one tag of a call, from the arguments as `function` takes them.

    Other names that may be the same for all calls are made likewise: `option` says for messages where they stand.

    Raises:
        ConfigurationError: the template does not fit the function; the message says what would.
    """
    if isinstance(function, partial):
        return partial(compile_tag(function.func, template, option), *function.args, **function.keywords)
    return compile_template(function, signature_of(function), template, option=option, constant=True)


def version_suffix(version: str) -> str:
    """Return what a version adds to each name."""
    if not isinstance(version, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"version must be text, not {type(version).__name__}: write version='2'"
        raise ConfigurationError(msg)
    return f"{VERSION_MARK}{escape(version)}" if version else ""


def _by_callable(function: Callable[..., Any], key: Callable[..., str], suffix: str) -> Callable[..., str]:
    if not callable(key) or is_async(key):
        msg = f"key= of {describe(function)} must be a template or a plain function that returns text"
        raise ConfigurationError(msg)
    # The callable may accept more than the function does; a hit must not hide that the call is wrong.
    check = define(function, signature_of(function), "return None", {})
    source = f"what the key= of {describe(function)} returns"

    def name_of(*args: Any, **kwargs: Any) -> str:
        check(*args, **kwargs)
        return guard(key(*args, **kwargs), source, suffix)

    return name_of


def _by_builder(function: Callable[..., Any], builder: KeyBuilder, suffix: str) -> Callable[..., str]:
    signature = signature_of(function)
    build = builder(function, signature)
    if not callable(build):
        msg = f"the key builder of {describe(function)} must return a function that takes the bound arguments"
        raise ConfigurationError(msg)
    source = f"what the key builder of {describe(function)} returns"

    def own(arguments: Mapping[str, Any]) -> str:
        return shorten(build(arguments) + suffix)

    def foreign(arguments: Mapping[str, Any]) -> str:
        return guard(build(arguments), source, suffix)

    free = free_prefix(signature)
    arguments = ", ".join(f"{name!r}: {name}" for name in signature.parameters)
    finish = own if builder is by_arguments or builder is by_request else foreign
    return define(function, signature, f"return {free}finish({{{arguments}}})", {f"{free}finish": finish})


def _no_template(function: Callable[..., Any], _: Signature, /) -> Callable[[Mapping[str, Any]], str]:
    msg = f"key_builder='template' needs a template: give key= to {describe(function)}"
    raise ConfigurationError(msg)


class KeyBuilders:
    """The key builders that one layer knows by name: ``template``, ``by-arguments``, ``by-request``, and your own.

    ``template`` is for ``Layer(key_builder="template")``: functions without a ``key=`` are then refused. Builders of
    other packages, offered in the entry-point group ``holdfast.key_builders``, are loaded when first asked for.

    Example:
        >>> def by_tenant(function, signature):
        ...     return lambda arguments: f"tenant:{arguments['tenant_id']}"
        >>> builders = KeyBuilders()
        >>> builders.register("by-tenant", by_tenant)
        >>> builders.get("by-tenant") is by_tenant
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._builders: dict[str, KeyBuilder] = {
            "template": _no_template,
            "by-arguments": by_arguments,
            "by-request": by_request,
        }
        self._offered: dict[str, EntryPoint] | None = None

    def register(self, name: str, builder: KeyBuilder, *, replace: bool = False) -> None:
        """Add a builder. Functions that were decorated before keep what they have.

        Args:
            name: what ``key_builder=`` calls it.
            builder: see `holdfast.typing.KeyBuilder`.
            replace: whether it may take a name that is in use.

        Raises:
            ConfigurationError: the name is not text or is taken, or the builder cannot be called.
        """
        if not isinstance(name, str) or not name or not callable(builder):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"register a key builder as register('its-name', builder), not {name!r}, {type(builder).__name__}"
            raise ConfigurationError(msg)
        with self._lock:
            if not replace and self._builders.get(name, builder) is not builder:
                msg = f"there is a key builder {name!r} already: choose another name, or say replace=True"
                raise ConfigurationError(msg)
            self._builders[name] = builder

    def get(self, name: str) -> KeyBuilder:
        """Return the builder of this name.

        Raises:
            ConfigurationError: there is none, or the package that offers it fails to load.
        """
        builder = self._builders.get(name)
        return self._load(name) if builder is None else builder

    def _load(self, name: str) -> KeyBuilder:
        # Without the lock: loading imports a module, which may register builders while another thread waits for it.
        if self._offered is None:
            self._offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
        point = self._offered.get(name)
        if point is None:
            known = ", ".join(map(repr, sorted({*self._builders, *self._offered})))
            msg = f"there is no key builder {name!r}; known are {known}"
            raise ConfigurationError(msg)
        try:
            builder: Any = point.load()
        except Exception as error:
            msg = f"the key builder {name!r} cannot be loaded from {point.value!r}: {error}"
            raise ConfigurationError(msg) from error
        if not callable(builder):
            msg = f"the key builder {name!r} in {point.value!r} cannot be called"
            raise ConfigurationError(msg)
        with self._lock:
            return self._builders.setdefault(name, cast("KeyBuilder", builder))
