"""``mixdvae train``: pre-train the prior of one source, of boxes or of sounds."""

import typer

from pyro_mixdvae.cli.train_audio import audio
from pyro_mixdvae.cli.train_boxes import boxes

app = typer.Typer(help="Learn how a source moves, or sounds, from examples of it alone.", no_args_is_help=True)

app.command()(audio)
app.command()(boxes)
