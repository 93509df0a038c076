"""The reference is in step with the code: every public name, option, default, method, event and counter is in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, get_args

import pytest

import holdfast
from holdfast import (
    CallInfo,
    Counts,
    Entries,
    EntryInfo,
    Layer,
    LimitDecision,
    PolicyDecision,
    Quota,
    Stats,
    cached,
    cached_many,
    events,
    locked,
    rate_limited,
)
from holdfast.backend.url_options import _OPTIONS
from holdfast.cache import Cache, CacheOptions
from holdfast.core.slots import Slot
from holdfast.layer import CachedOptions, LayerOptions, ManyOptions
from holdfast.limited import LimitOptions
from holdfast.limiter import Limiter
from support.pages import rows_of

REFERENCE: Final = Path(__file__).parent.parent / "docs" / "reference"


def _reference(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


def _section(page: str, heading: str) -> str:
    return _reference(page).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_reference_has_every_public_name() -> None:
    """What can be imported from the package is described."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    missing = [name for name in holdfast.__all__ if f"`{name}`" not in text and f"# {name}\n" not in text]
    assert [name for name in missing if f"`holdfast.{name}`" not in text] == []


def _defaults(function: Callable[..., Any]) -> dict[str, str]:
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.name != "self" and each.kind is not each.VAR_KEYWORD
    ]
    return {each.name: "" if each.default is each.empty else repr(each.default) for each in parameters}


@pytest.mark.parametrize(
    ("page", "function"),
    [("cached.md", cached), ("layer.md", Layer), ("locked.md", locked), ("rate_limited.md", rate_limited)],
)
def test_the_reference_has_every_option_with_its_default(page: str, function: Callable[..., Any]) -> None:
    """Options and defaults in the tables are those of the code."""
    rows = rows_of(_reference(page))
    defaults = _defaults(function)
    assert {name: rows.get(name) for name in defaults} == defaults


def test_the_options_that_type_checkers_know_are_those_that_there_are() -> None:
    """`Layer.from_env`, `configure`, `layer.cached` and `get_or_load` take what their models take."""
    assert {"url", *LayerOptions.__optional_keys__} == set(_defaults(Layer))
    assert {"ttl", "layer", *CachedOptions.__optional_keys__} == set(_defaults(cached))
    assert {"quota", "layer", *LimitOptions.__optional_keys__} == set(_defaults(rate_limited))
    assert {"key", "key_builder", "version", *CacheOptions.__optional_keys__} == {*CachedOptions.__optional_keys__}


def test_the_reference_has_every_option_of_cached_many() -> None:
    """Its own options are described, and it refers to those of `cached` for the rest, which are the same."""
    section = _reference("cached.md").split("\n## cached_many\n")[1].split("\n## ")[0]
    named = set(_defaults(cached_many))
    assert [name for name in named if f"`{name}`" not in section] == []
    assert rows_of(section) == {"missing_ttl": "None"}
    refused = {"key", "key_builder", "cache_errors"}
    assert ManyOptions.__optional_keys__ == CachedOptions.__optional_keys__ - refused
    assert [name for name in refused if f"`{name}`" not in section] == []


def test_the_reference_has_every_argument_of_a_quota() -> None:
    """The table of `Quota` has all of them, with their defaults; its properties are there, too."""
    section = _section("quota.md", "Quota")
    defaults = _defaults(Quota)
    assert {name: rows_of(section).get(name) for name in defaults} == defaults
    properties = [name for name, each in vars(Quota).items() if isinstance(each, property)]
    assert [name for name in properties if f"`Quota.{name}`" not in section] == []


@pytest.mark.parametrize("verb", ["hit", "hit_all", "throttle", "peek", "reset", "refund", "settle", "concurrency"])
def test_the_reference_has_every_verb_of_the_limiter_as_it_is_called(verb: str) -> None:
    """The table shows each verb with its arguments and defaults; its async twin takes the same."""
    signature = inspect.signature(getattr(Limiter, verb))
    parameters = [each.replace(annotation=each.empty) for each in list(signature.parameters.values())[1:]]
    shown = str(inspect.Signature(parameters)).replace("'", '"')
    assert f"`{verb}{shown}`" in _reference("limiter.md")
    twin = getattr(Limiter, f"a{verb}", None)
    assert twin is None or inspect.signature(twin).parameters == signature.parameters


def test_the_reference_has_every_option_of_a_url() -> None:
    """Options and forms in the table are those that are understood."""
    rows = set(rows_of(_reference("urls.md")))
    options = {row for row in rows if "://" not in row}
    assert options == set(_OPTIONS)


@pytest.mark.parametrize(
    ("page", "kind"),
    [("entries.md", Entries), ("cache.md", Cache), ("layer.md", Layer), ("limiter.md", Limiter)],
    ids=str,
)
def test_the_reference_has_every_method(page: str, kind: type) -> None:
    """Every public method and attribute is there, and no method that does not exist."""
    text = _reference(page)
    for name in vars(kind):
        if not name.startswith("_"):
            assert f"`{name}`" in text or f"`{name}(" in text or f"`{kind.__name__}.{name}(" in text, name
    for row in rows_of(text):
        name, opened, _ = row.partition("(")
        assert not opened or hasattr(kind, name), row


@pytest.mark.parametrize("kind", [EntryInfo, CallInfo])
def test_the_reference_has_every_attribute_of_a_value(kind: Any) -> None:
    """The tables of attributes have all of them."""
    rows = rows_of(_reference("entries.md").split(f"## {kind.__name__}")[1].split("\n## ")[0])
    assert list(rows) == [field.name for field in fields(kind)]


@pytest.mark.parametrize("kind", [LimitDecision, PolicyDecision])
def test_the_reference_has_every_attribute_of_a_decision(kind: Any) -> None:
    """The tables have all fields, properties and methods, and nothing else."""
    rows = {name.partition("(")[0] for name in rows_of(_section("quota.md", kind.__name__))}
    assert rows == {name for name in dir(kind) if not name.startswith("_")}


def test_the_reference_names_no_attribute_that_a_slot_has_not() -> None:
    """The table has what users may look at; the rest is not for them."""
    assert {"decision", "lost"} <= set(rows_of(_section("limiter.md", "Slots"))) <= set(Slot.__slots__)


def test_the_reference_has_every_event_and_its_attributes() -> None:
    """Every event has its section, which names what it has beyond the attributes of all events."""
    text = _reference("events.md")
    shared = {field.name for field in fields(events.CacheEvent)}
    bases = {events.Event, events.CacheEvent, events.LockEvent, events.IdempotencyEvent}
    for name, kind in vars(events).items():
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind not in bases:
            section = text.split(f"### {name}\n")[1].split("\n##")[0]
            for attribute in {field.name for field in fields(kind)} - shared:
                assert f"`{attribute}`" in section, f"{name}.{attribute}"


def test_the_reference_has_every_counter() -> None:
    """The table of counters has all of them."""
    rows = rows_of(_reference("events.md").split("## Counts\n")[1])
    assert set(rows) == {*(field.name for field in fields(Stats)), "hit_ratio"}
    assert {field.name for field in fields(Counts)} < set(rows)


def test_the_reference_has_every_status_of_a_call() -> None:
    """`CallInfo.status` is one of those that are described; `refreshed` is what a refresh has inside."""
    hints = inspect.get_annotations(CallInfo, eval_str=True)
    section = _reference("entries.md").split("## CallInfo")[1]
    assert {status for status in get_args(hints["status"]) if f'"{status}"' not in section} <= {"refreshed"}
