"""One line that shows how far a long job is. Plain text; no dependency.

On a terminal the line is redrawn in place; elsewhere (a log, a pipe) four lines are all that is written.
"""

from __future__ import annotations

import time
from typing import Final, TextIO

_WIDTH: Final = 30
_REDRAW: Final = 0.1
"""Seconds between two drawings on a terminal."""
_STEP: Final = 0.25
"""Part of the work between two lines elsewhere."""


class Progress:
    """Draw a bar for `total` pieces of work.

    Args:
        stream: where to draw.
        title: what is being done, in a few words.
        total: pieces of work in all, at least 1.
    """

    def __init__(self, stream: TextIO, title: str, total: int) -> None:
        self._stream = stream
        self._title = title
        self._total = total
        self._done = 0
        self._live = stream.isatty()
        self._began = time.monotonic()
        self._next_time = 0.0
        self._next_share = _STEP

    def advance(self, pieces: int) -> None:
        """Count pieces as done, and draw if it is time to."""
        self._done += pieces
        if self._live:
            self._redraw()
        elif self._next_share * self._total <= self._done < self._total:
            self._next_share += _STEP
            self._write(f"  {self._text()}\n")

    def close(self) -> None:
        """Draw the last state and go to a new line."""
        start = "\r" if self._live else ""
        self._write(f"{start}  {self._text()}\n")

    def _redraw(self) -> None:
        now = time.monotonic()
        if now >= self._next_time:
            self._next_time = now + _REDRAW
            self._write(f"\r  {self._text()}")

    def _text(self) -> str:
        share = min(1.0, self._done / self._total)
        full = round(share * _WIDTH)
        bar = "#" * full + "-" * (_WIDTH - full)
        spent = time.monotonic() - self._began
        return f"{self._title} [{bar}] {share:4.0%}  {self._done:,} of {self._total:,}  {spent:4.1f} s"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
