"""The progress bar: seen on a terminal, and nowhere else."""

import pytest

from pyro_mixdvae.progress import progress


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


def test_a_file_or_pipe_gets_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    run(4)
    assert capsys.readouterr() == ("", "")
