"""The command ``mixdvae``: its verbs, and how it ends."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from pyro_mixdvae import __version__
from pyro_mixdvae.cli import bench, model, train
from pyro_mixdvae.cli.check_elbo import OptionalFile, check_elbo
from pyro_mixdvae.cli.demo import demo
from pyro_mixdvae.cli.doctor import doctor
from pyro_mixdvae.cli.eval import evaluate
from pyro_mixdvae.cli.eval_audio import evaluate_audio
from pyro_mixdvae.cli.export import export
from pyro_mixdvae.cli.import_weights import import_weights
from pyro_mixdvae.cli.mix import mix
from pyro_mixdvae.cli.options import ManyValues, refuse_two_dashes, refuse_unnamed
from pyro_mixdvae.cli.render import render
from pyro_mixdvae.cli.report import report
from pyro_mixdvae.cli.separate import separate
from pyro_mixdvae.cli.standard_output import guarded_output
from pyro_mixdvae.cli.track import track
from pyro_mixdvae.endings import ENDINGS, Ended
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import cut
from pyro_mixdvae.progress import telling

app = typer.Typer(
    name="mixdvae",
    help="Follow a known number of people, animals or things through a film, from the boxes or points of a detector "
    "(track), or pull known sounds out of a mix (separate), and say how sure that is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("track")(track)
app.command("render")(render)
app.command("report")(report)
app.command("export")(export)
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
app.command("doctor")(doctor)


def run() -> None:
    """Run the command line: bad input ends in one sentence on stderr and exit code 2, Ctrl-C in 130, SIGTERM in 143."""
    # A backend of a notebook, say, that is not there ends the import of matplotlib; here nothing is drawn on screens.
    os.environ["MPLBACKEND"] = "agg"
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The name of a file need not be text; stderr is like this of itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _ended_like_by_ctrl_c(), guarded_output(), telling.as_command():
            refuse_unnamed(sys.argv[1:])
            refuse_two_dashes(sys.argv[1:])
            app()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Whichever path is looked at first: a name can be too long in any of them.
        if error.errno != errno.ENAMETOOLONG:
            raise
        shown = cut(str(error.filename or "a path"))
        print(f"{shown} is longer than a file's name can be: give a shorter path.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _ended_like_by_ctrl_c() -> Iterator[None]:
    """What ends the process raises an exception, so that half-written files go; what is ignored (nohup) stays so."""

    def end(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # while files are removed
        raise Ended(128 + number)

    before = {number: handler for number in ENDINGS if (handler := signal.getsignal(number)) is signal.SIG_DFL}
    try:
        for number in before:
            signal.signal(number, end)
    except ValueError:  # not in the main thread: whoever runs this there has handlers of their own
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
