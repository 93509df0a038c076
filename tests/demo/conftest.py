from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from holdfast.demo import database
from holdfast.demo.catalogue import Catalogue

SMALL = database.Size(products=1200, orders=3000)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small database: every report has rows, and some products were never sold."""
    folder = tmp_path_factory.mktemp("catalogue")
    database.prepare(folder, SMALL, StringIO())
    return folder


@pytest.fixture
def demo_words(demo_folder: Path) -> tuple[str, ...]:
    """Return the command line that runs the demo on that database."""
    return "demo", "--folder", str(demo_folder), "--products", str(SMALL.products), "--orders", str(SMALL.orders)


@pytest.fixture
def small_database(demo_folder: Path) -> Path:
    """Return the path of that database."""
    return demo_folder / SMALL.filename


@pytest.fixture
def catalogue(small_database: Path) -> Catalogue:
    """Return the reports of that database, with a count of their own."""
    return Catalogue(small_database)
