"""Who is ready for a row: subjects whose server runs, and who were seen to do what it is about, compete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import redis
from bench_frame import Contender, Slice, describe
from bench_http_environments import python_with
from bench_http_processes import Served, serving
from bench_http_rows import HttpRow, Subject
from bench_http_trial import measure, measure_bare
from bench_lineup import Lineup


@contextmanager
def lineup(row: HttpRow, subjects: Mapping[str, Subject], redis_port: int, folder: Path) -> Iterator[Lineup]:
    """Start a server for each subject, on an empty Redis, try it out, and end all servers after the row."""
    with redis.Redis(port=redis_port) as client:
        client.flushall()
    with gather(subjects, redis_port, folder, partial(_measuring, row)) as ready:
        yield ready


@contextmanager
def gather(
    subjects: Mapping[str, Subject],
    redis_port: int,
    folder: Path,
    measuring: Callable[[Subject, Served], Callable[[float], Slice]],
) -> Iterator[Lineup]:
    """Start a server for each subject, and end all at the end of a block.

    Args:
        subjects: who is to compete.
        redis_port: where the benchmark's Redis listens.
        folder: where environments of peers are kept.
        measuring: tries a server out, and returns what measures it; one that raises does not compete.
    """
    contenders: list[Contender] = []
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        for name, subject in subjects.items():
            try:
                python = python_with(subject.environment, folder)
                server = stack.enter_context(serving(subject.server, subject.builder, redis_port, python))
                contenders.append(Contender(name, measuring(subject, server)))
            except Exception as error:  # reported in the row; the others compete
                failures[name] = describe(error)
        yield Lineup(contenders, failures)


def _measuring(row: HttpRow, subject: Subject, server: Served) -> Callable[[float], Slice]:
    if subject.bare:
        return measure_bare(server, row.asking, row.connections)
    return measure(server, row.asking, row.kind, row.connections)
