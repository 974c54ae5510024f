"""ArTIST's network: clusters, the density that they make, and that training finds what there is to predict."""

import pytest
import torch
from torch.distributions import Independent, MixtureSameFamily, Normal

from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.training.categories import CategoryTraining, k_means, log_probability_per_frame, set_clusters
from pyro_mixdvae.training.loop import train


def test_k_means_finds_clusters_that_are_far_apart() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = (centres.unsqueeze(1) + 0.1 * torch.randn(3, 200, 2)).flatten(0, 1)
    start = torch.Generator().manual_seed(3)
    found = k_means(points, 3, start)
    distance = torch.cdist(centres, found)
    assert sorted(distance.argmin(-1).tolist()) == [0, 1, 2]
    assert float(distance.min(-1).values.max()) < 0.05


def test_k_means_of_fewer_points_than_clusters_keeps_every_point() -> None:
    points = torch.randn(3, 2)
    found = k_means(points, 5, torch.Generator().manual_seed(0))
    assert found.shape == (5, 2)
    assert float(torch.cdist(points, found).min(-1).values.max()) < 1e-12


def test_clusters_have_the_spread_of_their_members() -> None:
    network = MotionCategories(n_clusters=1).double()
    points = 0.3 + torch.tensor([0.1, 0.2, 0.3, 0.4]) * torch.randn(40, 50, 4)
    set_clusters(network, points, torch.Generator().manual_seed(0))
    flat = points.flatten(0, 1)
    torch.testing.assert_close(network.centroid[0], flat.mean(0))
    torch.testing.assert_close(network.spread[0], flat.std(0, correction=0))


def test_density_is_that_of_the_mixture_of_clusters() -> None:
    network = MotionCategories(n_clusters=7).double()
    network.centroid.copy_(torch.randn(7, 4))
    network.spread.copy_(0.1 + torch.rand(7, 4))
    log_probability, y = torch.randn(2, 3, 7).log_softmax(-1), torch.randn(2, 3, 4)
    mixture = MixtureSameFamily(
        torch.distributions.Categorical(logits=log_probability),
        Independent(Normal(network.centroid.expand(2, 3, 7, 4), network.spread.expand(2, 3, 7, 4)), 1),
    )
    torch.testing.assert_close(network.log_density(log_probability, y), mixture.log_prob(y), rtol=1e-9, atol=1e-9)
    assert torch.equal(network.nearest(network.centroid), torch.arange(7))


def test_training_finds_that_a_displacement_is_repeated() -> None:
    def tracks(epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(epoch)
        velocity = 0.5 * torch.randint(-1, 2, (64, 1, 4), generator=generator).double()
        return velocity.expand(-1, 12, -1).clone()

    network = MotionCategories(n_clusters=120, hidden=24, gain=1.0).double()
    result = train(CategoryTraining(network, tracks, tracks(1000), epochs=25, batch_size=16, learning_rate=0.02))
    assert [point.number for point in result.curve] == list(range(1, 26))
    assert result.best_score == result.curve[-1].validation
    assert result.curve[-1].validation > result.curve[0].validation + 1.5


def test_the_same_seed_gives_the_same_network() -> None:
    tracks = 0.1 * torch.randn(20, 6, 4)
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        network = MotionCategories(n_clusters=8, hidden=6).double()
        train(CategoryTraining(network, lambda epoch: tracks, tracks, epochs=2, batch_size=8, seed=5))
        weights.append(network.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    with torch.no_grad():
        assert float(log_probability_per_frame(network, tracks)) == pytest.approx(-2.08, abs=0.6)  # log 8
