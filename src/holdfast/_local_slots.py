"""Concurrency slots in this process alone, for the time that Redis is away: each process grants its fair share."""

from __future__ import annotations

import threading


class LocalSlots:
    """Who was let in without Redis, by the key of the slots."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self.after_fork()

    def after_fork(self) -> None:
        """In a child process: those who were let in are in the parent."""
        self._lock = threading.RLock()  # a forgotten generator may leave while its thread is in here
        self._held: dict[str, set[str]] = {}

    def take(self, key: str, token: str, limit: int) -> int | None:
        """Let somebody in, if this process's share of `limit` has room; return how many more would fit, or None."""
        share = max(1, limit // self._replicas)
        with self._lock:
            held = self._held.get(key, set())
            if len(held) >= share:
                return None
            held.add(token)
            self._held[key] = held
            return share - len(held)

    def leave(self, key: str, token: str) -> None:
        """Note that somebody has left, who was perhaps let in here."""
        if key in self._held:
            with self._lock:
                held = self._held.get(key, set())
                held.discard(token)
                if not held:
                    self._held.pop(key, None)
