"""The options of `CacheMiddleware`: what each becomes, and what is said about one that cannot work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import CacheMiddleware as AsgiCache
from holdfast.errors import ConfigurationError
from holdfast.policy.http.rules import MIB, Rules
from holdfast.policy.http.status import cache_status
from holdfast.web.http_options import HttpCacheOptions, WebCache
from holdfast.web.http_requests import Keying
from holdfast.wsgi import CacheMiddleware as WsgiCache


def cache(**options: Any) -> WebCache:
    """Return the cache of a middleware with these options."""
    return WebCache(None, options)  # type: ignore[arg-type]


def waited(made: WebCache) -> tuple[float, float]:
    """Return the times for waiting and for the lease, in seconds."""
    kept = made._kept  # pyright: ignore[reportPrivateUsage] - what it becomes is deep inside the layer
    return kept.wait, kept.lease


def test_without_options_the_rfc_is_followed() -> None:
    """What the RFC leaves open is decided on the safe side."""
    made = cache()
    assert made.rules == Rules(
        targets=("cdn-cache-control",),
        default_ttl=0.0,
        heuristic=True,
        statuses=None,
        max_body=MIB,
        set_cookie="public",
        vary=(),
        ignore_vary=frozenset(),
        tag_field="cache-tag",
        stale_if_raises=300.0,
        honour_clients=True,
        etag=False,
        posts=False,
    )
    assert made.keying == Keying((), (), (), None)
    assert (made.namespace, made.name, made.debug) == ("http", "holdfast", False)
    assert waited(made) == (10.0, 30.0)


GOOD: list[tuple[str, Any, Any]] = [
    ("targets", ["My-Cache-Control", "CDN-Cache-Control"], ("my-cache-control", "cdn-cache-control")),
    ("targets", ["A", "b", "a"], ("a", "b")),
    ("targets", (), ()),
    ("default_ttl", "5m", 300.0),
    ("default_ttl", None, 0.0),
    ("default_ttl", 0, 0.0),
    ("heuristic", False, False),
    ("statuses", [200, 404, 200], frozenset({200, 404})),
    ("statuses", range(200, 300), frozenset(range(200, 300))),
    ("statuses", (), frozenset()),
    ("statuses", None, None),
    ("max_body", 0, 0),
    ("max_body", 5, 5),
    ("set_cookie", "store", "store"),
    ("set_cookie", "strip", "strip"),
    ("set_cookie", "refuse", "refuse"),
    ("vary", {"Accept-Language"}, ("accept-language",)),
    ("ignore_vary", ("User-Agent", "ORIGIN"), frozenset({"user-agent", "origin"})),
    ("tag_field", "Surrogate-Key", "surrogate-key"),
    ("tag_field", None, ""),
    ("stale_if_raises", timedelta(minutes=1), 60.0),
    ("stale_if_raises", 0, 0.0),
    ("honour_clients", False, False),
    ("etag", True, True),
]


@pytest.mark.parametrize(("option", "given", "becomes"), GOOD)
def test_rules_are_made_of_options(option: str, given: Any, becomes: Any) -> None:
    """Names in lower case, once each; durations in seconds. Nothing else changes."""
    rules = cache(**{option: given}).rules
    assert getattr(rules, option) == becomes
    changed = {name for name in Rules.__slots__ if getattr(rules, name) != getattr(Rules(), name)}
    assert changed <= {option}


@pytest.mark.parametrize("methods", [["GET", "HEAD"], ("HEAD", "POST", "GET"), {"GET", "HEAD", "POST"}])
def test_posts_are_stored_if_they_are_named(methods: Any) -> None:
    """GET and HEAD always are."""
    assert cache(methods=methods).rules.posts == ("POST" in methods)


@pytest.mark.parametrize(
    ("option", "given", "becomes"),
    [
        ("private", ["/account", "*.php", "/a/*"], ("/account", "*.php", "/a/*")),
        ("ignore_query", ("utm_*", "fbclid"), ("utm_*", "fbclid")),
        ("cookies", ["Currency", "b"], ("Currency", "b")),
        ("key", str, str),
        ("key", None, None),
    ],
)
def test_keys_are_made_of_options(option: str, given: Any, becomes: Any) -> None:
    """As they are, for in paths, parameters and cookies case counts."""
    made = cache(**{option: given}).keying
    assert getattr(made, option) == becomes


def test_other_options() -> None:
    """The namespace, the name, and the times."""
    made = cache(namespace="shop", name="My cache", debug=True, wait=0, lease="1m")
    assert (made.namespace, made.name, made.debug) == ("shop", "My cache", True)
    assert waited(made) == (0.0, 60.0)
    assert cache(namespace="").namespace == "http"
    assert cache(name=None).name is None


@pytest.mark.parametrize("name", ["holdfast", "My cache", '"x"'])
def test_9211_2_a_hit_is_told_without_delay(name: str) -> None:
    """What is prepared of the field is what it would be."""
    for ttl in (0, 5, -3, 2**31):
        assert f"{cache(name=name).hit}{ttl}" == cache_status(name, hit=True, ttl=ttl)
    assert cache(name=None).hit == ""


DURATIONS: list[Any] = [None, "soon", [], True]
LISTS = "targets", "vary", "ignore_vary", "private", "ignore_query", "cookies", "methods"
BAD: list[tuple[str, Any, str]] = [
    *[(name, "GET", f"{name}=['...']") for name in LISTS],
    *[(name, value, f"{name}=['...']") for name in LISTS for value in (None, 5, b"GET", [1], [""], [None])],
    *[
        (name, [value], "Accept-Language")
        for name in ("targets", "vary", "ignore_vary")
        for value in ("a b", "*", "a:")
    ],
    *[("tag_field", value, "'Cache-Tag', or None") for value in ("", "a b", 5, ["Cache-Tag"])],
    *[
        ("statuses", value, "200 to 599")
        for value in (5, "200", [199], [600], [True], [200.5], ["200"], [[200]], [None])
    ],
    *[("max_body", value, "1024 * 1024") for value in (-1, 1.5, "1MiB", None, True)],
    *[("set_cookie", value, "'public', 'store', 'strip', 'refuse'") for value in ("", "PUBLIC", None, True, ["store"])],
    *[
        ("methods", value, "GET and HEAD")
        for value in (["GET"], ["POST"], [*"GET"], ["GET", "HEAD", "PUT"], ["get", "head"])
    ],
    *[("private", [value], "'/account'") for value in ("account", "https://a.example/account", "?")],
    *[("cookies", [value], "such as") for value in ("a b", "a=", "a;b")],
    *[("key", value, "function of a CacheRequest") for value in ("x", 5, ["x"])],
    *[("name", value, "printable ASCII") for value in ("", "\xe9", "a\nb", b"holdfast", 5)],
    *[("namespace", value, "text") for value in (5, None)],
    ("namespace", "a{b", "use letters"),
    ("namespace", "a\nb", "use letters"),
    ("namespace", "a" * 101, "keep it to 100"),
    *[(name, value, "'5m'") for name in ("stale_if_raises", "wait", "lease") for value in DURATIONS],
    *[("default_ttl", value, "'5m'") for value in DURATIONS[1:]],
    *[(name, -1, "zero or more") for name in ("default_ttl", "stale_if_raises", "wait")],
    *[(name, float("inf"), "hundred years") for name in ("default_ttl", "stale_if_raises", "wait", "lease")],
    *[("lease", value, "more than zero") for value in (0, -1)],
]


@pytest.mark.parametrize(("option", "given", "advice"), BAD, ids=[f"{name}={value!r:.30}" for name, value, _ in BAD])
def test_what_cannot_work_is_refused_with_advice(option: str, given: Any, advice: str) -> None:
    """When the middleware is made, by a message that names the option and says what to give."""
    with pytest.raises(ConfigurationError) as caught:
        cache(**{option: given})
    assert option in str(caught.value)
    assert advice in str(caught.value)


def test_options_are_read_once() -> None:
    """Iterables that can be read once are as good as others."""
    made = cache(
        targets=iter(["A"]), vary=iter(["B"]), statuses=iter([200]), private=iter(["/a"]), methods=iter(["GET", "HEAD"])
    )
    assert (made.rules.targets, made.rules.vary, made.rules.statuses) == (("a",), ("b",), frozenset({200}))
    assert made.keying.private == ("/a",)


@pytest.mark.parametrize("middleware", [AsgiCache, WsgiCache], ids=["asgi", "wsgi"])
def test_an_unknown_option_is_refused_with_those_that_there_are(middleware: Any) -> None:
    """In both middlewares, which know the same; `layer` is among them."""

    def app(*arguments: Any) -> Any:
        """Whatever the middleware wants."""

    with pytest.raises(ConfigurationError, match=r"^CacheMiddleware has no option 'max_age'; .*layer, .*max_body"):
        middleware(app, max_age=5)
    with pytest.raises(ConfigurationError, match="set_cookie='x'"):
        middleware(app, set_cookie="x")


def test_every_option_is_tested_here() -> None:
    """Each has at least one value that is refused, but for those that are true or false."""
    switches = {"heuristic", "honour_clients", "etag", "debug"}
    assert {name for name, _, _ in BAD} == HttpCacheOptions.__optional_keys__ - switches


def test_a_cache_is_made_once_for_a_layer_and_not_while_that_is_off() -> None:
    """A middleware asks for it with each request."""
    layer = Layer("memory://")
    try:
        made = WebCache(layer, {"namespace": "shop"})
        opened = made.open("GET")
        assert opened is not None
        assert made.open("GET") is opened
        place = opened[2].find((), "https", "shop.example", "/p", "")
        assert place is not None
        assert "shop:" in place.key
        assert "https://shop.example/p" in place.key
        with layer.disabled():
            assert made.open("GET") is None
            assert made.open("POST") is opened
        assert made.open("GET") is opened
    finally:
        layer.close()
