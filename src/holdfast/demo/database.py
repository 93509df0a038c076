"""The demo's SQLite database: made once, whole or not at all, and reused by the next run.

It is written under a name that no other run has and renamed when it is complete. So an interrupted run leaves nothing
that would be trusted, and two runs at once each finish with a whole database.

There is no index but the primary keys, on purpose: the reports have to read the orders, as they do in a shop that has
outgrown its indexes.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

from holdfast.demo import rows
from holdfast.demo.progress import Progress

_VERSION: Final = 1
"""Raised when the rows or tables change, so that a database of an older version is not reused."""
_BATCH: Final = 20_000
_ABANDONED: Final = 3600
"""Seconds without a write after which an unfinished file is a dead run's."""
_TABLES: Final = """
    CREATE TABLE products (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price_cents INTEGER NOT NULL,
        stock INTEGER NOT NULL
    );
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, product_id INTEGER NOT NULL, quantity INTEGER NOT NULL,
        paid_cents INTEGER NOT NULL, day TEXT NOT NULL
    );
"""

Row = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How big the shop is."""

    products: int
    orders: int

    @property
    def filename(self) -> str:
        """The name of the database of this size."""
        return f"catalogue-v{_VERSION}-{self.products}-{self.orders}.sqlite3"


def prepare(folder: Path, size: Size, out: TextIO) -> Path:
    """Return the path of the database of this size, made now if it is not there.

    Args:
        folder: where databases are kept.
        size: how many rows.
        out: where to report progress.
    """
    path = folder / size.filename
    if is_complete(path, size):
        print(f"The database of the last run is used again: {path}", file=out)
        return path
    print(f"Making a database, once; the next run uses it again: {path}", file=out)
    _remove_abandoned(folder)
    handle, name = tempfile.mkstemp(prefix=f"{size.filename}.", suffix=".partial", dir=folder)
    os.close(handle)
    partial = Path(name)
    try:
        _build(partial, size, out)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def is_complete(path: Path, size: Size) -> bool:
    """Say whether `path` is a whole database of this size."""
    if not path.is_file():
        return False
    try:
        with closing(connect(path)) as connection:
            last = "SELECT (SELECT max(id) FROM products), (SELECT max(id) FROM orders)"
            found: tuple[int, int] = connection.execute(last).fetchone()
    except sqlite3.DatabaseError:
        return False
    return found == (size.products, size.orders)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for reading only. The caller closes it, in the thread that opened it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _build(path: Path, size: Size, out: TextIO) -> None:
    # Autocommit mode, so that the transactions are those written here. Without a journal and without waiting for the
    # disk: a file that was not finished is thrown away, and _flush waits once, at the end.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES)
        bought = list(rows.products(size.products))
        _insert(connection, "products", 5, bought, Progress(out, "products", size.products))
        _insert(connection, "orders", 6, rows.orders(size.orders, bought), Progress(out, "orders  ", size.orders))
    _flush(path)


def _insert(
    connection: sqlite3.Connection, table: str, columns: int, values: Iterable[Row], progress: Progress
) -> None:
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
    connection.execute("BEGIN")
    for batch in _batches(values):
        connection.executemany(statement, batch)
        progress.advance(len(batch))
    connection.execute("COMMIT")
    progress.close()


def _batches(values: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(values)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _flush(path: Path) -> None:
    """Wait until the file is on the disk, so that its final name never stands for a file that a crash cut short."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove_abandoned(folder: Path) -> None:
    limit = time.time() - _ABANDONED
    for partial in folder.glob("catalogue-*.partial"):
        try:
            if partial.stat().st_mtime < limit:
                partial.unlink()
        except FileNotFoundError:
            continue  # its own run, or another one, has removed it
