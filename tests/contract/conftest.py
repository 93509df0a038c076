"""Fixtures of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import Layer, limit_rules
from holdfast.core.limit_checks import Rule


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Give sixteen threads, which have ended when the test has."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Redis take as long as it needs: on a machine under load a tenth of a second is soon over."""
    monkeypatch.setattr(limit_rules, "Rule", lambda on_failure, _, shadow: Rule(on_failure, 30.0, shadow))
