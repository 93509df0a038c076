"""What msgspec leaves to others: types that it cannot decode, and pydantic models.

msgspec knows dataclasses, TypedDicts, named tuples, attrs, its own Structs and the types of the standard library. A
pydantic model is stored as pydantic's own JSON, so that its validators, strictness and aliases keep their meaning.
Nothing here imports pydantic: a model can only be met where somebody else has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

import msgspec


class Compiled(NamedTuple):
    """A serializer made ready for one type."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


class UnknownTypeError(TypeError):
    """A value of a type that the serializer does not know.

    Attributes:
        kind: the type.
    """

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind.__qualname__)
        self.kind = kind


def encode_other(value: object) -> Any:
    """Return something that msgspec can encode for a value that it does not know: the JSON text of a model.

    Raises:
        UnknownTypeError: it is no model.
    """
    if not is_model(type(value)):
        raise UnknownTypeError(type(value))
    return cast("Any", value).model_dump_json(**_dump_options())


def decode_other(kind: Any, text: Any) -> Any:
    """Return the model that `encode_other` gave as `text`; where the annotation says `object`, what there is."""
    if kind is object:
        return text
    return kind.model_validate_json(text, **_load_options())


def compile_models(kind: Any) -> Compiled | None:
    """Return pydantic's own way to JSON and back for a type that holds models and nothing else worth naming.

    It is faster than going through msgspec, and knows unions of models.
    """
    if not (_only_models(kind) and any(is_model(leaf) for leaf in _leaves(kind))):
        return None
    adapter = sys.modules["pydantic"].TypeAdapter(kind)
    return Compiled(partial(adapter.dump_json, **_dump_options()), partial(adapter.validate_json, **_load_options()))


def is_model(kind: object) -> bool:
    """Say whether this is a class of pydantic models."""
    pydantic = sys.modules.get("pydantic.main")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def unknown(kind: Any) -> Iterator[type[Any]]:
    """Yield the classes within a type that neither msgspec nor pydantic can decode."""
    pending: list[Any] = [msgspec.inspect.type_info(kind)]
    seen: set[int] = set()
    while pending:
        info = pending.pop()
        if id(info) in seen:  # a class may hold itself
            continue
        seen.add(id(info))
        if isinstance(info, msgspec.inspect.CustomType) and info.cls is not object and not is_model(info.cls):
            yield info.cls
        for name in ("type", "item_type", "key_type", "value_type", "fields", "item_types", "types"):
            part: Any = getattr(info, name, ())
            pending += part if type(part) is tuple else [part]


def _only_models(kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _only_models(arguments[0])
    if origin is dict:
        return arguments[0] is str and _only_models(arguments[1])
    if origin in (Union, UnionType, list, tuple):
        return all(_only_models(argument) for argument in arguments if argument is not Ellipsis)
    return kind is NoneType or is_model(kind)


def _leaves(kind: Any) -> Iterator[Any]:
    arguments = get_args(kind)
    if not arguments or is_model(kind):
        yield kind
    for argument in arguments:
        yield from _leaves(argument)


@cache
def _by_name() -> bool:
    """Say whether this pydantic can take fields by their names where they have aliases (2.11)."""
    major, minor = sys.modules["pydantic"].VERSION.split(".")[:2]
    return (int(major), int(minor)) >= (2, 11)


def _dump_options() -> dict[str, bool]:
    return {"round_trip": True, "warnings": False, "by_alias": not _by_name()}


def _load_options() -> dict[Literal["by_name", "by_alias"], bool]:
    return {"by_name": True, "by_alias": False} if _by_name() else {}
