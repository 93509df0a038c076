from __future__ import annotations

from importlib.util import find_spec

import pytest

from holdfast import __version__
from holdfast.cli import main
from holdfast.demo import command, driver, reports
from support.topologies import Servers, Topology

UNREACHABLE = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three warm passes show what twenty would."""
    monkeypatch.setattr(driver, "WARM_PASSES", 3)


def test_the_check_passes_on_the_embedded_backend(
    demo_words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Warm answers equal cold ones and were served from the cache, in both skins; nothing is said on stderr."""
    assert main([*demo_words, "--check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Backend:  embedded in this process, no server needed" in printed.out
    titles = {line.strip().split("  ")[0] for line in printed.out.splitlines()}
    assert {"requests", "cold, median", "warm, median", "speed-up", "hit ratio", "queries saved"} <= titles
    assert "Shared: Flask answered 9 of 9 reports" in printed.out
    assert "--serve" in printed.out


def test_the_check_passes_on_every_server_and_leaves_only_keys_that_expire(
    demo_words: tuple[str, ...], server_topology: Topology, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single server, a cluster, a primary that Sentinels name: every key is the demo's own and lives for minutes."""
    before = server_topology.ttls("")
    assert main([*demo_words, "--check", "--url", server_topology.url]) == 0
    assert "Backend:  Redis " in capsys.readouterr().out
    ours = {key: ttl for key, ttl in server_topology.ttls("").items() if key not in before}
    assert len(ours) >= len(reports.PAGES)
    assert all(key.startswith("holdfast-demo-") for key in ours)
    assert all(0 < ttl <= 600 for ttl in ours.values())


def test_the_first_pass_is_cold_on_a_server_that_an_earlier_run_has_used(
    demo_words: tuple[str, ...], servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run has a namespace of its own, so each runs every query once."""
    for _ in range(2):
        assert main([*demo_words, "--url", servers.standalone().url]) == 0
        (row,) = (line for line in capsys.readouterr().out.splitlines() if "queries run" in line)
        assert row.split()[2:4] == ["9", "9"]


def test_an_unreachable_server_is_told_and_the_apps_answer_all_the_same(
    demo_words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --check that is no failure of the demo: it shows what holdfast does when Redis is down."""
    assert main([*demo_words, "--url", UNREACHABLE]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "It cannot be used: BackendUnavailable" in printed.out
    assert "answered 500" not in printed.out
    assert "The cache did not do its work" in printed.out


def test_the_check_fails_on_an_unreachable_server(
    demo_words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The reasons are on stderr, one a line."""
    assert main([*demo_words, "--check", "--url", UNREACHABLE]) == 1
    reasons = capsys.readouterr().err.splitlines()
    assert all(reason.startswith("holdfast demo: ") for reason in reasons)
    assert any("the backend failed" in reason for reason in reasons)
    assert any("queries were run" in reason for reason in reasons)


def test_the_check_fails_when_entries_do_not_last(
    demo_words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that answers but keeps nothing is found out by the queries that are run for warm requests."""
    monkeypatch.setattr(reports, "TTL", "1ms")
    assert main([*demo_words, "--check"]) == 1
    assert "queries were run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "reason"), [("nonsense", "scheme"), ("redis://:pass-phrase@host:port", "port"), ("ftp://host", "scheme")]
)
def test_a_bad_url_is_one_clear_line(
    demo_words: tuple[str, ...], capsys: pytest.CaptureFixture[str], url: str, reason: str
) -> None:
    """Exit code 2, the part at fault, no traceback, and never the password."""
    assert main([*demo_words, "--url", url]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("holdfast demo: ")
    assert printed.err.count("\n") == 1
    assert reason in printed.err
    assert "pass-phrase" not in printed.err + printed.out


def test_a_password_is_not_printed(demo_words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither where the backend is named nor in its errors."""
    main([*demo_words, "--check", "--url", "redis://user:pass-phrase@127.0.0.1:1"])
    printed = capsys.readouterr()
    assert "pass-phrase" not in printed.out + printed.err


@pytest.mark.parametrize("words", [["demo", "--products", "3"], ["demo", "--orders", "many"], ["nonsense"], []])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage is on stderr, and nothing is started."""
    assert main(words) == 2
    assert "usage: holdfast" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["demo", "--help"]])
def test_version_and_help_exit_with_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """They print to stdout."""
    assert main(words) == 0
    printed = capsys.readouterr()
    assert __version__ in printed.out or "usage: holdfast" in printed.out
    assert printed.err == ""


def test_missing_packages_are_named_with_the_command_that_installs_them(
    demo_words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "waitress" else find_spec(name))
    assert main([*demo_words]) == 2
    assert capsys.readouterr().err == "holdfast demo: waitress not installed; run: pip install 'holdfast[demo]'\n"


def test_ctrl_c_is_one_line(
    demo_words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it comes, there is no traceback, and the exit code is the shell's own for it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "tour", interrupt)
    assert main([*demo_words]) == 130
    assert "interrupted" in capsys.readouterr().err
