"""The command ``mixdvae``: its verbs, and how it ends."""

import sys
from typing import Annotated

import typer

from pyro_mixdvae import __version__
from pyro_mixdvae.cli import bench, model, train
from pyro_mixdvae.cli.check_elbo import OptionalFile, check_elbo
from pyro_mixdvae.cli.demo import demo
from pyro_mixdvae.cli.eval import evaluate
from pyro_mixdvae.cli.eval_audio import evaluate_audio
from pyro_mixdvae.cli.import_weights import import_weights
from pyro_mixdvae.cli.mix import mix
from pyro_mixdvae.cli.options import ManyValues
from pyro_mixdvae.cli.separate import separate
from pyro_mixdvae.cli.track import track
from pyro_mixdvae.errors import InputError

app = typer.Typer(
    name="mixdvae",
    help="Explain a mixture of N sources over time, and say how sure you are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command("track")(track)
app.command("eval")(evaluate)
app.add_typer(train.app, name="train")
app.add_typer(bench.app, name="bench")
app.command("separate")(separate)
app.command("mix", cls=ManyValues)(mix)
app.command("eval-audio")(evaluate_audio)
app.command("import-weights")(import_weights)
app.add_typer(model.app, name="model")
app.command("check-elbo", cls=OptionalFile)(check_elbo)
app.command("demo")(demo)


def run() -> None:
    """Run the command line: bad input ends in one sentence on stderr and exit code 2, Ctrl-C in 130."""
    try:
        app()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass
