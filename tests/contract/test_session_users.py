"""`layer.sessions`, and the sessions of a user: listed, revoked, entered in an index that lasts; both colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from holdfast import Layer
from holdfast.commands import Command
from holdfast.errors import ConfigurationError, SessionError
from holdfast.events import SessionDropped
from support.colours import Colour
from support.peeking import ask, told
from support.session_site import Site
from support.topologies import Topology


def index_of(layer: Layer, user: str = "u") -> str:
    """Return the key of a user's index."""
    return layer.engine.caching.names.session_user(user)[0]


class Between:
    """A port that lets something happen once, before or after a command."""

    def __init__(self, layer: Layer, colour: Colour, name: str, act: Any, *, after: bool = False) -> None:
        engine: Any = layer.engine
        self._port = engine.asyncio if colour.is_async else engine.blocking
        self._name, self._act, self._after = name, act, after
        if colour.is_async:
            engine.asyncio = self
        else:
            engine.blocking = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Command) -> Any:
        mine = self._act if command.name == self._name else None
        self._act = None if mine is not None else self._act
        if mine is not None and not self._after:
            await mine()
        reply = await self._port.call(command)
        if mine is not None and self._after:
            await mine()
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> Any:
        mine = self._act if any(command.name == self._name for command in commands) else None
        self._act = None if mine is not None else self._act
        if mine is not None and not self._after:
            await mine()
        replies = await self._port.pipeline(commands)
        if mine is not None and self._after:
            await mine()
        return replies


def test_all_verbs(colour: Colour, topology: Topology, namespace: str) -> None:
    """Create, open, save, edit, list, revoke one, revoke all but one."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            session, cookie = await sessions.create({"a": 1}, user="u", idle="10m", absolute="1h")
            assert (dict(session), session.user, session.is_new) == ({"a": 1}, "u", False)
            assert cookie.partition(".")[0] == session.handle
            opened = await sessions.open(cookie)
            opened["b"] = 2
            assert await sessions.save(opened) is None
            opened.rotate()
            new = await sessions.save(opened)
            assert new.partition(".")[0] == session.handle
            assert await sessions.open(cookie) is None
            async with colour.using(layer.sessions.edit(session.handle)) as editable:
                editable.change("a", lambda a: a + 1)
            assert dict(await sessions.open(new)) == {"a": 2, "b": 2}
            more = [(await sessions.create(user="u"))[0].handle for _ in range(3)]
            await sessions.create(user="another")
            infos = await sessions.list("u")
            assert sorted(each.handle for each in infos) == sorted([session.handle, *more])
            assert infos[0].handle == session.handle, "the first to end first"
            assert 3590 < infos[0].expires - infos[0].created <= 3600
            assert infos[0].created <= infos[0].seen
            assert await sessions.revoke(more[0])
            assert not await sessions.revoke(more[0])
            assert await sessions.revoke_all("u", keep=session.handle) == 2
            assert [each.handle for each in await sessions.list("u")] == [session.handle]
            assert await sessions.revoke_all("u") == 1
            assert await sessions.list("u") == []
            assert len(await sessions.list("another")) == 1
            assert await sessions.open(new) is None

    colour.run(scenario)


def test_what_is_no_session(colour: Colour, topology: Topology, namespace: str) -> None:
    """Opening finds nothing, editing raises, saving raises and brings nothing back."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            session, cookie = await sessions.create({"a": 1})
            for text in ("", "x", cookie[:-1], cookie + "a", cookie[:23] + "A" * 43, None):
                assert await sessions.open(text) is None
            await sessions.revoke(session.handle)
            session["a"] = 2
            with pytest.raises(SessionError):
                await sessions.save(session)
            with pytest.raises(SessionError):
                async with colour.using(layer.sessions.edit(session.handle)):
                    raise AssertionError
            other, cookie = await sessions.create({"a": 1})
            with pytest.raises(SessionError):
                async with colour.using(layer.sessions.edit(other.handle)) as editable:
                    editable["a"] = 2
                    await sessions.revoke(other.handle)
            assert await sessions.open(cookie) is None
            for handle in ("", None, 1):
                with pytest.raises(ConfigurationError):
                    layer.sessions.edit(handle)  # type: ignore[arg-type]
                with pytest.raises(ConfigurationError):
                    await sessions.revoke(handle)

    colour.run(scenario)


