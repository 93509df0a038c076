"""Targets (RFC 9110, section 7.1): one URL for what is one resource, never one for two; what is strange has none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.policy.http.target import (
    ROUTING_FIELDS,
    Target,
    cookie_values,
    overrides_method,
    parse_url,
    resolve,
    routing_of,
    same_origin,
    select_query,
    target_of,
)

LATIN = st.text(st.characters(max_codepoint=0xFF), max_size=40)
SIGNS = st.text(st.sampled_from('abA1.:/?#[]@%&=;,+ \t\r\n\x00\\"é-_*'), max_size=20)
TEXTS = LATIN | SIGNS | st.text(max_size=10)
HOSTS = st.sampled_from(["shop.example", "SHOP.example:80", "shop.example:443", "[::1]", "a", "a:8080"]) | TEXTS
PATHS = st.text(st.sampled_from("/ab.%2F?#;=&é "), max_size=8).map("/".__add__) | TEXTS
BASE = Target("https", "shop.example", "/b/c/d;p", "q")


@pytest.mark.parametrize(
    ("scheme", "host", "authority"),
    [
        ("https", "shop.example", "shop.example"),
        ("HTTPS", "Shop.EXAMPLE", "shop.example"),
        ("https", "shop.example:443", "shop.example"),
        ("http", "shop.example:443", "shop.example:443"),
        ("http", "shop.example:80", "shop.example"),
        ("http", "shop.example:0080", "shop.example"),
        ("http", "shop.example:", "shop.example"),
        ("http", "my_service:8000", "my_service:8000"),
        ("http", "192.0.2.7:8080", "192.0.2.7:8080"),
        ("http", "[2001:DB8:0::1]:8080", "[2001:db8::1]:8080"),
        ("http", "[::1]:80", "[::1]"),
    ],
)
def test_4_2_3_an_authority_has_one_form(scheme: str, host: str, authority: str) -> None:
    """Case, the default port, zeros and an empty port make no difference (RFC 9110, section 4.2.3)."""
    target = target_of(scheme, host, "/p", "x=1")
    assert target is not None
    assert target == Target(scheme.lower(), authority, "/p", "x=1")
    assert target.url == f"{scheme.lower()}://{authority}/p?x=1"


@pytest.mark.parametrize(
    "host",
    [
        *[None, "", " ", "a b", " a", "a ", "a\t", "a\n", "a\x00", "a\r\nX: y", "a,b", "a, a", "user@a", "a/b", "a\\b"],
        *[
            "a?b",
            "a#b",
            "a%62",
            "a..b",
            ".a",
            "a.",
            ".",
            "é.example",
            "\uff41.example",
            "a{b}",
            "a|b",
            "*",
            "a:b",
            "a:-1",
        ],
        *["a:0", "a:65536", "a:99999", "a:999999", "a:8 0", "a:\u0661", "a:80:80", ":80", "::1", "[::1", "[]", "[:]"],
        *["[::1]a", "[::1%eth0]", "[::g]", "[v1.x]", "[1.2.3.4]", "a[::1]", "x" * 300, "https://a", "//a"],
    ],
    ids=repr,
)
def test_7_2_a_strange_host_has_no_target(host: str | None) -> None:
    """What is no plain name or address, or is two of them, never gets into a key (RFC 9110, section 7.2)."""
    assert target_of("https", host, "/", "") is None


@pytest.mark.parametrize(
    ("scheme", "path", "query"),
    [
        *[("ftp", "/", ""), ("", "/", ""), ("ws", "/", ""), ("https\n", "/", "")],
        *[("https", "*", ""), ("https", "https://evil.example/p", ""), ("https", "p", ""), ("https", " /p", "")],
        *[("https", f"/a{sign}b", "") for sign in " ?#\t\r\n\x00\x7f\u0100"],
        *[("https", "/p", f"a{sign}b") for sign in " #\t\r\n\x00\x7f\u0100"],
    ],
    ids=repr,
)
def test_9112_3_2_2_other_forms_have_no_target(scheme: str, path: str, query: str) -> None:
    """The absolute form, other schemes, and signs that no request line can carry are never cached."""
    assert target_of(scheme, "shop.example", path, query) is None


def test_7_1_path_and_query_stay_as_sent() -> None:
    """Nothing is decoded, folded or sorted; an empty path is a slash, and a bare question mark is no query."""
    assert target_of("https", "a", "/A%2fb/../%7e\xe9", "b=%20&a=?/") == (
        "https",
        "a",
        "/A%2fb/../%7e\xe9",
        "b=%20&a=?/",
    )
    assert target_of("https", "a", "", "") == ("https", "a", "/", None)
    assert parse_url("https://a/?") == ("https", "a", "/", None)


@given(st.tuples(HOSTS, PATHS, TEXTS), st.tuples(HOSTS, PATHS, TEXTS), st.sampled_from(["http", "https"]))
@example(("a", "/p?x", ""), ("a", "/p", "x"), "http")
def test_two_targets_never_share_a_url(one: tuple[str, str, str], other: tuple[str, str, str], scheme: str) -> None:
    """Whatever is sent, a URL names one target and can be read back to it."""
    first, second = target_of(scheme, *one), target_of("https", *other)
    if first and second:
        assert (first.url == second.url) == (first == second)
    for each in (first, second):
        assert each is None or parse_url(each.url) == each


@given(HOSTS, TEXTS, TEXTS, TEXTS)
def test_no_text_raises(host: str, path: str, query: str, scheme: str) -> None:
    """Targets are made or refused, and a url is one line of clean signs."""
    for each in (target_of(scheme, host, path, query), target_of("http", host, "/" + path, query), parse_url(path)):
        if each is not None:
            assert not set(each.url) & set(" #\t\r\n\x00\x7f")
            assert set(each.authority) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_[]:")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/p",
        "//a/p",
        "ftp://a/",
        "https:/a",
        "https:a",
        "https://",
        "https:///p",
        "https://u@a/",
        "https://a b/",
        "x",
    ],
)
def test_what_is_no_url_is_none(url: str) -> None:
    """Only absolute http and https URLs with a plain authority name a target (RFC 9110, section 4.2)."""
    assert parse_url(url) is None


def test_parse_url_drops_the_fragment() -> None:
    """A fragment is the client's own (RFC 9110, section 4.2.5)."""
    assert parse_url("HTTPS://Shop.example:443/p?x=1#top?y") == ("https", "shop.example", "/p", "x=1")


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("", "https://shop.example/b/c/d;p?q"),
        ("#s", "https://shop.example/b/c/d;p?q"),
        ("?y", "https://shop.example/b/c/d;p?y"),
        ("?", "https://shop.example/b/c/d;p"),
        ("g", "https://shop.example/b/c/g"),
        ("./g/", "https://shop.example/b/c/g/"),
        ("/g?y#s", "https://shop.example/g?y"),
        ("//g", "https://g/"),
        (";x=1/../y", "https://shop.example/b/c/y"),
        (".", "https://shop.example/b/c/"),
        ("..", "https://shop.example/b/"),
        ("../../../g", "https://shop.example/g"),
        ("/./g/../h/.", "https://shop.example/h/"),
        ("g..", "https://shop.example/b/c/g.."),
        ("./.g", "https://shop.example/b/c/.g"),
        ("/a//../b", "https://shop.example/a/b"),
        ("http://Other.example:80/a/../b", "http://other.example/b"),
        (" /g\t", "https://shop.example/g"),
        ("/caf\xc3\xa9?\xe9", "https://shop.example/caf%C3%A9?%E9"),
        ("\\\\evil.example/x", "https://shop.example/b/c/\\\\evil.example/x"),
    ],
)
def test_3986_5_references_are_resolved(reference: str, url: str) -> None:
    """Location and Content-Location may be relative to what was asked for (RFC 3986, section 5.4 has most of these)."""
    target = resolve(reference, BASE)
    assert target is not None
    assert target.url == url


