"""Sources that come and go, against sums over all ways for them to be visible, hidden and absent."""

from itertools import pairwise, product

import pyro
import pytest
import torch
from pyro.infer import Predictive, TraceEnum_ELBO
from torch import Tensor
from torch.nn.functional import one_hot
from toys import latent_divergence

from pyro_mixdvae.distributions import presence
from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import PresentAssignment, Scene, StepwiseMixtureModel
from pyro_mixdvae.models.assignments.present import NEVER
from pyro_mixdvae.testing.parts import gaussian_likelihood, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

T, K, N = 3, 2, 2
DETECTED, CLUTTER, HIDE, REAPPEAR, LEAVE, COME, THERE, GHOST = 0.8, 0.3, 0.15, 0.4, 0.1, 0.25, 0.6, 0.03
HIDDEN, VISIBLE, ABSENT = range(3)
EVENTS = event_table(K, N)
WHOLE = torch.cartesian_prod(*[torch.arange(len(EVENTS))] * T)[::5]
"""Ways to choose a joint event for each frame, [69, T]."""

UNKNOWN = torch.zeros(1, T, N)
SOME = torch.tensor([[[0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]]])
"""Source 1 is absent in frame 2, and source 2 is there in frame 1."""


def make(known: Tensor = UNKNOWN) -> PresentAssignment:
    return PresentAssignment(N, known, DETECTED, CLUTTER, HIDE, REAPPEAR, LEAVE, COME, THERE, GHOST)


def eta() -> Tensor:
    """`WHOLE` as responsibilities [69, T, K, C]."""
    return one_hot(EVENTS[WHOLE], N + 1).double()


def step(before: int, after: int) -> float:
    """p(v_t | v_{t-1})."""
    if before == ABSENT:
        return {HIDDEN: 0.0, VISIBLE: COME, ABSENT: 1 - COME}[after]
    stays = {HIDDEN: 1 - REAPPEAR - LEAVE, VISIBLE: REAPPEAR}
    if before == VISIBLE:
        stays = {HIDDEN: HIDE, VISIBLE: 1 - HIDE - LEAVE}
    return {**stays, ABSENT: LEAVE}[after]


def paths(known: Tensor = UNKNOWN) -> tuple[Tensor, Tensor]:
    """All likely ways [V, N, T + 1] of N sources, and log p(v, u) of each."""
    each = []
    for n in range(N):
        own = []
        for path in product((VISIBLE, ABSENT), *[range(3)] * T):
            chance = THERE if path[0] == VISIBLE else 1 - THERE
            for before, after in pairwise(path):
                chance *= step(before, after)
            for told, state in zip(known[0, :, n].tolist(), path[1:], strict=True):
                chance *= not (told > 0 and state == ABSENT) and not (told < 0 and state != ABSENT)
            if chance > 0:
                own.append((path, chance))
        each.append(own)
    joint = list(product(*each))
    ways = torch.tensor([[path for path, _ in sources] for sources in joint])
    return ways, torch.tensor([[chance for _, chance in sources] for sources in joint]).log().sum(-1)


def as_pairs(ways: Tensor) -> Tensor:
    states = one_hot(ways, 3).double()
    return torch.einsum("...i,...j->...ij", states[..., :-1, :], states[..., 1:, :])


def log_given(responsibilities: Tensor, ways: Tensor) -> Tensor:
    """`log p(w, K | v)` of hard w [M, T, K, C] and ways [V, N, T + 1]: [M, V]."""
    is_detected = (responsibilities[..., :N] > 0).any(-2).transpose(-1, -2)[:, None]
    chance = torch.tensor([GHOST, DETECTED, NEVER], dtype=torch.float64)[ways[..., 1:]]
    each = torch.where(is_detected, chance, 1 - chance).log().sum((-2, -1))
    n_clutter = responsibilities[..., N].sum(-1)
    count = torch.full_like(n_clutter, CLUTTER).log() * n_clutter - CLUTTER - torch.lgamma(torch.tensor(K + 1.0))
    return each + count.sum(-1, keepdim=True)


def whole(n_scenes: int = 1) -> Scene:
    return toy_scene(n_scenes, T, K, N, missing=0.0)


