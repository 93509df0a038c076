"""`layer.sessions` for plain code, in both colours: create, open, save, edit, and what two who edit make of it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer
from holdfast.errors import BackendTimeout, ConfigurationError, SessionError
from holdfast.events import SessionDropped
from support.colours import Colour
from support.peeking import told
from support.session_ports import Between
from support.staged import Stage
from support.topologies import Topology


async def edit(colour: Colour, layer: Layer, handle: str, act: Any) -> None:
    """Do something in a block that edits a session."""
    async with colour.using(layer.sessions.edit(handle)) as editable:
        act(editable)


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
                await edit(
                    colour, layer, other.handle, lambda found: (found.update(a=2), layer.sessions.revoke(found.handle))
                )
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
                await edit(colour, layer, session.handle, lambda found: (found.update(a=2), {}.popitem()))
            for act in (lambda session: session.rotate(), lambda session: session.log_in("u")):
                with pytest.raises(SessionError, match="reach nobody"):
                    await edit(colour, layer, session.handle, act)
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


def test_one_object_is_saved_again_and_again(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each time what has changed since, and only that."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sessions = colour.of(layer.sessions)
            session, cookie = await sessions.create({"a": [1]})
            for number in range(2, 5):
                session["a"].append(number)
                assert await sessions.save(session) is None
                assert (await sessions.open(cookie))["a"] == list(range(1, number + 1))
            other = await sessions.open(cookie)
            other["a"] = "other's"
            await sessions.save(other)
            session["b"] = 1
            await sessions.save(session)
            assert dict(await sessions.open(cookie)) == {"a": "other's", "b": 1}

    colour.run(scenario)


def test_a_reply_that_is_lost(colour: Colour, layer: Layer) -> None:
    """What was stored all the same does no harm: saving once more stores the same, and another's change is kept."""

    async def scenario() -> None:
        sessions = colour.of(layer.sessions)
        _, cookie = await sessions.create({"a": {"x": 1}})
        stage = Stage(layer)
        session = await sessions.open(cookie)
        session["a"]["y"] = 2
        stage.loses.add("session_save")
        with pytest.raises(BackendTimeout):
            await sessions.save(session)
        other = await sessions.open(cookie)
        other["a"]["z"] = 3
        await sessions.save(other)
        await sessions.save(session)
        assert dict(await sessions.open(cookie)) == {"a": {"x": 1, "y": 2, "z": 3}}
        await colour.of(layer).close()

    colour.run(scenario)


def test_a_layer_that_is_disabled(colour: Colour, layer: Layer) -> None:
    """That is about caching: nobody is logged out by it."""

    async def scenario() -> None:
        sessions = colour.of(layer.sessions)
        _, cookie = await sessions.create({"a": 1})
        with layer.disabled():
            session = await sessions.open(cookie)
            session["a"] = 2
            await sessions.save(session)
        assert dict(await sessions.open(cookie)) == {"a": 2}
        await colour.of(layer).close()

    colour.run(scenario)
