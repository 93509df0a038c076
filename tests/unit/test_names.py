"""Which channels and keys are ours: other programs use the same Redis, and some names look nearly like ours."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from holdfast.policy.names import Names

FOREIGN = ["news:sports", "news:{sports", "news:", "tag-news:sports", "tag-news:{sports", "tag:7", "tag:{7", "x", ""]


@pytest.mark.parametrize("namespace", ["", "shop"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_names_belong_to_nothing(namespace: str, name: str) -> None:
    """What has no name in braces behind one of our beginnings is not ours; nothing fails at it."""
    names = Names(namespace)
    for full in (name, f"{namespace}:{name}" if namespace else name):
        assert names.key_of(full) is None
        assert names.tag_of(full) is None


@pytest.mark.parametrize("namespace", ["", "shop"])
def test_our_channels_tell_what_they_are_about(namespace: str) -> None:
    """The channels of an entry and of a tag are found by the patterns, and lead back to what they tell of."""
    names = Names(namespace)
    key = names.entries + "product:7}"
    news, tag_news = names.places(key).news, names.tag_news("category:7")
    assert (names.key_of(news), names.tag_of(news)) == (key, None)
    assert (names.key_of(tag_news), names.tag_of(tag_news)) == (None, "category:7")
    assert names.tag_of(names.tag("category:7")) == "category:7"
    assert [fnmatchcase(channel, pattern) for channel in (news, tag_news) for pattern in names.patterns] == [
        True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("channel", ["news:sports", "tag-news:sports", "news:", "daily-news:{sports}"])
def test_the_patterns_leave_out_what_has_no_name_in_braces(channel: str) -> None:
    """A near cache without a namespace is not sent what others publish under the plain word."""
    assert not any(fnmatchcase(channel, pattern) for pattern in Names("").patterns)
