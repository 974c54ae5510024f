"""`mixdvae separate --presence` and `--silences`: what they write, and what they refuse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_sounds import low_and_high, low_and_high_weights

from pyro_mixdvae.separation import fit

Run = Callable[..., tuple[int, str, str]]
RATE = 16_000


@pytest.fixture
def separate(mixdvae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `mixdvae separate` on a mixture of .3 s, in one look."""
    monkeypatch.setattr(fit, "BAD", 1e9)
    monkeypatch.setattr(fit, "UNSTEADY", -1e9)
    soundfile.write(tmp_path / "mix.wav", sum(low_and_high(0.3, 2)), RATE, subtype="FLOAT")
    sources = ",".join(low_and_high_weights(tmp_path))

    def call(*arguments: object, mixtures: tuple[object, ...] = (tmp_path / "mix.wav",)) -> tuple[int, str, str]:
        options = ("-o", tmp_path / "out", "--sources", sources, "--iterations", 1, "--no-plot")
        return mixdvae("separate", *mixtures, *options, *arguments)

    return call


@pytest.fixture
def presence(tmp_path: Path) -> Path:
    path = tmp_path / "when.csv"
    path.write_text("name,from,to\nhigh,0.1,0.2\n")
    return path


def test_presence_from_a_file(separate: Run, presence: Path, tmp_path: Path) -> None:
    code, _, error = separate("--presence", presence)
    assert code == 0, error
    found = (tmp_path / "out/mix/presence.csv").read_text()
    assert found == "name,from,to,probability\nlow,0.000,0.300,1.0000\nhigh,0.100,0.200,1.0000\n"
    mix, low, high = (
        soundfile.read(path, dtype="float32")[0]
        for path in (tmp_path / "mix.wav", tmp_path / "out/mix/low.wav", tmp_path / "out/mix/high.wav")
    )
    assert not high[: int(0.09 * RATE)].any()
    assert not high[int(0.21 * RATE) :].any()
    assert high[int(0.1 * RATE) : int(0.2 * RATE)].any()
    np.testing.assert_allclose(low + high, mix, atol=1e-6)


def test_silences_are_inferred_and_a_run_is_repeated_from_its_model(separate: Run, tmp_path: Path) -> None:
    code, _, error = separate("--silences")
    assert code == 0, error
    table = (tmp_path / "out/mix/presence.csv").read_text()
    assert table.startswith("name,from,to,probability\n")
    model = tmp_path / "model.toml"
    (tmp_path / "out/mix/model.toml").rename(model)
    assert '[silence]\nfamily = "chain"' in model.read_text()
    code, _, error = separate("--overwrite", "--model", model)
    assert code == 0, error
    assert (tmp_path / "out/mix/presence.csv").read_text() == table


def test_without_either_nothing_is_said_of_presence(separate: Run, presence: Path, tmp_path: Path) -> None:
    """What a former run has said of it goes with its stems; a table of the user's own stays."""
    table = tmp_path / "out/mix/presence.csv"
    assert separate("--presence", presence)[0] == 0
    code, told, _ = separate("--overwrite")
    assert code == 0
    assert not table.exists()
    assert f"Of a former run, and gone with it: {table}" in told
    table.write_text("name,age\nlow,7\n")
    assert separate("--overwrite")[0] == 0
    assert table.exists()


def test_stems_of_a_former_run_go_with_it(separate: Run, tmp_path: Path) -> None:
    """Those that its model names, and what stood beside them; other files are the user's own."""
    stems = tmp_path / "out/mix"
    other = tmp_path / "viola.safetensors"
    other.write_bytes((tmp_path / "high.safetensors").read_bytes())
    assert separate("--residual", "--save-posterior", "--sources", f"{tmp_path / 'low.safetensors'},{other}")[0] == 0
    gone = [stems / name for name in ("viola.wav", "residual.wav", "posterior.npz")]
    own = [stems / "notes.txt", stems / "mine.wav", stems / "high.wav"]
    assert all(path.exists() for path in gone)
    for path in own:
        path.write_text("mine")
    code, _, error = separate()
    assert code == 2
    assert "exists" in error
    code, told, _ = separate("--overwrite")
    assert code == 0
    assert f"gone with it: {', '.join(map(str, gone))}\n" in told
    assert not any(path.exists() for path in gone)
    assert own[2].read_bytes()[:4] == b"RIFF"
    assert [path.read_text() for path in own[:2]] == ["mine", "mine"]


def test_files_beside_a_model_of_the_users_own_stay(separate: Run, tmp_path: Path) -> None:
    stems = tmp_path / "out/mix"
    assert separate("--residual")[0] == 0
    for text in ("# mine\n", "# pyro-mixdvae 0.1.0\n[sources]\n", "# pyro-mixdvae 0.1.0\n[["):
        (stems / "model.toml").write_text(text)
        assert separate("--overwrite")[0] == 0
        assert (stems / "residual.wav").exists()


def test_what_cannot_be_is_refused(separate: Run, presence: Path, tmp_path: Path) -> None:
    both = ("--presence", presence)
    soundfile.write(tmp_path / "other.wav", low_and_high(0.3, 3)[0], RATE)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("name,from,to\nflute,0,1\n")
    for arguments, mixtures, message in (
        ((*both, "--silences"), None, "give one of the two"),
        (both, (tmp_path / "mix.wav", tmp_path / "other.wav"), "--presence is of one mixture"),
        (("--presence", tmp_path / "none.csv"), None, "does not exist"),
        (("--presence", wrong), None, "Presence names 'flute', and the sources are low, high"),
        ((*both, "--likelihood", "assignment"), None, "does not know of sources that may be silent"),
        (("--silences", "--likelihood", "assignment"), None, "take an [assignment] of family"),
        (("--silences", "--live"), ("-",), "--silences is of whole sounds"),
        ((*both, "--live"), ("-",), "--presence is of whole sounds"),
    ):
        code, _, error = separate(*arguments, **({} if mixtures is None else {"mixtures": mixtures}))
        assert code == 2, arguments
        assert message in error
    assert not (tmp_path / "out").exists()
