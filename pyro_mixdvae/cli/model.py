"""``mixdvae model``: which families there are, and the program that a declaration makes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyro_mixdvae.cli.model_options import Sets, task_of_options
from pyro_mixdvae.cli.options import Overwrite, at_least
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, write_together

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from pyro_mixdvae.declaration.program import Site

app = typer.Typer(help="Look at what models are made of.", no_args_is_help=True)


@app.command("list")
def list_families(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="One table only, as likelihood.", show_default=False)
    ] = None,
) -> None:
    """The families of each table of a declaration, with their options and defaults."""
    from pyro_mixdvae.declaration.document import TABLES
    from pyro_mixdvae.declaration.words import nearest

    if table is not None and table not in TABLES:
        raise InputError(f"there is no table {table!r}{nearest(table, TABLES)}. There are {', '.join(TABLES)}.")

    from rich.table import Table

    from pyro_mixdvae.declaration.overview import overview

    rows = [row for row in overview() if table in (None, row.table)]
    for name in TABLES:
        of_table = [row for row in rows if row.table == name]
        if not of_table:
            continue
        grid = Table(title=f"[{name}]".replace("[", r"\["), title_justify="left", expand=True)
        grid.add_column("family", no_wrap=True)
        grid.add_column("for")
        grid.add_column("options", ratio=2)
        grid.add_column("what it is", ratio=3)
        for row in of_table:
            grid.add_row(*map(_literal, (row.name, ", ".join(row.tasks), "\n".join(row.options), row.summary)))
        _console().print(grid)


@app.command()
def show(
    declaration: Annotated[
        Path | None,
        typer.Argument(metavar="TOML", help="A declaration; the preset's if not given.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Which it changes; default, or additive of sounds.", show_default=False)
    ] = None,
    sets: Sets = None,
    n_sources: Annotated[
        int | None, typer.Option("--n-sources", "-n", help="N; that of the file, or 2.", show_default=False)
    ] = None,
    render: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the model's graph too, by graphviz (.pdf, .svg, .png).", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """The whole model, all options written out, and the statements of its program and its guide."""
    from pyro_mixdvae.declaration.shipped import PRESETS, declared, known_presets

    named = {name for task in PRESETS for name in known_presets(task)}
    if declaration is not None and str(declaration) in named and not declaration.exists():
        raise InputError(f"{declaration} is the name of a preset, and not of a file: write --preset {declaration}.")
    # torch takes seconds to import, and whose weights a file names is known only then.
    task = task_of_options(preset, declaration, sets or ())
    found = declared(preset or PRESETS[task][0], declaration, sets or (), task=task)
    names = found.tables["sources"]["weights"].value if task == "sounds" else None
    at_least("--n-sources", n_sources, 1)
    n_sources = n_sources or found.setting("n_sources") or (len(names) if isinstance(names, list) else 2)
    if render is not None:
        check_outputs([render], overwrite, inputs=[*found.files, *([declaration] if declaration else [])])

    from pyro_mixdvae.declaration.builder import build_preset, resolve
    from pyro_mixdvae.declaration.program import guide_sites, model_sites
    from pyro_mixdvae.declaration.program import render as draw

    made = build_preset(found, n_sources, task)
    print(resolve(found, task).text())
    _print_sites("Model", model_sites(made, n_sources))
    _print_sites("Guide", guide_sites(made, n_sources))
    if render is not None:
        write_together({render: draw(made, n_sources, render.suffix)}, overwrite)
        print(f"Written: {render}")


def _print_sites(title: str, sites: "list[Site]") -> None:
    from rich.table import Table

    grid = Table(title=title, title_justify="left")
    for column in ("site", "kind", "distribution", "batch", "event", "plates"):
        grid.add_column(column)
    for site in sites:
        shapes = (" ".join(map(str, shape)) for shape in (site.batch, site.event))
        grid.add_row(*map(_literal, (site.name, site.kind, site.distribution, *shapes, ", ".join(site.plates))))
    _console().print(grid)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _literal(text: str) -> "Text":
    """Brackets in a text are no markup."""
    from rich.text import Text

    return Text(text)
