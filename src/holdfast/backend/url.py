"""URL to topology: which servers, how to reach them, with which limits. Pure; opens nothing.

    memory://[name]                                      embedded, shared by name inside the process
    redis://[user:password@]host[:port][/db]             rediss:// for TLS
    unix://[user:password@]/path/to/socket[?db=0]
    redis+sentinel://[user:password@]h1[:p],h2[:p]/service[/db]
    redis+cluster://[user:password@]h1[:p],h2[:p]

Options are query parameters with redis-py's names. An error names the part at fault and never repeats the password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from holdfast.errors import ConfigurationError

Address = tuple[str, int]
Kind = Literal["memory", "single", "unix", "sentinel", "cluster"]

_SCHEMES: Final[Mapping[str, tuple[Kind, bool]]] = {
    "memory": ("memory", False),
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Final[Mapping[Kind, int]] = {"single": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class Topology:
    """Where Redis is, and the limits that a client keeps with it."""

    kind: Kind
    addresses: tuple[Address, ...] = ()
    """Servers, sentinels or cluster nodes to ask first."""
    name: str = ""
    """The embedded server's name, the socket's path, or the service that the sentinels watch."""
    tls: bool = False
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments for redis-py's connection classes; credentials are in here."""
    sentinel: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The same for connections to the sentinels."""
    max_connections: int = 50
    pool_timeout: float = 5.0
    """Seconds to wait for a free connection of the pool."""
    socket_timeout: float = 2.0
    """Seconds to wait for a reply."""

    def __str__(self) -> str:
        """Return the servers without credentials, for messages."""
        places = ",".join(f"{host}:{port}" for host, port in self.addresses)
        if self.kind == "memory":
            return f"memory://{self.name}"
        if self.kind == "unix":
            return f"unix://{self.name}"
        if self.kind == "sentinel":
            return f"sentinel {self.name} at {places}"
        return f"cluster {places}" if self.kind == "cluster" else places


def parse(url: str, extra: Mapping[str, Any] | None = None) -> Topology:
    """Return the topology that a URL describes.

    Args:
        url: one of the forms in this module's docstring.
        extra: more keyword arguments for redis-py's connection classes, which text cannot express, such as
            ``credential_provider``.

    Raises:
        ConfigurationError: a part of the URL cannot be understood; the message names it.
    """
    parts = _split(url)
    kind, tls = _SCHEMES[parts.scheme]
    options = _options(parts.query)
    own = {name: options.pop(name) for name in ("max_connections", "timeout") if name in options}
    sentinel = {name.removeprefix("sentinel_"): options.pop(name) for name in tuple(options) if "sentinel_" in name}
    tls = bool(options.pop("ssl", tls))
    user, password = _credentials(parts)
    if user:
        options["username"] = user
    if password:
        options["password"] = password
    addresses, name, db = _place(kind, parts)
    if db is not None:
        options["db"] = db
    if kind == "cluster" and options.get("db"):
        _fail("database", "a cluster has only database 0", "leave it out")
    socket_timeout = options.setdefault("socket_timeout", 2.0)
    options.setdefault("socket_connect_timeout", 1.0)
    options.setdefault("protocol", 2)
    return Topology(
        kind,
        addresses,
        name,
        tls,
        {**options, **(extra or {})},
        sentinel,
        own.get("max_connections", 50),
        own.get("timeout", 5.0),
        socket_timeout,
    )


def _fail(part: str, why: str, advice: str) -> None:
    msg = f"the {part} of the URL cannot be used: {why}; {advice}"
    raise ConfigurationError(msg)


def _split(url: str) -> SplitResult:
    if not isinstance(url, str) or "://" not in url:
        _fail("scheme", "there is none", f"start with one of {', '.join(f'{s}://' for s in _SCHEMES)}")
    scheme, rest = url.split("://", 1)
    if scheme.lower() not in _SCHEMES:
        _fail("scheme", f"{scheme!r} is unknown", f"use one of {', '.join(f'{s}://' for s in _SCHEMES)}")
    try:
        return urlsplit(f"{scheme.lower()}://{rest}")
    except ValueError:
        _fail("host", "it is not well formed", "write an IPv6 address in brackets, like [::1]:6379")
        raise


def _credentials(parts: SplitResult) -> tuple[str, str]:
    if "@" not in parts.netloc:
        return "", ""
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def _place(kind: Kind, parts: SplitResult) -> tuple[tuple[Address, ...], str, int | None]:
    hosts = parts.netloc.rpartition("@")[2]
    path = unquote(parts.path)
    if kind == "memory":
        if path not in {"", "/"}:
            _fail("name", f"{path!r} is a path", "give a plain name, like memory://shop")
        return (), unquote(hosts), None
    if kind == "unix":
        if hosts or len(path) < 2:
            _fail("path", "a socket's path is absolute", "write three slashes, like unix:///run/redis.sock")
        return (), path, None
    addresses = tuple(_address(text, _PORTS[kind]) for text in hosts.split(","))
    segments = [segment for segment in path.split("/") if segment]
    if kind == "sentinel":
        if not segments:
            _fail("service", "there is none", "name it after the hosts, like redis+sentinel://host:26379/mymaster/0")
        service, *segments = segments
    else:
        service = ""
        if kind == "single" and len(addresses) > 1:
            _fail("host", "there are several", "use redis+cluster:// or redis+sentinel://")
    if len(segments) > 1:
        _fail("path", f"{'/'.join(segments)!r} has too many parts", "only a database number goes there")
    return addresses, service, _database(segments[0]) if segments else None


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        _fail("database", f"{text!r} is not a number", "write it like redis://localhost:6379/0")
    return int(text)


def _address(text: str, default_port: int) -> Address:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host:
        _fail("host", "it is empty", "name one, like redis://localhost:6379/0")
    if not port:
        return unquote(host), default_port
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        _fail("port", f"{port!r} is not a port", "give a number from 1 to 65535")
    return unquote(host), int(port)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _flag(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    return known[text.strip().lower()]


def _protocol(text: str) -> int:
    return {"2": 2, "3": 3}[text]


_OPTIONS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "max_connections": (_count, "a number above 0"),
    "timeout": (_positive, "seconds above 0"),
    "socket_timeout": (_positive, "seconds above 0"),
    "socket_connect_timeout": (_positive, "seconds above 0"),
    "socket_keepalive": (_flag, "true or false"),
    "client_name": (str, "text"),
    "protocol": (_protocol, "2 or 3"),
    "db": (_database, "a number"),
    "ssl": (_flag, "true or false"),
    "ssl_cert_reqs": (str, "none, optional or required"),
    "ssl_check_hostname": (_flag, "true or false"),
    "ssl_ca_certs": (str, "a path"),
    "ssl_ca_path": (str, "a path"),
    "ssl_certfile": (str, "a path"),
    "ssl_keyfile": (str, "a path"),
    "ssl_password": (str, "text"),
    "ssl_ciphers": (str, "text"),
    "sentinel_username": (str, "text"),
    "sentinel_password": (str, "text"),
}


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            _fail("options", f"{name!r} is unknown", f"known are {', '.join(sorted(_OPTIONS))}")
        convert, wanted = _OPTIONS[name]
        try:
            options[name] = convert(text)
        except (ValueError, KeyError):
            _fail(f"option {name}", "its value cannot be understood", f"give {wanted}")
    return options