@pytest.mark.parametrize(
    "reference",
    ["mailto:a@b", "https:g", "https:///g", "javascript:x", "//", "//u@g", "/a b", "/a\n", "/\u0100", "//a,b"],
)
def test_3986_5_an_unusable_reference_is_none(reference: str) -> None:
    """What is no http URL, or no URL at all, names nothing."""
    assert resolve(reference, BASE) is None


def test_3986_5_2_2_an_empty_reference_is_the_target_itself() -> None:
    """Even where that has dots in its path, which were sent like that."""
    base = Target("https", "a", "/x/../y", None)
    assert resolve("", base) == base
    assert resolve("#f", base) == base


@given(TEXTS, HOSTS, TEXTS)
def test_no_reference_raises(reference: str, host: str, path: str) -> None:
    """What is resolved is a target whose url names it."""
    base = target_of("http", host, "/" + path, "") or BASE
    found = resolve(reference, base)
    if found is not None:
        assert parse_url(found.url) == found


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://shop.example:443/x", True),
        ("http://shop.example/b", False),
        ("https://shop.example:8443/b", False),
        ("https://www.shop.example/b", False),
    ],
)
def test_4_3_1_an_origin_is_scheme_host_and_port(other: str, same: bool) -> None:
    """One that differs is another's (RFC 9110, section 4.3.1)."""
    target = parse_url(other)
    assert target is not None
    assert same_origin(target, BASE) is same


