"""The reference of the HTTP cache has all options, directives and words that there are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast import cache_response
from holdfast.policy.http import receiving, storing
from holdfast.policy.http.directives import RequestDirectives, ResponseDirectives
from holdfast.web import http_options
from support.pages import rows_of

PAGE: Final = (Path(__file__).parent.parent / "docs" / "reference" / "http-cache.md").read_text(encoding="utf-8")


def _section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _defaults(*functions: Callable[..., Any]) -> dict[str, str]:
    parameters = [each for function in functions for each in inspect.signature(function).parameters.values()]
    return {each.name: repr(each.default) for each in parameters if each.kind is not each.VAR_KEYWORD}


def test_every_option_of_the_decorator_is_described() -> None:
    """With its default."""
    assert rows_of(_section("cache_response")) == _defaults(cache_response)


def test_every_option_of_the_middlewares_is_described() -> None:
    """With its default; they have the same ones, of which type checkers know."""
    rows = rows_of(_section("Options"))
    assert set(rows) == {"layer", *http_options.HttpCacheOptions.__optional_keys__}
    known = _defaults(http_options._rules, http_options._keying)
    assert {name: rows[name].replace('"', "'") for name in known} == known


@pytest.mark.parametrize(
    ("heading", "directives"),
    [("Directives of responses", ResponseDirectives), ("Directives of requests", RequestDirectives)],
)
def test_every_directive_that_is_read_is_described(heading: str, directives: Any) -> None:
    """In the section of those who send it."""
    section = _section(heading)
    assert [name for name in directives._fields if f"`{name.replace('_', '-')}`" not in section] == []


def test_every_word_of_cache_status_is_described() -> None:
    """Whoever sees why something was not stored finds it explained."""
    section = _section("Cache-Status")
    source = inspect.getsource(storing) + inspect.getsource(receiving)
    words = set(re.findall(r'(?:return|detail=|None,) "([a-z-]+)"(?! in)', source))
    assert len(words) >= 10
    assert [word for word in words if f"`{word}`" not in section] == []
