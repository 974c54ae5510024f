"""Kernels run wherever they are kept, or not."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyro_mixdvae.engines.numba import cache

PACKAGE = Path(__file__).parents[2]
RUN = (
    "import numpy as np; from pyro_mixdvae.engines.numba.visibility import Rates, smooth; half = np.full(1, 0.5);"
    "print(round(float(smooth(Rates(half, half, half, 0.1), np.ones((1, 1, 1)))[1][0, 0]), 6))"
)


def run(copy: Path, home: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Sum two weights, e / 2 and 1 / 2, in a process of its own, with a package, home and temporary folder."""
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, cwd=copy)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A copy of the package without kept kernels, a home and a temporary folder."""
    copy = tmp_path / "copy"
    for part in ("pyro_mixdvae", "models", "guides"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.png")
        shutil.copytree(PACKAGE / part, copy / part, ignore=ignored)
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    return copy, tmp_path / "home", tmp_path / "temporary"


def test_a_change_in_any_file_compiles_all_kernels_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "double.py"
    path.write_text("def double(number):\n    return 2 * number\n")
    for digest, n_hits in (("first", 0), ("first", 1), ("second", 0)):
        monkeypatch.setattr(cache, "sources", lambda digest=digest: digest)
        kernel = cache.cached(runpy.run_path(str(path))["double"])
        assert kernel(1.5) == 3.0
        assert sum(kernel.stats.cache_hits.values()) == n_hits


@pytest.mark.slow
def test_damaged_and_unwritable_caches_cost_a_compilation_only(folders: tuple[Path, Path, Path]) -> None:
    copy, _, temporary = folders
    assert run(*folders).stdout == "0.620115\n"
    kept = list(copy.rglob("visibility.smooth*"))
    assert kept
    for file in kept:
        file.write_bytes(b"no pickle")
    again = run(*folders)
    assert again.returncode == 0
    assert again.stdout == "0.620115\n"
    assert "compiled again" in again.stderr
    # A file stands where the folder should be, in the package and at home: root may write everywhere else.
    folder = next(iter(kept)).parent
    shutil.rmtree(folder)
    folder.write_text("")
    (folders[1] / ".cache").write_text("")
    elsewhere = run(*folders)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout == "0.620115\n"
    assert str(temporary) in elsewhere.stderr
    assert list(temporary.rglob("*.nbi"))
    shutil.rmtree(temporary)
    temporary.write_text("")  # tempfile then takes another folder, or none
    nowhere = run(*folders)
    assert nowhere.returncode == 0, nowhere.stderr
    assert nowhere.stdout == "0.620115\n"


def test_without_any_place_for_temporary_files_kernels_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> Any:
        raise RuntimeError("no locator available")

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(cache, "_with_cache", refuse)
    monkeypatch.setattr(cache.tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(cache, "_told", set())
    assert cache.cached(lambda x: x + 1)(1) == 2
    assert "no folder that compiled kernels could be kept in" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a link away")
def test_kernels_are_not_kept_where_a_link_of_somebody_else_leads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is kept is code."""
    link = tmp_path / "pyro-mixdvae-kernels-0"
    link.symlink_to(tmp_path)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    found = cache._temporary_folder()
    assert found is not None
    assert Path(found) not in (link, tmp_path)