@pytest.mark.parametrize(
    ("query", "ignored", "selected"),
    [
        ("utm_source=x&id=1&utm_medium=y", ("utm_*",), "id=1"),
        ("id=1&fbclid=2", ("utm_*", "fbclid"), "id=1"),
        ("b=%20&a=1&&b=+", ("c",), "b=%20&a=1&&b=+"),
        ("%75tm_x=1&a", ("utm_*",), "a"),
        ("a+b=1&c", ("a b",), "c"),
        ("UTM_x=1", ("utm_*",), "UTM_x=1"),
        ("utm_x", ("utm_*",), ""),
        ("id=1&utm=2", ("ut",), "id=1&utm=2"),
        ("utm_a=1;id=2&utm_b=1", ("utm_*",), "utm_a=1;id=2"),
        ("", ("*",), ""),
        ("a=1", (), "a=1"),
        ("a=1", ("[", "a["), "a=1"),
    ],
)
def test_parameters_that_do_not_matter_are_left_out(query: str, ignored: tuple[str, ...], selected: str) -> None:
    """The rest keeps order and bytes; what some apps read as two parameters is never left out."""
    assert select_query(query, ignored) == selected


@given(TEXTS, st.lists(st.text(st.sampled_from("ab*?[]!-_%"), max_size=5), max_size=3))
def test_a_selected_query_is_made_of_parts_of_the_whole(query: str, ignored: list[str]) -> None:
    """No text and no pattern raises; the parts that stay are those of the query, in order, and stay in a second go."""
    selected = select_query(query, ignored)
    parts = iter(query.split("&"))
    assert all(part in parts for part in selected.split("&") if selected)
    assert select_query(selected, ignored) == selected


