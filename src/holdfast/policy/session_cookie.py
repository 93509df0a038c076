"""The cookie of a session: what its value means, how it is found in a request, and how it is set (RFC 6265bis).

The value is a handle and a secret. The handle names the session and is no credential; of the secret the store keeps a
digest only, so that whoever reads the store cannot take over a session (OWASP Session Management Cheat Sheet).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from holdfast.errors import ConfigurationError

SameSite: TypeAlias = Literal["lax", "strict", "none"]
SameSiteOption: TypeAlias = Literal["lax", "strict", "none", "Lax", "Strict", "None"]
"""As options have it: frameworks and RFC 6265bis write it with a capital."""
_SAME_SITES: Final[tuple[SameSite, ...]] = ("lax", "strict", "none")

HANDLE_SIZE: Final = 22
"""Signs of base64url in a handle: 128 bits."""
SECRET_SIZE: Final = 43
"""Signs of base64url in a secret: 256 bits."""

_ID: Final = re.compile(rf"([A-Za-z0-9_-]{{{HANDLE_SIZE}}})\.([A-Za-z0-9_-]{{{SECRET_SIZE}}})")
_MOST: Final = 4
"""Cookies of one name that are looked at: each costs a look into the store."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*")
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_PATH: Final = re.compile(r"/[!-:<-~]{0,1023}")
"""Browsers ignore an attribute of more than 1024 characters (RFC 6265bis, 5.6)."""
_SECURE_PREFIXES: Final = ("__host-", "__secure-", "__http-")
"""In any case: browsers check them so (RFC 6265bis, 4.1.3)."""
_LONG_AGO: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


class SessionId(NamedTuple):
    """The two parts of a cookie's value."""

    handle: str
    secret: str

    def __repr__(self) -> str:
        return f"SessionId(handle={self.handle!r})"  # whoever reads a log must not become the user


def parse_id(text: str | None) -> SessionId | None:
    """Return the handle and the secret in a cookie's value; None for anything that we did not write."""
    match = None if text is None else _ID.fullmatch(text)
    return None if match is None else SessionId(match[1], match[2])


def write_id(handle: str, secret: str) -> str:
    """Return the value of a cookie, which `parse_id` reads."""
    return f"{handle}.{secret}"


