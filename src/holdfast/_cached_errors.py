"""Exceptions as data: the name of a class and plain arguments. No class is ever imported because an entry names it."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.policy.roundtrip import difference

_Plain = str | int | float | bool | None


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    args: tuple[_Plain, ...]


_decode = msgspec.json.Decoder(_Stored).decode


def describe_error(error: BaseException, allowed: tuple[type[BaseException], ...]) -> bytes | None:
    """Return an exception as JSON, or None where it would not come back the same.

    It would not where it is none of `allowed`, where its arguments are more than text, numbers, booleans and None, or
    where calling its class with them gives another exception.
    """
    kind = type(error)
    if not all(type(item) in {str, int, float, bool, type(None)} for item in error.args):
        return None
    try:
        data = msgspec.json.encode(_Stored(_name(kind), error.args))
        copy = rebuild_error(data, allowed)
    except Exception:  # text that is not Unicode, or a class that refuses its own arguments
        return None
    same = type(copy) is kind and difference((error.args, _state(error)), (copy.args, _state(copy))) is None
    return data if same else None


def rebuild_error(data: bytes, allowed: tuple[type[BaseException], ...]) -> BaseException:
    """Return the exception that `describe_error` stored.

    Raises:
        Exception: of any class, where that cannot be done: the class is not among `allowed` and their subclasses, two
            there have its name, or it does not accept the arguments.
    """
    stored = _decode(data)
    matching = [kind for kind in _with_subclasses(allowed) if _name(kind) == stored.name]
    if len(matching) != 1:
        raise LookupError("the class of a cached error is gone or ambiguous")
    return matching[0](*stored.args)


def _with_subclasses(kinds: tuple[type[BaseException], ...]) -> set[type[BaseException]]:
    found: set[type[BaseException]] = set()
    pending = list(kinds)
    while pending:
        kind = pending.pop()
        if kind not in found:
            found.add(kind)
            pending += kind.__subclasses__()
    return found


def _name(kind: type[Any]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _state(error: BaseException) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name != "__notes__"}
