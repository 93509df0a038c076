"""Promises of the URL: every form is understood, and an error names the part at fault and never the password."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.backend.topology import Topology
from holdfast.backend.url import parse
from holdfast.errors import ConfigurationError

SECRET = "correct-horse"
CREDENTIALS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
HOST = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
PORT = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "name", "tls"),
    [
        ("memory://", "memory", (), "", False),
        ("memory://shop", "memory", (), "shop", False),
        ("redis://h", "single", (("h", 6379),), "", False),
        ("redis://h:1/3", "single", (("h", 1),), "", False),
        ("rediss://h", "single", (("h", 6379),), "", True),
        ("redis://[::1]:7", "single", (("::1", 7),), "", False),
        ("redis://[::1]", "single", (("::1", 6379),), "", False),
        ("unix:///run/a%20b.sock", "unix", (), "/run/a b.sock", False),
        ("redis+sentinel://a,b:2/main/1", "sentinel", (("a", 26379), ("b", 2)), "main", False),
        ("rediss+sentinel://a/main", "sentinel", (("a", 26379),), "main", True),
        ("redis+cluster://a:1,[::1]:2,b", "cluster", (("a", 1), ("::1", 2), ("b", 6379)), "", False),
        ("rediss+cluster://a", "cluster", (("a", 6379),), "", True),
        ("REDIS://h", "single", (("h", 6379),), "", False),
    ],
)
def test_each_form_is_understood(url: str, kind: str, addresses: object, name: str, tls: bool) -> None:
    """Every form of the documentation gives the topology that it describes."""
    found = parse(url)
    assert (found.kind, found.addresses, found.name, found.tls) == (kind, addresses, name, tls)


@given(user=CREDENTIALS, password=CREDENTIALS, host=HOST, port=PORT, db=st.integers(0, 99))
@example(user="a", password="p@s/s?w#o:rd%", host="h", port=1, db=0)
def test_credentials_survive_when_they_are_quoted(user: str, password: str, host: str, port: int, db: int) -> None:
    """Any user name and password arrive as they were, and stay out of the texts of the topology."""
    found = parse(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{db}")
    assert found.connection["username"] == user
    assert found.connection["password"] == password
    assert found.connection["db"] == db
    assert str(found) == f"{host}:{port}"
    assert repr(found) == repr(parse(f"redis://{host}:{port}/{db}"))


def test_the_profile_is_safe_by_default() -> None:
    """Without options there are time-outs, a limit, and no decoding of replies."""
    found = parse("redis://h")
    assert dict(found.connection) == {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "protocol": 2}
    assert (found.max_connections, found.pool_timeout, found.socket_timeout) == (50, 5.0, 1.0)


def test_options_are_converted() -> None:
    """Options of the query have redis-py's names and types."""
    found = parse(
        "redis://h?max_connections=7&timeout=0.5&socket_timeout=3&socket_keepalive=yes&protocol=3&client_name=a%20b&db=2"
    )
    assert (found.max_connections, found.pool_timeout, found.socket_timeout) == (7, 0.5, 3.0)
    assert found.connection["socket_keepalive"] is True
    assert found.connection["protocol"] == 3
    assert found.connection["client_name"] == "a b"
    assert found.connection["db"] == 2


def test_sentinels_have_credentials_of_their_own() -> None:
    """What is named sentinel_* goes to the sentinels, the rest of the credentials to the primary."""
    found = parse("redis+sentinel://u:p@h/main?sentinel_password=q")
    assert dict(found.sentinel) == {"password": "q"}
    assert (found.connection["username"], found.connection["password"]) == ("u", "p")


def test_keyword_arguments_win() -> None:
    """What text cannot express is given apart, and wins over the URL."""
    provider = object()
    found = parse("redis://h?socket_timeout=3", {"credential_provider": provider, "socket_timeout": 4.0})
    assert found.connection["credential_provider"] is provider
    assert found.socket_timeout == 4.0


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "scheme"),
        ("localhost:6379", "scheme"),
        ("http://h", "scheme"),
        (f"{SECRET}@h://x", "scheme"),
        ("redis://", "host"),
        ("redis:///0", "host"),
        ("redis://a,b", "host"),
        ("redis://[::1", "host"),
        ("redis://[::1]x", "host"),
        (f"redis://h:{SECRET}", "port"),
        ("redis://h:0", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:x", "port"),
        (f"redis://u:{SECRET}#x@h", "text after #"),
        (f"redis://u:{SECRET}/x@h", "credentials"),
        (f"redis://u:1?{SECRET}@h", "credentials"),
        ("redis://h/one", "database"),
        ("redis://h/0/1", "path"),
        (f"redis://h/{SECRET}", "database"),
        ("redis://h?db=x", "option db"),
        ("redis://h?colour=red", "options"),
        (f"redis://h?{SECRET}!=1", "options"),
        (f"redis://h?socket_timeout={SECRET}", "option socket_timeout"),
        ("redis://h?socket_timeout=0", "option socket_timeout"),
        ("redis://h?socket_timeout=nan", "option socket_timeout"),
        ("redis://h?max_connections=0", "option max_connections"),
        ("redis://h?protocol=4", "option protocol"),
        ("redis://h?ssl=maybe", "option ssl"),
        ("redis://h?sentinel_password=x", "options"),
        ("memory://a/b", "name"),
        (f"memory://u:{SECRET}@a", "credentials"),
        ("unix://socket", "path"),
        ("unix:///", "path"),
        ("redis+sentinel://h", "service"),
        ("redis+sentinel://h/main/0/1", "path"),
        ("redis+cluster://h/1", "database"),
    ],
)
def test_an_error_names_the_part_and_no_secret(url: str, part: str) -> None:
    """A bad URL is a ConfigurationError that names the part at fault; no password, however misplaced, is repeated."""
    with pytest.raises(ConfigurationError, match=f"the {part} of the URL cannot be used") as caught:
        parse(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


@given(st.text(max_size=40))
def test_nothing_else_is_raised(text: str) -> None:
    """Whatever the text is, the answer is a topology or a ConfigurationError."""
    for scheme in ("", "redis://", "unix://", "memory://", "redis+sentinel://", "redis+cluster://"):
        with suppress(ConfigurationError):
            assert isinstance(parse(scheme + text), Topology)
