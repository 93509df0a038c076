"""Key templates: what they make of a call, and which are refused when decorating."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.errors import ConfigurationError
from holdfast.keybuilders import compile_key
from holdfast.policy.keys import escape, guard


def product(product_id: int, lang: str = "en") -> None: ...
def pair(x: str, y: str) -> None: ...
def everything(a: int, /, b: int, *args: int, c: int, **kwargs: int) -> None: ...


class Shop:
    id = 3

    def load(self, day: str) -> None: ...


def names(function: Callable[..., Any], key: Any) -> Callable[..., str]:
    """Return what names a function's calls."""
    return compile_key(function, key).name_of


def test_a_template_meets_the_name_written_by_hand() -> None:
    """The entry of a template's call can be reached by the text that the template makes."""
    assert names(product, "product:{product_id}")(7) == guard("product:7") == "product:7"
    assert names(product, "p {{{lang}}}|{product_id}")(7, "日本") == guard("p {日本}|7") == "p%20%7B日本%7D%7C7"
    assert names(product, "a\\\"'{lang}\t")(7) == guard("a\\\"'en\t")


def test_a_field_can_be_an_attribute() -> None:
    """Fields reach into parameters: an instance, a user, what it belongs to."""
    user = SimpleNamespace(id=5, team=SimpleNamespace(name="a:b"))
    assert names(lambda user: user, "u:{user.id}:{user.team.name}")(user) == "u:5:a%3Ab"
    assert names(Shop.load, "{self.id}/{day}")(Shop(), "mon") == "3/mon"
    with pytest.raises(AttributeError, match="id"):
        names(lambda user: user, "u:{user.id}")(None)


def test_fields_can_collect_arguments() -> None:
    """`*args` and `**kwargs` can be fields as well."""
    name_of = names(everything, "{a}{args}{kwargs}")
    assert name_of(1, 2, 3, c=4, e=5) == "1(3)" + escape("dict('e'=5)")


def test_a_template_that_comes_out_empty_still_names_an_entry() -> None:
    """User input may be empty text: that is an entry like any other, not an error and not an empty hash tag."""
    assert names(pair, "{x}{y}")("", "") == "|"


REFUSED: list[tuple[Any, str]] = [
    ("p:{nope}", "no parameter 'nope'; a field can be 'product_id', 'lang'"),
    *(("p:{product_id", "cannot be read"), ("p:}", "cannot be read"), ("p:{}", "without a name"), ("", "empty")),
    *(("p:{0}", "no parameter '0'"), ("p:{product_id:>5}", "format"), ("p:{product_id!r}", "format")),
    *(("p:{product_id[0]}", "no parameter 'product_id\\[0\\]'"), ("p:{product_id.x[0]}", "attribute")),
    *(("p:{product_id.}", "attribute"), ("p:{product_id.class}", "attribute"), ("p:{product_id.a b}", "attribute")),
    *(("p:{ product_id}", "no parameter"), ("p", "same for all arguments: name 'product_id', 'lang'")),
    *((7, "must be a template or"), (asyncio.sleep, "must be a template or"), (b"p", "must be a template or")),
]


@pytest.mark.parametrize(("key", "message"), REFUSED)
def test_a_key_that_cannot_work_is_refused_when_decorating(key: Any, message: str) -> None:
    """The message shows the key, the function, and what would be right."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        compile_key(product, key)
    assert f"{__name__}.product" in str(caught.value)


def test_a_constant_key_is_right_where_there_is_nothing_to_name() -> None:
    """A function without parameters, or with an instance only, may have a template without fields."""
    assert names(lambda: 1, "front page")() == "front%20page"
    assert names(lambda self: 1, "front")(object()) == "front"
