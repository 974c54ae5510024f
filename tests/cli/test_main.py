"""The command as a whole: how it is called, how it helps, what it says of the place where it runs."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

import pyro_mixdvae
from pyro_mixdvae.cli import doctor
from pyro_mixdvae.weights.store import shipped_names

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("arguments", [["-h"], ["track", "-h"], ["train", "audio", "-h"], ["bench", "mot", "--help"]])
def test_help_has_two_names(mixdvae: Run, arguments: list[str]) -> None:
    code, out, err = mixdvae(*arguments)
    assert (code, err) == (0, "")
    assert "Usage:" in out


def test_the_help_says_what_it_is_for(mixdvae: Run) -> None:
    _, out, _ = mixdvae("-h")
    text = " ".join(out.split())
    for word in ("people", "boxes", "sounds", "--install-completion"):
        assert word in text


def test_the_package_runs_as_a_module() -> None:
    ended = subprocess.run([sys.executable, "-m", "pyro_mixdvae", "--version"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, pyro_mixdvae.__version__)


def test_dir_shows_what_the_package_offers() -> None:
    assert dir(pyro_mixdvae) == sorted(pyro_mixdvae.__all__)
    assert all(hasattr(pyro_mixdvae, name) for name in dir(pyro_mixdvae))


def test_the_doctor_says_versions_engine_kernels_weights_and_extras(mixdvae: Run) -> None:
    code, out, _ = mixdvae("doctor")
    assert code == 0
    lines = dict(line.split(":", 1) for line in out.splitlines() if ":" in line)
    assert f"torch {metadata.version('torch')}" in lines["packages"]
    assert "numba" in lines["engine"]
    assert "compiled" in lines["kernels"]
    assert "of boxes artist" in lines["weights"]
    assert "of sounds flute, instrument, noise, speech" in lines["weights"]


def test_the_doctor_names_what_is_missing(mixdvae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("numpy", "no-such-package"))
    code, out, _ = mixdvae("doctor")
    assert code == 1
    assert "no-such-package MISSING" in out
    assert "install pyro-mixdvae again" in out


def test_weights_of_the_wrong_kind_come_with_those_of_the_right_kind(mixdvae: Run, tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,10,20,30,40\n2,-1,11,20,30,40\n")
    soundfile.write(tmp_path / "mix.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    output = tmp_path / "out"
    _, _, err = mixdvae("track", tmp_path / "det.txt", "-n", 1, "--weights", "flute", "-o", output / "a.txt")
    assert f"flute is a model of sound: give one of boxes ({', '.join(shipped_names('boxes'))})" in err
    _, _, err = mixdvae("separate", tmp_path / "mix.wav", "-o", output, "--sources", "boxes,speech")
    assert "boxes is no model of sound: give one that comes along (flute, instrument, noise, speech)" in err
    _, _, err = mixdvae("track", tmp_path / "det.txt", "-n", 1, "--weights", "unheard-of", "-o", output / "a.txt")
    assert (
        "(of boxes artist, autoregressive, boxes, constant-velocity; of sounds flute, instrument, noise, speech)" in err
    )


@pytest.mark.usefixtures("unrendered")
def test_only_verbose_speaks_of_nats(mixdvae: Run, tmp_path: Path) -> None:
    rows = "".join(f"{t},-1,{10 + 3 * t},20,30,60,1\n" for t in range(1, 9))
    (tmp_path / "det.txt").write_text(rows)
    arguments = ("track", tmp_path / "det.txt", "-n", 1, "--size", "640x480", "--overwrite", "-o", tmp_path / "a.txt")
    _, out, _ = mixdvae(*arguments)
    assert "8 boxes observed (100 %)" in out
    assert "nats" not in out
    assert "ELBO" not in out
    _, out, _ = mixdvae(*arguments, "--verbose")
    assert "nats after" in out
    _, out, err = mixdvae(*arguments, "--verbose", "--quiet")
    assert (out, err) == ("", "")
