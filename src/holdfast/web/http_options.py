"""The options of an HTTP cache, checked, and the cache of one middleware in whichever layer it finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypedDict

from holdfast._durations import seconds
from holdfast.core.http_caching import HttpCaching
from holdfast.defaults import engine_of
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.http_cache import NAMESPACE, page_key, stripped
from holdfast.layer import Layer
from holdfast.options import Options, refuse_unknown
from holdfast.policy.http.fields import is_token
from holdfast.policy.http.request import READING
from holdfast.policy.http.rules import MIB, Rules, SetCookie
from holdfast.policy.http.status import cache_status
from holdfast.policy.http.stored import Page
from holdfast.policy.keys import check_namespace
from holdfast.typing import Duration
from holdfast.web.http_requests import Keying, KeyOption, Places

_METHODS: Final = {"GET", "HEAD", "POST"}
_SET_COOKIE: Final = ("public", "store", "strip", "refuse")


class HttpCacheOptions(TypedDict, total=False):
    """The options of `CacheMiddleware`, which explains each."""

    namespace: str
    targets: Iterable[str]
    default_ttl: Duration | None
    heuristic: bool
    methods: Iterable[str]
    statuses: Iterable[int] | None
    max_body: int
    private: Iterable[str]
    set_cookie: SetCookie
    vary: Iterable[str]
    ignore_vary: Iterable[str]
    ignore_query: Iterable[str]
    cookies: Iterable[str]
    key: KeyOption | None
    tag_field: str | None
    stale_if_raises: Duration
    honour_clients: bool
    etag: bool
    wait: Duration
    lease: Duration
    name: str | None
    debug: bool


class WebCache:
    """The HTTP cache of one middleware.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, layer: Layer | None, options: HttpCacheOptions) -> None:
        refuse_unknown("CacheMiddleware", options, HttpCacheOptions.__optional_keys__, beside=["layer"])
        self._find_engine = engine_of(layer)
        self.rules, self.keying = _rules(**options), _keying(**options)
        self.namespace = check_namespace(options.get("namespace", NAMESPACE)) or NAMESPACE
        self.name = _label(options.get("name", "holdfast"))
        self.hit = "" if self.name is None else cache_status(self.name, hit=True, ttl=0)[:-1]
        """The Cache-Status of a hit, up to its ttl."""
        self.passed = b"" if self.name is None else cache_status(self.name, fwd="uri-miss").encode("latin-1")
        """The Cache-Status of an answer that is known not to be stored."""
        self.debug = bool(options.get("debug", False))
        # What is wrong with the two shows now.
        self._kept = Options.of(
            1, serializer="msgpack", wait=options.get("wait", "10s"), lease=options.get("lease", "30s")
        )
        self.is_short = not (self.debug or self.keying.cookies or self.keying.key)
        """Whether a request without remarkable fields is the same as any other for its URL."""
        self._made: tuple[Engine, HttpCaching, Places] | None = None

    def open(self, method: str) -> tuple[Engine, HttpCaching, Places] | None:
        """Return the cache in the layer of the moment; None while that is disabled, but for what changes something."""
        engine = self._find_engine()
        made = self._made
        if made is None or made[0] is not engine:
            made = self._made = self._make(engine)
        return None if engine.off.get() and method in READING else made

    def _make(self, engine: Engine) -> tuple[Engine, HttpCaching, Places]:
        places = Places(self.keying, lambda target: page_key(engine, self.namespace, target))
        plan = engine.plan(self._kept, self.namespace, Page)
        caching = HttpCaching(
            engine.caching,
            plan,
            self.rules,
            engine.turns,
            lambda target: page_key(engine, self.namespace, stripped(target, self.keying.ignore_query)),
            signed=bool(engine.secrets),
        )
        return engine, caching, places


