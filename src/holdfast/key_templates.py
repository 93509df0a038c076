"""Key templates: ``"product:{product_id}"``, ``"user:{user.id}"``.

A field is a parameter of the function, or an attribute of one. Templates are checked when decorating and compiled into
one generated function, for they are the hot path: 0.4 µs a key.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature
from keyword import iskeyword
from string import Formatter
from typing import Any, Final, NamedTuple

from holdfast.errors import ConfigurationError
from holdfast.key_binding import define, describe, free_prefix, instance_name
from holdfast.policy.key_text import ALWAYS_SHORT, protect, shorten
from holdfast.policy.key_values import field_text, tag_text

_VALUES: Final = {"type": type, "int": int, "len": len, "field": field_text, "shorten": shorten}
"""What generated functions refer to."""


class _Piece(NamedTuple):
    """A literal and the field that follows it; the last one may have no field."""

    literal: str
    field: str


def compile_template(
    function: Callable[..., Any],
    signature: Signature,
    template: str,
    *,
    option: str = "key",
    suffix: str = "",
    constant: bool = False,
) -> Callable[..., str]:
    """Return the function that makes a name of one call, from the arguments as `function` takes them.

    Args:
        function: the function that is decorated.
        signature: its signature.
        template: the text with fields in braces; ``{{`` and ``}}`` are braces.
        option: the option that holds the template, for messages.
        suffix: a version, marked and escaped.
        constant: whether a template without fields is meant: a tag may be the same for all calls, a key of a function
            with parameters may not.

    Raises:
        ConfigurationError: the template does not fit the signature.
    """
    where = f"{option}={template!r} of {describe(function)}"
    pieces = _parse(template, where)
    for piece in pieces:
        _check_field(piece.field, signature, where)
    takes_more = len(signature.parameters) > (instance_name(signature) is not None)
    if takes_more and not constant and not any(piece.field for piece in pieces):
        msg = f"{where} is the same for all arguments: name {_names(signature)} in it, or give a callable"
        raise ConfigurationError(msg)
    return _generate(function, signature, pieces, suffix, option)


def compile_member(
    function: Callable[..., Any],
    signature: Signature,
    template: str,
    *,
    ids: str,
    member: str,
    option: str = "key",
    suffix: str = "",
) -> Callable[..., Callable[[Any], str]]:
    """Return what makes, of the arguments of a call with many ids, the function that makes the name of one of them.

    Args:
        function: the function that is decorated.
        signature: its signature.
        template: as for `compile_template`.
        ids: the parameter that takes all ids.
        member: the field that stands for one of them, from `member_field`.
        option: the option that holds the template, for messages.
        suffix: a version, marked and escaped.

    Raises:
        ConfigurationError: the template does not fit the signature.
    """
    where = f"{option}={template!r} of {describe(function)}"
    pieces = _parse(template, where)
    seen = _seen_by_one(signature, ids, member)
    for piece in pieces:
        _check_field(piece.field, seen, where)
    free = free_prefix(seen)
    name = f"{free}n"
    fits = f'0 < {free}len({name} := f"{_text(pieces, suffix, free)}") <= {ALWAYS_SHORT}'
    body = f"return lambda {member}: {name} if {fits} else {free}shorten({name})"
    return define(function, signature, body, _values(option, free))


def _values(option: str, free: str) -> dict[str, Any]:
    """Return what a generated function refers to, under its names.

    A tag keeps the signs that a name written by hand may have, so that the same text invalidates it. Two calls whose
    tags read the same are then invalidated together, which is never wrong; keys that read the same would be.
    """
    values = {**_VALUES, "field": tag_text} if option == "tags" else _VALUES
    return {free + name: value for name, value in values.items()}


def member_field(function: Callable[..., Any], signature: Signature, template: str, ids: str) -> str:
    """Return the name of the field that stands for one id: the one that is no parameter, or the ids themselves.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    where = f"key={template!r} of {describe(function)}"
    names = dict.fromkeys(piece.field.split(".")[0] for piece in _parse(template, where) if piece.field)
    found = [name for name in names if name not in signature.parameters or name == ids]
    if len(found) == 1 and found[0].isidentifier() and not iskeyword(found[0]):
        return found[0]
    others = [repr(name) for name in signature.parameters if name != ids]
    rest = f"; other fields can be {', '.join(others)}" if others else ""
    if len(found) > 1:
        msg = f"{where}: {' and '.join(map(repr, found))} cannot both stand for one id: exactly one field does{rest}"
    elif found:
        msg = f"{where}: the field {found[0]!r} must be a name that stands for one id, or an attribute of it"
    else:
        msg = f"{where} has no field that stands for one id of {ids!r}: add one, as in 'product:{{product_id}}'"
    raise ConfigurationError(msg)


def _seen_by_one(signature: Signature, ids: str, member: str) -> Signature:
    """Return the signature that a template for one id is checked against: with that in place of all."""
    parameters = [each.replace(name=member) if each.name == ids else each for each in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def _parse(template: str, where: str) -> list[_Piece]:
    if not template:
        msg = f"{where} is empty: give a name, or leave it out"
        raise ConfigurationError(msg)
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        msg = f"{where} cannot be read: {error}. Write {{{{ or }}}} for a brace that opens or closes no field"
        raise ConfigurationError(msg) from None
    pieces: list[_Piece] = []
    for literal, field, form, conversion in parsed:
        if form or conversion:
            msg = f"{where}: the field {field!r} has a format or conversion, which keys do without: keep the name only"
            raise ConfigurationError(msg)
        if field == "":
            msg = f"{where} has a field without a name: name a parameter"
            raise ConfigurationError(msg)
        pieces.append(_Piece(literal, field or ""))
    return pieces


def _check_field(field: str, signature: Signature, where: str) -> None:
    if not field:
        return
    parameter, *attributes = field.split(".")
    if parameter not in signature.parameters:
        msg = f"{where}: there is no parameter {parameter!r}; a field can be {_names(signature)}"
        raise ConfigurationError(msg)
    if not all(name.isidentifier() and not iskeyword(name) for name in attributes):
        msg = f"{where}: the field {field!r} must be a parameter or an attribute of one, as in {{{parameter}.id}}"
        raise ConfigurationError(msg)


def _names(signature: Signature) -> str:
    return ", ".join(map(repr, signature.parameters)) or "nothing, for the function has no parameters"


def _generate(
    function: Callable[..., Any], signature: Signature, pieces: list[_Piece], suffix: str, option: str
) -> Callable[..., str]:
    free = free_prefix(signature)
    text = _text(pieces, suffix, free)
    # An exact int, the commonest value, needs no look: its text is safe. Nor does a short name.
    body = (
        f'{free}n = f"{text}"; return {free}n if 0 < {free}len({free}n) <= {ALWAYS_SHORT} else {free}shorten({free}n)'
    )
    return define(function, signature, body, _values(option, free))


def _text(pieces: list[_Piece], suffix: str, free: str) -> str:
    """Return the inside of an f-string that makes a name."""
    text = "".join(_quotable(protect(piece.literal)) + _expression(piece.field, free) for piece in pieces)
    return text + _quotable(suffix)


def _quotable(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _expression(field: str, free: str) -> str:
    if not field:
        return ""
    return f"{{{free}v if {free}type({free}v := {field}) is {free}int else {free}field({free}v, '{field}')}}"
