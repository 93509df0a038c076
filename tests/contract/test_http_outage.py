"""Without Redis the cache stands aside: every request reaches the app, and none fails for it."""

from __future__ import annotations

import pytest

from holdfast import Layer
from support.http_steps import FRESH
from support.http_world import FRONTS, Says, World, colour_of
from support.ports import free_port
from support.staged import Stage

pytestmark = pytest.mark.parametrize("front", FRONTS)


def test_redis_goes_and_comes(front: str, namespace: str) -> None:
    """While Redis is away all goes to the app, and what was stored is there when it is back."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage = Stage(layer)
            world = World(front, layer)
            world.origin.script = [Says((FRESH,)) for _ in range(4)]
            assert (await world.ask("GET /")).body == b"run 1"
            with stage.away():
                for run, line in enumerate(["GET /", "GET /other", "POST /x"], 2):
                    got = await world.ask(line, ['If-None-Match: "z"'])
                    assert (got.status, got.body, got.error) == (200, b"run %d" % run, None)
                    assert world.origin.seen[-1].fields.get("if-none-match") == '"z"'
            assert (await world.ask("GET /")).body == b"run 1"

    colour.run(scenario)


@pytest.mark.parametrize(
    "answer",
    [Says((FRESH,)), Says(("Cache-Control: no-store",)), Says(status=500)],
    ids=["stored", "not stored", "an error"],
)
def test_redis_goes_while_the_app_answers(answer: Says, front: str, namespace: str) -> None:
    """A response that cannot be stored any more reaches its client whole."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage, world = Stage(layer), World(front, layer)
            world.cache.app = Away(world, stage)
            world.origin.script = [answer]
            got = await world.ask("GET /")
            assert (got.status, got.body, got.error) == (answer.status, b"run 1", None)

    colour.run(scenario)


class Away:
    """An app during whose answer Redis goes away."""

    def __init__(self, world: World, stage: Stage) -> None:
        self._app = world.origin.asgi if world.front == "asgi" else world.origin.wsgi
        self._stage = stage

    def __call__(self, *arguments: object) -> object:
        self._stage.is_away = True
        return self._app(*arguments)  # type: ignore[arg-type]


def test_no_redis_at_all(front: str, namespace: str) -> None:
    """An address where nobody listens costs a moment, not the request."""
    colour = colour_of(front)

    async def scenario() -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        async with colour.using(Layer(url, namespace=namespace)) as layer:
            world = World(front, layer)
            world.origin.script = [Says((FRESH,)) for _ in range(3)]
            for run, line in enumerate(["GET /", "GET /", "DELETE /"], 1):
                got = await world.ask(line)
                assert (got.status, got.body, got.error) == (200, b"run %d" % run, None)

    colour.run(scenario)


def test_disabled(front: str, namespace: str) -> None:
    """While the layer is disabled nothing is looked up or stored, and no field is added."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            world = World(front, layer)
            world.origin.script = [Says((FRESH,)) for _ in range(3)]
            await world.ask("GET /")
            with layer.disabled():
                got = await world.ask("GET /")
                assert got.body == b"run 2"
                assert got.fields.get("cache-status") is None
            assert (await world.ask("GET /")).body == b"run 1"

    colour.run(scenario)
