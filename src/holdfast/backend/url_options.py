"""The query of a URL: options with redis-py's names, and how each is read. An error never repeats a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from holdfast.errors import ConfigurationError

PLAIN: Final = re.compile(r"[a-z][a-z0-9+_.-]{0,30}")
"""What may be quoted in a message: nobody's password has ended up there by a missing escape."""


def refuse(part: str, why: str, advice: str) -> NoReturn:
    """Raise the error that names the part of the URL at fault."""
    msg = f"the {part} of the URL cannot be used: {why}; {advice}"
    raise ConfigurationError(msg)


def database(text: str) -> int:
    """Read a database number."""
    if not text.isascii() or not text.isdigit():
        refuse("database", "it is not a number", "write it like redis://localhost:6379/0")
    return int(text)


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
    "db": (database, "a number"),
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


def read_options(query: str) -> dict[str, Any]:
    """Return the options of a query by name."""
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            which = repr(name) if PLAIN.fullmatch(name) else "one"
            refuse("options", f"{which} is unknown", f"known are {', '.join(sorted(_OPTIONS))}")
        convert, wanted = _OPTIONS[name]
        value: Any = None
        with suppress(ValueError, KeyError):
            value = convert(text)
        if value is None:
            refuse(f"option {name}", "its value cannot be understood", f"give {wanted}")
        options[name] = value
    return options
