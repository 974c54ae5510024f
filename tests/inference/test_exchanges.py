"""Who may have exchanged names with whom: two boxes that meet, with and without something that tells them apart."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from meetings import MIDDLE, SIZE, meeting, posterior_of

from pyro_mixdvae.inference.exchanges import NEAR, UNSETTLED, Exchange, possible_exchanges
from pyro_mixdvae.inference.gap_spread import LEAST_SCALE, fitted
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.strangers import left_over, strangers_of
from pyro_mixdvae.inference.track_gaps import GapsOfAny, GapsOfTwo
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence


@lru_cache
def alike() -> Posterior:
    return posterior_of(meeting())


def most_likely(posterior: Posterior) -> Exchange:
    return possible_exchanges(posterior)[0][0]


def test_those_who_meet_may_have_exchanged_their_names() -> None:
    found = most_likely(alike())
    assert (found.first, found.second) == (0, 1)
    assert found.probability > 0.2
    assert MIDDLE - 5 <= found.begin <= found.end <= MIDDLE + 17


@pytest.mark.parametrize("kind", [{"taller": 40.0}, {"apart": 90.0}], ids=["one is taller", "they pass at a distance"])
def test_what_tells_them_apart_leaves_no_doubt(kind: dict[str, float]) -> None:
    (found,) = possible_exchanges(posterior_of(meeting(**kind)))
    assert all(each.probability < 0.02 for each in found)


def test_a_label_behind_the_meeting_says_who_is_who() -> None:
    boxes = meeting()
    frames = [0, 0, len(boxes) - 1]
    labels = Labels(frames, [0, 1, 0], boxes[frames, [0, 1, 0]])
    (found,) = possible_exchanges(posterior_of(boxes, labels))
    assert sum(each.probability for each in found) < 0.02


def test_a_source_may_have_left_with_a_stranger() -> None:
    """Of two that meet one is followed: it may be the other that went on."""
    boxes = meeting()
    labels = Labels([0], [0], boxes[:1, 0])
    preset = default(1)
    sequence = make_sequence(boxes, 1, SIZE, labels=labels)
    scene, _ = make_scene([sequence], preset.representation)
    posterior = infer(preset.model, scene, preset.guide, preset.algorithm, 0, 0)
    found = most_likely(posterior)
    assert (found.first, found.second) == (0, None)
    assert found.probability > 0.2
    assert MIDDLE - 5 <= found.begin <= found.end <= MIDDLE + 17
    assert posterior.conditioned is not None
    strangers = strangers_of(posterior, posterior.conditioned, 0, left_over(posterior)[0])
    assert strangers is not None
    assert strangers.is_run.any(0).mean() > 0.7
    alone = alike()
    assert strangers_of(alone, posterior.conditioned, 0, left_over(alone)[0]) is None


def test_one_source_has_nobody_to_exchange_names_with() -> None:
    assert possible_exchanges(posterior_of(meeting()[:, :1])) == [[]]


def test_scenes_are_looked_at_by_themselves() -> None:
    """Of a batch in which some come near one another, some never do, and one has a target that is nobody's."""
    preset, never = default(2), meeting(apart=250.0)
    stranger = np.concatenate([never, never[:, :1] + np.array([0.0, 120.0, 0.0, 120.0])], 1)
    stranger[:2, 2] = np.nan
    batch = [meeting(), never, stranger, meeting(taller=10.0)]

    def exchanges(scenes: list[np.ndarray]) -> list[list[Exchange]]:
        scene, _ = make_scene([make_sequence(boxes, 2, SIZE) for boxes in scenes], preset.representation)
        return possible_exchanges(infer(preset.model, scene, preset.guide, preset.algorithm, 0, 0))

    together = exchanges(batch)
    assert together[0]
    assert not together[1]
    for found, boxes in zip(together, batch, strict=True):
        (alone,) = exchanges([boxes])
        assert [each[:4] for each in found] == [each[:4] for each in alone]
        assert [each.probability for each in found] == pytest.approx([each.probability for each in alone], abs=1e-4)


def test_a_posterior_that_knows_its_chains_has_no_need_to_make_them_again() -> None:
    """The memory that the updates fed last may be a step behind: about the same."""
    posterior = alike()
    again = Posterior(**{**vars(posterior), "conditioned": None})
    assert posterior.conditioned is not None
    assert most_likely(again).probability == pytest.approx(most_likely(posterior).probability, abs=0.05)


def test_pytorch_and_kernels_agree() -> None:
    chains = alike().conditioned
    assert chains is not None
    found, expected = GapsOfTwo(chains, UNSETTLED), GapsOfAny(chains, UNSETTLED)
    near = expected.near(NEAR)
    assert (found.near(NEAR) == near)[:, 1:].all()
    frame, first, second = np.nonzero(near[0, 1:])
    assert len(frame) > 5
    both = (gaps.between(0, first, second, frame + 1) for gaps in (found, expected))
    for theirs, ours in zip(*both, strict=True):
        for part, other in zip(theirs, ours, strict=True):
            assert part == pytest.approx(other, rel=1e-5, abs=1e-6)
    assert found.own_squares(0) == pytest.approx(expected.own_squares(0), rel=1e-5, abs=1e-6)


def test_the_spread_of_gaps_is_found() -> None:
    draw = torch.Generator().manual_seed(0)
    scale, freedom, size = torch.tensor([0.5, 3.0]), 6.0, 2
    normal = torch.randn(20000, 2, size, generator=draw) * scale.sqrt().unsqueeze(-1)
    weight = torch.distributions.Gamma(freedom / 2, freedom / 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        squares = (normal.square().sum(-1) / weight.sample((20000, 1))).double().numpy()
    found = fitted(squares, size)
    assert found.scale == pytest.approx(scale.tolist(), rel=0.05)
    assert found.freedom == pytest.approx(freedom, rel=0.15)
    assert fitted(np.zeros((5, 2)), size).scale.tolist() == [LEAST_SCALE] * 2
