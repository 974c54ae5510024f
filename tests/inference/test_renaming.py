"""Names that have surely been exchanged are put right, and no others."""

from dataclasses import replace

import pytest
import torch
from meetings import MIDDLE, meeting, posterior_of

from pyro_mixdvae.inference import renaming
from pyro_mixdvae.inference.exchanges import Exchange
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.renaming import SURE, put_right


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return posterior_of(meeting(taller=40.0))


def told(monkeypatch: pytest.MonkeyPatch, *exchanges: Exchange) -> None:
    monkeypatch.setattr(renaming, "possible_exchanges", lambda _: [list(exchanges)])


def test_names_change_from_the_middle_of_the_encounter_on(
    posterior: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, Exchange(0, 1, 10, 13, 0.95))
    found, before = put_right(posterior), posterior.responsibilities
    torch.testing.assert_close(found[:, :11], before[:, :11])
    torch.testing.assert_close(found[:, 11:, :, [1, 0]], before[:, 11:, :, :2])
    torch.testing.assert_close(found[..., 2:], before[..., 2:])


@pytest.mark.parametrize(
    "exchange", [Exchange(0, 1, 10, 13, SURE - 0.01), Exchange(0, None, 10, 13, 0.99)], ids=["unsure", "a stranger"]
)
def test_nothing_changes_without_a_sure_exchange_of_two_sources(
    posterior: Posterior, monkeypatch: pytest.MonkeyPatch, exchange: Exchange
) -> None:
    told(monkeypatch, exchange)
    assert put_right(posterior) is posterior.responsibilities


def test_of_two_encounters_of_a_source_the_likelier_counts(
    posterior: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, Exchange(0, 1, 20, 20, 0.99), Exchange(0, 1, 40, 40, 0.95))
    found, before = put_right(posterior), posterior.responsibilities
    torch.testing.assert_close(found[:, 20:, :, [1, 0]], before[:, 20:, :, :2])


def test_two_who_are_told_apart_by_their_height_get_their_names_back(posterior: Posterior) -> None:
    """From where they meet on each is explained by the other: what follows says so, by the chains that result."""
    right = posterior.responsibilities
    wrong = right.clone()
    since = MIDDLE + 6
    wrong[:, since:, :, [0, 1]] = right[:, since:, :, [1, 0]]
    found = put_right(replace(posterior, responsibilities=wrong, conditioned=None))
    torch.testing.assert_close(found[:, since + 12 :], right[:, since + 12 :])
    torch.testing.assert_close(found[:, :MIDDLE], right[:, :MIDDLE])
    assert put_right(posterior) is right
