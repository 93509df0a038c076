"""Names of tags: whatever is in them, none reaches another tag, and a template names what `invalidate_tags` names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, SerializationError, cached, current_entry, entries
from support.colours import Colour
from support.peeking import tag_key
from support.table import Table
from support.topologies import Servers

NAMES = [
    "*", "?", "[a-z]", "{}", "{t}", "}t{", "t", ":", "t:", ":t", "t:*", "t|", "%", "%74", "t\\", '"t"', "'", " ", "a b",
    "a  b", "\t", "\n", "\r\n", "\0", "epoch", "tag-epoch", "ä", "a\u0308", "日本語", "😀", "\ud800",
    "long" * 100, "long" * 100 + "er",
]  # fmt: skip


def test_no_name_reaches_another_tag(colour: Colour, servers: Servers, namespace: str) -> None:
    """Each invalidates what carries it, and leaves all others alone."""

    async def scenario() -> None:
        for name in ("memory", "cluster"):
            async with colour.using(Layer(servers.topology(name).url, namespace=namespace)) as layer:
                cache = colour.of(layer.cache)
                keys = {tag: f"entry {number}" for number, tag in enumerate(NAMES)}
                for tag, key in keys.items():
                    await cache.set(key, 1, 60, tags=[tag])
                assert len({tag_key(layer, tag) for tag in NAMES}) == len(NAMES)
                left = dict.fromkeys(keys.values(), 1)
                for tag, key in keys.items():
                    assert await cache.get_many(keys.values()) == left, f"before {tag!r}"
                    await cache.invalidate_tags(tag)
                    del left[key]
                assert left == {}

    colour.run(scenario)


@pytest.mark.parametrize("source", ["template", "function", "loader"])
def test_every_way_names_the_same_tag(colour: Colour, namespace: str, source: str) -> None:
    """A template without fields, a function of the result, and a loader that says them, all name the same tags."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            for number, tag in enumerate(NAMES):
                literal = tag.replace("{", "{{").replace("}", "}}")

                async def row(number: int, tag: str = tag) -> int:
                    if source == "loader":
                        current_entry().tags = [tag]
                    return number

                tags: Any = {"template": [literal], "function": lambda result, tag=tag: [tag], "loader": ()}[source]
                function = layer.cached(60, key="row:{number}:" + str(number), tags=tags)(colour.function(row))
                await colour.call(function, 1)
                await colour.call(function, 1)  # the first load has taught that there are tags
                assert await cache.get(f"row:1:{number}") == 1, repr(tag)
                await cache.invalidate_tags(tag)
                assert await cache.get(f"row:1:{number}") is None, repr(tag)

    colour.run(scenario)