@pytest.mark.parametrize("known", [UNKNOWN, SOME], ids=["unknown", "known in part"])
def test_the_path_in_pairs_has_the_density_of_the_chain_and_of_what_is_known(known: Tensor) -> None:
    ways, joint = paths(known)
    chain = make(known).latent_prior(whole())
    assert (chain.batch_shape, chain.event_shape) == ((1, 1, 1), (N, T, 3, 3))
    torch.testing.assert_close(chain.log_prob(as_pairs(ways)[:, None, None, None]).flatten(), joint, **EXACT)
    if known is UNKNOWN:
        torch.testing.assert_close(joint.logsumexp(0), torch.tensor(0.0), **EXACT)
    every = chain.paths().double()
    assert len(every) == chain.n_paths == (2 * 3**T) ** N
    torch.testing.assert_close(chain.log_prob(every[:, None, None, None]).logsumexp(0).squeeze(), joint.logsumexp(0))


@pytest.mark.parametrize("known", [UNKNOWN, SOME], ids=["unknown", "known in part"])
def test_with_a_hard_w_the_update_of_v_is_its_exact_posterior_and_the_bound_is_tight(known: Tensor) -> None:
    assignment, scene = make(known.expand(len(WHOLE), -1, -1)), whole(len(WHOLE))
    factor = assignment.factor(scene)
    factor.update(eta(), assignment, scene.present)
    found, _ = factor.chain()
    ways, prior = paths(known)
    joint = log_given(eta(), ways) + prior
    weights = joint.softmax(-1)
    torch.testing.assert_close(found, torch.einsum("mv,vntij->mntij", weights, as_pairs(ways)), **EXACT)
    is_there = (ways[..., 1:] != ABSENT).double()
    torch.testing.assert_close(factor.presence(), torch.einsum("mv,vnt->mnt", weights, is_there), **EXACT)
    likelihood = factor.expected(assignment)
    mask = torch.ones(len(WHOLE), T, K, dtype=torch.bool)
    paired = torch.where(eta()[..., :N] > 0, likelihood.pair_scores(None, mask), 0.0).sum((-2, -1))
    divergence = latent_divergence(assignment, factor, scene)
    torch.testing.assert_close(factor.gap(), -divergence, **EXACT)
    bound = (paired + likelihood.log_none(mask)).sum(-1) - divergence
    torch.testing.assert_close(bound, joint.logsumexp(-1), **EXACT)


def test_what_is_known_before_any_detection_is_the_chain_given_presence() -> None:
    ways, joint = paths(SOME)
    weights = joint.softmax(0)
    for state, found in ((VISIBLE, make(SOME).visible), (ABSENT, make(SOME).absent)):
        expected = torch.einsum("v,vnt->tn", weights, (ways[..., 1:] == state).double())
        torch.testing.assert_close(found[0], expected, **EXACT)


@pytest.mark.parametrize("known", [UNKNOWN, SOME], ids=["unknown", "known in part"])
def test_frame_by_frame_is_the_same_model(known: Tensor) -> None:
    """`log p(o, u, s, z)`: v and w summed out frame by frame, against v and w one by one."""
    scene = toy_scene(1, T, K, N, missing=0.2)
    model = toy_model(N, vkf(), make(known), gaussian_likelihood(0.3))
    stepwise = StepwiseMixtureModel(model.sources, model.assignment, model.likelihood, model.clutter)
    s, z = torch.randn(1, N, T, 4), torch.randn(1, N, T, 4)
    values = {f"sz_{t}": torch.cat([s, z], -1)[:, None, None, :, t] for t in range(T)}

    def guide(scene: Scene) -> None:
        with pyro.plate("scenes", 1, dim=-3):
            for name, value in values.items():
                pyro.sample(name, pyro.distributions.Delta(value, event_dim=2))

    found = -TraceEnum_ELBO(max_plate_nesting=3).loss(stepwise, guide, scene)
    sequence = model.sources.sequence(scene.start[:, None, None], scene.present[:, None, None])
    prior = sequence.log_prob(torch.cat([s, z], -1)[:, None, None])
    ways, chance = paths(known)
    likelihood = model.log_likelihood(scene, s)
    given = model.assignment.given(as_pairs(ways))
    mask = scene.mask.expand(len(ways), -1, -1)
    evidence = given.log_evidence(likelihood.expand(len(ways), -1, -1, -1), mask).sum(-1)
    expected = prior.squeeze() + (evidence + chance).logsumexp(0)
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-8, atol=1e-8)


