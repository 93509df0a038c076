"""Public protocols and aliases: what users supply, and the types that they annotate with.

Nothing here runs; importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from inspect import Signature
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from holdfast.events import Event

Duration: TypeAlias = int | float | str | timedelta
"""Seconds, a `timedelta`, or text such as ``"90s"``, ``"5m"``, ``"1h30m"``, ``"7d"``."""

Hook: TypeAlias = "Callable[[Event], None]"
"""Receives one event a call. It must be quick and must not block; what it raises is logged and dropped."""


@runtime_checkable
class Serializer(Protocol):
    """Turns values into bytes and back.

    Register one with ``layer.serializers.register(name, serializer)`` or through the entry-point group
    ``holdfast.serializers``.
    """

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        """Return `value` as bytes.

        `kind` is the type to which it will be decoded: the return annotation, or `typing.Any` where there is none.
        Raise any exception if the value cannot be stored.
        """
        ...

    def loads(self, data: bytes, kind: Any, /) -> Any:
        """Return the value that `data` holds, as a `kind`. Raise any exception if that cannot be done."""
        ...


@runtime_checkable
class Compressor(Protocol):
    """Makes payloads smaller. `decompress` must not produce more than `limit` bytes."""

    def compress(self, data: bytes, /) -> bytes:
        """Return `data` compressed."""
        ...

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return the original bytes; raise `ValueError` as soon as they would exceed `limit` bytes."""
        ...


class KeyBuilder(Protocol):
    """Builds the name of an entry from the arguments of a call.

    It is called once a function, when decorating; what it returns is called once a call, with the bound arguments
    by parameter name (defaults filled in), and returns the name.
    """

    def __call__(self, function: Callable[..., Any], signature: Signature, /) -> Callable[[Mapping[str, Any]], str]:
        """Return the function that makes the name of one call."""
        ...
