"""A near cache beside other programs: what they publish, and the rights that an administrator gives it."""

from __future__ import annotations

import logging
from pathlib import Path
from re import search
from urllib.parse import urlsplit

import pytest

from holdfast import Layer
from support.colours import Colour
from support.peeking import ask, bumps, is_near, keep_near, near_is_up, tag_bumps
from support.programs import Program
from support.standalone import Standalone
from support.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "connecting.md"
FOREIGN = ["news:sports", "news:{sports", "tag-news:sports", "tag-news:{sports", "news:", "news:}{"]


def test_what_others_publish_is_ignored(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """Without a namespace, the channels of a near cache have plain names; foreign messages there do and log nothing."""

    async def scenario() -> None:
        async with colour.using(Layer("memory://foreign-news", near=60)) as layer:
            key = await keep_near(colour, layer, Table(colour).on(layer))
            nearby = layer.engine.caching.nearby
            counted = bumps(layer, "row:1"), tag_bumps(layer, "sport")
            for channel in FOREIGN:
                ask(layer, "PUBLISH", channel, "gone", key=channel)
                nearby.heard(channel, b"gone")
                nearby.changed(channel)
            assert is_near(layer, key)
            assert (bumps(layer, "row:1"), tag_bumps(layer, "sport")) == counted
            ask(layer, "PUBLISH", "news:{row:1}", "gone", key="news:{row:1}")
            await colour.until(lambda: not is_near(layer, key), "what is meant for it is heard, after all others")

    with caplog.at_level(logging.DEBUG, "holdfast"):
        colour.run(scenario)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def _rights() -> list[str]:
    """Return the words of the command that the guide gives, with what it adds for a near cache."""
    text = PAGE.read_text(encoding="utf-8")
    command = search(r"```text\n(ACL SETUSER .*?)```", text.replace("\r", ""), flags=16)
    assert command is not None
    return [*command[1].split(), "+psubscribe", "+punsubscribe", "+hello", "+client|tracking"]


def test_the_rights_that_the_guide_names_suffice(colour: Colour, program: Program) -> None:
    """A user with these rights and no others fills, invalidates by tags, and has a near cache that hears of it.

    Redis compares patterns word for word with the rights, so that a pattern that the guide does not name is refused.
    """

    async def scenario() -> None:
        with Standalone(program) as server:
            server.client.execute_command(*_rights())
            url = urlsplit(server.url)._replace(netloc=f"app:secret@{urlsplit(server.url).netloc}").geturl()
            async with (
                colour.using(Layer(url, namespace="shop", near=60, on_failure="raise")) as layer,
                colour.using(Layer(url, namespace="shop", on_failure="raise")) as other,
            ):
                table = Table(colour)
                key = await keep_near(colour, layer, table.on(layer, tags=["t"]))
                assert near_is_up(layer)
                assert layer.engine.backend.is_tracking
                await colour.of(other.cache).invalidate_tags("t")
                await colour.until(lambda: not is_near(layer, key), "the invalidation was heard")

    colour.run(scenario)
