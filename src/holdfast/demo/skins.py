"""A skin of the app with its layer and its server, up for the time of a block.

Each skin has a layer of its own, as two programs would; the same URL and namespace make them share their entries.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.backend.url import parse
from holdfast.demo import page
from holdfast.demo.catalogue import Catalogue
from holdfast.demo.reports import async_cached_reports, cached_reports
from holdfast.demo.servers import serve_asgi, serve_wsgi
from holdfast.demo.watch import Watch
from holdfast.layer import Layer


@dataclass(frozen=True, slots=True)
class Backend:
    """Where entries are kept, and under which names."""

    url: str
    namespace: str

    def __str__(self) -> str:
        """Return where it is, without credentials."""
        place = parse(self.url)
        if place.kind == "memory":
            return "embedded in this process, no server needed"
        return f"Redis {place}" if place.kind in {"sentinel", "cluster"} else f"Redis at {place}"


@dataclass(frozen=True, slots=True)
class Skin:
    """The app behind one framework, answering at an address."""

    name: str
    address: str
    catalogue: Catalogue
    layer: Layer
    watch: Watch


def probe(backend: Backend) -> str | None:
    """Ask the backend once; return its error if it cannot be used.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    watch = Watch()
    with Layer(backend.url, namespace=backend.namespace, hooks=[watch]) as layer:
        layer.cache.get("probe")
    return watch.failure


@contextmanager
def serve_fastapi(database: Path, backend: Backend) -> Generator[Skin]:
    """Serve the app as FastAPI under uvicorn."""
    from holdfast.demo.fastapi_app import create_app

    catalogue, watch = Catalogue(database), Watch()
    layer = Layer(backend.url, namespace=backend.namespace, hooks=[watch])
    reports = async_cached_reports(catalogue, layer)
    app = create_app(reports, layer, lambda: page.render("FastAPI", layer, watch))
    with serve_asgi(app) as address:
        yield Skin("FastAPI", address, catalogue, layer, watch)


@contextmanager
def serve_flask(database: Path, backend: Backend) -> Generator[Skin]:
    """Serve the app as Flask under waitress."""
    from holdfast.demo.flask_app import create_app

    catalogue, watch = Catalogue(database), Watch()
    with Layer(backend.url, namespace=backend.namespace, hooks=[watch]) as layer:
        app = create_app(cached_reports(catalogue, layer), lambda: page.render("Flask", layer, watch))
        with serve_wsgi(app.wsgi_app) as address:
            yield Skin("Flask", address, catalogue, layer, watch)
