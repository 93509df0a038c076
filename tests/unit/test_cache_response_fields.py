"""What `@cache_response` says, whatever the framework: directives, refusals, tags that cannot break out."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from holdfast import ConfigurationError, cache_response
from holdfast.policy.http.fields import members
from holdfast.policy.key_text import protect
from holdfast.policy.tag_fields import read_tag, write_tag

LONG = "x" * 300


def _fields(*, status: int = 200, given: dict[str, str] | None = None, **options: Any) -> dict[str, str]:
    """Return the fields that a view's response has, but for its type and length."""

    @cache_response(options.pop("ttl", None), **options)
    def view() -> Response:
        return Response(b"", status, given)

    return {name: value for name, value in view().headers.items() if not name.startswith("content-")}


@pytest.mark.parametrize(
    ("options", "directives"),
    [
        ({"ttl": "5m"}, "max-age=300"),
        ({"ttl": 90}, "max-age=90"),
        ({"ttl": timedelta(days=1)}, "max-age=86400"),
        ({"ttl": 1.9}, "max-age=1"),
        ({"ttl": 0}, "max-age=0"),
        ({"shared": "1h"}, "s-maxage=3600"),
        ({"ttl": 0, "shared": "1h"}, "max-age=0, s-maxage=3600"),
        ({"ttl": "1m", "private": True}, "private, max-age=60"),
        ({"private": True}, "private"),
        ({"no_store": True}, "no-store"),
        (
            {"ttl": 1, "stale_while_revalidate": "1m", "stale_if_error": "1d"},
            "max-age=1, stale-while-revalidate=60, stale-if-error=86400",
        ),
    ],
)
def test_options_become_directives(options: dict[str, Any], directives: str) -> None:
    """Each option is one directive, in whole seconds, never more than was said."""
    assert _fields(**options) == {"cache-control": directives}


@pytest.mark.parametrize("options", [{"vary": ["Accept"]}, {"tags": ["a"]}, {"etag": True}])
def test_without_an_age_nothing_is_said_about_freshness(options: dict[str, Any]) -> None:
    """Fields that only describe a response do not make it storable."""
    assert "cache-control" not in _fields(**options)
    assert len(_fields(**options)) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "nothing to set: give ttl="),
        ({"no_store": True, "ttl": 5}, "and ttl= says how"),
        ({"no_store": True, "shared": 0}, "and shared= says how"),
        ({"no_store": True, "private": True}, "and private= says how"),
        ({"no_store": True, "vary": ["Accept"]}, "and vary= says how"),
        ({"no_store": True, "tags": ["a"]}, "and tags= says how"),
        ({"no_store": True, "etag": True}, "and etag= says how"),
        ({"private": True, "shared": 5}, "private=True forbids these"),
        ({"private": True, "ttl": 5, "tags": ["a"]}, "private=True forbids it to"),
        ({"stale_while_revalidate": 5}, "give ttl= or shared="),
        ({"private": True, "stale_if_error": 5}, "give ttl= or shared="),
        ({"ttl": "soon"}, "ttl='soon' is not a duration"),
        ({"shared": -1}, "shared=-1 must be zero or more"),
        ({"ttl": "500ms"}, "HTTP counts whole ones"),
        ({"ttl": 5, "vary": "Accept"}, "several names of fields"),
        ({"ttl": 5, "vary": ["Accept\r\nX: 1"]}, "names of request fields"),
        ({"ttl": 5, "vary": ["Accept, Cookie"]}, "names of request fields"),
        ({"ttl": 5, "vary": [None]}, "names of request fields"),
        ({"ttl": 5, "tags": "a"}, "several texts"),
        ({"ttl": 5, "tags": [""]}, "not empty"),
        ({"ttl": 5, "tags": ["{number}"]}, "no parameter 'number'"),
    ],
)
def test_what_cannot_work_is_refused_when_decorating(options: dict[str, Any], complaint: str) -> None:
    """The message says what to change."""
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        _fields(**options)


@pytest.mark.parametrize("wrong", [5, int, property(lambda _: "")])
def test_what_is_no_view_is_refused(wrong: Any) -> None:
    """Missing parentheses, a class and a property show when decorating."""
    with pytest.raises(ConfigurationError, match="with its parentheses, above a view function"):
        cache_response("5m")(wrong)


@pytest.mark.parametrize("own", [{"Cache-Control": "no-store"}, {"cache-control": ""}, {"Expires": "0"}])
def test_what_the_view_says_itself_stays(own: dict[str, str]) -> None:
    """A view's own word on freshness wins, however it is spelt; what varies is still added."""
    fields = _fields(given=own, ttl="5m", vary=["Accept"])
    assert fields == {name.lower(): value for name, value in own.items()} | {"vary": "Accept"}


@pytest.mark.parametrize(("status", "count"), [(200, 4), (204, 3), (301, 3), (399, 3), (400, 0), (404, 0), (503, 0)])
def test_errors_are_left_alone(status: int, count: int) -> None:
    """From status 400 on there is no field; only a 200 has an ETag."""
    assert len(_fields(status=status, ttl="5m", vary=["Accept"], tags=["a"], etag=True)) == count


