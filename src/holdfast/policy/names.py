"""Which keys and channels belong together: those of one entry share the name in braces, and so the cluster's slot."""

from __future__ import annotations

from typing import NamedTuple


class Places(NamedTuple):
    """Where the parts of one entry are."""

    value: str
    """The key of the value; empty for what is only shared while it loads, and not kept."""
    lease: str
    news: str
    """The channel that tells of fills, failures and invalidations."""

    def result(self, token: str) -> str:
        """Return the key of a result that is not kept, for those who wait under its lease."""
        return f"{self.lease}:{token}"


class Names:
    """The keys of one namespace, made of the key of a value or the name of a tag.

    Example:
        >>> Names("shop").places("shop:cache:{product:7}").lease
        'shop:lease:{product:7}'
    """

    __slots__ = ("_start", "entries", "epoch", "flights", "limits")

    def __init__(self, namespace: str) -> None:
        self._start = f"{namespace}:" if namespace else ""
        self.entries = f"{self._start}cache:{{"
        """What the keys of values begin with."""
        self.flights = f"{self._start}flight:{{"
        """What the keys of leases begin with under which nothing is kept."""
        self.epoch = f"{self._start}tag-epoch"
        self.limits = f"{self._start}limit:{{"
        """What the keys of limits begin with."""

    def places(self, key: str) -> Places:
        """Return where the parts of an entry are, from its key."""
        name = key[key.index("{") :]
        if key.startswith(self.flights):
            return Places("", key, f"{self._start}flight-news:{name}")
        return Places(key, f"{self._start}lease:{name}", f"{self._start}news:{name}")

    def tag(self, tag: str) -> str:
        """Return the key of a tag's versions."""
        return f"{self._start}tag:{{{tag}}}"

    def tag_news(self, tag: str) -> str:
        """Return the channel that tells of a tag's invalidations."""
        return f"{self._start}tag-news:{{{tag}}}"

    def key_of(self, news: str) -> str | None:
        """Return the key of the value that a channel tells of; None if it tells of no value of ours.

        Other programs may publish under the same patterns whatever they like.
        """
        start = f"{self._start}news:{{"
        return self.entries + news[len(start) :] if news.startswith(start) and news.endswith("}") else None

    def tag_of(self, name: str) -> str | None:
        """Return the tag that a key or a channel belongs to; None if it belongs to none."""
        for start in (f"{self._start}tag:{{", f"{self._start}tag-news:{{"):
            if name.startswith(start) and name.endswith("}"):
                return name[len(start) : -1]
        return None

    @property
    def patterns(self) -> tuple[str, str]:
        """The patterns of all channels that tell of entries and of tags."""
        start = "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in self._start)
        return f"{start}news:{{*", f"{start}tag-news:{{*"

    @property
    def tracked(self) -> tuple[str, str]:
        """What the keys of values and of tags begin with."""
        return self.entries, f"{self._start}tag:{{"
