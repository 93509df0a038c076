"""The registry of key builders, and the builder for views."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from inspect import Signature
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Optional

import pytest
from starlette.requests import Request
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest

from holdfast.errors import ConfigurationError
from holdfast.key_arguments import by_arguments
from holdfast.keybuilders import KeyBuilders, compile_key


def by_tenant(function: Callable[..., Any], signature: Signature, /) -> Callable[[Mapping[str, Any]], str]:
    return lambda arguments: "tenant"


def test_a_registered_builder_is_found_by_name() -> None:
    """Names are per registry: what one layer registers, another does not know."""
    builders = KeyBuilders()
    builders.register("by-tenant", by_tenant)
    builders.register("by-tenant", by_tenant)  # once more the same is no clash
    assert builders.get("by-tenant") is by_tenant
    assert builders.get("by-arguments") is by_arguments
    with pytest.raises(ConfigurationError):
        KeyBuilders().get("by-tenant")


def test_an_unknown_name_lists_what_there_is() -> None:
    """The message names all builders that could have been meant."""
    with pytest.raises(ConfigurationError, match="no key builder 'by-moon'; known are 'by-arguments', 'by-request'"):
        KeyBuilders().get("by-moon")


@pytest.mark.parametrize("name", ["template", "by-arguments", "by-request", "mine"])
def test_a_name_in_use_is_taken_over_only_on_purpose(name: str) -> None:
    """Two packages cannot silently change each other's keys; replace=True says that it is meant."""
    builders = KeyBuilders()
    builders.register("mine", by_arguments)
    with pytest.raises(ConfigurationError, match=f"{name!r} already.*replace=True"):
        builders.register(name, by_tenant)
    builders.register(name, by_tenant, replace=True)
    assert builders.get(name) is by_tenant


@pytest.mark.parametrize("arguments", [("", by_tenant), (7, by_tenant), (by_tenant, "x"), ("x", None)])
def test_what_cannot_be_a_builder_is_refused(arguments: Any) -> None:
    """A name must be text and a builder callable."""
    with pytest.raises(ConfigurationError, match="register"):
        KeyBuilders().register(*arguments)