def digest(secret: str) -> str:
    """Return what is stored of a secret: its SHA-256 in hex; a random one needs no slower function than that."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def find_cookies(header: str | None, name: str) -> tuple[str, ...]:
    """Return the values that a Cookie field has for a name, in order, each once, at most 4.

    There may be several: a browser also sends those that another path or another host of the domain has set, which may
    be an attacker's (RFC 6265bis, 8.6). Only the store can tell which one is ours, so that all are returned.

    Names are compared exactly, and only spaces and tabs around them are dropped: whoever drops more, or reads the old
    ``$Version`` form, finds a ``__Host-`` cookie where the browser has seen another name and let an attacker set it.

    Args:
        header: the Cookie field; several are joined by ``"; "`` (RFC 9113, 8.2.3).
        name: of the cookie.
    """
    if header is None or name not in header:
        return ()
    found: list[str] = []
    for pair in header.split(";"):
        key, equals, value = pair.partition("=")
        if not equals or key.strip(" \t") != name:
            continue
        value = _unquote(value.strip(" \t"))
        if value not in found:
            found.append(value)
        if len(found) == _MOST:
            break
    return tuple(found)


def _unquote(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


@dataclass(frozen=True, slots=True)
class Cookie:
    """How the cookie of a session is named and set. Made by `of`, which checks it.

    It is always HttpOnly: no script needs it.
    """

    name: str | None
    """None = one that tells the browser as much as possible about its protection."""
    domain: str | None
    path: str
    secure: bool | None
    """None = if the request came by https."""
    same_site: SameSite
    persistent: bool
    """Whether it outlives the browser."""
    partitioned: bool

    @classmethod
    def of(
        cls,
        *,
        cookie: str | None = None,
        domain: str | None = None,
        path: str = "/",
        secure: bool | None = None,
        same_site: SameSiteOption = "lax",
        persistent: bool = False,
        partitioned: bool = False,
    ) -> Cookie:
        """Return a cookie that browsers accept.

        Args:
            cookie: its name. Without one: ``__Host-session``, ``__Secure-session`` or ``session``, the first that is
                possible. A name that begins with ``__Host-`` or ``__Secure-`` makes the cookie Secure by any scheme.
            domain: also sent to the hosts below this one; None = only to the host that sets it.
            path: sent for what lies below.
            secure: whether it is sent by https only; None = if it was set by https.
            same_site: whether it is sent with requests that other sites start: "lax" = when a link is followed. In any
                case.
            persistent: whether it gets a Max-Age, so that it outlives the browser.
            partitioned: whether an embedded site has one for each site that embeds it (CHIPS).

        Raises:
            ConfigurationError: a browser would ignore it, or it cannot be written; the message says what would do.
        """
        _check_texts(cookie, domain, path)
        _check_choices(secure, persistent, partitioned)
        site = _same_site(same_site)
        prefix = _prefix(cookie)
        if prefix and secure is False:
            msg = f"cookie={cookie!r} promises browsers that it is Secure: drop secure=False, or the prefix of the name"
            raise ConfigurationError(msg)
        if prefix == "__host-" and (domain is not None or path != "/"):
            msg = (
                f"cookie={cookie!r} belongs to one host as a whole: drop domain= and path=, or begin it with __Secure-"
            )
            raise ConfigurationError(msg)
        if prefix:
            secure = True
        if site == "none" and not secure:
            msg = 'same_site="none": browsers take it with secure=True only, so say that too, and serve by https'
            raise ConfigurationError(msg)
        if partitioned and not secure:
            msg = "partitioned=True: browsers take it with secure=True only, so say that too, and serve by https"
            raise ConfigurationError(msg)
        return cls(cookie, domain, path, secure, site, persistent, partitioned)

    def is_secure(self, https: bool) -> bool:
        """Say whether the cookie is Secure when it is set in the answer to a request of that scheme."""
        return https if self.secure is None else self.secure

    def name_for(self, https: bool) -> str:
        """Return the name of the cookie in requests of that scheme, and in the answers to them."""
        if self.name is not None:
            return self.name
        if not self.is_secure(https):
            return "session"
        return "__Host-session" if self.path == "/" and self.domain is None else "__Secure-session"

    def set_cookie(self, value: str, *, https: bool, max_age: int | None) -> str:
        """Return the Set-Cookie field that gives the browser a value.

        Args:
            value: made by `write_id`.
            https: whether the request came by https.
            max_age: seconds for which a persistent cookie is kept; no matter for another one.

        Raises:
            ValueError: the value would not come back as it is.
        """
        if not _VALUE.fullmatch(value):
            raise ValueError("a cookie's value is of visible ASCII characters without quotes, commas, ; and \\")
        age = f"; Max-Age={max_age}" if self.persistent and max_age is not None else ""
        return f"{self.name_for(https)}={value}{self._scope()}{age}{self._protection(https)}"

    def delete_cookie(self, *, https: bool) -> str:
        """Return the Set-Cookie field that makes the browser drop the cookie."""
        age = f"; Max-Age=0; Expires={_LONG_AGO}"
        return f"{self.name_for(https)}={self._scope()}{age}{self._protection(https)}"

    def _scope(self) -> str:
        domain = "" if self.domain is None else f"; Domain={self.domain}"
        return f"; Path={self.path}{domain}"

    def _protection(self, https: bool) -> str:
        secure = "; Secure" if self.is_secure(https) else ""
        partitioned = "; Partitioned" if self.partitioned else ""
        return f"; HttpOnly{secure}; SameSite={self.same_site.capitalize()}{partitioned}"


def _check_texts(cookie: Any, domain: Any, path: Any) -> None:
    if cookie is not None and not _fits(_NAME, cookie):
        msg = f"cookie={cookie!r} is no name of a cookie: use 1 to 200 letters, digits, '-' and '_', in ASCII"
        raise ConfigurationError(msg)
    if domain is not None and not _fits(_DOMAIN, domain):
        msg = (
            f"domain={domain!r} is no name of a host: use one such as 'example.org', in ASCII, without scheme and port"
        )
        raise ConfigurationError(msg)
    if not _fits(_PATH, path):
        msg = f"path={path!r} must begin with '/', without spaces, ';' and what is not ASCII (write that as %XX)"
        raise ConfigurationError(msg)


def _same_site(given: Any) -> SameSite:
    for known in _SAME_SITES:
        if isinstance(given, str) and given.lower() == known:
            return known
    msg = f"same_site={given!r} is not known: it is one of {', '.join(map(repr, _SAME_SITES))}"
    raise ConfigurationError(msg)


def _check_choices(secure: Any, persistent: Any, partitioned: Any) -> None:
    for name, value in (("secure", secure), ("persistent", persistent), ("partitioned", partitioned)):
        if not isinstance(value, bool) and not (name == "secure" and value is None):
            msg = f"{name}={value!r} must be True or False{', or None: by the scheme' if name == 'secure' else ''}"
            raise ConfigurationError(msg)


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _prefix(cookie: str | None) -> str:
    """Return the prefix of a name that means something to browsers, in lower case, or nothing."""
    name = "" if cookie is None else cookie.lower()
    return next((prefix for prefix in _SECURE_PREFIXES if name.startswith(prefix)), "")
