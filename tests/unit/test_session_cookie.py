"""The cookie of a session: its value, how it is found, and how it is set."""

from __future__ import annotations

import hashlib
import secrets
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import dump_cookie, parse_cookie

from holdfast.errors import ConfigurationError
from holdfast.policy.session_cookie import (
    HANDLE_SIZE,
    SECRET_SIZE,
    Cookie,
    SessionId,
    digest,
    find_cookies,
    parse_id,
    write_id,
)

HANDLE = "aB3_-" + "x" * 17
SECRET = "Zz9-_" + "y" * 38
VALUE = f"{HANDLE}.{SECRET}"
signs = st.sampled_from("abzAZ09-_")


@given(st.text(signs, min_size=22, max_size=22), st.text(signs, min_size=43, max_size=43))
def test_what_is_written_is_read(handle: str, secret: str) -> None:
    """Both parts come back."""
    assert parse_id(write_id(handle, secret)) == SessionId(handle, secret)


def test_the_sizes_are_those_of_random_bytes_in_base64url() -> None:
    """16 bytes for the handle and 32 for the secret."""
    handle, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    assert (len(handle), len(secret)) == (HANDLE_SIZE, SECRET_SIZE)
    assert parse_id(write_id(handle, secret)) == (handle, secret)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        ".",
        HANDLE,
        SECRET,
        f"{HANDLE}{SECRET}",
        f"{VALUE}a",
        f"a{VALUE}",
        VALUE[:-1],
        VALUE[1:],
        f"{VALUE}\n",
        f" {VALUE}",
        f"{VALUE}.{SECRET}",
        f"{HANDLE}:{SECRET}",
        f"{HANDLE[:-1]}é.{SECRET}",
        f"{HANDLE[:-1]}\N{ARABIC-INDIC DIGIT ONE}.{SECRET}",
        f"{HANDLE[:-1]}=.{SECRET}",
        f"{HANDLE[:-1]}}}.{SECRET}",
        f"{HANDLE[:-1]}\0.{SECRET}",
        f"{HANDLE}.{SECRET[:-1]}*",
        "x" * 100_000,
    ],
)
def test_anything_else_is_no_id(text: str | None) -> None:
    """A handle becomes a part of a key, so that nothing else may come through."""
    assert parse_id(text) is None


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    """It gives nothing, or what writes that very text."""
    found = parse_id(text)
    assert found is None or write_id(*found) == text


def test_the_secret_shows_nowhere() -> None:
    """Neither in what is stored nor in a representation."""
    assert digest(SECRET) == hashlib.sha256(SECRET.encode()).hexdigest()
    assert SECRET not in repr(SessionId(HANDLE, SECRET))
    assert SECRET not in f"{SessionId(HANDLE, SECRET)}"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, ()),
        ("", ()),
        ("session=a", ("a",)),
        ("x=1; session=a; y=2", ("a",)),
        ("x=1;session=a;y=2", ("a",)),
        (" session\t=\ta ", ("a",)),
        ('session="a"', ("a",)),
        ('session="', ('"',)),
        ("session=", ("",)),
        ("session=a=b", ("a=b",)),
        ("session=a; session=b", ("a", "b")),
        ("session=a; session=a; session=b", ("a", "b")),
        ("session=1; session=2; session=3; session=4; session=5", ("1", "2", "3", "4")),
        ("session", ()),
        ("Session=a; mysession=b; session2=c; se=session", ()),
        ("=session=a", ()),
        ("\x85session=a; \xa0session=b; \x1csession=c; \u2000session=d", ()),
        ("session\xa0=a; session\x0b=b", ()),
        ("$Version=1; x=session; $Path=/", ()),
        ("x=session=a", ()),
        (";;;session=a;;", ("a",)),
    ],
)
def test_cookies_are_found_by_their_exact_name(header: str | None, found: tuple[str, ...]) -> None:
    """As a browser that has checked the name and its prefix sees it: no other space, no other case, no other syntax."""
    assert find_cookies(header, "session") == found