def test_drawn_sources_leave_and_come_back_as_known() -> None:
    known = torch.zeros(1, 4, N)
    known[0, 2, 0] = -1.0
    assignment = PresentAssignment(N, known, 0.8, 0.3, HIDE, REAPPEAR, LEAVE, COME, THERE, GHOST)
    drawn = assignment.latent_prior(toy_scene(1, 4, K, N)).sample(torch.Size([4000])).squeeze((1, 2, 3))
    states = presence.marginals(drawn)
    assert (states[:, 0, 2, ABSENT] == 1).all()
    assert_mean_close(states[..., VISIBLE].transpose(1, 2), assignment.visible[0])
    assert_mean_close(states[..., ABSENT].transpose(1, 2), assignment.absent[0])
    torch.testing.assert_close(drawn[:, :, :-1].sum(-2), drawn[:, :, 1:].sum(-1))  # a path goes on where it was


def test_drawn_scenes_have_no_detections_of_absent_sources() -> None:
    room = toy_scene(1, 4, 6, N, missing=0.0)
    known = torch.zeros(1, 4, N)
    known[0, :2], known[0, 2:] = -1.0, 1.0
    model = toy_model(N, vkf(), PresentAssignment(N, known, 0.99, 0.01, 0.0, 0.5, 0.3, 0.3))
    drawn = Predictive(model, num_samples=50)(room, generate=True)
    assert drawn["v"].shape == (50, 1, 1, 1, N, 4, 3, 3)
    count = drawn["mask"].double().sum(-1).mean(0).squeeze(0)
    assert (count[:2] < 0.2).all()  # clutter
    assert (count[2:] > 1.7).all()


def test_rates_are_estimated_from_where_tracks_are() -> None:
    """Of drawn chains, many; where next to nothing happens they stay what is common."""
    rates = {"hide": 0.05, "reappear": 0.3, "leave": 0.02, "come": 0.03}
    n_frames, n_sources = 400, 25
    unknown = torch.zeros(1, n_frames, n_sources)
    true = PresentAssignment(n_sources, unknown, 0.98, 0.1, **rates)
    pairs = true.latent_prior(toy_scene(1, n_frames, 1, n_sources)).sample().squeeze((0, 1, 2))
    visible = presence.marginals(pairs)[..., VISIBLE].T.unsqueeze(0)
    seen = visible * (torch.rand_like(visible) < 0.98)
    found = PresentAssignment(n_sources, unknown).fitted_to_tracks(seen)
    for name, rate in rates.items():
        assert float(getattr(found, name)) == pytest.approx(rate, rel=0.25), name
    assert float(found.detection) == pytest.approx(0.98, abs=0.01)
    nothing = PresentAssignment(1, torch.zeros(1, 1, 1))
    same = nothing.fitted_to_tracks(torch.ones(1, 1, 1))
    for name in rates:
        assert float(getattr(same, name)) == pytest.approx(float(getattr(nothing, name)), rel=0.1)


def test_scenes_frames_and_windows_come_with_their_own() -> None:
    known = torch.randint(-1, 2, (3, 5, N)).double()
    assignment = PresentAssignment(N, known, *(torch.rand(3) / 4 + 0.1 for _ in range(7)))
    index = torch.tensor([2, 0])
    mask = torch.ones(2, 5, K, dtype=torch.bool)
    torch.testing.assert_close(
        assignment.scenes(index).log_none(mask), assignment.log_none(mask[:1].expand(3, -1, -1))[index], **EXACT
    )
    part = assignment.frames(slice(1, 3))
    torch.testing.assert_close(part.log_missed(), assignment.log_missed()[:, 1:3], **EXACT)
    window = assignment.windows(index, torch.tensor([[1, 2], [0, 1]]))
    torch.testing.assert_close(window.log_missed()[0], assignment.log_missed()[2, 1:3], **EXACT)
    torch.testing.assert_close(window.known[1], known[0, :2])


@pytest.mark.parametrize(("name", "rate"), [("leave", 1.2), ("come", -0.1), ("there", 2.0), ("leave", 0.95)])
def test_chances_that_are_none_are_refused(name: str, rate: float) -> None:
    with pytest.raises(InputError):
        PresentAssignment(N, UNKNOWN, reappear=0.1, **{name: rate})


def test_what_is_known_has_to_be_of_the_scene() -> None:
    with pytest.raises(InputError, match="known"):
        toy_model(N, vkf(), make()).assignment.check(toy_scene(1, T + 1, K, N))
