"""Fixtures of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import Layer


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