@given(st.text(signs, min_size=1), st.lists(st.tuples(st.text(signs, min_size=1), st.text(signs))))
def test_others_make_no_difference(value: str, others: list[tuple[str, str]]) -> None:
    """Our cookie is found among any others."""
    fields = [f"o{name}={text}" for name, text in others]
    header = "; ".join([*fields, f"session={value}", *fields])
    assert find_cookies(header, "session") == (value,)
    assert parse_cookie(header)["session"] == value


@pytest.mark.parametrize(
    ("options", "plain", "secure"),
    [
        ({}, "session", "__Host-session"),
        ({"path": "/shop"}, "session", "__Secure-session"),
        ({"domain": "example.org"}, "session", "__Secure-session"),
        ({"secure": True}, "__Host-session", "__Host-session"),
        ({"secure": False}, "session", "session"),
        ({"cookie": "sid"}, "sid", "sid"),
        ({"cookie": "__Host-sid"}, "__Host-sid", "__Host-sid"),
    ],
)
def test_the_name_tells_the_browser_what_it_can(options: Any, plain: str, secure: str) -> None:
    """By http and by https."""
    cookie = Cookie.of(**options)
    assert (cookie.name_for(False), cookie.name_for(True)) == (plain, secure)


@pytest.mark.parametrize(
    ("options", "https", "max_age", "expected"),
    [
        ({}, True, 60, f"__Host-session={VALUE}; Path=/; HttpOnly; Secure; SameSite=Lax"),
        ({}, False, 60, f"session={VALUE}; Path=/; HttpOnly; SameSite=Lax"),
        ({"persistent": True}, False, 60, f"session={VALUE}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"),
        ({"persistent": True}, False, None, f"session={VALUE}; Path=/; HttpOnly; SameSite=Lax"),
        (
            {"cookie": "__secure-id", "domain": "example.org", "path": "/a", "same_site": "strict"},
            False,
            None,
            f"__secure-id={VALUE}; Path=/a; Domain=example.org; HttpOnly; Secure; SameSite=Strict",
        ),
        (
            {"secure": True, "same_site": "none", "partitioned": True},
            True,
            None,
            f"__Host-session={VALUE}; Path=/; HttpOnly; Secure; SameSite=None; Partitioned",
        ),
        ({"secure": False}, True, None, f"session={VALUE}; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_cookie_is_set(options: Any, https: bool, max_age: int | None, expected: str) -> None:
    """Each attribute where it is due, HttpOnly always."""
    assert Cookie.of(**options).set_cookie(VALUE, https=https, max_age=max_age) == expected


def test_a_cookie_is_deleted_under_what_it_was_set() -> None:
    """With the same name, path, domain and protection: a browser ignores another one."""
    cookie = Cookie.of(
        domain="example.org", path="/a", secure=True, same_site="none", persistent=True, partitioned=True
    )
    assert cookie.delete_cookie(https=True) == (
        "__Secure-session=; Path=/a; Domain=example.org; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
        "HttpOnly; Secure; SameSite=None; Partitioned"
    )
    assert Cookie.of().delete_cookie(https=False).startswith("session=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("https", [True, False])
def test_others_read_it_as_it_is_meant(https: bool) -> None:
    """The standard library and Werkzeug agree about every attribute."""
    cookie = Cookie.of(domain="example.org", path="/a", persistent=True, same_site="strict")
    written = cookie.set_cookie(VALUE, https=https, max_age=60)
    (read,) = SimpleCookie(written).values()
    assert (read.key, read.value) == (cookie.name_for(https), VALUE)
    assert (read["path"], read["domain"], read["max-age"], read["samesite"]) == ("/a", "example.org", "60", "Strict")
    assert read["httponly"] is True
    assert bool(read["secure"]) is https
    theirs = dump_cookie(
        cookie.name_for(https),
        VALUE,
        60,
        path="/a",
        domain="example.org",
        secure=https,
        httponly=True,
        sync_expires=False,
        samesite="Strict",
    )
    assert set(written.split("; ")) == set(theirs.split("; "))


@pytest.mark.parametrize("value", ["a;b", "a b", 'a"', "a,b", "a\\", "a\r\nSet-Cookie: x=1", "é", "\x7f"])
def test_a_value_cannot_add_to_the_field(value: str) -> None:
    """Whatever would end it, or a line, is a mistake."""
    with pytest.raises(ValueError, match="visible ASCII"):
        Cookie.of().set_cookie(value, https=True, max_age=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cookie": "__Host-a", "secure": False}, "drop secure=False"),
        ({"cookie": "__hOsT-a", "secure": False}, "drop secure=False"),
        ({"cookie": "__Secure-a", "secure": False}, "drop secure=False"),
        ({"cookie": "__Http-a", "secure": False}, "drop secure=False"),
        ({"cookie": "__HOST-a", "domain": "example.org"}, "drop domain= and path="),
        ({"cookie": "__Host-a", "path": "/a"}, "drop domain= and path="),
        ({"same_site": "none"}, "secure=True only"),
        ({"same_site": "none", "secure": False}, "secure=True only"),
        ({"partitioned": True}, "secure=True only"),
        ({"partitioned": True, "secure": False}, "secure=True only"),
        ({"cookie": ""}, "no name of a cookie"),
        ({"cookie": "a b"}, "no name of a cookie"),
        ({"cookie": "a;b"}, "no name of a cookie"),
        ({"cookie": "a=b"}, "no name of a cookie"),
        ({"cookie": "a\n"}, "no name of a cookie"),
        ({"cookie": "é"}, "no name of a cookie"),
        ({"cookie": "x" * 201}, "no name of a cookie"),
        ({"cookie": 5}, "no name of a cookie"),
        ({"domain": ""}, "no name of a host"),
        ({"domain": "a;b"}, "no name of a host"),
        ({"domain": "a\r\n"}, "no name of a host"),
        ({"domain": "https://example.org"}, "no name of a host"),
        ({"domain": "example.org:80"}, "no name of a host"),
        ({"domain": "bücher.example"}, "no name of a host"),
        ({"path": ""}, "begin with '/'"),
        ({"path": "a"}, "begin with '/'"),
        ({"path": "/a;b"}, "begin with '/'"),
        ({"path": "/a\n"}, "begin with '/'"),
        ({"path": "/ü"}, "begin with '/'"),
        ({"path": "/" * 1025}, "begin with '/'"),
        ({"same_site": "laxer"}, "one of 'lax', 'strict', 'none'"),
        ({"same_site": "NONE"}, "secure=True only"),
        ({"same_site": None}, "one of 'lax', 'strict', 'none'"),
        ({"secure": "yes"}, "True or False, or None"),
        ({"persistent": None}, "True or False"),
        ({"partitioned": 1}, "True or False"),
    ],
)
def test_what_browsers_ignore_is_refused(options: Any, message: str) -> None:
    """At once, and with what would do."""
    with pytest.raises(ConfigurationError, match=message):
        Cookie.of(**options)


@pytest.mark.parametrize("written", ["lax", "Lax", "LAX", "strict", "Strict", "none", "None"])
def test_same_site_is_taken_in_any_case(written: Any) -> None:
    """As the frameworks' own settings and RFC 6265bis write it."""
    made = Cookie.of(same_site=written, secure=True)
    assert made.same_site == written.lower()
    assert f"; SameSite={written.capitalize()}" in made.set_cookie(VALUE, https=True, max_age=None)


@pytest.mark.parametrize("cookie", ["__Host-a", "__host-a", "__Secure-a", "__Http-a", "__Host-Http-a"])
def test_a_prefix_makes_it_secure(cookie: str) -> None:
    """By http too, for the server may not know that a proxy spoke https; so what needs Secure has it."""
    made = Cookie.of(cookie=cookie, same_site="none", partitioned=True)
    assert made.is_secure(False)
    assert "; Secure" in made.set_cookie(VALUE, https=False, max_age=None)