def _rules(
    *,
    targets: Iterable[str] = ("CDN-Cache-Control",),
    default_ttl: Duration | None = None,
    heuristic: bool = True,
    methods: Iterable[str] = ("GET", "HEAD"),
    statuses: Iterable[int] | None = None,
    max_body: int = MIB,
    set_cookie: SetCookie = "public",
    vary: Iterable[str] = (),
    ignore_vary: Iterable[str] = (),
    tag_field: str | None = "Cache-Tag",
    stale_if_raises: Duration = "5m",
    honour_clients: bool = True,
    etag: bool = False,
    **_: Any,
) -> Rules:
    if set_cookie not in _SET_COOKIE:
        msg = f"set_cookie={set_cookie!r} must be one of {', '.join(map(repr, _SET_COOKIE))}"
        raise ConfigurationError(msg)
    if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"max_body={max_body!r} must be a number of bytes, such as 1024 * 1024"
        raise ConfigurationError(msg)
    return Rules(
        targets=_names(targets, "targets"),
        default_ttl=0.0 if default_ttl is None else seconds(default_ttl, "default_ttl", zero=True),
        heuristic=bool(heuristic),
        statuses=None if statuses is None else _statuses(statuses),
        max_body=max_body,
        set_cookie=set_cookie,
        vary=_names(vary, "vary"),
        ignore_vary=frozenset(_names(ignore_vary, "ignore_vary")),
        tag_field="" if tag_field is None else _tag_field(tag_field),
        stale_if_raises=seconds(stale_if_raises, "stale_if_raises", zero=True),
        honour_clients=bool(honour_clients),
        etag=bool(etag),
        posts="POST" in _methods(methods),
    )


def _keying(
    *,
    private: Iterable[str] = (),
    ignore_query: Iterable[str] = (),
    cookies: Iterable[str] = (),
    key: KeyOption | None = None,
    **_: Any,
) -> Keying:
    if key is not None and not callable(key):
        msg = f"key= must be a function of a CacheRequest that returns text or None, not {type(key).__name__}"
        raise ConfigurationError(msg)
    paths = _texts(private, "private")
    for path in paths:
        if not path.startswith(("/", "*")):
            msg = f"private={path!r} must be a path, such as '/account', or a pattern, such as '/account/*.json'"
            raise ConfigurationError(msg)
    return Keying(paths, _texts(ignore_query, "ignore_query"), _cookies(cookies), key)


def _texts(given: Iterable[str], option: str) -> tuple[str, ...]:
    # Callers are often untyped.
    texts = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else (None,)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not all(isinstance(each, str) and each for each in texts):
        msg = f"{option}={given!r} must be several texts, such as {option}=['...'], or none: {option}=()"
        raise ConfigurationError(msg)
    return tuple(each for each in texts if each is not None)


def _names(given: Iterable[str], option: str) -> tuple[str, ...]:
    names = _texts(given, option)
    for name in names:
        if not is_token(name) or name == "*":
            msg = f"{option}={name!r} is no name of a field, such as 'Accept-Language'"
            raise ConfigurationError(msg)
    return tuple(dict.fromkeys(name.lower() for name in names))


def _tag_field(name: str) -> str:
    if not isinstance(name, str) or not is_token(name):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"tag_field={name!r} must be the name of one field of responses, such as 'Cache-Tag', or None"
        raise ConfigurationError(msg)
    return name.lower()


def _cookies(given: Iterable[str]) -> tuple[str, ...]:
    names = _texts(given, "cookies")
    for name in names:
        if not is_token(name):
            msg = f"cookies={name!r} is no name of a cookie, such as 'currency'"
            raise ConfigurationError(msg)
    return names


def _statuses(given: Iterable[int]) -> frozenset[int]:
    # Callers are often untyped.
    statuses = tuple(given) if isinstance(given, Iterable) else (None,)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not all(isinstance(each, int) and 200 <= each <= 599 for each in statuses):
        msg = f"statuses={given!r} must be status codes from 200 to 599"
        raise ConfigurationError(msg)
    return frozenset(each for each in statuses if each is not None)


def _methods(given: Iterable[str]) -> frozenset[str]:
    methods = frozenset(_texts(given, "methods"))
    if not READING <= methods <= _METHODS:
        msg = f"methods={given!r} must be GET and HEAD, and POST where its answers may be stored for GET"
        raise ConfigurationError(msg)
    return methods


def _label(name: str | None) -> str | None:
    if name is not None and not (isinstance(name, str) and name and name.isascii() and name.isprintable()):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"name={name!r} must be printable ASCII for Cache-Status, or None for no such field"
        raise ConfigurationError(msg)
    return name