def test_editing_that_fails(colour: Colour, topology: Topology, namespace: str) -> None:
    """A block that raises stores nothing; in one that logs in, the new secret would reach nobody, so it may not."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            session, cookie = await sessions.create({"a": 1})
            with pytest.raises(LookupError):
                async with colour.using(layer.sessions.edit(session.handle)) as editable:
                    editable["a"] = 2
                    raise LookupError
            for act in (lambda session: session.rotate(), lambda session: session.log_in("u")):
                with pytest.raises(SessionError, match="reach nobody"):
                    async with colour.using(layer.sessions.edit(session.handle)) as editable:
                        act(editable)
            assert dict(await sessions.open(cookie)) == {"a": 1}
            async with colour.using(layer.sessions.edit(session.handle)) as editable:
                editable.end()
            assert await sessions.open(cookie) is None

    colour.run(scenario)


def test_two_who_edit(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nothing of either is lost, however often they cross."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            session, cookie = await sessions.create({"n": 0, "d": {}, "gone": 1})

            async def work(name: str) -> None:
                for number in range(8):
                    async with colour.using(layer.sessions.edit(session.handle)) as editable:
                        editable.change("n", lambda n: n + 1)
                        editable["d"][f"{name}{number}"] = number
                        editable.pop("gone", None)

            failed = await colour.together(*[lambda name=name: work(name) for name in "abc"])  # type: ignore[misc]
            assert failed == [None] * 3
            found = await sessions.open(cookie)
            assert (found["n"], len(found["d"]), "gone" in found) == (24, 24, False)

    colour.run(scenario)


def test_many_crossings_end(colour: Colour, layer: Layer) -> None:
    """Whoever is overtaken again and again, at one datum or another in turn, is stored in the end."""

    async def scenario() -> None:
        session, cookie = layer.sessions.create({"a": 0, "b": 0})
        late = layer.sessions.open(cookie)
        assert late is not None
        count = 0

        async def overtake() -> None:
            nonlocal count
            count += 1
            between._act = overtake if count < 40 else None
            with layer.sessions.edit(session.handle) as editable:
                editable["ab"[count % 2]] = count

        between = Between(layer, Colour("async"), "session_save", overtake)
        late["a"] = late["b"] = "late"
        await layer.sessions.asave(late)
        found = layer.sessions.open(cookie)
        assert dict(found or {}) == {"a": "late", "b": "late"}
        await layer.aclose()

    if colour.is_async:
        colour.run(scenario)


@pytest.mark.parametrize("when", ["before", "entered", "saved"])
@pytest.mark.parametrize("new", [True, False], ids=["a new session", "one that is there"])
def test_all_are_revoked_while_one_logs_in(
    colour: Colour, topology: Topology, namespace: str, when: str, new: bool
) -> None:
    """Who had entered before is not logged in; who enters later is, and the next time he is found, too."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            front = "asgi" if colour.is_async else "wsgi"
            site = Site(front, layer)
            if not new:
                await site.ask(lambda session: session.update(a=1))
            revoked: list[int] = []

            async def revoke() -> None:
                revoked.append(await colour.of(other.sessions).revoke_all("u"))

            saving = "session_create" if new else "session_save"
            Between(layer, colour, "session_enter" if when == "before" else saving, revoke, after=when == "saved")
            got = await site.ask(lambda session: session.log_in("u"))
            assert (got.status, len(revoked)) == (200, 1)
            listed = await colour.of(other.sessions).list("u")
            if when == "before":
                assert [each.handle for each in listed] == [site.handle]
                assert await colour.of(other.sessions).revoke_all("u") == 1
            else:
                assert listed == []
                assert site.cookie == ""
            assert await colour.of(other.sessions).open(site.value) is None

    colour.run(scenario)


