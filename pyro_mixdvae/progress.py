"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """A bar with the time that is left, where stderr is a terminal.

    Call what is given after each step, with the step's name.

    Args:
        what: the steps are, as "mixture".
        total: how many there are.
        done: of them, before.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[name]}", markup=False),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done, name="")

        def advance(name: str) -> None:
            bar.update(task, advance=1, name=name)

        yield advance
