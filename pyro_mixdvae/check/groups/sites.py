"""Group 5, Masks and sites: which latent has a factor, in which plates, behind which mask."""

from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.references.statements import is_statement
from pyro_mixdvae.check.report import SITES, Row
from pyro_mixdvae.process_state import drawing, seeded

UNMATCHED = (": a factor in the guide", ": a latent of the model")


def site_rows(case: Case) -> list[Row]:
    """Latents against factors, and of both plates, masks and sizes."""
    with drawing(seeded(case.seed)), torch.no_grad():
        guide = poutine.trace(case.guide).get_trace(case.scene)
        model = poutine.trace(poutine.replay(case.model, trace=guide)).get_trace(case.scene)
    in_model = {name: node for name, node in model.nodes.items() if is_statement(node) and not node["is_observed"]}
    in_guide = {name: node for name, node in guide.nodes.items() if is_statement(node) and not node["is_observed"]}
    rows = []
    for name, node in in_model.items():
        if name in in_guide:
            rows.append(_alike(name, node, in_guide[name]))
        elif node["fn"].has_enumerate_support:
            rows.append(_row(f"{name}{UNMATCHED[0]}", "none", "summed out by the model", True, ""))
        else:
            hint = f"the model draws {name!r} and the guide has no factor for it: it stays its prior, whatever is seen"
            rows.append(_row(f"{name}{UNMATCHED[0]}", "none", "one for each latent", False, hint))
    for name, node in in_guide.items():
        if name not in in_model and not node["infer"].get("is_auxiliary"):
            hint = f"the guide draws {name!r}, which is no latent of the model: its density is in the ELBO all the same"
            rows.append(_row(f"{name}{UNMATCHED[1]}", "none", "one for each factor", False, hint))
    return rows


def _alike(name: str, model: dict[str, Any], guide: dict[str, Any]) -> Row:
    """Plates, mask and shape of a site in both."""
    own, theirs = ({frame.name for frame in node["cond_indep_stack"]} for node in (guide, model))
    if own != theirs:
        said = [", ".join(sorted(names)) or "none" for names in (own, theirs)]
        return _row(f"{name}: plates", said[0], said[1], False, "a density counts once for each element of its plates")
    own_mask, their_mask = (_mask(node) for node in (guide, model))
    differ = own_mask is None or their_mask is None or not _same(own_mask, their_mask)
    if differ and own_mask is not their_mask:
        said = [_shown(mask) for mask in (own_mask, their_mask)]
        hint = f"p({name}) and q({name}) do not count the same: what is masked in one is a term in the other"
        return _row(f"{name}: mask", said[0], said[1], False, hint)
    own_shape, their_shape = (tuple(node["value"].shape) for node in (guide, model))
    if own_shape != their_shape:
        return _row(f"{name}: shape", str(own_shape), str(their_shape), False, "the value of a site has one shape")
    return _row(f"{name}: plates, mask, shape", "as in the model", "as in the model", True, "")


def _mask(node: dict[str, Any]) -> Tensor | None:
    """The mask of a site; None where there is none."""
    mask = node["mask"]
    if isinstance(mask, Tensor):
        return None if bool(mask.all()) else mask
    return None if mask is None or mask else torch.zeros((), dtype=torch.bool)


def _same(one: Tensor, other: Tensor) -> bool:
    try:
        pair = torch.broadcast_tensors(one, other)
    except RuntimeError:
        return False
    return torch.equal(*pair)


def _shown(mask: Tensor | None) -> str:
    return "no mask" if mask is None else f"{int((~mask).sum())} of {mask.numel()} do not count"


def _row(name: str, claimed: str, reference: str, is_right: bool, hint: str) -> Row:
    return Row(SITES, name, claimed, reference, "traces", None, None, "right" if is_right else "wrong", hint)
