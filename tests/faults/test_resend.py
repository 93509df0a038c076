"""Promises about what is sent again when a connection fails: the right answer, and nothing executed twice."""

from __future__ import annotations

import pytest

from holdfast import commands
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.backends import Opened, opened
from support.colours import Colour
from support.programs import Program, oldest
from support.proxy import Proxy
from support.standalone import Standalone


@pytest.mark.parametrize("bytes_delivered", [0, 1, 5, 9])
def test_a_cut_reply_to_a_get_is_asked_for_again(colour: Colour, bytes_delivered: int) -> None:
    """Cut before or inside the reply: the caller gets the right value all the same, by a second GET."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, proxy.url) as it:
                await it.port.call(commands.put("k", b"value", 60))
                for reset in (True, False):
                    proxy.cut_after(bytes_delivered, reset=reset)
                    assert await it.port.call(commands.get("k")) == b"value"
                    assert await it.port.call(commands.get("other")) is None
                assert server.commandstats()["get"] == 6
                assert proxy.opened == 3
                assert it.events == []

    colour.run(scenario)


@pytest.mark.parametrize("bytes_delivered", [0, 2])
def test_what_must_not_be_repeated_is_never_executed_twice(colour: Colour, bytes_delivered: int) -> None:
    """A lost reply to an INCR is an error that says what is not known; it was executed once; the next one is right."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, proxy.url) as it:
                assert await it.call("INCR", "n") == 1
                for expected in (2, 4):
                    proxy.cut_after(bytes_delivered)
                    outcome = await it.outcome("INCR", "n")
                    assert type(outcome) is BackendUnavailable
                    assert "may have been executed" in str(outcome)
                    assert server.client.get("n") == b"%d" % expected
                    assert await it.call("INCR", "n") == expected + 1
                assert await it.port.call(commands.get("n")) == b"5"

    colour.run(scenario)


def test_a_pipeline_is_repeated_as_a_whole_or_not_at_all(colour: Colour) -> None:
    """One command that must not be repeated keeps the whole pipeline from being sent again."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, proxy.url) as it:
                await it.port.call(commands.put("k", b"v", 60))
                proxy.cut_after(3)
                assert await it.port.pipeline([commands.get("k"), commands.get("k")]) == [b"v", b"v"]
                proxy.cut_after(3)
                incr = commands.Command(("INCR", "n"), ("n",))
                with pytest.raises(BackendUnavailable, match="may have been executed"):
                    await it.port.pipeline([commands.get("k"), incr])
                assert server.client.get("n") == b"1"

    colour.run(scenario)


def test_a_time_out_is_never_repeated(colour: Colour) -> None:
    """A command without an answer in time is not sent again, even one that could be; the next gets its own reply."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}?socket_timeout=0.15") as it:
                await it.port.call(commands.put("k", b"v", 60))
                proxy.hold_replies()
                with pytest.raises(BackendTimeout, match=r"GET: .* did not answer in time"):
                    await it.port.call(commands.get("k"))
                proxy.release()
                proxy.restore()
                await again(colour, it)
                assert await it.port.call(commands.get("other")) is None
                assert server.commandstats()["get"] == 3

    colour.run(scenario)


async def again(colour: Colour, it: Opened) -> None:
    """Ask until the breaker lets one through: one GET on the wire."""
    while True:
        try:
            assert await it.port.call(commands.get("k")) == b"v"
        except BackendError:
            await colour.sleep(0.02)
        else:
            return


def test_a_connection_that_died_idle_is_invisible(colour: Colour, program: Program) -> None:
    """Killed by the server, timed out by it, or gone with a restart: the next command of any kind just works."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, server.url) as it:

                async def kill() -> None:
                    assert server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

                async def time_out() -> None:
                    server.ask("CONFIG", "SET", "timeout", "1")
                    ours = [client["id"] for client in server.client.client_list()]
                    await colour.until(lambda: len(server.client.client_list()) < len(ours), "the server ends it")
                    server.ask("CONFIG", "SET", "timeout", "0")

                async def restart() -> None:
                    server.restart()

                for end in (kill, time_out, restart):
                    for repeatable in (True, False):
                        await it.call("INCR", "n", repeatable=repeatable)
                        await end()
                        assert type(await it.outcome("INCR", "n", repeatable=repeatable)) is int
                assert it.events == []

    colour.run(scenario)


def test_a_restart_under_threads_and_tasks(colour: Colour) -> None:
    """Many callers at once over a restart: each GET is answered, right or empty, or fails as one of our errors."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, server.url) as it:

                async def act() -> list[object]:
                    return [await it.outcome("GET", "k", repeatable=True) for _ in range(150)]

                async def restart() -> None:
                    await colour.sleep(0.02)
                    server.restart()

                *outcomes, _ = await colour.together(*[act] * 8, restart)
                for outcome in outcomes:
                    assert all(each is None or isinstance(each, BackendError) for each in outcome)
                while await it.outcome("GET", "k") is not None:
                    await colour.sleep(0.02)

    colour.run(scenario)
