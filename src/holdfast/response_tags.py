"""Tags of responses: made of the arguments of a call, and written as they stand in the field Cache-Tag."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from string import Formatter
from typing import Any

from holdfast.key_binding import define, signature_of
from holdfast.keybuilders import compile_tag
from holdfast.policy.key_values import tag_text, text_of
from holdfast.policy.tag_fields import write_tag


def compile_written(function: Callable[..., Any], template: str) -> Callable[..., str]:
    """Return what writes one tag of a call, from the arguments as `function` takes them.

    Args:
        function: the function that is decorated.
        template: as for `compile_tag`. What that makes is escaped and shortened for Redis, which is up to whoever reads
            the field.

    Raises:
        ConfigurationError: the template does not fit the function; the message says what would.
    """
    if isinstance(function, partial):
        return partial(compile_written(function.func, template), *function.args, **function.keywords)
    compile_tag(function, template)
    signature = signature_of(function)
    pieces = [(literal, field) for literal, field, _, _ in Formatter().parse(template)]
    arguments_of = define(
        function, signature, f"return {{{', '.join(f'{n!r}: {n}' for n in signature.parameters)}}}", {}
    )

    def write(*args: Any, **kwargs: Any) -> str:
        arguments = arguments_of(*args, **kwargs)
        return write_tag("".join(literal + (_text(arguments, field) if field else "") for literal, field in pieces))

    return write


def _text(arguments: dict[str, Any], field: str) -> str:
    name, _, path = field.partition(".")
    value = attrgetter(path)(arguments[name]) if path else arguments[name]
    tag_text(value, field)  # refuses what has no text of its own
    return text_of(value, field)
