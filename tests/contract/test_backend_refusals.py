"""Promises about what real servers refuse: the right error, a clear message, no value in it, and life goes on."""

from __future__ import annotations

import threading

import pytest

from holdfast import commands
from holdfast.commands import Command
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.backends import opened
from support.colours import Colour
from support.programs import Program
from support.standalone import Standalone
from support.waiting import until

SECRET = "s3cret-value"


def check(outcome: object, kind: type[BackendError], says: str) -> None:
    assert type(outcome) is kind, outcome
    assert says in str(outcome)
    assert SECRET not in str(outcome)


def test_no_value_is_repeated(colour: Colour, program: Program) -> None:
    """Redis repeats arguments in some errors; ours never do."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, server.url) as it:
                await it.call("SET", "text", SECRET)
                check(await it.outcome("NOSUCH", "key", SECRET), BackendError, "unknown command")
                check(await it.outcome("NOSUCH", SECRET), BackendError, "unknown command")
                check(await it.outcome("CONFIG", "NOSUCH", SECRET), BackendError, "refused")
                check(await it.outcome("INCR", "text"), BackendError, "not an integer")
                check(await it.outcome("LPUSH", "text", SECRET), BackendError, "another type")
                check(await it.outcome("SET", "text", SECRET, "NX", "XX"), BackendError, "syntax error")
                check(await it.outcome("EVAL", f"error('{SECRET}')", 0), BackendError, "script failed")
                check(
                    await it.outcome("EVAL", f"return redis.error_reply('{SECRET}')", 0), BackendError, "script failed"
                )
                check(await it.outcome("EVAL", f"this is not Lua {SECRET}", 0), BackendError, "script failed")
                check(await it.outcome("EVAL", "redis.call('LPUSH', 'text', ARGV[1])", 0, SECRET), BackendError, "")
                assert await it.call("GET", "text") == SECRET.encode()
                assert it.events == []

    colour.run(scenario)


def test_out_of_memory(colour: Colour, program: Program) -> None:
    """A full server refuses writes, and its advice is in the message; reads go on."""

    async def scenario() -> None:
        with Standalone(program, options={"maxmemory": "1kb", "maxmemory-policy": "noeviction"}) as server:
            async with opened(colour, server.url) as it:
                check(await it.outcome("SET", "k", SECRET), BackendError, "raise maxmemory")
                assert await it.call("GET", "k") is None

    colour.run(scenario)


def test_a_server_that_cannot_save(colour: Colour, program: Program) -> None:
    """MISCONF is told as what it is."""

    async def scenario() -> None:
        with Standalone(program) as server:
            server.ask("CONFIG", "SET", "save", "3600 1")
            server.folder.joinpath("dump.rdb").mkdir()  # the snapshot cannot take its place
            server.client.set("k", "v")
            server.ask("BGSAVE")
            until(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err", "the save fails")
            async with opened(colour, server.url) as it:
                check(await it.outcome("SET", "k", SECRET), BackendError, "cannot save")
                assert await it.call("GET", "k") == b"v"

    colour.run(scenario)


def test_a_replica(colour: Colour, program: Program) -> None:
    """A server that became a replica refuses writes, and says so; when it is a primary again all is well."""

    async def scenario() -> None:
        with Standalone(program) as server, Standalone(program) as primary:
            async with opened(colour, server.url) as it:
                assert await it.call("INCR", "n") == 1
                server.ask("REPLICAOF", "127.0.0.1", primary.port)
                check(await it.outcome("INCR", "n"), BackendUnavailable, "is a replica")
                server.ask("REPLICAOF", "NO", "ONE")
                assert await it.call("INCR", "m") == 1

    colour.run(scenario)


def test_too_few_replicas(colour: Colour, program: Program) -> None:
    """A primary that wants replicas says so."""

    async def scenario() -> None:
        with Standalone(program, options={"min-replicas-to-write": "1"}) as server:
            async with opened(colour, server.url) as it:
                check(await it.outcome("SET", "k", SECRET), BackendError, "too few replicas")

    colour.run(scenario)


def test_a_busy_server(colour: Colour, program: Program) -> None:
    """A script that does not end is BUSY, which is unavailable; when it is killed the next command is answered."""

    async def scenario() -> None:
        with Standalone(program, options={"lua-time-limit": "10"}) as server:
            async with opened(colour, server.url) as it:
                await it.call("GET", "k")

                def spin() -> None:
                    with pytest.raises(Exception, match="killed"):
                        server.ask("EVAL", "while true do end", 0)

                spinning = threading.Thread(target=spin)
                spinning.start()
                async with opened(colour, server.url) as other:
                    outcomes = []

                    async def busy() -> bool:
                        outcomes.append(await other.outcome("GET", "k"))
                        return outcomes[-1] is not None

                    while not await busy():
                        pass
                    check(outcomes[-1], BackendUnavailable, "busy running a script")
                await it.call("SCRIPT", "KILL")
                spinning.join()
                assert await it.call("GET", "k") is None

    colour.run(scenario)


def test_a_loading_server(colour: Colour, program: Program) -> None:
    """A server that loads its data is unavailable until it has them, to those that are connected and to newcomers."""

    async def scenario() -> None:
        with Standalone(program) as server:
            for number in range(400):
                server.client.set(f"k{number}", "x" * 100)
            async with opened(colour, server.url) as it:
                assert await it.call("GET", "k1") == b"x" * 100
                server.ask("CONFIG", "SET", "key-load-delay", "10000")
                reloading = threading.Thread(target=server.ask, args=("DEBUG", "RELOAD"))
                reloading.start()
                outcome: object = None
                while not isinstance(outcome, BackendError):
                    outcome = await it.outcome("GET", "k1")
                if type(outcome) is not BackendTimeout:  # it looks at its clients once in a while only
                    check(outcome, BackendUnavailable, "loading its data")
                while not isinstance(await it.outcome("CONFIG", "SET", "key-load-delay", "0"), bytes):
                    pass
                reloading.join()
                while isinstance(await it.outcome("GET", "k1"), BackendError):
                    await colour.sleep(0.02)
                assert await it.call("GET", "k1") == b"x" * 100

    colour.run(scenario)


def test_an_unknown_database(colour: Colour, program: Program) -> None:
    """A database that the server does not have is told at the first call."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, server.url.replace("/0", "/4000")) as it:
                with pytest.raises(BackendError, match=r"refused the connection|cannot be reached"):
                    await it.port.call(commands.get("k"))

    colour.run(scenario)


def test_a_script_that_the_server_forgot(colour: Colour, server_kind: str, program: Program, namespace: str) -> None:
    """After SCRIPT FLUSH or a restart EVALSHA becomes EVAL: alone, and inside a pipeline."""
    import hashlib

    source = f"return redis.call('INCR', KEYS[1]) -- {namespace}"
    digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    tail = (1, "n")
    script = Command(("EVALSHA", digest, *tail), ("n",), fallback=("EVAL", source, *tail))

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, server.url) as it:
                assert await it.port.call(script) == 1
                assert await it.port.call(script) == 2
                assert server.commandstats()["eval"] == 1
                server.ask("SCRIPT", "FLUSH") if server_kind == "flushed" else server.restart()
                before = 0 if server_kind == "restarted" else 2
                assert await it.port.pipeline([commands.get("x"), script, script]) == [None, before + 1, before + 2]
                assert await it.port.call(script) == before + 3

    colour.run(scenario)


@pytest.fixture(params=["flushed", "restarted"])
def server_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