@pytest.mark.parametrize("at", ["SET", "ZRANGE", "session_finish", "ZREM"])
@pytest.mark.parametrize("after", [True, False])
def test_one_logs_in_while_all_are_revoked(
    colour: Colour, topology: Topology, namespace: str, at: str, after: bool
) -> None:
    """Wherever that is, he is either not logged in, or in the list and revoked the next time."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            site = Site("asgi" if colour.is_async else "wsgi", other)
            await site.ask(lambda session: session.update(a=1))
            await colour.of(layer.sessions).create(user="u")

            async def half() -> None:
                """Enter, save, and look when the others have gone on."""
                await site.ask(lambda session: session.log_in("u"))

            Between(layer, colour, at, half, after=after)
            await colour.of(layer.sessions).revoke_all("u")
            there = await colour.of(layer.sessions).open(site.value) is not None
            listed = [each.handle for each in await colour.of(layer.sessions).list("u")]
            assert listed == ([site.handle] if there else [])
            assert await colour.of(layer.sessions).revoke_all("u") == len(listed)

    colour.run(scenario)


def test_more_sessions_than_are_looked_at_at_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """All are revoked, also behind those of which the index only believes that they are the user's."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            kept, _ = await sessions.create(user="u")
            index = index_of(layer)
            far = int((kept.created or 0) * 1000) + 90_000_000
            for start in range(0, 1000, 100):
                words = [word for number in range(start, start + 100) for word in (far - number, f"believed{number}")]
                ask(layer, "ZADD", index, *words, key=index)
            more = [(await sessions.create(user="u", absolute="200h"))[1] for _ in range(5)]
            assert await sessions.revoke_all("u", keep=kept.handle) == 5
            assert [await sessions.open(cookie) for cookie in more] == [None] * 5
            assert [each.handle for each in await sessions.list("u")] == [kept.handle]

    colour.run(scenario)


