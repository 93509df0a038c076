"""From a request as a server has it to the one that the cache judges: keys, extras, private paths, places."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.fields import Fields
from holdfast.policy.http.request import REMARKABLE, Request
from holdfast.policy.http.target import ROUTING_FIELDS, Target, overrides_method
from holdfast.web import http_requests
from holdfast.web.http_private import is_private
from holdfast.web.http_requests import UNUSUAL, CacheRequest, Keying, KeyOption, Place, Places
from support.http_rfc import TARGET, fields_of, request_of

PLACE = Place(TARGET, "key", private=False)


def keying(
    *, private: tuple[str, ...] = (), ignore_query: tuple[str, ...] = (), cookies: tuple[str, ...] = (), key: Any = None
) -> Keying:
    """Return what chooses what is stored; by default, the URL alone."""
    option: KeyOption | None = key
    return Keying(private, ignore_query, cookies, option)


def always_x(_: CacheRequest) -> str:
    """Be the key of an owner to whom all requests are alike."""
    return "x"


def never(_: CacheRequest) -> None:
    """Be the key of an owner who refuses all requests."""


def made(*lines: str, by: Keying | None = None, place: Place = PLACE, method: str = "GET") -> Request | None:
    """Return the request that the cache judges."""
    fields = fields_of(*lines)
    usual = not any(name in fields for name in UNUSUAL)
    return (by or keying()).request(method, place, fields, usual=usual)


def extras(*lines: str, by: Keying | None = None, place: Place = PLACE) -> tuple[tuple[str, str], ...]:
    """Return what selects a response beside its URL and its Vary."""
    request = made(*lines, by=by, place=place)
    assert request is not None
    return request.extras


def test_most_requests_are_plain() -> None:
    """They have nothing that decides beside their URL and what Vary may name."""
    request = made("Accept: x", "Cookie: a=b", "User-Agent: y")
    assert request is not None
    assert (request.method, request.target, request.key) == ("GET", TARGET, "key")
    assert (request.plain, request.extras, request.fields.get("accept")) == (True, (), "x")
    assert request.unconditional() is request


@pytest.mark.parametrize("name", sorted(REMARKABLE))
def test_a_remarkable_field_makes_a_request_one_to_look_at(name: str) -> None:
    """And so does each that may choose the response."""
    request = made(f"{name.title()}: 1")
    assert request is not None
    assert (request.plain, request.extras) == (False, ())


def test_what_is_unusual_is_all_that_a_decision_may_ask_for() -> None:
    """What is none of these is not looked at."""
    asked: set[str] = set()

    class Asking:
        def get(self, name: str, /) -> str | None:
            asked.add(name)
            return None

    keying().request("GET", PLACE, Asking(), usual=False)
    assert asked == UNUSUAL


@pytest.mark.parametrize("name", ROUTING_FIELDS)
def test_what_apps_build_urls_of_selects(name: str) -> None:
    """So that a response that was made with it is not given to others."""
    assert extras(f"{name}: evil.example") == ((name, "evil.example"),)


@pytest.mark.parametrize(
    ("line", "target", "tells"),
    [
        ("X-Forwarded-Proto: https", TARGET, False),
        ("X-Forwarded-Proto: http", TARGET, True),
        ("X-Forwarded-Proto: https, http", TARGET, True),
        ("X-Forwarded-Proto: HTTPS", TARGET, True),
        *[(f"X-{name}: https", TARGET, False) for name in ("Scheme", "Forwarded-Scheme", "Url-Scheme")],
        ("X-Forwarded-Protocol: https", TARGET, False),
        ("X-Original-Host: shop.example", TARGET, False),
        ("X-Forwarded-Host: shop.example", TARGET, False),
        ("X-Forwarded-Host: SHOP.example", TARGET, False),
        ("X-Forwarded-Host: shop.example:443", TARGET, True),
        ("X-Forwarded-Host: shop.example, evil.example", TARGET, True),
        ("X-Host: shop.example", TARGET, False),
        ("X-Http-Host-Override: shop.example", TARGET, True),
        ("X-Forwarded-Port: 443", TARGET, False),
        ("X-Forwarded-Port: 80", TARGET, True),
        ("X-Forwarded-Port: 80", TARGET._replace(scheme="http"), False),
        ("X-Forwarded-Port: 8443", TARGET._replace(authority="shop.example:8443"), False),
        ("X-Forwarded-Port: 443", TARGET._replace(authority="shop.example:8443"), True),
        ("X-Forwarded-Port: 8443", TARGET._replace(authority="8443"), True),
        ("X-Forwarded-Port: 443", TARGET._replace(authority="[::1]"), False),
        ("X-Forwarded-Port: 1", TARGET._replace(authority="[::1]"), True),
        ("X-Forwarded-Prefix: /shop", TARGET, True),
        ("Forwarded: for=192.0.2.1", TARGET, False),
        ("Forwarded: host=evil.example", TARGET, True),
    ],
)
def test_what_repeats_the_request_does_not_select(line: str, target: Target, tells: bool) -> None:
    """A proxy that sends what the URL says anyway would else have a store of its own."""
    assert bool(extras(line, place=Place(target, "key", private=False))) == tells


def test_cookies_that_the_owner_names_select() -> None:
    """By their values, in the owner's order; others do not, nor does the absence of one become an empty value."""
    by = keying(cookies=("b", "a"))
    assert extras("Cookie: a=1; x=3; b=2", by=by) == (("cookie b", "2"), ("cookie a", "1"))
    assert extras("Cookie: x=3", by=by) == extras(by=by) == ()
    assert extras("Cookie: a=", by=by) == (("cookie a", ""),)
    assert extras("Cookie: a=1") == ()


