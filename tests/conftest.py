"""Every test starts from the same state, and must leave torch's validation flag as it was."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import motmetrics
import numpy as np
import pyro
import pytest
import torch

from pyro_mixdvae.cli.main import run


@pytest.fixture(autouse=True, scope="session")
def _hears_ctrl_c() -> None:
    """Also where the tests were started in the background of a script, which has its children ignore signals."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup has it


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    dtype, validates = torch.get_default_dtype(), torch.distributions.Distribution._validate_args
    torch.set_default_dtype(torch.float64)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)  # of random, numpy and torch
    yield
    torch.set_default_dtype(dtype)
    pyro.clear_param_store()
    changed = torch.distributions.Distribution._validate_args is not validates
    torch.distributions.Distribution.set_default_validate_args(validates)
    assert not changed, "the test changed torch's global validation flag"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data beside the repository; the test is skipped where there is none."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("there is no development data beside the repository")
    return folder


@pytest.fixture(scope="session")
def pedestrians() -> Path:
    """TUD-Campus and TUD-Stadtmitte, each with gt.txt and test.txt, as motmetrics ships them."""
    return Path(motmetrics.__file__).parent / "data"


class Ended(NamedTuple):
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mixdvae(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command line in this process, as ``mixdvae("eval", path, "--gt", path)``.

    That kernels compile, as they do where they were not kept, is left out of stderr.
    """

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["mixdvae", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        code = ended.value.code
        out, err = capsys.readouterr()
        told = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("Compiling the kernels"))
        return Ended(code if isinstance(code, int) else int(code is not None), out, told)

    return call


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and filled, but not rendered, which is most of the work of a short run."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(b"\x89PNG"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
