"""Serializers by name, and what says whether one can serve a function.

    json      the default; JSON by msgspec, decoded to the annotated type
    msgpack   smaller; MessagePack by msgspec, decoded to the annotated type
    pickle    any Python object; only with a secret, because unpickling a forged entry runs the forger's code
    raw       bytes as they are
    tagged    JSON that keeps the types of the standard library's plain values, without an annotation

An aware datetime comes back as the same instant: in JSON with its offset from UTC, in MessagePack in UTC.
"""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from holdfast._annotations import return_kind
from holdfast._formats import Json, Msgpack, MsgspecFormat, Pickle, Raw
from holdfast._tagged import Tagged
from holdfast._typed import Compiled
from holdfast.errors import ConfigurationError
from holdfast.typing import Serializer

__all__ = ["GROUP", "Compiled", "Serializers", "compile_for", "is_steady", "needs_signature", "return_kind"]

GROUP: Final = "holdfast.serializers"
"""The entry-point group through which packages offer serializers."""


class Serializers:
    """The serializers that one layer knows, by name. Safe to use from many threads.

    Packages offer theirs through the entry-point group ``holdfast.serializers``: a serializer, or a class without
    arguments that makes one. Such a one is loaded when code asks for it by name, never because an entry names it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Serializer] = {
            "json": Json(),
            "msgpack": Msgpack(),
            "pickle": Pickle(),
            "raw": Raw(),
            "tagged": Tagged(),
        }
        self._offered: dict[str, EntryPoint] | None = None

    def register(self, name: str, serializer: Serializer, *, replace: bool = False) -> None:
        """Make a serializer known under a name, which goes into every entry that it writes.

        Two attributes are optional: ``requires_signature = True`` for one that must not read what others may have
        forged, and ``check(kind)``, which raises `ConfigurationError` for a type that it cannot decode to.

        Args:
            name: 1 to 32 characters: letters, digits, ``-``, ``_`` and ``.``, in ASCII.
            serializer: has ``dumps(value, kind)`` and ``loads(data, kind)``.
            replace: whether another one of that name may be replaced, for codecs that are made from then on.

        Raises:
            ConfigurationError: the name is taken or not allowed, or it is no serializer.
        """
        if not (name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()) or len(name) > 32:
            msg = f"serializer name {name!r}: use 1 to 32 letters, digits, '-', '_' or '.'"
            raise ConfigurationError(msg)
        if not _serves(serializer):
            msg = f"serializer {name!r} must be an object with dumps(value, kind) and loads(data, kind)"
            raise ConfigurationError(msg)
        with self._lock:
            if name in self._known and not replace:
                msg = f"serializer {name!r} is registered already: choose another name, or pass replace=True"
                raise ConfigurationError(msg)
            self._known[name] = serializer

    def get(self, name: str) -> Serializer:
        """Return the serializer of that name.

        Raises:
            ConfigurationError: there is none, or its package fails.
        """
        found = self.find(name)
        if found is not None:
            return found
        with self._lock:
            if self._offered is None:
                self._offered = {entry.name: entry for entry in entry_points(group=GROUP)}
            entry = self._offered.get(name)
        if entry is None:
            names = ", ".join(map(repr, sorted({*self._known, *self._offered})))
            msg = f"serializer={name!r} is not known: use one of {names}, or register yours"
            raise ConfigurationError(msg)
        serializer = _load(entry)
        with self._lock:
            return self._known.setdefault(name, serializer)

    def find(self, name: str) -> Serializer | None:
        """Return the serializer of that name if it is in use here; entry points do not count."""
        return self._known.get(name)


def compile_for(serializer: Serializer, kind: Any) -> Compiled:
    """Return a serializer made ready for one type.

    Raises:
        ConfigurationError: it cannot decode to that type.
    """
    if isinstance(serializer, MsgspecFormat):
        return serializer.compile(kind)
    check = getattr(serializer, "check", None)
    if check is not None:
        check(kind)

    def dumps(value: Any) -> bytes:
        return serializer.dumps(value, kind)

    def loads(data: bytes) -> Any:
        return serializer.loads(data, kind)

    return Compiled(dumps, loads)


def needs_signature(name: str, serializer: Serializer) -> bool:
    """Say whether this serializer must not see data of unproven origin; whatever is called pickle must not."""
    return name == "pickle" or bool(getattr(serializer, "requires_signature", False))


def is_steady(serializer: Serializer) -> bool:
    """Say whether this serializer is known to write the same value as the same bytes, always, in every process."""
    return isinstance(serializer, MsgspecFormat | Tagged)


def _load(entry: EntryPoint) -> Serializer:
    try:
        loaded = entry.load()
        serializer: Serializer = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        msg = f"serializer {entry.name!r} of {entry.value} cannot be loaded ({type(error).__name__}): fix that package"
        raise ConfigurationError(msg) from error
    if not _serves(serializer):
        msg = f"serializer {entry.name!r} of {entry.value} lacks dumps(value, kind) or loads(data, kind)"
        raise ConfigurationError(msg)
    return serializer


def _serves(serializer: object) -> bool:
    return isinstance(serializer, Serializer) and not isinstance(serializer, type)
