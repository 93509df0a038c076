"""URL to topology: which servers, how to reach them, with which limits. Pure; opens nothing.

    memory://[name]                                      embedded, shared by name inside the process
    redis://[user:password@]host[:port][/db]             rediss:// for TLS
    unix://[user:password@]/path/to/socket[?db=0]
    redis+sentinel://[user:password@]h1[:p],h2[:p]/service[/db]
    redis+cluster://[user:password@]h1[:p],h2[:p]

Options are query parameters with redis-py's names. An error names the part at fault and never repeats the password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from holdfast.backend.topology import Address, Kind, Topology
from holdfast.backend.url_options import PLAIN, database, read_options, refuse
from holdfast.errors import ConfigurationError

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
_SENTINEL_ONLY: Final = ("sentinel_username", "sentinel_password")
_PORTS: Final[Mapping[Kind, int]] = {"single": 6379, "sentinel": 26379, "cluster": 6379}


def parse(url: str, extra: Mapping[str, Any] | None = None) -> Topology:
    """Return the topology that a URL describes.

    Args:
        url: one of the forms in this module's docstring.
        extra: more keyword arguments for redis-py's connection classes, which text cannot express, such as
            ``credential_provider``; they win over the URL's.

    Raises:
        ConfigurationError: a part of the URL cannot be understood; the message names it.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - often what os.environ.get gave
        msg = f"the URL must be text, not {type(url).__name__}: give one such as redis://localhost:6379/0 or memory://"
        raise ConfigurationError(msg)
    scheme, authority, path, query = _split(url)
    kind, tls = _SCHEMES[scheme]
    login, _, hosts = authority.rpartition("@")
    addresses, name, db = _place(kind, hosts, unquote(path))
    options = read_options(query) | dict(extra or {})
    if login and kind == "memory":
        refuse("credentials", "the embedded server has none", "leave them out, like memory://shop")
    user, _, password = login.partition(":")
    options |= {part: unquote(text) for part, text in (("username", user), ("password", password)) if text}
    if db is not None:
        options["db"] = db
    if kind == "cluster" and options.get("db"):
        refuse("database", "a cluster has only database 0", "leave it out")
    sentinel = {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_ONLY if name in options}
    if sentinel and kind != "sentinel":
        refuse("options", "sentinel_username and sentinel_password are for sentinels", "use redis+sentinel://")
    options = dict[str, Any](socket_timeout=1.0, socket_connect_timeout=1.0, protocol=2) | options
    tls = bool(options.pop("ssl", tls))
    if tls:  # redis-py before 6 looks at the host name only when told to
        options.setdefault("ssl_check_hostname", options.get("ssl_cert_reqs") != "none")
    return Topology(
        kind,
        addresses,
        name,
        tls,
        sentinel=sentinel,
        max_connections=options.pop("max_connections", 50),
        pool_timeout=options.pop("timeout", 5.0),
        socket_timeout=options["socket_timeout"],
        connection=options,
    )


def _split(url: str) -> tuple[str, str, str, str]:
    """Return scheme, authority, path and query. Nothing that could be a part of a password is ever quoted."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        why = f"{scheme!r} is unknown" if separator and PLAIN.fullmatch(scheme) else "there is none"
        refuse("scheme", why, f"start with one of {', '.join(f'{known}://' for known in _SCHEMES)}")
    rest, fragment, _ = rest.partition("#")
    if fragment:
        refuse("text after #", "it has no meaning", "write a # in a password as %23")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in path and scheme != "unix":
        refuse("credentials", "a / in the password ends them", "write it as %2F")
    if "@" in query and "@" not in authority and "=" not in query.partition("@")[0]:
        refuse("credentials", "a ? in the password ends them", "write it as %3F")
    return scheme, authority, slash + path, query


def _place(kind: Kind, hosts: str, path: str) -> tuple[tuple[Address, ...], str, int | None]:
    if kind == "memory":
        if path not in {"", "/"}:
            refuse("name", "it has a path", "give a plain name, like memory://shop")
        return (), unquote(hosts), None
    if kind == "unix":
        if hosts or len(path) < 2:
            refuse("path", "a socket's path is absolute", "write three slashes, like unix:///run/redis.sock")
        return (), path, None
    addresses = tuple(_address(text, _PORTS[kind]) for text in hosts.split(","))
    segments = [segment for segment in path.split("/") if segment]
    service = ""
    if kind == "sentinel":
        if not segments:
            refuse("service", "there is none", "name it after the hosts, like redis+sentinel://host:26379/mymaster/0")
        service, *segments = segments
    elif kind == "single" and len(addresses) > 1:
        refuse("host", "there are several", "use redis+cluster:// or redis+sentinel://")
    if len(segments) > 1:
        refuse("path", "it has too many parts", "only a database number goes there")
    return addresses, service, database(segments[0]) if segments else None


def _address(text: str, default_port: int) -> Address:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            refuse("host", "its brackets are not well formed", "write an IPv6 address like [::1]:6379")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    if not host:
        refuse("host", "it is empty", "name one, like redis://localhost:6379/0")
    if not port:
        return unquote(host), default_port
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        refuse("port", "it is not a number from 1 to 65535", "write the host and port like localhost:6379")
    return unquote(host), int(port)
