"""Which rights a user of Redis needs for the cache of Django: those of caching, and what Django's page adds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from support.django_site import make_cache
from support.programs import Program
from support.standalone import Standalone

GUIDES: Final = Path(__file__).parents[2] / "docs" / "guides"


def rights() -> list[str]:
    """Return the rights of the page about connecting, first block, and of the page about Django."""
    first, more = (
        next(
            block
            for block in re.findall(r"```text\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
            if mark in block
        )
        for page, mark in ((GUIDES / "connecting.md", "ACL SETUSER"), (GUIDES / "django.md", "+incrby"))
    )
    return [*first.split()[3:], *more.split()]


def test_the_rights_of_the_pages_suffice(program: Program) -> None:
    """Every verb works, on a server that knows no script yet."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights())
        cache = make_cache(f"redis://app:secret@{server.host}:{server.port}/0", "shop", OPTIONS={"on_failure": "raise"})
        with cache.layer:
            cache.set_many({"a": [1], "n": 1, "f": 1.5})
            assert cache.add("b", 1) is True
            assert (cache.incr("n"), cache.incr("f")) == (2, 2.5)
            assert cache.touch("a") is True
            assert cache.has_key("a") is True
            assert cache.incr_version("a") == 2
            assert cache.get_many(["a", "b"]) == {"b": 1}
            assert cache.get_or_set("c", 3) == 3
            assert cache.delete("b") is True
            cache.clear()
            assert cache.get("c") is None
