"""Progress: a bar on a terminal, a line now and then elsewhere, and nothing where it is to be quiet."""

import pytest

from pyro_mixdvae import progress as module
from pyro_mixdvae.progress import duration, progress, remark, say, telling


def run(total: int) -> None:
    with progress("epoch", total, text="at first") as advance:
        advance("one more")
        advance("where it was told to be [3]", total)


def test_a_terminal_shows_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    run(4)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "at first" in shown.err
    assert "4/4" in shown.err.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "[3]" in shown.err
    run(1)
    assert "epoch" not in capsys.readouterr().err


def test_a_file_or_pipe_gets_nothing_of_what_is_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    run(4)
    assert capsys.readouterr() == ("", "")


def test_a_file_or_pipe_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress("frame", 1000, done=100) as advance:
        for seconds, frames in ((10, 150), (31, 200), (40, 300), (62, 400), (120, 1000)):
            now[0] = seconds
            advance("film", frames)
    assert capsys.readouterr().err.splitlines() == [
        "frame 200 of 1000 (20 %), 4 min left: film",
        "frame 400 of 1000 (40 %), 2 min left: film",
    ]


def test_durations_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 89, 91, 3599, 7500)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "2 h 5 min",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "is_quiet", True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(4)
    say("what came of it")
    remark("by the way")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(telling, "is_quiet", False)
    say("what came of it")
    remark("by the way")
    assert capsys.readouterr() == ("what came of it\n", "by the way\n")
