"""The reference of what is done once has all options, problems and attributes that there are."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Final

from holdfast import IdempotentRun, Layer, idempotent
from holdfast.idempotent import IdempotentOptions
from holdfast.policy.idempotency_problem import _PROBLEMS
from holdfast.web.idempotency import WebIdempotency
from holdfast.web.idempotency_options import IdempotencyOptions
from support.pages import rows_of

PAGE: Final = (Path(__file__).parent.parent / "docs" / "reference" / "idempotency.md").read_text(encoding="utf-8")


def _section(heading: str, level: str = "##") -> str:
    return PAGE.split(f"\n{level} {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]


def test_every_option_of_the_decorator_is_described() -> None:
    """With its default; type checkers know all of them."""
    parameters = inspect.signature(idempotent).parameters.values()
    known = {
        each.name: "" if each.default is each.empty else repr(each.default)
        for each in parameters
        if each.kind is not each.VAR_KEYWORD
    }
    rows = rows_of(_section("idempotent"))
    assert {name: rows.get(name) for name in known} == known
    assert set(known) == {"key", "layer", *IdempotentOptions.__optional_keys__}


def test_every_option_of_the_middlewares_is_described() -> None:
    """With its default, as the middleware has it when nothing is said."""
    rows = rows_of(_section("IdempotencyMiddleware"))
    assert set(rows) == {"layer", *IdempotencyOptions.__optional_keys__}
    rules = WebIdempotency(Layer(), {}, lambda raw: None, is_async=True).rules
    assert (rules.ttl, rules.lease, rules.wait) == (24 * 3600, 30, 0)
    assert (rules.methods, rules.header, rules.max_body) == (
        {"POST", "PATCH"},
        "Idempotency-Key",
        int(rows["max_body"]),
    )
    assert (rules.keep_errors, rules.strict, rules.runs_without) == (False, False, False)
    assert (rules.identity, rules.namespace) == (None, "")
    assert (rules.required is not None, bool(rules.required), bool(rules.exempt)) == (True, False, False)


def test_every_problem_is_described() -> None:
    """With its status."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", _section("Problems", "###"), re.MULTILINE)
    assert {kind: int(status) for kind, status in rows} == {kind: status for kind, (status, *_) in _PROBLEMS.items()}


def test_every_attribute_of_a_run_is_described() -> None:
    """And no other."""
    assert list(rows_of(_section("IdempotentRun"))) == [field.name for field in fields(IdempotentRun)]
