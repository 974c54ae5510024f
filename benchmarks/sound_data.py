"""How much clean sound methods need: ``python benchmarks/sound_data.py SPEECH MUSIC --train SPEECH MUSIC -o OUT``.

For each of some amounts of training sound, pieces of at most five seconds are drawn from the clips (more minutes hold
those of fewer), `mixdvae bench audio` lets the methods learn from them, and, if it is among the methods, MixDVAE is
trained by `mixdvae train audio --against`, from nothing: the music, and the speech along with it. OUT gets the folder
of each amount, sound_data.md, .json and sound_data.png: mean SI-SDR against minutes. The same command goes on where it
was.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import write

from pyro_mixdvae.cli.bench_audio import audio
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, png
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.writing import sound_bytes
from pyro_mixdvae.separation.mixtures.mixing import RATE
from pyro_mixdvae.separation.recordings.clips import read_clips
from pyro_mixdvae.tracking.report.plots import colour_of

NAMES = ("speech", "music")
OURS = "mixdvae"
PIECE = 5 * RATE

Mean = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    try:
        found = {minutes: _of_amount(minutes, options) for minutes in options.minutes}
    except InputError as error:
        sys.exit(str(error))
    rows = [
        {"minutes": minutes, "method": method, "source": source, **mean}
        for minutes, means in found.items()
        for (method, source), mean in means.items()
    ]
    markdown = _table(rows)
    print(markdown)
    write(options.output, "sound_data", markdown, {"options": _told(options), "rows": rows})
    (options.output / "sound_data.png").write_bytes(_chart(rows))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="DIR", help="recordings to test on: speech, music")
    parser.add_argument("--train", nargs=2, type=Path, required=True, metavar="DIR", help="clean clips: speech, music")
    parser.add_argument("--minutes", nargs="+", type=float, default=(0.5, 2.0, 8.0, 30.0))
    parser.add_argument("--methods", nargs="+", default=("nmf-kl", "mixit", "supervised", OURS))
    parser.add_argument("--epochs", type=int, default=100, help="of the training of MixDVAE, if it is a method")
    parser.add_argument("--steps", type=int, default=1000, help="of the training of the other networks")
    parser.add_argument("--frames", type=int, default=100, help="T of the mixtures")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0))
    parser.add_argument("--count", type=int, default=10, help="of mixtures at each ratio")
    parser.add_argument("--sources", nargs=2, default=("speech", "flute"), help="weights whose transform is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args(arguments)


def _told(options: argparse.Namespace) -> dict[str, Any]:
    names = ("minutes", "methods", "epochs", "steps", "frames", "snr", "count", "seed")
    return {name: getattr(options, name) for name in names}


def _of_amount(minutes: float, options: argparse.Namespace) -> dict[tuple[str, str], Mean]:
    """Mean SI-SDR of each method and source, and its interval, after so many minutes of each sound."""
    folder: Path = options.output / f"{minutes:g}_minutes"
    table = folder / "table.json"
    if not table.exists():
        clips = _drawn(minutes, options)
        weights = _trained(clips, options) if OURS in options.methods else options.sources
        audio(
            *options.folders, folder, frames=[options.frames], snr=[*options.snr], count=options.count,
            methods=[*options.methods], sources=weights, train=clips, steps=options.steps, names=NAMES,
            seed=options.seed, workers=1,
        )  # fmt: skip
    rows = json.loads(table.read_text())["rows"]
    several = len(options.snr) > 1
    return {
        (row["method"], row["source"]): {key: row["columns"]["SI-SDR"][key] for key in ("value", "low", "high")}
        for row in rows
        if (row["snr"] is None) == several and row["columns"]
    }


def _drawn(minutes: float, options: argparse.Namespace) -> tuple[Path, Path]:
    """Folders of so many minutes of clips of each sound, in pieces."""
    folders = []
    for name, source in zip(NAMES, options.train, strict=True):
        folder = options.output / f"{minutes:g}_minutes_of_clips" / name
        folder.mkdir(parents=True, exist_ok=True)
        left = round(60 * minutes * RATE)
        for number, piece in enumerate(_pieces(source, options.seed)):
            if left <= 0:
                break
            (folder / f"{number:04d}.wav").write_bytes(sound_bytes(piece[None, :left], RATE))
            left -= len(piece)
        folders.append(folder)
    return folders[0], folders[1]


def _pieces(folder: Path, seed: int) -> Iterator[Samples]:
    """All of the clips, in an order that the seed says."""
    clips = read_clips([folder], RATE, 1024)
    places = [(i, start) for i, clip in enumerate(clips.samples) for start in range(0, len(clip) - PIECE // 2, PIECE)]
    for number in np.random.default_rng(seed).permutation(len(places)):
        i, start = places[number]
        yield clips.samples[i][start : start + PIECE]


def _trained(clips: tuple[Path, Path], options: argparse.Namespace) -> tuple[str, str]:
    """Weights of MixDVAE, of speech and of music, which learn together."""
    speech, music = clips
    path = music.with_suffix(".safetensors")
    if not path.exists():
        command = [sys.executable, "-m", "pyro_mixdvae", "train", "audio", str(music), "--against", str(speech)]
        more = ["--name", music.name, "--start", "nothing", "--epochs", str(options.epochs), "-o", str(path)]
        resumed = ["--resume"] if path.with_suffix(".checkpoint").exists() else []
        subprocess.run([*command, *more, *resumed], check=True)
    return str(path.with_name(f"{path.stem}-others.safetensors")), str(path)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    minutes = list(dict.fromkeys(row["minutes"] for row in rows))
    found = {(row["method"], row["source"], row["minutes"]): row for row in rows}
    lines = dict.fromkeys((row["method"], row["source"]) for row in rows)
    cells = [[*line, *(_cell(found.get((*line, amount))) for amount in minutes)] for line in lines]
    return markdown_table(["method", "source", *(f"{amount:g} min" for amount in minutes)], cells)


def _cell(row: dict[str, Any] | None) -> str:
    return "n/a" if row is None else f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


@by_default_settings
def _chart(rows: Sequence[dict[str, Any]]) -> bytes:
    """PNG of mean SI-SDR against minutes, a line a method, with 95 % intervals."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = new_figure(11, 4.5)
    for axes, source in zip(figure.subplots(1, len(NAMES)), NAMES, strict=True):
        for m, method in enumerate(methods):
            own = [row for row in rows if (row["method"], row["source"]) == (method, source)]
            x, colour = [row["minutes"] for row in own], colour_of(m)
            axes.plot(x, [row["value"] for row in own], marker="o", color=colour, label=method)
            axes.fill_between(
                x, [row["low"] for row in own], [row["high"] for row in own], color=colour, alpha=0.15, linewidth=0
            )
        axes.set_xscale("log")
        minutes = list(dict.fromkeys(row["minutes"] for row in rows))
        axes.set_xticks(minutes, [f"{amount:g}" for amount in minutes])
        axes.minorticks_off()
        axes.set_title(source)
        axes.set_xlabel("minutes of clean sound of each source")
        axes.set_ylabel("SI-SDR, dB")
        axes.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False)
    return png(figure)


if __name__ == "__main__":
    main()
