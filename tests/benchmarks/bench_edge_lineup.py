"""Who is ready for a row about limits or sessions: who was seen to do what it is about competes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import redis
from bench_edge_rows import EdgeRow, with_limit
from bench_edge_trial import SMALL, Commands, Kind, Measuring, commands_of, measure, measure_bare, try_limit
from bench_http_environments import python_with
from bench_http_lineup import gather
from bench_http_processes import Served, serving
from bench_http_rows import Subject
from bench_lineup import Lineup


@contextmanager
def lineup(row: EdgeRow, subjects: Mapping[str, Subject], redis_port: int, folder: Path) -> Iterator[Lineup]:
    """Start a server for each subject, on an empty Redis, try it out, and end all servers after the row."""
    with redis.Redis(port=redis_port) as client:
        client.flushall()
        commands = partial(commands_of, client)

        def measuring(subject: Subject, server: Served) -> Measuring:
            if row.kind is Kind.ADMITTED and not subject.bare:
                _try_small(subject, redis_port, folder)
            return _measuring(row, subject, server, commands)

        with gather(subjects, redis_port, folder, measuring) as ready:
            yield ready


def _measuring(row: EdgeRow, subject: Subject, server: Served, commands: Commands) -> Measuring:
    if subject.bare:
        return measure_bare(server, row.kind, row.connections)
    return measure(server, row.kind, row.connections, commands)


def _try_small(subject: Subject, redis_port: int, folder: Path) -> None:
    """See in a process of its own that a contender refuses at all: in the row it has plenty."""
    module, builder, _ = subject.builder.split(":")
    small = with_limit(replace(subject, builder=f"{module}:{builder}"), SMALL)
    python = python_with(subject.environment, folder)
    with serving(small.server, small.builder, redis_port, python) as server:
        try_limit(server)