def test_the_template_builder_asks_for_a_template() -> None:
    """A layer whose builder is `template` refuses functions without key=."""
    with pytest.raises(ConfigurationError, match="needs a template: give key= to"):
        compile_key(by_tenant, builder=KeyBuilders().get("template"))


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that offers builders, as pip would lay it out."""
    points = "by-plugin = key_plugin:build\nbroken = key_plugin_that_is_not_there:build\nvalue = key_plugin:VALUE\n"
    metadata = tmp_path / "key_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: key-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[holdfast.key_builders]\n{points}")
    (tmp_path / "key_plugin.py").write_text("VALUE = 7\ndef build(f, s): return lambda arguments: 'from plugin'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "key_plugin", raising=False)


@pytest.mark.usefixtures("plugins")
def test_builders_of_other_packages_are_loaded_when_asked_for() -> None:
    """Nothing is imported before its name is used, and one package that is broken does not harm the others."""
    builders = KeyBuilders()
    builders.get("by-request")
    assert "key_plugin" not in sys.modules
    assert compile_key(by_tenant, builder=builders.get("by-plugin")).name_of(1, 2) == "from%20plugin"
    with pytest.raises(ConfigurationError, match="'by-plugin' already"):
        builders.register("by-plugin", by_tenant)
    with pytest.raises(ConfigurationError, match="'broken' cannot be loaded from 'key_plugin_that_is_not_there:build'"):
        builders.get("broken")
    with pytest.raises(ConfigurationError, match="'value' in 'key_plugin:VALUE' cannot be called"):
        builders.get("value")
    with pytest.raises(ConfigurationError, match="known are 'broken', 'by-arguments', 'by-plugin'"):
        builders.get("by-moon")


@pytest.mark.usefixtures("plugins")
def test_threads_get_one_builder() -> None:
    """Threads that ask for a builder at the same time, while others register, all get the same object."""
    builders = KeyBuilders()
    start = threading.Barrier(8)
    found: list[object] = []

    def ask(number: int) -> None:
        start.wait(5)
        builders.register(f"own-{number}", by_tenant)
        found.append(builders.get("by-plugin"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def starlette(path: str, query: bytes = b"", method: str = "GET", host: bytes = b"Shop.example:8000") -> Request:
    """Return a request as an ASGI server would bring it."""
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": [(b"host", host)]}
    return Request({**scope, "scheme": "http", "server": ("127.0.0.1", 8000), "root_path": ""})


def werkzeug(path: str, query: str = "", mount: str = "") -> WerkzeugRequest:
    """Return a request as a WSGI server would bring it."""
    url = f"http://shop.example:8000{mount}/"
    return WerkzeugRequest(EnvironBuilder(path=path, query_string=query, base_url=url).get_environ())


def view(request: object, item: int = 0) -> None: ...


name_of = compile_key(view, builder=KeyBuilders().get("by-request")).name_of


def test_a_view_is_named_by_its_url() -> None:
    """Method, host, path and query make the name, the same under ASGI and WSGI."""
    expected = f"{__name__}.view:GET:shop.example%3A8000:/items/7:a=1,b=x&y"
    assert name_of(starlette("/items/7", b"b=x%26y&a=1"), 7) == expected
    assert name_of(werkzeug("/items/7", "b=x%26y&a=1"), item=8) == expected


def test_django_requests_are_read_by_their_own_names() -> None:
    """The host comes from get_host(), which checks it, and the query from META."""
    code = (
        "import django; from django.conf import settings\n"
        "settings.configure(ALLOWED_HOSTS=['shop.example']); django.setup()\n"
        "from django.test import RequestFactory\n"
        "from holdfast.keybuilders import KeyBuilders, compile_key\n"
        "def view(request): ...\n"
        "request = RequestFactory().get('/a b', {'q': ['2', '1'], 'a': ''}, headers={'host': 'shop.example'})\n"
        "print(compile_key(view, builder=KeyBuilders().get('by-request')).name_of(request))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "__main__.view:GET:shop.example:/a%20b:a=,q=2,q=1\n"


def test_the_order_of_different_parameters_does_not_count() -> None:
    """Parameters are sorted by name; repeated ones keep their order, and blank ones are kept."""
    assert name_of(starlette("/", b"b=1&a=2")) == name_of(starlette("/", b"a=2&b=1"))
    assert name_of(starlette("/", b"a=1&a=2")) != name_of(starlette("/", b"a=2&a=1"))
    assert name_of(starlette("/", b"a=")) == name_of(starlette("/", b"a")) != name_of(starlette("/"))


def test_different_requests_have_different_names() -> None:
    """No path or query can be written so that it reads as another; methods, hosts and mounts stay apart."""
    requests = [
        *(
            starlette("/a"),
            starlette("/a", b"b=1"),
            starlette("/a?b=1"),
            starlette("/a:b=1"),
            starlette("/a?b", b"c=1"),
        ),
        *(starlette("/a", b"b?c=1"), starlette("/a", b"b=1%2Cc=2"), starlette("/a", b"b=1&c=2"), starlette("/a/")),
        *(
            starlette("/a", b"b%3D1"),
            starlette("/a", b"x=%ff"),
            starlette("/a", b"x=%fe"),
            starlette("/a", b"x=%EF%BF%BD"),
        ),
        *(starlette("/a", method="HEAD"), starlette("/a", host=b"other.example"), starlette("/A"), starlette("/a%7D")),
        *(werkzeug("/a", mount="/shop"), werkzeug("/a", mount="/blog")),
    ]
    found = [name_of(request) for request in requests]
    assert len(set(found)) == len(found)
    assert not any(set(name) & set("{}\n ") for name in found)


def test_two_views_of_one_url_stay_apart() -> None:
    """A part of a page that is cached by the same request is not taken for the page."""

    def part(request: object) -> None: ...

    assert compile_key(part, builder=KeyBuilders().get("by-request")).name_of(starlette("/")) != name_of(starlette("/"))


class SiteRequest(Request): ...


def annotated(tenant: Annotated[str, "X-Request-Id"], http: Request) -> None: ...
def optional(tenant: str, http: Request | None = None) -> None: ...
def in_annotated(tenant: str, http: Annotated[Request, "the Request"]) -> None: ...
def quoted(tenant: str, http: "Request") -> None: ...  # noqa: UP037 - people who import under TYPE_CHECKING write this
def evaluated(tenant: str, http: Any) -> None: ...
def forward(tenant: str, http: Any) -> None: ...


evaluated.__annotations__ = {"tenant": Annotated[str, "Request"], "http": SiteRequest | None}
forward.__annotations__ = {"tenant": list["Requests"], "http": Optional["HttpRequest"]}  # type: ignore[name-defined]  # noqa: F821 - as text, without the class


@pytest.mark.parametrize("function", [annotated, optional, in_annotated, quoted, evaluated, forward])
def test_a_request_is_found_by_its_annotation(function: Any) -> None:
    """The class's name tells, evaluated or as text, derived, optional or in Annotated; metadata does not."""
    compiled = compile_key(function, builder=KeyBuilders().get("by-request"))
    assert compiled.name_of("t", starlette("/a")).endswith(":/a:")


def test_a_view_without_request_is_refused_when_decorating() -> None:
    """By-request says which parameter it looks for, and an object that is no request is named at the call."""
    with pytest.raises(ConfigurationError, match="'request' or annotated as Request or HttpRequest"):
        compile_key(by_tenant, builder=KeyBuilders().get("by-request"))
    with pytest.raises(ConfigurationError, match=r"'request' is a types\.SimpleNamespace, not a request"):
        name_of(SimpleNamespace(method="GET"))
