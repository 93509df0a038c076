"""Promises of the ways in: passwords, users, credential providers, TLS, sockets, names; each told clearly if wrong."""

from __future__ import annotations

import pytest
from redis.credentials import CredentialProvider

from holdfast import commands
from holdfast.backend.backend import Backend
from holdfast.errors import BackendError, BackendUnavailable, ConfigurationError
from support.backends import opened
from support.colours import Colour
from support.programs import Program, newest
from support.standalone import Standalone

SECRET = "p@ss/w?o#r:d%"
QUOTED = "p%40ss%2Fw%3Fo%23r%3Ad%25"


class Provider(CredentialProvider):
    """Hands out credentials, and counts how often it was asked."""

    def __init__(self, *credentials: str) -> None:
        self.credentials = credentials
        self.asked = 0

    def get_credentials(self) -> tuple[str, ...]:
        self.asked += 1
        if not self.credentials:
            raise RuntimeError(SECRET)
        return self.credentials


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


async def works(colour: Colour, url: str, **connection: object) -> None:
    async with opened(colour, url, **connection) as it:
        assert await it.port.call(commands.put("k", b"v", 60)) == b"OK"
        assert await it.port.call(commands.get("k")) == b"v"


def test_passwords_and_users(colour: Colour, program: Program, protocol: int) -> None:
    """A password, or a user with one, opens the door; a database of its own keeps its keys apart."""

    async def scenario() -> None:
        with Standalone(program, password=SECRET) as server:
            address = f"127.0.0.1:{server.port}"
            server.ask("ACL", "SETUSER", "shop", "on", f">{SECRET}", "~*", "+@all")
            await works(colour, f"redis://:{QUOTED}@{address}/0?protocol={protocol}")
            await works(colour, f"redis://shop:{QUOTED}@{address}/3?protocol={protocol}")
            provider = Provider("shop", SECRET)
            await works(colour, f"redis://{address}?protocol={protocol}", credential_provider=provider)
            assert provider.asked == 1
            assert server.client.info("keyspace").keys() == {"db0", "db3"}

    colour.run(scenario)


def test_wrong_credentials(colour: Colour, program: Program, protocol: int) -> None:
    """No password, a wrong one, an unknown user, a provider that fails: clear, without a secret, at every call."""

    async def scenario() -> None:
        with Standalone(program, password="right") as server:
            address = f"127.0.0.1:{server.port}"
            expected = {
                f"redis://{address}?protocol={protocol}": "password|credentials",
                f"redis://:{QUOTED}@{address}?protocol={protocol}": "credentials",
                f"redis://nobody:{QUOTED}@{address}?protocol={protocol}": "credentials",
            }
            for url, says in expected.items():
                async with opened(colour, url) as it:
                    for _ in range(5):
                        with pytest.raises(BackendError, match=says) as caught:
                            await it.port.call(commands.get("k"))
                        assert SECRET not in str(caught.value)
                        assert not isinstance(caught.value, BackendUnavailable)
            async with opened(colour, f"redis://{address}", credential_provider=Provider()) as it:
                with pytest.raises(BackendUnavailable, match="RuntimeError") as caught:
                    await it.port.call(commands.get("k"))
                assert SECRET not in str(caught.value)

    colour.run(scenario)


def test_a_limited_user(colour: Colour, program: Program) -> None:
    """What a user's ACL forbids is told as that, and the connection goes on."""

    async def scenario() -> None:
        with Standalone(program) as server:
            server.ask("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+get")
            async with opened(colour, f"redis://reader:pw@127.0.0.1:{server.port}") as it:
                with pytest.raises(BackendError, match=r"SET: .* ACL does not allow"):
                    await it.port.call(commands.put("k", SECRET.encode(), 60))
                assert await it.port.call(commands.get("k")) is None

    colour.run(scenario)


def test_a_unix_socket(colour: Colour, program: Program) -> None:
    """A socket in the file system works, with a password and a database."""

    async def scenario() -> None:
        with Standalone(program, password=SECRET, socket=True) as server:
            await works(colour, server.unix_url)
            await works(colour, server.unix_url.replace("db=0", "db=2"))
            assert server.client.info("keyspace").keys() == {"db0", "db2"}

    colour.run(scenario)


def test_tls(colour: Colour, protocol: int) -> None:
    """TLS works, also for what must not be sent twice and for big values; an unknown authority is refused."""
    if not newest().speaks_tls:
        pytest.skip("no redis-server here speaks TLS")

    async def scenario() -> None:
        with Standalone(newest(), tls=True) as server:
            await works(colour, f"{server.tls_url}&protocol={protocol}")
            async with opened(colour, f"{server.tls_url}&protocol={protocol}&socket_timeout=30") as it:
                assert [await it.call("INCR", "n") for _ in range(20)] == list(range(1, 21))
                value = b"0123456789abcdef" * (1 << 19)
                await it.port.call(commands.put("big", value, 60))
                assert await it.port.call(commands.get("big")) == value
                assert server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                assert await it.call("INCR", "n") == 21
                assert server.client.info("clients")["connected_clients"] <= 3
            stranger = server.tls_url.partition("?")[0]
            async with opened(colour, stranger) as it:
                with pytest.raises(BackendUnavailable, match="cannot be reached"):
                    await it.port.call(commands.get("k"))

    colour.run(scenario)


def test_a_name_for_the_client(colour: Colour, program: Program) -> None:
    """The name in the URL is the one in CLIENT LIST."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, f"{server.url}?client_name=shop-worker") as it:
                await it.port.call(commands.get("k"))
                names = [client["name"] for client in server.client.client_list()]
            assert names.count("shop-worker") == 1

    colour.run(scenario)


def test_unknown_options_are_told_at_once() -> None:
    """An option that redis-py does not know is a ConfigurationError when the layer is made, not at the first call."""
    with pytest.raises(ConfigurationError, match="colour"):
        Backend("redis://localhost", print, colour="red")
    with pytest.raises(ConfigurationError, match="ssl_cert_reqs"):
        Backend("rediss://localhost?ssl_cert_reqs=maybe", print)


def test_nobody_is_there(colour: Colour) -> None:
    """A port that nobody listens at, and a name that nobody knows, cannot be reached."""

    async def scenario() -> None:
        for url in ("redis://127.0.0.1:1", "redis://no-such-host.invalid", f"redis://{'x' * 70}.invalid", "unix:///no"):
            async with opened(colour, url) as it:
                with pytest.raises(BackendUnavailable, match="cannot be reached"):
                    await it.port.call(commands.get("k"))

    colour.run(scenario)