def test_the_owners_key_selects() -> None:
    """It sees the request, and may refuse it; what it returns is taken as text."""
    seen: list[CacheRequest] = []

    def key(request: CacheRequest) -> Any:
        seen.append(request)
        return {"de": "german", "fr": None, "en": 7, None: ""}[request.get("Accept-Language")]

    by = keying(key=key, cookies=("a",))
    assert extras("Accept-Language: de", "Cookie: a=1", by=by) == (("cookie a", "1"), ("key", "german"))
    assert made("Accept-Language: fr", by=by) is None
    assert extras("Accept-Language: en", by=by) == (("key", "7"),)
    assert extras(by=by) == (("key", ""),)
    first = seen[0]
    assert (first.method, first.scheme, first.host) == ("GET", "https", "shop.example")
    assert (first.path, first.query) == ("/shop/p", "x=1")
    without = Place(TARGET._replace(query=None, authority="shop.example:8443"), "key", private=False)
    extras(by=by, place=without)
    assert (seen[-1].query, seen[-1].host) == ("", "shop.example:8443")


def test_the_extras_stand_in_one_order() -> None:
    """Fields of which apps build URLs, cookies, the owner's key: so two requests that are alike have the same."""
    by = keying(key=always_x, cookies=("a",))
    lines = "X-Host: evil.example", "Cookie: a=1", "Forwarded: host=other.example", "X-Forwarded-Host: bad.example"
    found = extras(*lines, by=by)
    assert found == extras(*reversed(lines), by=by)
    assert found[-2:] == (("cookie a", "1"), ("key", "x"))
    assert {name for name, _ in found[:-2]} == {"x-forwarded-host", "x-host", "forwarded"}


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_that_may_be_something_else_is_not_cached(name: str, method: str) -> None:
    """To the app it may be anything; but since anybody can send it, it does not invalidate either."""
    assert made(f"{name}: DELETE", method=method) is None
    assert made(f"{name}: DELETE", method="POST") is not None
    assert overrides_method(fields_of(f"{name}: GET").get)


@pytest.mark.parametrize(
    ("lines", "cached"),
    [
        (["Content-Length: 0"], True),
        (["Content-Length: 000"], True),
        (["Content-Length: "], True),
        (["Content-Length: 1"], False),
        (["Content-Length: 10"], False),
        (["Content-Length: x"], False),
        (["Content-Length: 0, 0"], False),
        (["Transfer-Encoding: chunked"], False),
        (["Transfer-Encoding: "], False),
    ],
)
def test_a_get_with_a_body_is_not_cached(lines: list[str], cached: bool) -> None:
    """An app may answer by it, though it is no part of the key (RFC 9110, 9.3.1)."""
    assert (made(*lines) is not None) == cached


def test_other_methods_are_looked_at_for_what_they_change() -> None:
    """Whatever they have; and also where nothing is cached."""
    private = Place(TARGET, "key", private=True)
    for method in ("POST", "DELETE", "get", "LINK"):
        by = keying(key=never)
        request = made("Content-Length: 9", "X-Host: x", by=by, method=method, place=private)
        assert request is not None
        assert (request.method, request.target, request.key) == (method, TARGET, "key")
    simple = made(method="POST")
    assert simple is not None
    assert simple.plain


def test_a_private_place_is_not_for_the_cache() -> None:
    """Neither a GET nor a HEAD of it."""
    private = Place(TARGET, "key", private=True)
    assert made(place=private) is made(place=private, method="HEAD") is None


def test_9110_13_a_request_can_do_without_what_its_client_has() -> None:
    """Its conditions, its range and its directives; what else it has stays, Authorization included."""
    lines = [f"{name}: 1" for name in sorted(REMARKABLE)]
    request = request_of(*lines, "X-A: 2").unconditional()
    assert request.fields.get("x-a") == "2"
    assert {name for name in REMARKABLE if request.fields.get(name) is not None} == {"authorization"}
    assert not request.plain
    assert request.directives(honoured=True) == request_of().directives(honoured=True)


def test_a_request_points_to_a_user_or_to_nobody() -> None:
    """By Authorization, or by any cookie."""
    assert request_of("X-A: 1").is_anonymous
    assert not request_of("Authorization: ").is_anonymous
    assert not request_of("Cookie: ").is_anonymous


AREAS = "/account", "/users/*/orders", "/a/b/", "/käufer"


