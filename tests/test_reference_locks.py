"""The reference of locks is in step with the code: every verb, option, default and attribute is in it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from holdfast import Held, Layer, Lock, MultiHeld, Redlock, events, locked
from holdfast.lock_terms import LeaseOptions, LockOptions, MultiLockOptions
from holdfast.locked import LockedOptions
from holdfast.locks import MultiLock, ReadWriteLock
from holdfast.redlock import RedlockOptions
from support.pages import rows_of

REFERENCE: Final = Path(__file__).parent.parent / "docs" / "reference"
LOCKS: Final = (REFERENCE / "lock.md").read_text(encoding="utf-8")


def _section(heading: str) -> str:
    return LOCKS.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _shown(verb: str) -> dict[str, str]:
    """Return the arguments that the page shows of a verb, with their defaults."""
    found = re.search(rf"^\| `{verb}\((.*)\)` \|", LOCKS, re.MULTILINE)
    assert found, verb
    return {name: default for name, _, default in (each.partition("=") for each in found[1].split(", "))}


@pytest.mark.parametrize(
    ("verb", "options", "first"),
    [
        ("lock", LockOptions, ["name", "*"]),
        ("semaphore", LeaseOptions, ["name", "permits", "*"]),
        ("multi_lock", MultiLockOptions, ["names", "*"]),
        ("read", LeaseOptions, ["*"]),
        ("write", LeaseOptions, ["*"]),
    ],
    ids=["lock", "semaphore", "multi_lock", "read", "write"],
)
def test_the_reference_has_every_option_of_a_lock(verb: str, options: Any, first: list[str]) -> None:
    """Each verb is shown with what it takes, and with the defaults of `locked`, which are the same."""
    shown = _shown(verb)
    assert list(shown)[: len(first)] == first
    assert set(shown) == {*first, *options.__optional_keys__}
    defaults = {name: repr(each.default) for name, each in inspect.signature(locked).parameters.items()}
    assert {name: shown[name] for name in options.__optional_keys__} == {
        name: defaults[name] for name in options.__optional_keys__
    }


def test_the_reference_explains_every_option_of_a_lock() -> None:
    """The table of options has all of them, and `name` and `permits`."""
    assert set(rows_of(_section("Verbs of a layer"))) >= {"name", "permits", *LockOptions.__optional_keys__}


def test_the_reference_has_every_verb_of_a_layer_that_makes_locks() -> None:
    """The four of them are there, and exist."""
    verbs = {row.partition("(")[0] for row in rows_of(_section("Verbs of a layer")) if "(" in row}
    assert verbs == {"lock", "semaphore", "read_write_lock", "multi_lock"}
    assert all(hasattr(Layer, verb) for verb in verbs)


def test_the_options_of_locked_that_type_checkers_know_are_those_that_there_are() -> None:
    """`layer.locked` takes what `locked` takes."""
    taken = {each.name for each in inspect.signature(locked).parameters.values() if each.kind is not each.VAR_KEYWORD}
    assert taken == {"key", "layer", *LockedOptions.__optional_keys__}


@pytest.mark.parametrize("kind", [Lock, Held, ReadWriteLock, MultiLock, MultiHeld], ids=lambda kind: str(kind.__name__))
def test_the_reference_has_every_attribute_of_a_lock(kind: type) -> None:
    """What users may call or look at is named, but for what says that it is for the modules of holdfast only."""
    section = _section(kind.__name__)
    for name in {name for name in dir(kind) if not name.startswith("_")} - {"leave_block", "leave_at_last"}:
        if "For the modules of holdfast only" not in (getattr(kind, name).__doc__ or ""):
            assert f"`{name}`" in section or f"`{name}(" in section, name


def test_the_reference_has_every_reason_for_a_loss() -> None:
    """The table of reasons has those that the event can have."""
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    reasons = get_args(inspect.get_annotations(events.LockLost, eval_str=True)["reason"])
    assert set(rows_of(page.split("### LockLost\n")[1].split("\n###")[0])) == set(reasons)


def test_the_reference_has_every_argument_and_method_of_a_redlock() -> None:
    """Its arguments with their defaults, its methods, and the options of its locks."""
    page = (REFERENCE / "redlock.md").read_text(encoding="utf-8")
    for name, each in list(inspect.signature(Redlock).parameters.items()):
        assert rows_of(page)[name] == ("" if each.default is each.empty else repr(each.default))
    found = re.search(r"^\| `lock\(name, \*, (.*)\)` \|", page, re.MULTILINE)
    assert found
    assert {each.partition("=")[0] for each in found[1].split(", ")} == RedlockOptions.__optional_keys__
    assert all(f"`{verb}()`" in page for verb in ("close", "aclose"))
