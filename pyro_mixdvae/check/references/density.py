"""Whether the density of q(s, z) is that of its draws: by what the noise becomes."""

import math
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.references.designs import sigma_points
from pyro_mixdvae.check.references.noise import GivenNoise
from pyro_mixdvae.check.references.statements import DRAWS, count_noise, terms_at
from pyro_mixdvae.check.report import TERMS, Row
from pyro_mixdvae.engines.torch.closed_forms import ENTROPY
from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING
from pyro_mixdvae.models.scene import Scene

TOLERANCE = 1e-7
MOST_NUMBERS = 600


@torch.no_grad()
def drawn_at(guide: Any, scene: Scene, noise: Tensor) -> Tensor:
    """(s, z) at the draws that `noise` [P, k] makes: [P, B, N, T, D + L]."""

    def one(points: Tensor) -> Tensor:
        with GivenNoise(points, len(scene.present)), pyro.plate(DRAWS, len(points), dim=-1 - MAX_PLATE_NESTING):
            trace = poutine.trace(guide).get_trace(scene)
        found: Tensor = trace.nodes["sz"]["value"]
        found = found.expand(len(points), *found.shape[-6:]) if found.dim() == 6 else found
        return found[:, :, 0, 0]

    try:
        return one(noise)
    except Exception:  # a program that cannot draw many at once
        return torch.cat([one(row.unsqueeze(0)) for row in noise])


@torch.no_grad()
def density_rows(case: Case) -> list[Row]:
    """`- log q(s, z)` at a few draws against the density that an affine map of normal noise has.

    `x = A e + b` has the density N(b, A A'), with A found by probing; of frames that there are. Where the map is not
    affine (an encoder's z) there is no such reference.
    """
    guide, scene = case.guide, case.scene
    n_numbers = count_noise(guide, scene)
    name = "q(s,z): density of its draws"
    if not 0 < n_numbers <= MOST_NUMBERS:
        reason = "no normal noise" if n_numbers == 0 else f"{n_numbers} numbers are too many"
        return [Row(TERMS, name, "", "", reason, None, None, "not checked")]
    design = sigma_points(n_numbers)
    rows = (len(design.points) - 1) // 2
    at = drawn_at(guide, scene, design.points)
    centre = at[-1]
    slope = torch.einsum("pbntd,pk->bntdk", at[:rows] - centre, design.points[:rows]) / rows
    generator = torch.Generator().manual_seed(case.seed)
    probes = 0.7 * torch.randn(4, n_numbers, generator=generator, dtype=torch.float64)
    found = drawn_at(guide, scene, probes)
    expected = centre + torch.einsum("bntdk,pk->pbntd", slope, probes)
    if float((found - expected).abs().max()) > 1e-9 * max(1.0, float(found.abs().max())):
        return [Row(TERMS, name, "", "", "no affine map of the noise", None, None, "not checked")]
    claimed = terms_at(case.model, guide, scene, probes)[ENTROPY]
    reference = torch.stack([_of_scene(slope[b], found[:, b] - centre[b], scene, b) for b in range(len(scene.present))])
    difference = claimed - reference.T
    shown = float(difference.flatten()[difference.abs().argmax()])
    k = int(scene.present[0].sum()) * slope[0, :, 0].shape[0] * slope.shape[3]
    is_right = abs(shown) <= TOLERANCE * max(1.0, float(reference.abs().max()))
    hint = ""
    if not is_right:
        constants = {"k/2 log 2 pi e": 1 + math.log(2 * math.pi), "k/2 log 2 pi": math.log(2 * math.pi), "k/2": 1.0}
        for words, constant in constants.items():
            for sign in (-1, 1):
                if bool((difference[:, 0] - sign * k / 2 * constant).abs().max() < 1e-6 * k):
                    hint = f"differs by {'-' * (sign < 0)}{words}, k = {k}"
        hint = hint or "log_prob of a factor of q is not the density that it draws from"
    return [
        Row(
            TERMS,
            name,
            f"{float(claimed[0].sum()):.6f}",
            f"{float(reference[:, 0].sum()):.6f}",
            "what the noise becomes",
            shown,
            None,
            "right" if is_right else "wrong",
            hint,
        )
    ]


def _of_scene(slope: Tensor, deviation: Tensor, scene: Scene, b: int) -> Tensor:
    """`- log N(x; 0, A A')` of the frames that there are: slope [N, T, D, k], deviation [P, N, T, D] -> [P]."""
    seen = scene.present[b]
    matrix = slope[:, seen].flatten(0, 2)
    value = deviation[:, :, seen].flatten(1)
    covariance = matrix @ matrix.mT
    moving = torch.diagonal(covariance) > 0
    covariance, value = covariance[moving][:, moving], value[:, moving]
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, value.mT, upper=False)
    volume = torch.diagonal(factor).log().sum()
    return 0.5 * whitened.square().sum(0) + volume + 0.5 * len(factor) * math.log(2 * math.pi)
