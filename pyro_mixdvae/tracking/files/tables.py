"""A CSV table with a header, checked column by column."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted, refuse_irregular, unreadable
from pyro_mixdvae.tracking.boxes import Array


@dataclass(frozen=True)
class Table:
    """n rows.

    Attributes:
        path: of the file.
        numbers: columns of numbers ``[n]``, by name.
        texts: other columns, by name.
    """

    path: Path
    numbers: dict[str, Array]
    texts: dict[str, list[str]]

    @property
    def length(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.numbers.values())))

    def refuse(self, bad: npt.NDArray[np.bool_], problem: str, other: Path) -> None:
        """Raise InputError for the first row where ``bad [n]`` is True, which does not fit to another file."""
        if bad.any():
            line = int(np.argmax(bad)) + 2
            raise InputError(
                f"{self.path}, line {line}: {problem} in {other}: the two are of different runs; write them anew, or "
                f"put {self.path.name} elsewhere."
            )


def read_table(path: Path, numbers: Sequence[str], texts: Sequence[str] = (), others: bool = False) -> Table:
    """Read a table.

    Args:
        path: of the file.
        numbers: columns that must be there, and finite.
        texts: further columns that must be there.
        others: whether all further columns are read too, as numbers, NaN where a cell is empty.

    Raises:
        InputError: there is no such file, a column is missing, or a cell is no number; with its line.
    """
    import pandas

    refuse_irregular(path)
    try:
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # of pandas's parser, of UTF-8
        why = " ".join(str(error).split())
        raise InputError(f"{path} is no table ({why}): write it anew.") from error
    if not isinstance(frame.index, pandas.RangeIndex):  # pandas takes what is too much for names of rows
        raise InputError(f"{path} is no table (its rows have more cells than its header): write it anew.")
    missing = [name for name in (*numbers, *texts) if name not in frame.columns]
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}: give a file that `mixdvae track` has written.")
    wanted = [*numbers, *(name for name in frame.columns if others and name not in (*numbers, *texts))]
    values: dict[str, Array] = {}
    for name in wanted:
        column = pandas.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        bad = ~np.isfinite(column) & ((frame[name] != "").to_numpy() if name not in numbers else True)
        if bad.any():
            row = int(np.argmax(bad))
            cell = quoted(frame[name].iloc[row])
            raise InputError(f"{path}, line {row + 2}: {name} is {cell}, not a finite number: correct the cell.")
        values[name] = column
    return Table(path, values, {name: frame[name].tolist() for name in texts})
