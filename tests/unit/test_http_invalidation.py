"""Invalidation (RFC 9111, section 4.4): what a request changes is not used any more, and nobody else's is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.fields import Fields
from holdfast.policy.http.invalidation import invalidated, is_safe_method
from holdfast.policy.http.target import Target, same_origin

TARGET = Target("https", "shop.example", "/basket/1", "x=1")
SAFE = ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"]
TEXTS = st.text(st.sampled_from("/.:?#a@[]% \t\r\n\\hps"), max_size=20) | st.text(max_size=20)


@pytest.mark.parametrize("method", SAFE)
def test_9110_9_2_1_safe_methods_invalidate_nothing(method: str) -> None:
    """What the registry calls safe changes nothing, whatever the answer names."""
    assert is_safe_method(method)
    assert invalidated(method, 200, TARGET, Fields([("location", "/a")])) == []


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "FROBNICATE", "get", "Get", "GET ", "", "é"]
)
def test_9111_4_4_other_methods_invalidate_the_target(method: str) -> None:
    """Unsafe ones and unknown ones; methods have a case."""
    assert not is_safe_method(method)
    assert invalidated(method, 200, TARGET, Fields([])) == [TARGET]


@pytest.mark.parametrize(
    ("status", "invalidates"),
    [
        *[(status, True) for status in (200, 204, 299, 303, 304, 399)],
        *[(status, False) for status in (0, 100, 103, 199, 400, 404, 500, 599)],
    ],
)
def test_9111_4_4_only_success_invalidates(status: int, invalidates: bool) -> None:
    """2xx and 3xx are no errors; who is refused cannot empty the cache."""
    found = invalidated("POST", status, TARGET, Fields([("location", "/a")]))
    assert found == ([TARGET, TARGET._replace(path="/a", query=None)] if invalidates else [])


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ([("Location", "/a")], ["/a"]),
        ([("Content-Location", "2")], ["/basket/2"]),
        ([("Location", "https://shop.example:443/a#x")], ["/a"]),
        ([("Location", "../b?y=2"), ("content-location", "/c")], ["/b?y=2", "/c"]),
        ([("Location", "/a"), ("Location", "/b")], ["/a", "/b"]),
        ([("Location", "/a"), ("Content-Location", "/a")], ["/a"]),
        ([("Content-Location", "/basket/1?x=1")], []),
        ([("Location", "//evil.example/a")], []),
        ([("Location", "http://shop.example/a")], []),
        ([("Location", "https://shop.example:8443/a")], []),
        ([("Location", "https://user@shop.example/a")], []),
        ([("Location", "https://shop.example.evil.example/a")], []),
        ([("Location", ""), ("Content-Location", "mailto:a@b")], []),
        ([("Link", "/a"), ("Refresh", "/b")], []),
    ],
)
def test_9111_4_4_what_the_answer_names_on_the_same_origin(fields: list[tuple[str, str]], paths: list[str]) -> None:
    """Location and Content-Location, relative ones too, each once; another origin's URL is never invalidated."""
    found = invalidated("PUT", 201, TARGET, Fields(fields))
    assert found[0] == TARGET
    assert [each.url for each in found[1:]] == [f"https://shop.example{path}" for path in paths]


@given(
    TEXTS | st.just("POST"),
    st.integers(0, 700),
    st.lists(st.tuples(st.sampled_from(["Location", "content-location"]), TEXTS)),
)
def test_no_answer_raises(method: str, status: int, pairs: list[tuple[str, str]]) -> None:
    """Whatever it names, the target is first, all are of its origin, and none comes twice."""
    found = invalidated(method, status, TARGET, Fields(pairs))
    assert bool(found) == (200 <= status < 400 and method not in SAFE)
    assert found[:1] in ([], [TARGET])
    assert all(same_origin(each, TARGET) for each in found)
    assert len(set(found)) == len(found)
