"""A store that refuses whoever comes too late: it compares the fencing tokens of a lock.

    python examples/fenced_store.py

Two writers have the same page to write. The first one gets the lock, and then stands still for longer than its lease,
as a process does that is paused or swapped out. The second one gets the lock and writes. When the first one goes on, it
still believes that it has the lock.

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from holdfast import Layer, LockLost

layer = Layer.from_env()


class Store:
    """Pages by name, each with the fencing token of whoever wrote it last."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE page (name TEXT PRIMARY KEY, text TEXT NOT NULL, fence INTEGER NOT NULL)")

    def write(self, name: str, text: str, fence: int) -> bool:
        """Write a page, unless a later holder of its lock has written it; say whether it was written.

        Comparing and writing are one statement: if they were two, a writer could be paused between them.
        """
        with self._database:
            done = self._database.execute(
                "INSERT INTO page VALUES (?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET text = excluded.text, fence = excluded.fence WHERE excluded.fence >= page.fence",
                (name, text, fence),
            )
        return done.rowcount == 1

    def read(self, name: str) -> str:
        """Return the text of a page."""
        text: str = self._database.execute("SELECT text FROM page WHERE name = ?", (name,)).fetchone()[0]
        return text


def write_twice(store: Store) -> None:
    """Let two writers write, the first one late."""
    first = layer.lock("page:tea", lease="0.5s", max_lifetime="0.5s").acquire()
    print("the first writer writes:", store.write("tea", "a draft", first.fencing_token))
    time.sleep(0.6)  # it stands still: nobody renews its lease

    with layer.lock("page:tea", wait="5s") as second:
        print("the second writer writes:", store.write("tea", "the page", second.fencing_token))
        print("its token is higher:", second.fencing_token > first.fencing_token)

    print("the first writer writes on:", store.write("tea", "the draft, changed", first.fencing_token))
    print("so there is:", store.read("tea"))
    try:
        first.check()
    except LockLost:
        print("and had it looked, it would have known")


if __name__ == "__main__":
    with layer, closing(sqlite3.connect(":memory:")) as database:
        write_twice(Store(database))
