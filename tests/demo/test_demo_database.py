from __future__ import annotations

import io
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.demo import database, rows
from holdfast.demo.database import Size, is_complete, prepare

TINY = Size(products=24, orders=200)


def test_a_database_holds_as_many_rows_as_asked_for(tmp_path: Path) -> None:
    """The counts are those of the command line, and no other file stays in the folder."""
    path = prepare(tmp_path, TINY, io.StringIO())
    with closing(database.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM products").fetchone() == (24,)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (200,)
    assert [file.name for file in tmp_path.iterdir()] == [TINY.filename]


def test_the_next_run_uses_the_same_file_and_says_so(tmp_path: Path) -> None:
    """The second run reads what the first has made, without writing."""
    path = prepare(tmp_path, TINY, io.StringIO())
    before = path.stat()
    out = io.StringIO()
    assert prepare(tmp_path, TINY, out) == path
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "used again" in out.getvalue()


def test_another_size_is_another_file(tmp_path: Path) -> None:
    """A small database is never taken for the big one."""
    assert prepare(tmp_path, TINY, io.StringIO()) != prepare(tmp_path, Size(24, 201), io.StringIO())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C or a full disk in the middle: no file stays, and the next run makes a whole database."""
    whole = rows.orders

    def half(count: int, bought: list[rows.Product]) -> Iterator[rows.Order]:
        for order in whole(count, bought):
            if order.id > count / 2:
                raise error
            yield order

    with monkeypatch.context() as patch:
        patch.setattr(rows, "orders", half)
        with pytest.raises(error):
            prepare(tmp_path, TINY, io.StringIO())
    assert list(tmp_path.iterdir()) == []
    assert is_complete(prepare(tmp_path, TINY, io.StringIO()), TINY)


@pytest.mark.parametrize("damage", ["empty", "noise", "half", "no tables"])
def test_a_damaged_database_is_made_anew(tmp_path: Path, damage: str) -> None:
    """Only a whole database of the right size is used; a new one takes the name at once, never bit by bit."""
    path = tmp_path / TINY.filename
    if damage == "half":
        prepare(tmp_path, TINY, io.StringIO())
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM orders WHERE id > 100")
    elif damage == "no tables":
        sqlite3.connect(path).close()
    else:
        path.write_bytes(b"" if damage == "empty" else b"noise" * 1000)
    assert not is_complete(path, TINY)
    with path.open("rb") as damaged:
        assert is_complete(prepare(tmp_path, TINY, io.StringIO()), TINY)
        assert os.fstat(damaged.fileno()).st_ino != path.stat().st_ino


def test_two_runs_at_once_both_end_with_a_whole_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both build; whoever is last replaces the other's file, which an open connection still reads to its end."""
    meet = threading.Barrier(2)
    build = database._build

    def build_together(path: Path, size: Size, out: io.StringIO) -> None:
        meet.wait(30)
        build(path, size, out)

    monkeypatch.setattr(database, "_build", build_together)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(prepare(tmp_path, TINY, io.StringIO()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert all(is_complete(path, TINY) for path in found)
    assert [file.name for file in tmp_path.iterdir()] == [TINY.filename]


def test_leavings_of_a_dead_run_are_removed_and_those_of_a_live_one_kept(tmp_path: Path) -> None:
    """A killed run cannot clean up; the next one does, once the file has not been written for an hour."""
    dead, live = tmp_path / f"{TINY.filename}.dead.partial", tmp_path / f"{TINY.filename}.live.partial"
    dead.touch()
    live.touch()
    os.utime(dead, (0, 0))
    prepare(tmp_path, TINY, io.StringIO())
    assert not dead.exists()
    assert live.exists()


def test_reports_cannot_write(tmp_path: Path) -> None:
    """The connection of the reports reads only, so that no run can change what another one trusts."""
    with (
        closing(database.connect(prepare(tmp_path, TINY, io.StringIO()))) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM orders")
