"""A picture is drawn alike whatever matplotlib's settings are, and costs nothing else where it fails."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from pyro_mixdvae.reporting.pictures import add_picture, by_default_settings, new_figure, plain, png


@by_default_settings
def curve() -> bytes:
    figure = new_figure(3, 2)
    axes = figure.add_subplot(title=plain("a_b^c $x"))
    axes.plot([0, 1], [1, 0])
    return png(figure)


def test_settings_of_a_user_change_nothing_and_stay() -> None:
    expected = curve()
    own = {"text.usetex": True, "axes.grid": True, "savefig.dpi": 7, "font.size": 30, "savefig.bbox": "tight"}
    with matplotlib.rc_context(own):
        before = dict(matplotlib.rcParams)
        assert curve() == expected
        assert dict(matplotlib.rcParams) == before


def test_a_name_that_is_no_text_can_be_a_title() -> None:
    assert plain(os.fsdecode(b"caf\xe9 $")) == r"caf? \$"
    assert plain("café") == "café"


def test_a_picture_that_fails_is_told_and_takes_the_former_one_along(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise RuntimeError("latex\nis not there")

    path = tmp_path / "a.png"
    assert add_picture(path, lambda: b"first") is None
    note = add_picture(path, fail, overwrite=True)
    assert note == f"{path} could not be drawn (RuntimeError: latex is not there): all else is written."
    assert not path.exists()


# Where matplotlib is imported, within a verb.
DRAWING = """
from pathlib import Path
from pyro_mixdvae.cli import main
from pyro_mixdvae.reporting.pictures import add_picture, by_default_settings, new_figure, png
main.app = lambda: print(add_picture(Path("a.png"), by_default_settings(lambda: png(new_figure(1, 1)))))
main.run()
"""


@pytest.mark.parametrize(
    ("backend", "settings", "says"),
    [
        ("module://matplotlib_inline.not_there", b"text.usetex: True\nbackend: TkAgg\n", "None"),
        ("nonsense", b"", "None"),
        ("", b"\xff\xfe\x00", "a.png could not be drawn (UnicodeDecodeError"),
    ],
)
def test_no_backend_and_no_matplotlibrc_ends_a_command(
    tmp_path: Path, backend: str, settings: bytes, says: str
) -> None:
    (tmp_path / "matplotlibrc").write_bytes(settings)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "MPLBACKEND": backend}
    ended = subprocess.run(
        [sys.executable, "-c", DRAWING], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(says)
    assert (tmp_path / "a.png").exists() == (says == "None")
