"""Which values have a text of their own, and the refusal of those that have none.

`object.__repr__` shows an address. As a key it would be new in each process, and once the address is used again it
would be another object's. Iterables of unknown kinds are refused too: the text of an array or a table is cut short, so
that different ones look the same, and the text of a database query runs it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final, Literal

from holdfast.errors import ConfigurationError

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)


def own_text(value: object, source: str, prefer: Literal["str", "repr"]) -> str:
    """Return the text that a value's class defines for it, the preferred of two if both will do.

    Raises:
        ConfigurationError: its texts show an address, as that of `object` does; or it is an iterable.
    """
    if not hasattr(type(value), "__iter__"):
        for text in (str, repr) if prefer == "str" else (repr, str):
            if not _shows_address(found := text(value), value):
                return found
    raise unstable(value, source)


def unstable(value: object, source: str) -> ConfigurationError:
    """Return the error for a value that cannot be part of a key. It names the type and never shows the value."""
    what = type_name(value if isinstance(value, type) else type(value))
    msg = (
        f"{source!r} cannot be part of a key: {what} has no text that stays the same in another process and tells it "
        f"from others. Put a field of it into the key, for example {{{source}.id}}, or give a callable as key="
    )
    return ConfigurationError(msg)


def record_fields(value: object) -> dict[str, Any] | None:
    """Return what a dataclass, attrs, msgspec or pydantic object consists of, or None for any other.

    Fields that do not count when two objects are compared are left out. The libraries are known by their marks, so
    that none of them has to be imported.
    """
    kind: Any = type(value)
    extra: dict[str, Any] = {}
    names: list[str]
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.compare]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__ if field.eq]
    elif hasattr(kind, "__struct_fields__"):
        names = list(kind.__struct_fields__)
    elif hasattr(kind, "__pydantic_core_schema__") and hasattr(kind, "model_fields"):
        names = list(kind.model_fields)
        extra = getattr(value, "__pydantic_extra__", None) or {}
    else:
        return None
    return {name: getattr(value, name) for name in names} | extra


def type_name(kind: type) -> str:
    """Return a class's name with its module, unless it is built in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shows_address(text: str, value: object) -> bool:
    # Mocks and some clients show id() in ways of their own.
    address = id(value)
    return bool(_ADDRESS.search(text)) or str(address) in text or f"{address:x}" in text.lower()