@pytest.mark.parametrize(
    ("cookie", "values"),
    [
        (None, (None, None)),
        ("", (None, None)),
        ("lang=de; cur=EUR", ("de", "EUR")),
        ("cur=EUR;lang = de ;x", ("de", "EUR")),
        ("LANG=de; lang", (None, None)),
        ("lang=; cur==", ("", "=")),
        ('lang="d e"', ('"d e"', None)),
        ("lang=de; lang=en", ("de;en", None)),
        ("sid=1, lang=de", ("sid=1, lang=de", None)),
        ("lang=a,b", ("a,b", None)),
        ("xlang=de; lang.x=1", (None, None)),
    ],
)
def test_6265_4_2_1_cookies_are_read_by_name(cookie: str | None, values: tuple[str | None, ...]) -> None:
    """Repeated ones, and those behind a comma, are all in the value, whichever an app takes."""
    assert cookie_values(cookie, ("lang", "cur")) == values


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_no_cookie_raises(cookie: str, names: list[str]) -> None:
    """There is one value for each name."""
    assert len(cookie_values(cookie, names)) == len(names)


@given(st.lists(st.text(st.sampled_from('ab, ="'), max_size=6), min_size=2, max_size=4, unique=True))
def test_two_values_of_a_cookie_are_never_alike(values: list[str]) -> None:
    """Whatever stands in a cookie, another value of it gives another text."""
    found = {cookie_values(f"x=1; a={value}; y=2", ("a",)) for value in values}
    assert len(found) == len({value.strip() for value in values})


@pytest.mark.parametrize(
    ("fields", "routing"),
    [
        ({}, ()),
        ({"x-forwarded-for": "192.0.2.7", "accept": "x"}, ()),
        ({"x-forwarded-host": "evil"}, (("x-forwarded-host", "evil"),)),
        ({"x-original-url": "/admin", "x-host": ""}, (("x-host", ""), ("x-original-url", "/admin"))),
        ({"forwarded": "for=192.0.2.7;by=_x"}, ()),
        ({"forwarded": "for=_a;Host=a.example;proto=https"}, (("forwarded", "host=a.example;proto=https"),)),
        ({"forwarded": 'for="[::1]";host="a;b", host=c'}, (("forwarded", 'host="a;b";host=c'),)),
        ({"forwarded": "for=[::1];;host=a , , "}, (("forwarded", "host=a"),)),
        ({"forwarded": 'for="x;host=evil'}, (("forwarded", 'for="x;host=evil'),)),
        ({"forwarded": "for=a host=evil"}, (("forwarded", "for=a host=evil"),)),
        ({"forwarded": "for=proto"}, ()),
    ],
)
def test_7239_fields_that_urls_are_built_of_are_told(
    fields: dict[str, str], routing: tuple[tuple[str, str], ...]
) -> None:
    """Who sends one gets a response of its own; a Forwarded in doubt counts as a whole (RFC 7239, section 4)."""
    assert routing_of(fields.get) == routing


@given(TEXTS)
def test_no_forwarded_raises_or_hides_a_host(value: str) -> None:
    """Whatever stands before it, a host is seen."""
    assert isinstance(routing_of({"forwarded": value}.get), tuple)
    said = routing_of({"forwarded": f"{value};host=evil.example"}.get)
    assert "evil.example" in said[0][1]


@pytest.mark.parametrize("name", ROUTING_FIELDS)
def test_each_routing_field_counts(name: str) -> None:
    """Each is looked up in lower case."""
    assert name == name.lower()
    assert routing_of({name: "x"}.get) == ((name, "x"),)


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_a_method_may_be_overridden(name: str) -> None:
    """A GET that an app takes for a DELETE is seen, even if the field is empty."""
    assert overrides_method({name: ""}.get)
    assert not overrides_method({f"{name}-": "x"}.get)


def test_the_longest_texts_take_no_time_to_speak_of() -> None:
    """Work grows with the length of a text, not faster; else the time limit of a test ends this one."""
    for sign in ("a", "/.", "/..", "a=,", '"', "a=;", ";", ",a=", "[", "\\", '"\\', " "):
        text = sign * 50_000
        target_of("http", text, "/" + text, text)
        resolve(text, BASE)
        select_query(text, ("a*b*c", "?"))
        cookie_values(text, ("a", "b"))
        routing_of({"forwarded": "host" + text}.get)
