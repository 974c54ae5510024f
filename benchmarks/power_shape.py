"""How far the powers of a model of sound are off: ``python benchmarks/power_shape.py WEIGHTS CLIPS --against OTHER``.

`mixdvae train audio` measures that at its end, on mixtures of held-out clips, and keeps it with the weights; intervals
of the posterior are as wide as it says. This does it for weights that were trained before, or anew on other clips: the
weights file and its card are written again, with the same weights.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from pyro_mixdvae.separation.recordings.expectation import expected
from pyro_mixdvae.separation.recordings.recipes import training_clips
from pyro_mixdvae.separation.recordings.starting import loaded, nearest
from pyro_mixdvae.weights.store import load_network, save_network


def main(arguments: Sequence[str] | None = None) -> None:
    """Separate held-out clips, print what came of it, and write the file again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="file that `mixdvae train audio` made")
    parser.add_argument("clips", type=Path, nargs="+", help="of its sound; one in ten is used, that training holds out")
    parser.add_argument("--against", type=Path, nargs="+", required=True, help="other sounds")
    parser.add_argument("--seed", type=int, default=0, help="of the training, which decides what is held out")
    options = parser.parse_args(arguments)
    before = load_network(options.weights)
    clips = training_clips(options.clips, options.against, seed=options.seed)
    partner = nearest(clips.pieces_of_others(options.seed), clips.stft, options.seed)
    network = loaded(str(options.weights), clips.stft).network
    found = expected(network, partner, clips, options.seed)
    print(found.as_dict())
    network.power_shape = found.power_shapes[0]
    card = {**before.card, "separation": {**found.as_dict(), "held_out": clips.source[1].description()}}
    save_network(options.weights, network, before.coordinates, card, overwrite=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
