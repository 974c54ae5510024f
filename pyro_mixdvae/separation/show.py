"""A separation as a notebook shows it: players, spectrograms, files."""

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyro_mixdvae.inputs import check_name
from pyro_mixdvae.outputs import ARGUMENT, begins, refuse_existing, write_together
from pyro_mixdvae.progress import remark
from pyro_mixdvae.reporting.pictures import add_picture, by_default_settings, new_figure, plain, png
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.writing import sound_bytes
from pyro_mixdvae.separation.presence import BEGINNINGS, LEAST, presence_table
from pyro_mixdvae.separation.result import Separation
from pyro_mixdvae.separation.spectrograms import RANGE, levels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 30.0
"""Seconds of a sound that are played and drawn."""


def html_of(separation: Separation) -> str:
    """A player of the mixture and of each source, how well its model explains it, and warnings."""
    sounds, rate = separation.sounds, separation.rate
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{player}</td><td>{escape(fit)}</td></tr>"
        for name, player, fit in zip(
            ("mixture", *separation.names),
            players(sounds[..., : int(SHOWN * rate)], rate),
            ("", *_about(separation)),
            strict=True,
        )
    )
    notes = [*separation.warnings, *([separation.note] if separation.note else [])]
    if sounds.shape[-1] > SHOWN * rate:
        notes.append(f"The first {SHOWN:g} s can be played here; `stems` holds all.")
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in notes)
    return f"<div><p><b>{escape(repr(separation))}</b></p><table>{rows}</table><ul>{listed}</ul></div>"


def _about(separation: Separation) -> list[str]:
    """Of each source, how well its model explains it, and how much of the time it sounds, where that is known."""
    found = [f"misfit {fit.misfit:.2f}" for fit in separation.fits]
    if separation.presence is None:
        return found
    shares = (separation.presence.probabilities >= LEAST).mean(0).tolist()
    return [f"{about}, sounds {100 * share:.0f} % of the time" for about, share in zip(found, shares, strict=True)]


def players(sounds: Samples, rate: int) -> list[str]:
    """An HTML element for each of the sounds ``[*, channels, n]``, all as loud as the loudest allows."""
    return [f'<audio controls preload="none" src="{address}"></audio>' for address in addresses(sounds, rate)]


def addresses(sounds: Samples, rate: int) -> list[str]:
    """Sounds ``[*, channels, n]`` as data URIs of WAV files of 16 bits, all as loud as the loudest allows."""
    loudest = float(np.abs(sounds).max()) or 1.0
    contents = [sound_bytes(sound, rate, 16) for sound in sounds / loudest]
    return [f"data:audio/wav;base64,{base64.b64encode(content).decode()}" for content in contents]


@by_default_settings
def figure_of(separation: Separation) -> "Figure":
    """Spectrograms of the first channel of the mixture and the stems."""
    sounds = separation.sounds[:, 0, : int(SHOWN * separation.rate)]
    figure = new_figure(10, 1.8 * len(sounds))
    rows = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    extent = (0.0, sounds.shape[1] / separation.rate, 0.0, separation.rate / 2000)
    for axes, level, name in zip(rows, levels(sounds, separation.rate), ("mixture", *separation.names), strict=True):
        image = axes.imshow(
            level, extent=extent, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE, vmax=0.0
        )  # fmt: skip
        axes.set_title(plain(name), fontsize=10)
        axes.set_ylabel("kHz")
    rows[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=list(rows), label="level in dB")
    return figure


def save(separation: Separation, folder: Path, overwrite: bool) -> list[Path]:
    """Write the stems, when they sound, where that is known, and the picture; their paths.

    A table of a former separation goes where this one has none.

    Raises:
        InputError: a file exists already, cannot be written, or a source has a name that no file has.
    """
    for name in separation.names:
        check_name(name)
    stems = separation.sounds[1:]
    contents: dict[str | Path, str | bytes] = {
        folder / f"{name}.wav": sound_bytes(stem, separation.rate)
        for name, stem in zip(separation.names, stems, strict=True)
    }
    table, picture = folder / "presence.csv", folder / "separation.png"
    if separation.presence is not None:
        contents[table] = presence_table(separation.presence.spans)
    refuse_existing([*contents, picture], overwrite, ARGUMENT)
    write_together(contents, overwrite, [table] if table not in contents and begins(table, BEGINNINGS) else [])
    note = add_picture(picture, lambda: _picture(separation), overwrite)
    if note:
        remark(note)
    return [*map(Path, contents), *([] if note else [picture])]


@by_default_settings
def _picture(separation: Separation) -> bytes:
    return png(figure_of(separation))
