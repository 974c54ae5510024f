"""The weights that come with the package are worth having."""

import torch

from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.tracking.tracks.recipes import synthetic_tracks
from pyro_mixdvae.training.objectives import SourceElbo, score
from pyro_mixdvae.weights.store import load_network, shipped_names


def constants() -> KinematicNetwork:
    """The best constant-velocity prior of these tracks: its four quantities do not depend on h, and were fitted."""
    network = KinematicNetwork()
    with torch.no_grad():
        network.heads.weight.zero_()
        damping, process_variance = [3.80, 3.29, 0.27, -0.25], [-6.50, -7.91, -9.53, -10.55]
        position_variance = [-7.36, -8.24, -8.16, -8.73]
        network.heads.bias.copy_(torch.tensor([damping, process_variance, [0.0] * 4, position_variance]).flatten())
    return network


def test_the_shipped_prior_is_far_better_than_constant_velocity() -> None:
    assert "boxes" in shipped_names()
    loaded = load_network("boxes")
    assert loaded.coordinates.name == "centre-log-size"
    assert loaded.card["data"]["generator"] == "rich"
    torch.set_default_dtype(torch.float32)
    network = load_network("boxes").network
    for n_frames in (20, 60, 150):
        tracks = synthetic_tracks("kinematic", "rich", 128, n_frames, seed=12345).of_epoch(0)
        learned, constant = score(SourceElbo(network), tracks), score(SourceElbo(constants()), tracks)
        assert learned > constant + 1, (n_frames, learned, constant)