@pytest.mark.parametrize(
    ("held", "added", "merged"),
    [
        ("Accept", ["accept"], "Accept"),
        ("accept,  Cookie", ["Cookie", "Accept-Language"], "accept, Cookie, Accept-Language"),
        ("*", ["Accept"], "*"),
        ("Accept, *", ["Cookie"], "*"),
        ("Accept", ["*"], "*"),
        (" , ", ["Accept", "ACCEPT"], "Accept"),
    ],
)
def test_vary_is_merged(held: str, added: list[str], merged: str) -> None:
    """Names are compared without case, none comes twice, and `*` says it all."""
    assert _fields(given={"Vary": held}, vary=added) == {"vary": merged}


def test_tags_are_merged_by_case() -> None:
    """Tags that differ in case are two; those of the view come first."""
    assert _fields(given={"Cache-Tag": "a, b"}, tags=["A", "b"])["cache-tag"] == "a, b, A"


def test_all_lines_of_a_field_are_merged() -> None:
    """A field that came on several lines is one list."""

    @cache_response(vary=["Cookie"])
    def view() -> Response:
        response = Response()
        response.headers.append("Vary", "Accept")
        response.headers.append("Vary", "Origin")
        return response

    assert view().headers.getlist("vary") == ["Accept, Origin, Cookie"]


@given(st.text())
def test_a_tag_cannot_break_out_of_its_field(text: str) -> None:
    """Whatever an argument is, the field has one member, of visible ASCII, that reads as the tag that was meant."""
    written = write_tag(text)
    assert all("!" <= sign <= "~" for sign in written)
    assert members(f"a, {written}, b") == ["a", *filter(None, [written]), "b"]
    assert read_tag(written) == text


@given(st.text(st.characters(max_codepoint=255)))
def test_a_field_of_another_hand_is_read_without_an_error(text: str) -> None:
    """No member raises, whatever its percent signs say; the tag can be named in Redis."""
    protect(read_tag(text))


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        (7, "product:7"),
        ("pots, pans", "product:pots%2C%20pans"),
        ("a\r\nSet-Cookie: x=1", "product:a%0D%0ASet-Cookie:%20x=1"),
        ('a"b\\', "product:a%22b%5C"),
        ("Küche 50%", "product:K%C3%BCche%2050%25"),
        (LONG, f"product:{LONG}"),
    ],
)
def test_a_tag_is_made_of_the_arguments(value: object, tag: str) -> None:
    """Templates are those of `cached`, and not shortened, as a key would be."""

    @cache_response(tags=["product:{number}", "all"])
    def view(number: object) -> Response:
        return Response()

    assert view(value).headers["cache-tag"] == view(number=value).headers["cache-tag"] == f"{tag}, all"


def test_a_tag_needs_a_text() -> None:
    """A list has none that `invalidate_tags` could be called with, and an empty tag is none."""

    @cache_response(tags=["{thing}"])
    def view(thing: object) -> Response:
        return Response()

    with pytest.raises(ConfigurationError, match="a tag field must be a text"):
        view([1])
    assert "cache-tag" not in view("").headers


class Shop:
    """Views that are methods."""

    name = "kitchen"

    @cache_response(tags=["{self.name}:{number}"])
    def method(self, number: int) -> Response:
        return Response()

    @cache_response(tags=["{cls.name}:{number}"])
    @classmethod
    def outside(cls, number: int) -> Response:
        return Response()

    @staticmethod
    @cache_response(tags=["kitchen:{number}"])
    def static(number: int) -> Response:
        return Response()


@pytest.mark.parametrize(
    "view",
    [Shop().method, partial(Shop.method, Shop()), Shop().outside, Shop.outside, Shop.static, Shop().static],
    ids=["method", "partial", "classmethod", "of-class", "static-of-class", "static"],
)
def test_methods_are_views(view: Any) -> None:
    """The instance or class is bound as without the decorator, and templates may name it."""
    assert view(number=7).headers["cache-tag"] == view(7).headers["cache-tag"] == "kitchen:7"


def test_a_partial_is_a_view() -> None:
    """Its arguments count as those of the call."""

    def of(kind: str, number: int) -> Response:
        return Response(kind)

    view = cache_response(tags=["{kind}:{number}"])(partial(of, "pot"))
    assert view(7).headers["cache-tag"] == "pot:7"


def test_other_results_stay_what_they_are() -> None:
    """Outside of a framework's request nothing is made of a result, so that a test can call the view."""

    @cache_response("5m")
    def view() -> dict[str, int]:
        return {"status_code": 200}

    assert view() == {"status_code": 200}


def test_frameworks_are_not_imported_for_it() -> None:
    """Decorating, and calling outside of any framework, imports none."""
    code = (
        "import sys; from holdfast import cache_response; f = cache_response('5m', tags=['a'])(lambda: 1); f();"
        "print({'flask', 'fastapi', 'starlette', 'django', 'werkzeug'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
