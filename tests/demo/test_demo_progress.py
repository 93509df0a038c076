from __future__ import annotations

import io

from holdfast.demo.progress import Progress


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


def _work(stream: io.StringIO, pieces: int = 1000, step: int = 10) -> str:
    progress = Progress(stream, "orders", pieces)
    for _ in range(0, pieces, step):
        progress.advance(step)
    progress.close()
    return stream.getvalue()


def test_a_terminal_sees_one_line_that_is_redrawn() -> None:
    """Each drawing starts with a carriage return; the only new line is at the end."""
    drawn = _work(Terminal())
    assert drawn.count("\n") == 1
    assert drawn.endswith("\n")
    first, *_, last = drawn.split("\r")[1:]
    assert "1% " in first
    assert "[##############################] 100%  1,000 of 1,000" in last


def test_a_log_sees_a_line_for_each_quarter() -> None:
    """Elsewhere than on a terminal there is no carriage return and no flood."""
    lines = _work(io.StringIO()).splitlines()
    assert [line.split("]")[1].split("%")[0].strip() for line in lines] == ["25", "50", "75", "100"]
    assert not any("\r" in line for line in lines)


def test_large_pieces_make_fewer_lines() -> None:
    """Work that comes in one piece is told once."""
    assert _work(io.StringIO(), 1000, 1000).count("100%") == 1