def test_a_field_stays_in_its_place(colour: Colour, namespace: str) -> None:
    """An argument is no pattern: it names its own tag, and at worst one that reads the same as another's."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def of(owner: str, kind: str) -> str:
                return owner

            function = layer.cached(60, key="of:{owner}:{kind}", tags=["owner:{owner}:{kind}"])(colour.function(of))
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            pairs = [("a", "b:c"), ("a:b", "c"), ("*", "c"), ("a", "*"), ("a", "b"), ("", ""), ("a}", "{b")]
            for pair in pairs:
                await colour.call(function, *pair)
            tags = {pair: (await handle.info(*pair)).tags for pair in pairs}
            assert tags["a", "b:c"] == tags["a:b", "c"] == ("owner:a:b:c",)
            assert len(set(tags.values())) == len(pairs) - 1
            assert tags["a", "b"] == ("owner:a:b",)
            await cache.invalidate_tags("owner:a:b", "owner:*:c")
            gone = [pair for pair in pairs if await handle.info(*pair) is None]
            assert gone == [("*", "c"), ("a", "b")]

    colour.run(scenario)


WRONG: list[tuple[object, str]] = [
    ("user:7", "several texts"),
    (b"user:7", "several texts"),
    (7, "several texts"),
    ([""], "not empty"),
    (["a", None], "must be texts"),
    ([b"a"], "must be texts"),
    ([7], "must be texts"),
]


@pytest.mark.parametrize(("tags", "complaint"), WRONG)
def test_tags_that_are_none(namespace: str, tags: Any, complaint: str) -> None:
    """The mistake is named where it is made: when decorating, setting, or loading; nothing is stored then."""
    with Layer(namespace=namespace) as layer:
        with pytest.raises(ConfigurationError, match=complaint):
            layer.cached(60, tags=tags)
        with pytest.raises(ConfigurationError, match=complaint):
            layer.cache.set("k", 1, 60, tags=tags)
        with pytest.raises(ConfigurationError, match=complaint):
            layer.cache.set_many({"k": 1}, 60, tags=tags)
        with pytest.raises(ConfigurationError, match=complaint):
            layer.cache.get_or_load("k", lambda: 1, 60, tags=tags)
        with pytest.raises(ConfigurationError, match=complaint):
            layer.cache.get_or_load("k", lambda: 1, 60, tags=lambda result: tags)

        @layer.cached(60, key="k")
        def says() -> int:
            current_entry().tags = tags
            return 1

        with pytest.raises(ConfigurationError, match=complaint):
            says()

        @layer.cached(60, key="k", tags=lambda result: tags)
        def derives() -> int:
            return 1

        for use in (derives, lambda: entries(derives).set(1), lambda: entries(derives).refresh()):
            with pytest.raises(ConfigurationError, match=complaint):
                use()
        assert layer.cache.get("k") is None


@pytest.mark.parametrize("tag", ["", None, 7])
def test_invalidating_what_is_no_tag(namespace: str, tag: Any) -> None:
    """It is refused before anything is sent, also among tags that are right."""
    with Layer(namespace=namespace) as layer:
        layer.cache.set("k", 1, 60, tags=["t"])
        with pytest.raises(ConfigurationError, match="tags must be texts that are not empty"):
            layer.cache.invalidate_tags("t", tag)
        assert layer.cache.get("k") == 1


@pytest.mark.parametrize(
    "template", ["user:{nobody}", "user:{number.real}}", "user:{", "user:{}", "user:{0}", "{number!x}", "{number:>9}"]
)
def test_templates_that_do_not_fit(template: str) -> None:
    """They are refused when decorating, and the message names the option and the template."""
    with pytest.raises(ConfigurationError, match="tags"):

        @cached(60, tags=[template])
        def row(number: int) -> int:
            return number


def test_more_tags_than_fit(colour: Colour, namespace: str) -> None:
    """An error that says so, and no entry that lacks some of them."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            row = Table(colour).on(layer, tags=[f"{number:0100}" for number in range(600)])
            with pytest.raises(SerializationError, match="tags take"):
                await colour.call(row, 1)
            assert await colour.of(layer.cache).get("row:1") is None

    colour.run(scenario)


def test_an_async_function_of_the_result() -> None:
    """Nobody would await it: it is refused when decorating, as are other functions of the result."""

    async def tags(result: object) -> list[str]:
        return ["t"]

    class Tags:
        async def __call__(self, result: object) -> list[str]:
            return ["t"]

    choices: list[Callable[..., Any]] = [tags, Tags()]
    for each in choices:
        with pytest.raises(ConfigurationError, match="tags"):
            cached(60, tags=each)
        with pytest.raises(ConfigurationError, match="condition"):
            cached(60, condition=each)
        with pytest.raises(ConfigurationError, match="ttl"):
            cached(each)


def test_a_value_in_a_template_is_named_as_it_is_written_by_hand(colour: Colour, namespace: str) -> None:
    """Whatever signs a value has, the f-string that looks like the template invalidates the entry."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def row(tag: str) -> int:
                return len(tag)

            function = layer.cached(60, key="row:{tag}", tags=["of:{tag}", "other"])(colour.function(row))
            for tag in NAMES:
                await colour.call(function, tag)
                assert await colour.of(entries(function)).get(tag) == len(tag)
                await colour.of(layer.cache).invalidate_tags(f"of:{tag}")
                assert not await colour.of(entries(function)).get(tag), tag

    colour.run(scenario)


@dataclass
class Owner:
    id: int


class Lines:
    """Like an array: its text is cut short."""

    def __iter__(self) -> Any: ...


@pytest.mark.parametrize(
    "value",
    [(1, 2), [1], {"a": 1}, {1}, frozenset({1}), Owner(1), int, Lines(), object()],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("many", [False, True])
def test_what_no_f_string_reaches_makes_no_tag(colour: Colour, namespace: str, value: Any, many: bool) -> None:
    """A tag of a container or a record would be one that its f-string does not invalidate, so the call is refused."""

    async def row(ids: list[int], owner: Any) -> dict[int, int]:
        return dict.fromkeys(ids, 1)

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            kind = layer.cached_many if many else layer.cached
            key = "row:{number}" if many else "row:{ids}"
            function = kind(60, key=key, tags=["owner:{owner}"])(colour.function(row))
            advice = r"a tag field must be a text.* 'owner' is of type .*such as \{owner.id\}, or give tags= a function"
            with pytest.raises(ConfigurationError, match=advice):
                await colour.call(function, [1], value)
            assert await colour.call(function, [1], 7) == {1: 1}
            by_attribute = kind(60, key=key, tags=["owner:{owner.id}"])(colour.function(row))
            assert await colour.call(by_attribute, [1], Owner(1)) == {1: 1}

    colour.run(scenario)
