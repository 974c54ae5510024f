"""A folder of inputs, the real command run on it, and what holds however it ends."""

import contextlib
import hashlib
import io
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyro_mixdvae.cli.main import run

INPUTS, OUTPUTS = "given", "out"


class Ended(NamedTuple):
    """How a run of the command ended."""

    code: int
    out: str
    err: str


class Workplace:
    """A folder for one example: inputs in ``given``, outputs to go to ``out``.

    Args:
        folder: to work in, empty.
    """

    def __init__(self, folder: Path):
        self.inputs, self.output = folder / INPUTS, folder / OUTPUTS
        self.inputs.mkdir(parents=True)
        self._folder = folder

    def give(self, name: str, content: str | bytes) -> Path:
        """Write an input."""
        path = self.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
        return path

    def run(self, *arguments: object) -> Ended:
        """Run ``mixdvae`` with these arguments in this process, and hold it to what always has to be so.

        It ends with 0, or with 2 and a sentence and no output; never with a traceback. Inputs are as they were, and
        nothing is written but in ``out``.
        """
        ended = self.run_stream(*arguments)
        if ended.code == 2:
            assert not ended.out, "refused, and yet something is on standard output"
        return ended

    def run_stream(self, *arguments: object, standard_input: bytes | None = None) -> Ended:
        """The same for a command that prints while it reads: what stands before a bad row may be printed by then."""
        before = _files(self._folder)
        ended = run_command([str(argument) for argument in arguments], standard_input)
        after = _files(self._folder)
        assert ended.code in (0, 2), ended
        assert "Traceback" not in ended.err + ended.out, ended
        given = {path: content for path, content in before.items() if path.parts[0] == INPUTS}
        assert {path: after.get(path) for path in given} == given, "an input was changed"
        new = after.keys() - before.keys()
        assert all(path.parts[0] == OUTPUTS for path in new), f"written beside the outputs: {new}"
        assert not [path for path in new if ".part" in str(path)], new
        if ended.code == 2:
            said = ended.err.strip().splitlines()
            assert said, "refused without a word"
            assert not new, f"refused, and yet there are {new}"
        return ended


def run_command(arguments: list[str], standard_input: bytes | None = None) -> Ended:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    kept = sys.argv, sys.stdin
    sys.argv = ["mixdvae", *arguments]
    if standard_input is not None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(standard_input))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv, sys.stdin = kept
    return Ended(code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def workplace() -> Iterator[Workplace]:
    """An empty one, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        yield Workplace(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finite(cell: str) -> float:
    """The number of a cell.

    Raises:
        AssertionError: it is not finite.
    """
    number = float(cell)
    assert math.isfinite(number), cell
    return number


def _files(folder: Path) -> dict[Path, str]:
    """What each file holds, by its path below the folder."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
