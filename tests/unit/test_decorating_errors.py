"""Mistakes are refused where they are made, and the message says what to write instead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, cached, cached_many, entries, stampede_protected

SECRET = "a secret of at least sixteen bytes"


def function(number: int) -> int:
    return number


async def afunction(number: int) -> int:
    return number


def generator(number: int) -> Iterator[int]:
    yield number


async def agenerator(number: int) -> AsyncIterator[int]:
    yield number


class Numbers:
    """Things in a class that look like functions."""

    def __call__(self, number: int) -> Iterator[int]:
        yield number

    @property
    def first(self) -> int:
        return 1

    @classmethod
    def all(cls) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (generator, "cannot cache the generator function .*generator: return a list instead of yielding"),
        (agenerator, "cannot cache the generator function .*agenerator: return a list instead of yielding"),
        (partial(generator, 1), "generator function .*generator: return a list"),
        (Numbers(), "generator function .*Numbers: return a list"),
        (Numbers().all, "generator function .*all: return a list"),
        (vars(Numbers)["all"], "generator function .*all: return a list"),
        (staticmethod(generator), "generator function .*generator: return a list"),
        (Numbers, r"cannot cache a class .*\.Numbers: put @cached"),
        (vars(Numbers)["first"], "cannot cache a property: put @property outside, above the decorator"),
        (7, r"cannot cache a value of type int: put @cached\(ttl=...\), with its parentheses, above a function"),
        (staticmethod(7), "cannot cache a value of type int"),
    ],
)
def test_what_is_no_function_is_refused_when_decorating(thing: Any, advice: str) -> None:
    """Generators, classes, properties and other values have no one result that could be kept."""
    with pytest.raises(ConfigurationError, match=advice):
        cached(60)(thing)


def test_forgotten_parentheses_are_explained() -> None:
    """``@cached`` without a ttl says what to write."""
    with pytest.raises(ConfigurationError, match=r"put @cached\(ttl=\.\.\.\), with its parentheses"):
        cached(function)(1)  # what `@cached` above a function, and then a call of it, would do


@pytest.mark.parametrize("make", [cached, lambda **options: Layer().cached(**options)])
@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"ttl": None}, "ttl=None is not a duration: there is no 'for ever'"),
        ({"ttl": 0}, "ttl=0 must be more than zero"),
        ({"ttl": -1}, "ttl=-1 must be more than zero"),
        ({"ttl": float("nan")}, "ttl=nan"),
        ({"ttl": float("inf")}, "ttl=inf is too long"),
        ({"ttl": True}, "ttl=True is not a duration"),
        ({"ttl": "soon"}, "ttl='soon' is not a duration: write it like '90s'"),
        ({"ttl": timedelta(seconds=-1)}, "more than zero"),
        ({"ttl": 60, "jitter": 1.5}, "jitter=1.5 must be from 0 to 1"),
        ({"ttl": 60, "jitter": -0.1}, "jitter=-0.1 must be from 0 to 1"),
        ({"ttl": 60, "jitter": float("nan")}, "jitter=nan must be from 0 to 1"),
        ({"ttl": 60, "jitter": True}, "jitter=True must be from 0 to 1"),
        ({"ttl": 60, "wait": -1}, "wait=-1 must be zero or more"),
        ({"ttl": 60, "wait": None}, "wait=None is not a duration"),
        ({"ttl": 60, "condition": "yes"}, "condition= must be a function of the result"),
        ({"ttl": 60, "cache_errors": "KeyError"}, "cache_errors='KeyError' must be exception classes"),
        ({"ttl": 60, "cache_errors": KeyError()}, "must be exception classes"),
        ({"ttl": 60, "cache_errors": (KeyError, int)}, "cache_errors=<class 'int'> must be exception classes"),
        ({"ttl": 60, "cache_errors": KeyboardInterrupt}, "KeyboardInterrupt.* must be exception classes"),
        ({"ttl": 60, "cache_errors": [KeyError]}, "must be exception classes"),
        ({"ttl": 60, "key": "k:{number}", "key_builder": "by-arguments"}, "exclude each other"),
        ({"ttl": 60, "key": ""}, "key='' of .*function is empty"),
        ({"ttl": 60, "key": "k"}, "is the same for all arguments: name 'number' in it"),
        ({"ttl": 60, "key": "k:{other}"}, "there is no parameter 'other'; a field can be 'number'"),
        ({"ttl": 60, "key": "k:{number"}, "cannot be read"),
        ({"ttl": 60, "key": "k:{}"}, "a field without a name"),
        ({"ttl": 60, "key": "k:{number:05d}"}, "format or conversion"),
        ({"ttl": 60, "key": "k:{number}", "version": 2}, "version must be text, not int: write version='2'"),
        ({"ttl": 60, "version": 2}, "version must be text, not int: write version='2'"),
        ({"ttl": 60, "key": 7}, "must be a template or a plain function"),
        ({"ttl": 60, "key_builder": 5}, "key_builder= must be a name, such as 'by-arguments', not int"),
        ({"ttl": 60, "serializer": []}, "serializer= must be a name, such as 'json', not list"),
        ({"ttl": 60, "compression": True}, "compression= must be a name, such as 'zlib', not bool"),
        ({"ttl": 60, "tags": [["a"]]}, "tags= must be texts that are not empty; one is list"),
        ({"ttl": 60, "tags": [{}]}, "tags= must be texts that are not empty; one is dict"),
        ({"ttl": 60, "tags": 5}, "tags= must be several texts"),
        ({"ttl": 60, "on_wait_timeout": []}, r"on_wait_timeout=\[\] must be 'load', 'stale' or 'raise'"),
    ],
)
def test_an_option_that_cannot_work_is_refused_when_decorating(
    make: Callable[..., Any], options: dict[str, Any], advice: str
) -> None:
    """The message names the option and what would do, with and without an explicit layer."""
    with pytest.raises(ConfigurationError, match=advice):
        make(**options)(function)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"serializer": "yaml"}, "serializer='yaml' is not known: use one of 'json', 'msgpack', 'pickle', 'raw'"),
        ({"serializer": "pickle"}, "serializer='pickle' runs what it reads: give the layer a secret="),
        ({"compression": "rar"}, "compression='rar'"),
        ({"key_builder": "by-magic"}, "there is no key builder 'by-magic'; known are 'by-arguments'"),
    ],
)
def test_what_only_the_layer_can_tell_is_refused_at_the_first_call(options: dict[str, Any], advice: str) -> None:
    """Names of serializers, compressions and key builders may be registered after decorating, so calls look them up."""
    layer = Layer()
    decorated = layer.cached(60, **options)(function)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=re.escape(advice)):
            decorated(1)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"on_failure": "ignore"}, "on_failure='ignore' must be 'bypass' (go on without Redis) or 'raise'"),
        ({"serializer": "pickle"}, "give the layer a secret="),
        ({"compression": "rar"}, "compression='rar'"),
        ({"secret": "short"}, "secret= must be text or bytes of at least 16 bytes"),
        ({"secret": ""}, "secret= must be text or bytes of at least 16 bytes"),
        ({"namespace": "a{b"}, "namespace='a{b' has a brace"),
        ({"url": "redis//localhost"}, "the scheme of the URL cannot be used"),
        ({"url": None}, "the URL must be text, not NoneType: give one such as redis://localhost:6379/0 or memory://"),
        ({"hooks": [7]}, "hooks must be functions of one event"),
        ({"hooks": 5}, "hooks must be several functions of one event, such as hooks=[print], not int"),
        ({"hooks": print}, "hooks must be several functions of one event"),
        ({"on_failure": []}, "on_failure=[] must be 'bypass'"),
        ({"serializer": 5}, "serializer= must be a name, such as 'json', not int"),
        ({"serializer": None}, "serializer= must be a name, such as 'json', not NoneType"),
        ({"serializer": []}, "serializer= must be a name, such as 'json', not list"),
        ({"key_builder": 5}, "key_builder= must be a name, such as 'by-arguments', not int"),
        ({"compression": 5}, "compression= must be a name, such as 'zlib', not int"),
        ({"connection": 5}, "connection= must be a mapping of keyword arguments for redis-py's connection classes"),
        ({"connection": []}, "connection= must be a mapping of keyword arguments"),
        ({"connection": {5: 1}}, "connection= must be a mapping of keyword arguments"),
        ({"connection": {"url": "redis://localhost"}, "url": "redis://localhost"}, "'url'"),
        ({"namespace": 5}, "namespace must be text, not int"),
        ({"near": "soon"}, "near='soon' is not a duration"),
        ({"near_entries": "many"}, "near_entries='many'"),
        ({"near_bytes": -1}, "near_bytes=-1"),
        ({"secret": 5}, "secret= must be text or bytes of at least 16 bytes"),
    ],
)
def test_an_option_of_a_layer_that_cannot_work_is_refused_when_constructing(
    options: dict[str, Any], advice: str
) -> None:
    """What a layer can tell at once, it tells at once."""
    with pytest.raises(ConfigurationError, match=re.escape(advice)) as caught:
        Layer(**options)
    assert "short" not in str(caught.value)


def test_a_layer_may_name_what_is_registered_after_it_was_made() -> None:
    """A serializer or key builder of one's own can be the layer's default; until it is known, calls are refused."""

    class Reversed:
        def dumps(self, value: Any, kind: Any, /) -> bytes:
            return str(value)[::-1].encode()

        def loads(self, data: bytes, kind: Any, /) -> Any:
            return int(data.decode()[::-1])

    layer = Layer(serializer="reversed", key_builder="by-name")
    decorated = layer.cached(60)(function)
    with pytest.raises(ConfigurationError, match="there is no key builder 'by-name'"):
        decorated(12)
    layer.key_builders.register("by-name", lambda function, _: lambda arguments: f"{function.__name__}")
    with pytest.raises(ConfigurationError, match="serializer='reversed' is not known"):
        decorated(12)
    layer.serializers.register("reversed", Reversed())
    assert decorated(12) == decorated(12)
    assert layer.stats().hits == 1


@pytest.mark.parametrize(
    ("decorator", "name"),
    [
        (cached, "cached"),
        (Layer().cached, "cached"),
        (stampede_protected, "stampede_protected"),
        (Layer().stampede_protected, "stampede_protected"),
        (partial(cached_many, key="k:{number}"), "cached_many"),
        (partial(Layer().cached_many, key="k:{number}"), "cached_many"),
        (partial(Layer().cache.get_or_load, "a", int), "get_or_load"),
    ],
)
@pytest.mark.parametrize("option", ["serialiser", "keeps", "many"])
def test_an_unknown_option_is_refused(decorator: Callable[..., Any], name: str, option: str) -> None:
    """A misspelt option is not swallowed; the message names what the user called, and the options that it has."""
    with pytest.raises(ConfigurationError, match=f"^{name} has no option '{option}'; it has .*serializer"):
        decorator(60, **{option: "json"})


@pytest.mark.parametrize("decorator", [cached, stampede_protected, partial(cached_many, key="k:{number}")])
@pytest.mark.parametrize("layer", ["redis://localhost", 5, Layer])
def test_what_is_no_layer_is_refused_when_decorating(decorator: Callable[..., Any], layer: Any) -> None:
    """The URL of a server is no layer; the message says what to write."""
    with pytest.raises(ConfigurationError, match=r"layer= must be a Layer, such as Layer\('redis:.*, not "):
        decorator(60, layer=layer)


def test_a_call_with_wrong_arguments_raises_the_functions_own_error() -> None:
    """A missing, an unknown or a superfluous argument is the TypeError that the function would raise, hit or not."""
    decorated = Layer().cached(60, key="function:{number}")(function)
    assert decorated(1) == 1
    for args, kwargs in [((), {}), ((1, 2), {}), ((1,), {"other": 2})]:
        with pytest.raises(TypeError, match=r"function\(\)"):
            decorated(*args, **kwargs)


def test_an_argument_without_a_stable_text_is_refused_at_the_call() -> None:
    """An object whose text is its address would miss for ever; the message says which parameter, and not its value."""
    decorated = Layer().cached(60)(function)
    with pytest.raises(ConfigurationError, match="number") as caught:
        decorated(object())
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("thing", [function, len, 7, None, Numbers])
def test_entries_of_what_is_not_cached_say_so(thing: Any) -> None:
    """`entries` of anything else is a ConfigurationError that says what to do."""
    with pytest.raises(ConfigurationError, match="has no entries: decorate it with @cached first"):
        entries(thing)


@pytest.mark.parametrize("verb", ["refresh", "bypass", "call"])
def test_a_blocking_verb_that_would_have_to_await_names_its_twin(verb: str) -> None:
    """What has to call an async function says which verb to await."""
    handle = entries(Layer().cached(60)(afunction))
    with pytest.raises(ConfigurationError, match=rf"await entries\(afunction\)\.a{verb}\("):
        getattr(handle, verb)(1)


def test_a_plain_function_that_returns_an_awaitable_is_told_so() -> None:
    """A result that only an event loop can turn into a value cannot be kept, and nothing is left unawaited."""

    @Layer().cached(60)
    def late(number: int) -> Any:
        return afunction(number)

    with pytest.raises(ConfigurationError, match="returned a coroutine: define it with async def"):
        late(1)


@pytest.mark.parametrize("load", [5, None, "text", [int]])
def test_what_loads_a_value_by_name_must_be_a_function(load: Any) -> None:
    """The value itself in the place of the function is refused, in both colours."""
    cache = Layer().cache
    with pytest.raises(ConfigurationError, match=r"^get_or_load takes a function without arguments"):
        cache.get_or_load("a", load, "1m")
    with pytest.raises(ConfigurationError, match=r"^aget_or_load takes a function without arguments"):
        asyncio.run(cache.aget_or_load("a", load, "1m"))


def test_a_list_of_tags_in_the_place_of_tags_is_refused() -> None:
    """`invalidate_tags` takes names one by one."""
    cache = Layer().cache
    with pytest.raises(ConfigurationError, match="tags must be texts that are not empty; one is list"):
        cache.invalidate_tags(["a"])  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigurationError, match="tags= must be texts that are not empty; one is list"):
        cache.set("a", 1, 60, tags=[["a"]])  # type: ignore[list-item]  # that is the point


def test_a_soft_timeout_needs_something_stale() -> None:
    """Nothing is kept beyond its time without an allowance, so the time-out could never return anything."""
    with pytest.raises(ConfigurationError, match="soft_timeout= returns a stale value, and none is kept: give grace="):
        cached(60, soft_timeout=1)
    cached(60, soft_timeout=1, stale_if_error=1)
