"""Looking and reaching behind a layer's back, as another program would that uses the same Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast import Layer, entries
from holdfast.commands import Command, Reply
from holdfast.events import Event
from support.colours import Colour


def ask(layer: Layer, *words: str | bytes | int, key: str) -> Reply:
    """Send a command of one key past everything that the layer knows."""
    return layer.engine.backend.blocking.call_now(Command(words, (key,)))


def forget(layer: Layer, *keys: str) -> None:
    """Remove keys as an eviction does: nobody publishes it."""
    for key in keys:
        ask(layer, "UNLINK", key, key=key)


def tag_key(layer: Layer, tag: str) -> str:
    """Return the key of a tag's versions."""
    return layer.engine.caching.names.tag(tag)


def told(layer: Layer, *kinds: type[Event]) -> list[Any]:
    """Return a list that grows by each event of some kinds."""
    events: list[Any] = []
    layer.add_hook(lambda event: isinstance(event, kinds or Event) and events.append(event))
    return events


def idle(layer: Layer) -> bool:
    """Say whether nothing is being loaded or stored."""
    backend = layer.engine.backend
    return not (layer.engine.caching.flights._open or backend._hands.at_work() or backend._tasks._held)


def near_is_up(layer: Layer) -> bool:
    """Say whether the layer hears the news, so that it may keep entries in the process."""
    return layer.engine.caching.nearby.near.snapshot().epoch is not None


def near_epoch(layer: Layer) -> object | None:
    """Return what is another object whenever everything in the process was dropped; None while nothing is heard."""
    return layer.engine.caching.nearby.near.snapshot().epoch


def bumps(layer: Layer, key: str) -> int:
    """Return a number that changes when the layer hears that an entry has changed."""
    near = layer.engine.caching.nearby.near
    return near._key_bumps[hash(key) % len(near._key_bumps)]


def tag_bumps(layer: Layer, tag: str) -> int:
    """Return a number that changes when the layer hears that a tag was invalidated."""
    near = layer.engine.caching.nearby.near
    return near._tag_bumps[hash(tag) % len(near._tag_bumps)]


def is_near(layer: Layer, key: str) -> bool:
    """Say whether the layer has an entry in the process, by the key in Redis."""
    return layer.engine.caching.nearby.near.get(key, layer.engine.blocking.monotonic()) is not None


async def news_are_here(colour: Colour, layer: Layer) -> None:
    """Wait until the layer has heard of everything that has happened so far."""
    names = layer.engine.caching.names
    marker = f"{names.entries}marker}}"
    channel, seen = names.places(marker).news, bumps(layer, marker)
    ask(layer, "PUBLISH", channel, "gone", key=channel)
    await colour.until(lambda: bumps(layer, marker) != seen, "the news are heard")


async def keep_near(colour: Colour, layer: Layer, row: Callable[..., Any]) -> str:
    """Call a function until its entry for 1 is in the process to stay; return the key."""
    key = entries(row).key(1)
    await colour.call(row, 1)
    await colour.until(lambda: near_is_up(layer), "the news are heard")
    for _ in range(100):
        await colour.call(row, 1)
        await news_are_here(colour, layer)
        if is_near(layer, key):
            return key
    raise AssertionError("the entry does not stay in the process")
