"""Group 2, The judge: Pyro's own evaluator and the records of inference against the reference."""

import torch
from pyro.infer import TraceEnum_ELBO

from pyro_mixdvae.check.cases import Case, is_sound
from pyro_mixdvae.check.groups.terms import MOST_ERRORS
from pyro_mixdvae.check.references.expectation import Expected, expected_terms
from pyro_mixdvae.check.report import JUDGE, Row, Verdict
from pyro_mixdvae.engines.protocol import STANDARD_ERROR
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING, MixtureModel
from pyro_mixdvae.process_state import drawing, seeded

N_DRAWS = 100


@torch.no_grad()
def judge_rows(case: Case) -> list[Row]:
    """The mean of `N_DRAWS` draws of TraceEnum_ELBO, their spread, and a record against the loss on the same draw."""
    found = expected_terms(case.model, case.guide, case.scene, seed=case.seed)["elbo"]
    reference, error = float(found.value.sum()), float(found.error.square().sum().sqrt())
    evaluator = TraceEnum_ELBO(max_plate_nesting=MAX_PLATE_NESTING, strict_enumeration_warning=False)
    draws, off = [], 0.0
    for number in range(N_DRAWS):
        with drawing(seeded(case.seed + number)):
            draws.append(-evaluator.loss(case.model, case.guide, case.scene))
        if number < 3:
            with drawing(seeded(case.seed + number)):
                record = RecordingELBO().evaluate(case.model, case.guide, case.scene)
            off = max(off, abs(float(record["elbo"].sum()) - draws[-1]))
    rows = _records(case, found)
    values = torch.tensor(draws, dtype=torch.float64)
    spread = float(values.std())
    standard = (spread**2 / N_DRAWS + error**2) ** 0.5
    difference = float(values.mean()) - reference
    size = max(1.0, abs(reference))
    z = difference / max(standard, 1e-9 * size)
    is_right = abs(z) < MOST_ERRORS
    return [
        *rows,
        Row(
            JUDGE,
            f"{N_DRAWS} draws of TraceEnum_ELBO",
            f"{float(values.mean()):.4f}",
            f"{reference:.4f}",
            found.method,
            difference,
            z,
            "right" if is_right else "wrong",
            "" if is_right else "the evaluator and the statements, read one by one, do not agree",
        ),
        Row(
            JUDGE,
            "spread of one draw",
            f"{spread:.3g} nats",
            "",
            f"{N_DRAWS} draws",
            spread,
            None,
            "right",
            "a bound that is one draw rises and falls by this much",
        ),
        Row(
            JUDGE,
            "a record is minus the loss on the same draw",
            "0",
            f"{off:.2g}",
            "3 draws",
            off,
            None,
            "right" if off <= 1e-8 * size else "wrong",
            "" if off <= 1e-8 * size else "the terms of a record are not those of the ELBO",
        ),
    ]


def _records(case: Case, expected: Expected) -> list[Row]:
    """What inference would write down of this guide, where that is said to be exact."""
    if not isinstance(case.model, MixtureModel) or is_sound(case):
        return []
    record = TorchChainEngine(case.model, case.scene).record(case.guide)
    error = record.get(STANDARD_ERROR)
    name = "the record of this guide"
    if error is None:
        words = "of one draw: inference says its standard error"
        return [Row(JUDGE, name, f"{float(record['elbo'].sum()):.4f}", "", words, None, None, "not checked")]
    off = float((record["elbo"] - expected.value).abs().max())
    tolerance = 1e-8 * max(1.0, float(expected.value.abs().max())) + MOST_ERRORS * float(expected.error.max())
    verdict: Verdict = "right" if off <= tolerance else "wrong"
    hint = "" if verdict == "right" else "it is said to be exact, and is not"
    claimed, reference = (f"{float(value.sum()):.6f}" for value in (record["elbo"], expected.value))
    return [Row(JUDGE, name, f"{claimed}, exact", reference, expected.method, off, None, verdict, hint)]
