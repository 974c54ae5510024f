"""Every planted error is found, and what it is is said; the right derivations beside them are passed."""

from typing import Any

import pytest
import torch
from planted import (
    EXAMPLES,
    INVISIBLE_IN_SOUND,
    PLANTED_CLAIMS,
    PLANTED_IN_E_S,
    PLANTED_IN_E_W,
    RIGHT_CLAIMS,
    Example,
    boxes,
    e_s,
    e_s_of_sounds,
    e_w,
    entropy_of_sum,
    gaussian_sites,
    more_latents,
    more_latents_of_sound,
    no_first_frame,
    powers,
    steady_sums,
    two_densities,
    two_densities_of_sound,
    unmasked,
)

from pyro_mixdvae.check import Report, check_elbo, check_update
from pyro_mixdvae.check.report import SITES, SLOPES, TERMS

RIGHT_E_S = {"boxes": e_s(), "sounds": e_s_of_sounds(), "sums": powers(1.0)}
WORDS = {
    "no trace": "tr(Phi^-1 V) / 2 counts 0 times",
    "a wrong sign of the trace": "tr(Phi^-1 V) / 2 counts -1 times",
    "a trace without 1/2": "tr(Phi^-1 V) / 2 counts 2 times",
    "no log Phi": "log |Phi|^1/2 counts 0 times",
    "a temperature": "E_q[log p(o|w,s)] counts 0.9 times",
    "no p(w)": "log p(w) counts 0 times",
    "a factor 2": "count 2 times",
    "a factor 1/2": "count 0.5 times",
    "a factor 1.01": "count 1.01 times",
    "hard responsibilities": "responsibilities are hard",
    "a filter for a smoother": "no frame sees the future",
    "marginals for conditionals": "marginal covariances stand in the place of conditional ones",
}


def updated(example: Example, update: object) -> Report:
    return check_update(example.model, example.scene, example.guide, update)


def hints(report: Report) -> str:
    return "\n".join(row.hint for row in report.wrong)


@pytest.mark.parametrize("name", PLANTED_IN_E_W)
@pytest.mark.parametrize("task", ["boxes", "sounds"])
def test_errors_in_e_w(task: str, name: str) -> None:
    found = updated(EXAMPLES[task](), PLANTED_IN_E_W[name])
    if task == "sounds" and name in INVISIBLE_IN_SOUND:
        assert found.is_right
        return
    assert WORDS[name] in hints(found)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, own in PLANTED_IN_E_S.items() for name in own])
def test_errors_in_e_s(task: str, name: str) -> None:
    found = updated(EXAMPLES[task](), PLANTED_IN_E_S[task][name])
    words = WORDS[name].replace("count ", "powers are ").replace(" times", " times") if task == "sums" else WORDS[name]
    assert words in hints(found)


@pytest.mark.parametrize("task", EXAMPLES)
def test_right_updates_written_by_hand_are_passed(task: str) -> None:
    example = EXAMPLES[task]()
    assert updated(example, RIGHT_E_S[task]).is_right
    if task != "sums":
        assert updated(example, e_w()).is_right


@pytest.mark.parametrize("name", PLANTED_CLAIMS)
def test_errors_in_terms(name: str) -> None:
    task, term, claim, words = PLANTED_CLAIMS[name]
    example = EXAMPLES[task]()
    found = check_elbo(example.model, example.scene, example.guide, claims={term: claim}, groups=(TERMS,))
    assert [row.name for row in found.wrong] == [term]
    assert words in found.wrong[0].hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"constant": 0.0}, "-k log pi e"),
        ({"constant": float(torch.tensor(torch.pi).log())}, "-k/2"),
        ({"marginal": True}, ""),
    ],
)
def test_errors_in_the_entropy_of_sounds_that_add_up(arguments: dict[str, float], words: str) -> None:
    example = steady_sums()
    right = {"entropy": lambda m, x, q: entropy_of_sum(q)}
    wrong = {"entropy": lambda m, x, q: entropy_of_sum(q, **arguments)}
    passed, found = (
        check_elbo(example.model, example.scene, example.guide, claims=claims, groups=(TERMS,))
        for claims in (right, wrong)
    )
    assert passed.is_right
    assert [row.name for row in found.wrong] == ["entropy"]
    assert words in found.wrong[0].hint


@pytest.mark.parametrize("task", RIGHT_CLAIMS)
def test_right_terms_are_passed(task: str) -> None:
    example = EXAMPLES[task]()
    found = check_elbo(example.model, example.scene, example.guide, claims=RIGHT_CLAIMS[task], groups=(TERMS,))
    assert found.is_right
    assert {row.name for row in found.rows} > set(RIGHT_CLAIMS[task])


@pytest.mark.parametrize(
    ("make", "group", "row", "words"),
    [
        (unmasked, SITES, "w: mask", "do not count the same"),
        (two_densities, TERMS, "TwoDensities.log_prob", "two densities"),
        (two_densities_of_sound, TERMS, "TwoDensitiesOfSound.log_prob", "two densities"),
        (no_first_frame, TERMS, "NoFirstFrame.log_prob", "in the first frame only"),
        (gaussian_sites, TERMS, "GaussianSites.site, precision", "does not move q(s) as the density does"),
        (more_latents, SLOPES, "drift: a factor in the guide", "no factor for it"),
        (more_latents_of_sound, TERMS, "drift: a factor in the guide", "no factor for it"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_errors_in_parts_and_programs(make: object, group: str, row: str, words: str) -> None:
    example = make()  # type: ignore[operator]
    found = check_elbo(example.model, example.scene, example.guide, groups=(group,))
    wrong = {one.name: one for one in found.wrong}
    assert words in wrong[row].hint


def test_an_update_that_forgets_to_return_is_told() -> None:
    example = boxes()

    def forgetful(model: Any, scene: Any, guide: Any) -> None:
        model.assignment.posterior_logits(model.expected_log_likelihood(scene, *guide.marginals()), scene.mask)

    found = check_update(example.model, example.scene, example.guide, e_step=forgetful)
    (row,) = found.wrong
    assert row.reference == "moves none"
