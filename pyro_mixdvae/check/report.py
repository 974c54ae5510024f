"""Verdicts: a row for each thing that was looked at, as a table and as JSON."""

import io
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "approximate", "not checked"]
TERMS, JUDGE, SLOPES, W, SITES, CALIBRATION, PATH = (
    "Terms",
    "The judge",
    "Slopes",
    "w",
    "Masks and sites",
    "Calibration",
    "The path",
)
GROUPS = (TERMS, JUDGE, SLOPES, W, SITES, CALIBRATION, PATH)


@dataclass(frozen=True)
class Row:
    """One verdict.

    Attributes:
        group: one of `GROUPS`.
        name: what was looked at.
        claimed: what the derivation says, in words or as a number.
        reference: what it is held against.
        method: by which the reference was found.
        difference: of the two, in nats unless `name` says otherwise; None where there is no number.
        z: the same in standard errors, where the reference is an estimate.
        verdict: "right", "wrong", "approximate" (by design, with its price) or "not checked" (with the reason).
        hint: what the difference looks like, or what to look at.
    """

    group: str
    name: str
    claimed: str
    reference: str
    method: str
    difference: float | None
    z: float | None
    verdict: Verdict
    hint: str = ""


@dataclass(frozen=True)
class Report:
    """The page of verdicts of a check."""

    rows: tuple[Row, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[Row, ...]:
        """The rows that are."""
        return tuple(row for row in self.rows if row.verdict == "wrong")

    def of(self, group: str) -> tuple[Row, ...]:
        """The rows of a group."""
        return tuple(row for row in self.rows if row.group == group)

    def __add__(self, other: "Report") -> "Report":
        return Report(self.rows + other.rows)

    def to_json(self) -> dict[str, Any]:
        """Whether all is right, and every row, as JSON takes them."""
        return {"is_right": self.is_right, "rows": [_plain(asdict(row)) for row in self.rows]}

    def table(self, width: int = 150) -> str:
        """For a terminal of so many characters."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=width, highlight=False).print(self.grid())
        return text.getvalue()

    def grid(self) -> Any:
        """As `rich` prints it."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table

        grid = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in ("", "what", "claimed", "reference", "by", "difference", "z", "verdict", "hint"):
            grid.add_column(column, overflow="fold", no_wrap=column in ("", "verdict"))
        for group in GROUPS:
            for number, row in enumerate(self.of(group)):
                cells = [group if number == 0 else "", row.name, row.claimed, row.reference, row.method]
                cells += [number_text(row.difference), number_text(row.z), row.verdict, row.hint]
                style = {"wrong": "bold red", "approximate": "yellow", "not checked": "dim"}.get(row.verdict)
                grid.add_row(*map(escape, cells), style=style)
            if self.of(group):
                grid.add_section()
        return grid

    def __str__(self) -> str:
        return self.table()


def number_text(number: float | None) -> str:
    """A number for a table."""
    if number is None:
        return ""
    return f"{number:.2g}" if abs(number) < 100 else f"{number:.1f}"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: (None if isinstance(value, float) and not math.isfinite(value) else value) for key, value in row.items()
    }
