"""The sessions of a user: listed, revoked, and entered in an index that lasts; log-ins; both colours."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer
from holdfast.errors import SessionError
from support.colours import Colour
from support.peeking import ask
from support.session_ports import Between
from support.session_site import Site, index_of
from support.topologies import Topology


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


def test_sessions_behind_many_that_have_run_out(colour: Colour, layer: Layer) -> None:
    """They are listed, too: who logs in a thousand times a day sees those that are there."""

    async def scenario() -> None:
        sessions = colour.of(layer.sessions)
        session, _ = await sessions.create(user="u")
        index = index_of(layer)
        soon = int((session.created or 0) * 1000) + 10_000
        for start in range(0, 1200, 100):
            words = [word for number in range(start, start + 100) for word in (soon + number, f"gone{number}")]
            ask(layer, "ZADD", index, *words, key=index)
        assert [each.handle for each in await sessions.list("u")] == [session.handle]
        await colour.of(layer).close()

    colour.run(scenario)


def test_the_index_gets_shorter_while_all_are_revoked(colour: Colour, layer: Layer) -> None:
    """What others take out of it meanwhile, since it has run out, lets nobody be passed over."""

    async def scenario() -> None:
        sessions, index = colour.of(layer.sessions), index_of(layer)
        first, _ = await sessions.create(user="u", absolute="1h")
        soon = int((first.created or 0) * 1000) + 10_000
        for start in range(0, 500, 100):
            words = [word for number in range(start, start + 100) for word in (soon + number, f"gone{number}")]
            ask(layer, "ZADD", index, *words, key=index)
        cookies = [(await sessions.create(user="u"))[1] for _ in range(20)]

        async def shorten() -> None:
            ask(layer, "ZREM", index, *(f"gone{number}" for number in range(100)), key=index)

        Between(layer, colour, "session_finish", shorten, after=True)
        await sessions.revoke_all("u")
        assert [await sessions.open(cookie) for cookie in cookies] == [None] * 20
        await colour.of(layer).close()

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

    @pytest.mark.parametrize("new", [True, False])
    def test_who_revokes_all_others_stays(self, front: str, layer: Layer, new: bool) -> None:
        """A change of the password: the request that revokes is logged in itself, in a new session or in its own."""
        colour = Colour("async" if front == "asgi" else "sync")

        async def scenario() -> None:
            site, other = Site(front, layer), Site(front, layer)
            await other.ask(lambda session: session.log_in("u"))
            if not new:
                await site.ask(lambda session: (session.log_in("u"), session.update(a=1)))

            def act(session: Any) -> None:
                assert layer.sessions.revoke_all("u", keep=session.handle) == 1
                session.log_in("u")
                session["b"] = 2

            await site.ask(act)
            assert dict(layer.sessions.open(site.value) or {}) == ({"b": 2} if new else {"a": 1, "b": 2})
            assert [each.handle for each in layer.sessions.list("u")] == [site.handle]
            assert layer.sessions.open(other.value) is None

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
            assert not ask(layer, "EXISTS", index_of(layer, "7"), key="")
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


@pytest.mark.parametrize("user", ["a b", "{x}", "}:revoked", "*", "ü" * 300, "a" * 5000, "\0", "u:v"], ids=range(8))
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
