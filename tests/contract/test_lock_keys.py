"""What locks leave in Redis: keys that expire, in one slot each, whatever the name."""

from __future__ import annotations

import pytest

from holdfast import ConfigurationError, Layer
from support.colours import Colour
from support.lock_kinds import KINDS, Make, is_free, key_of, parts, waiting
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
NAMES = {
    "braces": "a{b}c",
    "a tag": "{a}",
    "open": "}{",
    "empty braces": "{}a",
    "colons": "a:b::c",
    "like a part": "k:fence",
    "newlines": "a\nb\r\n",
    "spaces": " a  b ",
    "long": "x" * 10_240,
    "long braces": "{" * 10_240,
    "nul": "a\0b",
    "emoji": "\N{LOCK}" * 40,
    "percent": "100%25",
    "star": "*?[a]",
}


@each_kind
def test_every_key_expires(colour: Colour, server_topology: Topology, namespace: str, make: Make) -> None:
    """After each verb: taken, refused, waited for, extended, given back; what is held goes with its lease."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:

            def check(longest: float = 30) -> None:
                ttls = server_topology.ttls(namespace)
                assert ttls
                for key, left in ttls.items():
                    assert 0 < left <= (3600 if key.endswith(":fence") else longest + 0.1), key

            held = await colour.of(make(layer)).acquire()
            check()
            await is_free(colour, make(layer, wait=0))
            check()
            await is_free(colour, make(layer, wait=0.02))
            check()
            await colour.of(held).extend(7)
            check(7)

            async def wait() -> None:
                async with colour.using(make(layer)):
                    check()

            async def let_go() -> None:
                if make is not KINDS["reader"]:
                    await colour.until(lambda: waiting(layer), "it waits")
                check()
                await colour.of(held).release()

            assert await colour.together(wait, let_go) == [None, None]
            check(0)

    colour.run(scenario)


@each_kind
def test_a_server_that_has_forgotten_the_scripts(colour: Colour, program: Program, namespace: str, make: Make) -> None:
    """Between any two verbs, renewals among them: nobody notices."""

    async def scenario(server: Standalone) -> None:
        async with colour.using(Layer(server.url, namespace=namespace)) as layer:
            server.client.script_flush()
            held = await colour.of(make(layer, lease=0.6)).acquire()
            server.client.script_flush()
            await colour.of(held).extend()
            server.client.script_flush()
            before = [each._hold.until for each in parts(held)]
            await colour.until(
                lambda: all(each._hold.until > old for each, old in zip(parts(held), before, strict=True)),
                "it is renewed",
            )
            server.client.script_flush()
            await is_free(colour, make(layer, wait=0.02))
            server.client.script_flush()
            await colour.of(held).release()
            server.client.script_flush()
            assert await is_free(colour, make(layer, wait=0))

    with Standalone(program) as server:
        colour.run(lambda: scenario(server))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_text_is_a_name(colour: Colour, topology: Topology, namespace: str, name: str) -> None:
    """Every kind works under it, on a cluster, too; and it is the same lock in another process."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):

            def kinds(one: Layer) -> list[object]:
                return [
                    one.lock(name, wait=0),
                    one.lock(name, wait=0, fair=True),
                    one.semaphore(name, 1, wait=0),
                    one.read_write_lock(name).write(wait=0),
                    one.multi_lock([name, f"{name}!"], wait=0),
                ]

            for mine, theirs in zip(kinds(layer), kinds(other), strict=True):
                async with colour.using(mine) as held:
                    assert not await is_free(colour, theirs)
                    await colour.of(held).extend()
                    assert len(key_of(parts(held)[0])) < 600
                assert await is_free(colour, theirs)

    colour.run(scenario)


def test_names_do_not_collide(colour: Colour, layer: Layer) -> None:
    """Two names are two locks, however alike: also where one looks like what belongs to the other."""

    async def scenario() -> None:
        names = [
            *NAMES.values(),
            "x" * 10_239 + "y",
            "k",
            "k:queue",
            "K",
            "k ",
            "a{b}",
            "{a",
            "a}",
            "100%",
            "a%7Bb%7Dc",
        ]
        handles = [await colour.of(layer.lock(name, wait=0)).acquire() for name in names]
        assert len({key_of(each) for each in handles}) == len(names)
        for each in handles:
            await colour.of(each).release()

    colour.run(scenario)


@pytest.mark.parametrize(("name", "why"), [("", "name is empty: give a name"), (None, "not NoneType"), (7, "not int")])
def test_a_name_is_text(layer: Layer, name: str, why: str) -> None:
    """For every kind; anything else is a mistake that is told at once."""
    for make in (
        lambda: layer.lock(name),
        lambda: layer.semaphore(name, 1),
        lambda: layer.read_write_lock(name),
        lambda: layer.multi_lock(["a", name]),
    ):
        with pytest.raises(ConfigurationError, match=why):
            make()


def test_layers_of_different_namespaces_do_not_meet(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each has locks of its own."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=f"{namespace}-2")) as other,
            colour.using(layer.lock("k")),
        ):
            assert await is_free(colour, other.lock("k", wait=0))

    colour.run(scenario)
