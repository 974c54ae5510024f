"""A progress bar on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, text: str, completed: int | None = None, /) -> None:
        """Show a text beside the bar, and that so many steps are done; one more than before if not given."""


@contextmanager
def progress(what: str, total: int, done: int = 0, text: str = "") -> Iterator[Advance]:
    """A bar with the time that is left, where stderr is a terminal and there is more than one step.

    Args:
        what: the steps are, as "mixture".
        total: how many there are.
        done: of them, before.
        text: beside the bar, at first.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=total == 1 or not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done, text=text)

        def advance(text: str, completed: int | None = None, /) -> None:
            bar.update(task, advance=1 if completed is None else None, completed=completed, text=text)

        yield advance
