"""Which rights a user of Redis needs for the cache of Django: those of caching, and what Django's page adds."""

from __future__ import annotations

from support.django_site import make_cache
from support.programs import Program
from support.rights import rights
from support.standalone import Standalone


def test_the_rights_of_the_pages_suffice(program: Program) -> None:
    """Every verb works, on a server that knows no script yet."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights("+incrby", "django.md"))
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
