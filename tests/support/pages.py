"""The pages of the documentation as data: their fenced blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FENCE: Final = "```"
_HEADING: Final = re.compile(r"#{1,6} +(.*)")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_ROW: Final = re.compile(r"\| *`([^`]+)` *\|(?: *`([^`]*)` *\|)?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    kind: str
    """What it is: ``python``, ``shell``, ``text`` ..."""
    flags: tuple[str, ...]
    """What else stands behind the opening fence."""
    text: str
    line: int
    """The number of its first line, from 1."""

    @property
    def file(self) -> str:
        """Return the name under which it is to be saved, or nothing."""
        return next((flag.removeprefix("file=") for flag in self.flags if flag.startswith("file=")), "")


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the fenced blocks in the text of a page."""
    lines = enumerate(page.splitlines(keepends=True), 1)
    for number, line in lines:
        if not line.startswith(_FENCE):
            continue
        body = []
        for _, inner in lines:
            if inner.startswith(_FENCE):
                break
            body.append(inner)
        else:
            raise AssertionError(f"line {number}: this block is not closed")
        kind, *flags = line.removeprefix(_FENCE).split() or [""]
        yield Block(kind, tuple(flags), "".join(body), number + 1)


def prose_of(page: str) -> list[str]:
    """Return the lines of a page that are not in a block."""
    prose, inside = [], False
    for line in page.splitlines():
        if line.startswith(_FENCE):
            inside = not inside
        elif not inside:
            prose.append(line)
    return prose


def headings_of(page: str) -> list[str]:
    """Return the texts of the headings."""
    return [found[1].strip() for line in prose_of(page) if (found := _HEADING.match(line))]


def anchors_of(page: str) -> set[str]:
    """Return what a link to a heading may end in, as GitHub makes it of the heading's text."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings_of(page)}


def links_of(page: str) -> list[str]:
    """Return where the links lead to."""
    return _LINK.findall("\n".join(prose_of(page)))  # a link's text may go over the end of a line


def rows_of(page: str) -> dict[str, str]:
    """Return the rows of tables that begin with a name in backticks, with the second column if that is in them too."""
    return {found[1]: found[2] or "" for line in prose_of(page) if (found := _ROW.match(line))}


def matches(shown: str, found: str) -> bool:
    """Say whether a text is what a page shows; three dots there stand for anything."""
    pattern = ".*".join(map(re.escape, shown.strip().split("...")))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None
