"""Promises of the script files: each explains itself, and none uses what some server lacks."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from holdfast.scripts import load

NAMES = sorted(file.name.removesuffix(".lua") for file in files("holdfast.scripts").iterdir() if ".lua" in file.name)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_what_a_caller_must_know(name: str) -> None:
    """A file opens with its keys, arguments and reply, what it costs, and whether it may be executed twice."""
    header = load(name).source.partition("\n\n")[0]
    assert all(line.startswith("--") for line in header.splitlines())
    for part in (r"^-- KEYS   1 ", r"^-- ARGV   1 ", r"^-- Reply  ", r"^-- O\(", r"([Nn]ot r|R)epeatable"):
        assert re.search(part, header, re.MULTILINE), part


@pytest.mark.parametrize("name", NAMES)
def test_the_code_runs_on_every_server(name: str) -> None:
    """No library that an embedded server lacks, no key made up in the script, no clock but TIME, no global name."""
    code = "\n".join(line for line in load(name).source.splitlines() if not line.startswith("--"))
    assert not re.search(r"cmsgpack|cjson|sha1hex|bit\.|os\.|'(KEYS|SCAN|FLUSHALL|FLUSHDB)'", code)
    commands = re.findall(r"redis\.call\('(\w+)'(, KEYS\[\d\]|, ARGV\[\d\])?", code)
    assert commands
    for command, first in commands:
        assert {"TIME": "", "PUBLISH": ", ARGV"}.get(command, ", KEYS") == first[:6], command
    assigned = set(re.findall(r"^\s*(\w+) = ", code, re.MULTILINE))
    assert assigned <= set(re.findall(r"local (\w+) = ", code))