@pytest.mark.parametrize(
    ("path", "private"),
    [
        ("/account", True),
        ("/account/", True),
        ("/account/a.css", True),
        ("/account;a.css", True),
        ("/account;jsessionid=1/x", True),
        ("/account%3ba.css", True),
        ("/account%2fa.css", True),
        ("/%61ccount", True),
        ("/%2561ccount", True),
        ("/ACCOUNT", True),
        ("//account", True),
        ("/./account", True),
        ("/./account/x/../y", True),
        ("/public/../account", True),
        ("/public/%2e%2e/account", True),
        ("/public/..;/account", True),
        ("/./account/..;/x", True),
        ("/public\\..\\account", True),
        ("/account/../public", True),
        ("/account%00.css", True),
        ("/account%3f.css", True),
        ("/account%0a.css", True),
        ("/users/1/orders", True),
        ("/users/1/2/orders", True),
        ("/a/b", True),
        ("/a/b/c", True),
        ("/k%C3%A4ufer", True),
        ("/k%c3%a4ufer/1", True),
        ("/k\xc3\xa4ufer", True),
        ("/K%C3%84UFER;a.css", True),
        ("/./k%25C3%25A4ufer", True),
        ("/accounts", False),
        ("/public/account", False),
        ("/users/1/orders/2", False),
        ("/users/1", False),
        ("/a/bc", False),
        ("/a", False),
        ("/", False),
        ("", False),
    ],
)
def test_private_paths_are_private_however_they_are_written(path: str, private: bool) -> None:
    """With all below them, and in whichever form an app may take for them."""
    assert is_private(path, AREAS) == private
    assert keying(private=AREAS).is_private(path) == private
    assert not keying().is_private(path)


def test_all_may_be_private() -> None:
    """By the path of everything, or by a pattern of it."""
    for area in ("/", "*", "/*"):
        assert is_private("/", [area])
        assert is_private("/a/b", [area])


@given(st.text(st.sampled_from("/.;%\\a2fF5\x00é ?[]*"), max_size=12), st.text(max_size=5))
def test_any_path_is_private_or_not(path: str, other: str) -> None:
    """Nothing raises, and whatever stands behind a private path is private."""
    assert is_private(path + other, ["/x"]) in {True, False}
    assert is_private("/x/" + path, ["/x"])
    assert is_private("/x;" + path.replace("/", ""), ["/x"])


def test_parameters_that_do_not_matter_are_not_in_the_url() -> None:
    """Of a URL that has no others, it is that without a query."""
    by = keying(ignore_query=("utm_*",))
    assert by.target_of("https", "Shop.Example:443", "/p", "utm_a=1&x=2") == Target(
        "https", "shop.example", "/p", "x=2"
    )
    assert by.target_of("https", "shop.example", "/p", "utm_a=1") == Target("https", "shop.example", "/p", None)
    assert keying().target_of("https", "shop.example", "/p", "utm_a=1") == TARGET._replace(path="/p", query="utm_a=1")


def test_places_are_found_and_remembered() -> None:
    """With the key of the URL, and whether it is private; also that a URL cannot be told."""
    asked: list[str] = []

    def key_of(target: Target) -> str:
        asked.append(target.url)
        return f"<{target.url}>"

    places = Places(keying(private=("/account",), ignore_query=("utm_*",)), key_of)
    place = places.find(("said", 1), "HTTPS", "SHOP.example", "/p", "x=1&utm_a=2")
    url = "https://shop.example/p?x=1"
    assert place is not None
    assert (place.target, place.key, place.private) == (TARGET._replace(path="/p"), f"<{url}>", False)
    assert asked == [url]
    secret = places.find(("said", 2), "http", "shop.example", "/%61ccount", "")
    assert secret is not None
    assert secret.private
    for number, host in enumerate((None, "", "a b", "a/b", "user@a", "a,b", "a:b")):
        assert places.find(("bad", number), "http", host, "/", "") is None
    assert places.known == {("said", 1): place, ("said", 2): secret, **{("bad", n): None for n in range(7)}}


def test_few_places_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither long ones nor more than a number: who sends many URLs fills no memory."""
    monkeypatch.setattr(http_requests, "_MOST_PLACES", 4)
    places = Places(keying(), lambda target: target.url)
    for number in range(20):
        assert places.find((number,), "http", "a.example", f"/{number}", "") is not None
        assert 0 < len(places.known) <= 4
        assert (number,) in places.known
    for path, query in (("/" + "a" * 1024, ""), ("/", "a" * 1024), ("/" + "a" * 500, "a" * 600)):
        assert places.find(("long", path, query), "http", "a.example", path, query) is not None
    assert not any("long" in said for said in places.known)


def test_what_the_owners_key_sees_cannot_be_changed() -> None:
    """Nor does it see more than the request."""
    request = CacheRequest("GET", "http", "a.example", "/", "", Fields([("X-A", "1"), ("x-a", "2")]))
    assert (request.get("X-a"), request.get("x-b")) == ("1, 2", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.path = "/other"  # type: ignore[misc]