def test_the_index_lasts_as_long_as_its_sessions(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Also if one is told later to last longer, by its request, by `edit` or by code; it does not last for ever."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            site = Site("asgi" if colour.is_async else "wsgi", layer, idle="1h", absolute="1h")
            index = index_of(layer)

            def check(least: float) -> None:
                ttls = server_topology.ttls(namespace)
                assert all(left > 0 for left in ttls.values()), ttls
                assert least - 1 < ttls[layer.engine.caching.names.session(site.handle)] <= least
                assert ttls[index] >= least - 1
                score = float(ask(layer, "ZSCORE", index, site.handle, key=index))
                (info,) = layer.sessions.list("u")
                assert score / 1000 >= info.expires - 0.5

            await site.ask(lambda session: session.log_in("u"))
            check(3600)
            await site.ask(lambda session: session.expire_after(idle="30h", absolute="30h"))
            check(108_000)
            async with colour.using(layer.sessions.edit(site.handle)) as editable:
                editable.expire_after(idle="60h", absolute="60h")
            check(216_000)
            session = await colour.of(layer.sessions).open(site.value)
            session.expire_after(idle="90h", absolute="90h")
            await colour.of(layer.sessions).save(session)
            check(324_000)
            await site.ask(lambda session: session.log_out())
            assert set(server_topology.ttls(namespace)) <= {index}

    colour.run(scenario)


def test_a_log_in_beside_one_who_lets_it_last_longer(colour: Colour, topology: Topology, namespace: str) -> None:
    """The session is in the index for as long as it lasts then."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site = Site("asgi" if colour.is_async else "wsgi", layer, idle="1h", absolute="1h")
            await site.ask(lambda session: session.update(a=1))
            other = Layer(topology.url, namespace=namespace)

            async def longer() -> None:
                async with colour.using(other.sessions.edit(site.handle)) as editable:
                    editable.expire_after(absolute="1000h")

            Between(layer, colour, "session_save", longer)
            await site.ask(lambda session: session.log_in("u"))
            score = float(ask(layer, "ZSCORE", index_of(layer), site.handle, key=index_of(layer)))
            (info,) = await colour.of(layer.sessions).list("u")
            assert score / 1000 >= info.expires - 1
            await colour.of(other).close()

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
class TestLoggingIn:
    """What a log-in does, over both middlewares."""

    def test_the_data_of_another_user(self, front: str, layer: Layer) -> None:
        """They are dropped, and the other's session has ended; those of a visitor without a name are kept."""
        colour = Colour("async" if front == "asgi" else "sync")

        async def scenario() -> None:
            site = Site(front, layer)
            await site.ask(lambda session: session.update(basket=1))
            old = site.cookie
            await site.ask(lambda session: session.log_in("u"))
            assert (site.handle in old, site.cookie != old) == (True, True), "the same session, another secret"
            assert dict(layer.sessions.open(site.value) or {}) == {"basket": 1}
            handle = site.handle
            await site.ask(lambda session: session.log_in("u"))
            assert (site.handle, dict(layer.sessions.open(site.value) or {})) == (handle, {"basket": 1})
            await site.ask(lambda session: (session.log_in("v"), session.update(mine=1)))
            assert site.handle != handle
            assert dict(layer.sessions.open(site.value) or {}) == {"mine": 1}
            assert (layer.sessions.list("u"), len(layer.sessions.list("v"))) == ([], 1)

        colour.run(scenario)

    def test_a_session_that_ends_meanwhile(self, front: str, layer: Layer) -> None:
        """Who logs in then has proved who he is, and gets a new one."""
        colour = Colour("async" if front == "asgi" else "sync")

        async def scenario() -> None:
            site = Site(front, layer)
            await site.ask(lambda session: session.update(old=1))
            before = site.handle

            def act(session: Any) -> None:
                assert session["old"] == 1
                layer.sessions.revoke(session.handle)
                session.log_in("u")
                session["new"] = 1

            await site.ask(act)
            assert site.handle != before
            assert dict(layer.sessions.open(site.value) or {}) == {"new": 1}
            assert [each.handle for each in layer.sessions.list("u")] == [site.handle]

        colour.run(scenario)

    def test_by_a_datum(self, front: str, layer: Layer) -> None:
        """`user_key`: when the datum changes, the session has a new secret and is in that user's list."""
        colour = Colour("async" if front == "asgi" else "sync")

        async def scenario() -> None:
            site = Site(front, layer, user_key="uid")
            await site.ask(lambda session: session.update(a=1))
            old = site.value
            await site.ask(lambda session: session.update(uid=7))
            assert (site.value != old, layer.sessions.open(old)) == (True, None)
            assert [each.handle for each in layer.sessions.list("7")] == [site.handle]
            new = site.value
            for act in (lambda session: session.update(uid=7, b=1), lambda session: session.update(c=1)):
                await site.ask(act)
                assert site.value == new
            await site.ask(lambda session: session.update(uid=8))
            assert (layer.sessions.list("7"), len(layer.sessions.list("8"))) == ([], 1)
            await site.ask(lambda session: session.pop("uid"))
            assert (layer.sessions.list("8"), layer.sessions.open(new)) == ([], None)
            session = layer.sessions.open(site.value)
            assert session is not None
            assert session.user is None

        colour.run(scenario)

    def test_a_log_out_by_a_datum_beside_a_rotation(self, front: str, layer: Layer) -> None:
        """It is not lost, whoever was first."""
        colour = Colour("async" if front == "asgi" else "sync")

        async def scenario() -> None:
            site, other = (Site(front, layer, user_key="uid") for _ in range(2))
            await site.ask(lambda session: session.update(uid=7))
            other.cookie = site.cookie

            async def act(session: Any) -> None:
                del session["uid"]
                await other.ask(lambda session: session.rotate())

            await site.ask(act)
            session = layer.sessions.open(other.value)
            assert session is None or ("uid" not in session and session.user is None)
            assert layer.sessions.list("7") == []

        colour.run(scenario)


@pytest.mark.parametrize("user", ["", None, 7, b"u"])
def test_users_that_are_none(layer: Layer, user: Any) -> None:
    """An id is a text."""
    session, _ = layer.sessions.create()
    with pytest.raises(SessionError):
        session.log_in(user)


@pytest.mark.parametrize("user", ["a b", "{x}", "}:revoked", "*", "ü" * 300, "a" * 5000, "\0", "u:v"])
def test_users_with_odd_ids(layer: Layer, user: str) -> None:
    """Each has a list of its own."""
    _, cookie = layer.sessions.create(user=user)
    layer.sessions.create(user="u")
    session = layer.sessions.open(cookie)
    assert session is not None
    assert session.user == user
    assert [each.handle for each in layer.sessions.list(user)] == [session.handle]
    assert layer.sessions.revoke_all(user) == 1
    assert len(layer.sessions.list("u")) == 1


def test_what_was_dropped_is_told(layer: Layer) -> None:
    """With the names of the data and the reason, never with values."""
    events = told(layer, SessionDropped)
    session, cookie = layer.sessions.create({"a": [1]})
    one, two = layer.sessions.open(cookie), layer.sessions.open(cookie)
    assert one is not None
    assert two is not None
    one["a"].append("secret value")
    one["b"] = "secret value"
    layer.sessions.revoke(session.handle)
    with pytest.raises(SessionError):
        layer.sessions.save(one)
    layer.sessions.save(two)
    assert [(each.handle, each.reason, sorted(each.names)) for each in events] == [
        (session.handle, "ended", ["a", "b"])
    ]
    assert "secret value" not in repr(events)
