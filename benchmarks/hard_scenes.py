"""Score ours and its baselines on hard synthetic scenes, all in one run: ``python benchmarks/hard_scenes.py``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from hard_motion import KINDS, N, hard_scene
from report import write

from pyro_mixdvae.benchmark.counts.counting import columns, count, stack
from pyro_mixdvae.benchmark.methods import MethodSettings, make_method
from pyro_mixdvae.benchmark.samples.trials import Difficulty, make_trial
from pyro_mixdvae.reporting.tables import markdown_table

METHODS = ("mixdvae", "sort", "jpda", "vkf", "oracle")
SCORES = ("MOTA", "IDF1", "HOTA", "#IDS")
CELL = "{MOTA:.3f} / {IDF1:.3f} / {HOTA:.3f}, {#IDS:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print MOTA / IDF1 / HOTA, switches, a row a kind; with -o write them too, and the scores of each scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=20, help="of each kind")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="as mixdvae bench mot has them")
    parser.add_argument("--clutter", type=float, default=0.0, help="false boxes a frame")
    parser.add_argument("-o", "--output", type=Path, help="folder for hard_scenes.md and .json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    methods = {name: make_method(name, MethodSettings(N)) for name in options.methods}
    rows, each = [], {}
    for kind in KINDS:
        difficulty = Difficulty(clutter=options.clutter)
        trials = [make_trial(hard_scene(kind, seed), difficulty, seed) for seed in range(options.scenes)]
        row = [kind]
        for name, method in methods.items():
            counts = stack([count(*pair) for pair in zip(method(trials), trials, strict=True)])
            pooled = columns({key: values.sum(0) for key, values in counts.items()})
            row.append(CELL.format(**{key: float(pooled[key]) for key in SCORES}))
            single = columns(counts)
            each[f"{kind}, {name}"] = {key: single[key].tolist() for key in SCORES}
        rows.append(row)
    table = markdown_table((f"{options.scenes} scenes each", *methods), rows)
    print(table)
    if options.output:
        write(options.output, "hard_scenes", table, each)


if __name__ == "__main__":
    main()
