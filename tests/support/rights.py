"""Which rights a user of Redis needs, as the pages name them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GUIDES: Final = Path(__file__).parents[2] / "docs" / "guides"


def rights(mark: str = "", page: str = "connecting.md") -> list[str]:
    """Return the rights for caching, the first block of the page about connecting, and those of another block.

    Args:
        mark: what stands in the other block only; empty: none.
        page: the guide that has it.
    """
    found = _block("connecting.md", "ACL SETUSER").split()[3:]
    return [*found, *_block(page, mark).split()] if mark else found


def _block(page: str, mark: str) -> str:
    text = (GUIDES / page).read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL) if mark in block)
