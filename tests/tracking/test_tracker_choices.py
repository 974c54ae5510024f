"""What a user chooses of a tracker: its algorithm, guide and preset; choices that cannot be are one sentence."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from walkers import EACH_ALGORITHM, SIZE, check, preset, published, tracker, walkers

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    KinematicSources,
)
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.tracking import tracker as tracker_module
from pyro_mixdvae.tracking.result import TrackingResult


def test_preset_says_how_many_updates_there_are_unless_the_tracker_does(rng: np.random.Generator) -> None:
    _, boxes = walkers(6, 2, rng)
    own = preset(2, n_iterations=5)
    assert len(Tracker(2, own).track(boxes, SIZE).records) == 5
    assert len(Tracker(2, own, n_iterations=2).track(boxes, SIZE).records) == 2
    assert len(Tracker(2, own, algorithm="hybrid", n_iterations=4).track(boxes, SIZE).records) == 10
    assert len(Tracker(2, own, algorithm="svi", n_iterations=4).track(boxes, SIZE).records) == 6


def test_the_algorithm_is_chosen_by_name_or_is_an_object(rng: np.random.Generator) -> None:
    own = preset(2)
    assert Tracker(2, own).preset.algorithm == Coordinate(3)
    assert Tracker(2, own, algorithm="coordinate", n_iterations=4).preset.algorithm == Coordinate(4)
    assert Tracker(2, own, algorithm="svi").preset.algorithm == SVI()
    assert Tracker(2, own, algorithm="hybrid", n_iterations=5).preset.algorithm == Hybrid(Coordinate(3), SVI(5))
    swapped = Hybrid(Coordinate(1), SVI(7, learning_rate=0.1))
    assert Tracker(2, own, algorithm=swapped, n_iterations=2).preset.algorithm.svi == SVI(2, learning_rate=0.1)
    _, boxes = walkers(4, 2, rng)
    assert len(Tracker(2, own, algorithm=swapped).track(boxes, SIZE).records) == 9


@pytest.mark.parametrize("is_hybrid", [False, True], ids=["svi", "hybrid"])
def test_each_call_fine_tunes_the_presets_own_weights(is_hybrid: bool, rng: np.random.Generator) -> None:
    """Not those that the call before has left; and without fine-tuning the result is another."""
    _, boxes = walkers(6, 2, rng)
    sources = KinematicSources(KinematicNetwork(hidden=4), CentreLogSize().unit)
    plain = preset(2)
    learned = replace(plain, model=plain.model.replace(sources=sources))
    before = [parameter.clone() for parameter in sources.parameters()]

    def run(fine_tunes_prior: bool) -> TrackingResult:
        svi = SVI(10, fine_tunes_prior=fine_tunes_prior)
        return Tracker(2, learned, algorithm=Hybrid(Coordinate(2), svi) if is_hybrid else svi).track(boxes, SIZE)

    first, second = run(True), run(True)
    assert all(torch.equal(one, other) for one, other in zip(before, sources.parameters(), strict=True))
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.records[-1] != run(False).records[-1]
    check(first, 6, 2)


@EACH_ALGORITHM
def test_published_algorithm_takes_the_same_edge_scenes(algorithm: str, rng: np.random.Generator) -> None:
    """Missing detections, a frame without any, more frames than one piece of the cascade, one source.

    A last frame that is empty is cut: weights that nobody has trained say nothing of it.
    """
    for n_sources, n_frames in ((2, 35), (1, 3), (2, 1)):
        own = published(n_sources, 2)
        _, boxes = walkers(n_frames, n_sources, rng)
        boxes[1:][rng.random(boxes.shape[:2])[1:] < 0.2] = np.nan
        boxes[2:3] = np.nan
        choices = {} if algorithm == "coordinate" else {"n_iterations": 3}
        result = Tracker(n_sources, own, algorithm=algorithm, **choices).track(boxes, SIZE)  # type: ignore[arg-type]
        assert np.isfinite(result.boxes).all()
        assert np.isfinite(result.upper - result.lower).all()
        assert len(result.records) == {"coordinate": 2, "svi": 5, "hybrid": 6}[algorithm]
        assert all(np.isfinite(record["elbo"]) for record in result.records)
        np.testing.assert_array_equal(
            np.isnan(result.responsibilities[..., 0]), np.isnan(result.its_frames(boxes)[..., 0])
        )


def test_what_the_published_algorithm_cannot_do_is_one_sentence(rng: np.random.Generator) -> None:
    """It has a q(w), it starts in the first frame, and it is for an SRNN."""
    own = published(2, 1)
    _, boxes = walkers(6, 2, rng)
    with pytest.raises(InputError, match=r"Collapsed has none"):
        Tracker(2, own, guide=Collapsed).track(boxes, SIZE)
    with pytest.raises(InputError, match="for an independent p"):
        tracker(2, algorithm=Published(1)).track(boxes, SIZE)
    boxes[:2, 0] = np.nan
    with pytest.raises(InputError, match="is frame 3"):
        Tracker(2, own).track(boxes, SIZE)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"n_sources": 0}, "0 sources"),
        ({"n_sources": "2"}, "n_sources is '2': give a whole number"),
        ({"n_sources": 2.5}, "n_sources is 2.5: give a whole number"),
        ({"n_sources": 2, "level": 1.0}, "level"),
        ({"n_sources": 2, "algorithm": "magic"}, "magic"),
        ({"n_sources": 2, "n_iterations": 0}, "iterations"),
        ({"n_sources": 2, "preset": "none such"}, "none such"),
    ],
)
def test_wrong_choices_are_one_sentence(choices: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Tracker(**{"preset": preset(2), **choices})  # type: ignore[arg-type]


def test_example_of_the_tracker_runs_as_it_stands() -> None:
    torch.set_default_dtype(torch.float32)  # as a user has it
    results = doctest.testmod(tracker_module)
    assert results.attempted >= 5
    assert results.failed == 0
