"""Check a derivation: the terms of an ELBO, its updates and its programs against references, piece by piece."""

from pyro_mixdvae.check.cases import Case, case_of, double_precision, in_double
from pyro_mixdvae.check.checking import check_elbo, check_update
from pyro_mixdvae.check.drawn import drawn_scene
from pyro_mixdvae.check.groups.e_w import optimal_logits
from pyro_mixdvae.check.references.designs import antithetic_draws, sigma_points
from pyro_mixdvae.check.references.evidence import log_evidence
from pyro_mixdvae.check.references.expectation import exact_elbo, expected_terms
from pyro_mixdvae.check.references.noise import GivenNoise
from pyro_mixdvae.check.references.slopes import slopes
from pyro_mixdvae.check.references.statements import count_noise, terms_at, terms_given
from pyro_mixdvae.check.report import Report, Row
from pyro_mixdvae.check.updates import e_s, e_v, e_w, updated
from pyro_mixdvae.engines.torch.closed_forms import closed_forms

__all__ = [
    "Case",
    "GivenNoise",
    "Report",
    "Row",
    "antithetic_draws",
    "case_of",
    "check_elbo",
    "check_update",
    "closed_forms",
    "count_noise",
    "double_precision",
    "drawn_scene",
    "e_s",
    "e_v",
    "e_w",
    "exact_elbo",
    "expected_terms",
    "in_double",
    "log_evidence",
    "optimal_logits",
    "sigma_points",
    "slopes",
    "terms_at",
    "terms_given",
    "updated",
]
