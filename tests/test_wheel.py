"""What is installed from a wheel works without the repository."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path) -> str:
    # Neither the repository nor what this test run has on its path may be seen by what runs from the wheel.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_tracks_the_demo(tmp_path: Path) -> None:
    """The wheel holds models/, guides/ and the weights: the demo runs where there is nothing else of this project.

    The dependencies are lent from this environment by their folder alone, which leaves editable installs behind.
    """
    pytest.importorskip("setuptools")
    wheel_command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist"]
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((REPOSITORY / name).read_bytes())
    _run(sys.executable, *wheel_command, source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    where = _run(python, "-c", "import pyro_mixdvae.models as m; print(m.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(site)
    run = "from pyro_mixdvae.cli.main import run; run()"
    shown = _run(python, "-c", run, "demo", "-o", tmp_path / "out", cwd=tmp_path)
    assert "OVERALL" in shown
    assert (tmp_path / "out" / "TUD-Campus.txt").stat().st_size > 0
