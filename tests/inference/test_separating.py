"""Two sources of a mixture that learn together, and to be told from one another."""

import pytest
import torch
from sounds import complex_normal, spectral_srnn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.training.data import Example
from pyro_mixdvae.training.loop import programs_run, train
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule
from pyro_mixdvae.training.separating import DECIBEL, Separating, separated

BANDS = torch.tensor([[9.0, 1.0, 0.01], [0.01, 1.0, 9.0]])
"""Powers of a low and of a high source at three frequencies."""


def mixtures(seed: int, count: int = 40, n_alone: int = 8) -> Example:
    """Of the low source with the high one, which swell and ebb, [count, 8, 3]; in some the low one is alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        swell = (1.5 * torch.sin(torch.arange(8.0) + 6 * torch.rand(2, count, 1))).unsqueeze(-1).exp()
        low, high = (BANDS[:, None, None] * swell).sqrt() * complex_normal(2, count, 8, 3)
        high[:n_alone] = 0
        return Example(low, low + high)


class Mixtures:
    """As many as are asked for, by their numbers."""

    def __init__(self, seed: int):
        self.all = mixtures(seed)

    def __len__(self) -> int:
        return len(self.all.content)

    def __getitem__(self, indices: torch.Tensor, /) -> Example:
        return Example(*(part[indices] for part in self.all))


def networks() -> Separating:
    torch.manual_seed(1)
    return Separating(spectral_srnn(), spectral_srnn(hidden=7))


def test_the_gain_is_that_of_both_signals_over_the_mixture() -> None:
    torch.manual_seed(0)
    source, other, (own, others) = complex_normal(3, 4, 5), 2 * complex_normal(3, 4, 5), torch.rand(2, 3, 4, 5)
    observed = source + other

    def decibels(signal: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return 10 * torch.log10(signal.abs().square().sum((1, 2)) / noise.abs().square().sum((1, 2)))

    gains = []
    for signal, power in ((source, own), (other, others)):
        estimate = power / (own + others) * observed
        gains.append(decibels(signal, signal - estimate) - decibels(signal, observed - signal))
    torch.testing.assert_close(separated(source, observed, own, others), sum(gains) / 2, rtol=1e-3, atol=1e-3)


def test_the_loss_is_both_elbos_and_the_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks hearing the mixture; where the source is alone only its own ELBO counts."""
    monkeypatch.setattr("pyro_mixdvae.training.separating.SECOND_PASSES", 0.0)
    objective, (content, observed) = networks(), mixtures(2, 6, 2)
    power = observed.abs().square()
    with torch.no_grad():
        with programs_run(seeded(4)):
            found = objective(Example(content, observed), 0.0, 0.3, seeded(0))
        with programs_run(seeded(4)):
            drawn = [one.drawn(one.teacher_forced(power), power) for one in objective.networks]
        elbos, powers = [], []
        for network, part, (h, z, latent) in zip(objective.networks, (content, observed - content), drawn, strict=True):
            elbos.append(network.density(h, z).log_prob(part).sum((1, 2)) + 0.3 * latent)
            powers.append(network.power(h, z))
        gain = separated(content, observed, *powers)[2:].mean()
        expected = -(elbos[0].mean() + elbos[1][2:].mean()) / 8 - DECIBEL * gain
    torch.testing.assert_close(found.score, gain)
    torch.testing.assert_close(found.loss, expected)


def test_a_second_look_is_at_what_the_models_or_a_rough_knowledge_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the other's power as its model has it for about a half, and as it is, `blurred`, for the others."""
    monkeypatch.setattr("pyro_mixdvae.training.separating.SECOND_PASSES", 1.0)
    monkeypatch.setattr("pyro_mixdvae.training.separating.blurred", lambda power, generator: power)
    objective, (content, observed) = networks(), mixtures(2, 200, 20)
    fed = {network: [] for network in objective.networks}
    for network in objective.networks:
        kept = network.drawn
        monkeypatch.setattr(
            network, "drawn", lambda past, seen, n=network, kept=kept: fed[n].append(seen) or kept(past, seen)
        )
    with programs_run(seeded(4)), torch.no_grad():
        objective(Example(content, observed), 0.0, 0.3, seeded(0))
        power = observed.abs().square()
        first = [network.reconstructed(power) for network in objective.networks]
    truth = [content.abs().square(), (observed - content).abs().square()]
    for number, network in enumerate(objective.networks):
        own, others = first[number], first[1 - number]
        found = []
        for rest in (others, truth[1 - number]):
            gain = own / (own + rest)
            expected = gain**2 * power + own * (1 - gain)
            found.append(torch.isclose(fed[network][0], expected, rtol=1e-9, atol=0).flatten(1).all(1))
        assert torch.all(found[0] | found[1])
        assert 60 < found[0][20:].sum() < 120
        assert found[1][:20].all()


def test_learning_it_raises_the_gain_of_what_was_held_out_and_moves_both() -> None:
    objective, plan = (
        networks(),
        Schedule(
            epochs=8,
            warm_up=0,
            kl_weight=0.01,
            sampling_start=0,
            sampling_end=2,
            own_output_probability=0.3,
            batch_size=16,
            learning_rate=0.01,
        ),
    )
    before = [[value.clone() for value in network.parameters()] for network in objective.networks]
    training = Pretraining(objective.networks[0], Mixtures, Mixtures(1000), plan, 5, objective)
    result = train(training)
    assert result.best_score > result.curve[0].validation + 0.5
    assert result.best_score == max(point.validation for point in result.curve)
    for network, old in zip(objective.networks, before, strict=True):
        assert all(not torch.equal(*pair) for pair in zip(network.parameters(), old, strict=True))


def test_sources_that_are_all_alone_teach_nothing_of_others() -> None:
    objective = networks()
    with programs_run(seeded(0)):
        value = objective(mixtures(0, 4, 4), 0.3, 0.01, seeded(0))
    value.loss.backward()
    assert float(value.score.detach()) == 0
    assert torch.isfinite(value.loss)
    assert all(float(one.grad.abs().max()) == 0 for one in objective.networks[1].parameters() if one.grad is not None)
    assert any(float(one.grad.abs().max()) > 0 for one in objective.networks[0].parameters() if one.grad is not None)


def test_tracks_that_are_no_mixtures_are_refused() -> None:
    with pytest.raises(InputError, match="takes examples of mixtures"):
        networks()(torch.zeros(2, 8, 3, dtype=torch.complex128), 0.3, 0.01, seeded(0))
