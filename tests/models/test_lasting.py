"""What the detections of a source have in common for some frames: boxes follow a precise detector, not a coarse one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import EstimatedNoise, LastingError, RelativeNoise, RepeatedError
from pyro_mixdvae.models.lasting import Scales, fresh_variance, scales_of, smoothed
from pyro_mixdvae.testing.scenes import EXACT


def autoregressive(n_frames: int, sigma: Tensor, rho: float) -> Tensor:
    """[B, 4, T, D], of standard deviations sigma [B, D]."""
    shape = (len(sigma), 4, sigma.shape[-1])
    steps = [torch.randn(shape)]
    for _ in range(n_frames - 1):
        steps.append(rho * steps[-1] + (1 - rho**2) ** 0.5 * torch.randn(shape))
    return torch.stack(steps, -2) * sigma[:, None, None]


class TestScales:
    def test_each_scene_and_coordinate_has_its_own(self) -> None:
        sigma, white = torch.tensor([[1.0, 0.5], [0.3, 2.0]]), torch.tensor([[0.2, 0.2], [0.1, 0.1]])
        errors = autoregressive(4000, sigma, 0.9)
        residual = errors + white[:, None, None] * torch.randn(errors.shape)
        seen = torch.rand(residual.shape[:-1]) < 0.95
        residual[~seen] = 100.0  # of no account
        found = scales_of(residual, seen, fresh_variance(residual, seen))
        torch.testing.assert_close(found.lasting.sqrt(), sigma, rtol=0.12, atol=0.0)
        torch.testing.assert_close(found.correlation, torch.full((2, 2), 0.87), rtol=0.06, atol=0.0)
        # A step of what lasts is new as well: a little of it is taken for white.
        fresh = (white.square() + (1 - 0.9**2) / 4 * sigma.square()).sqrt()
        assert bool((found.white.sqrt() > 0.9 * white).all())
        assert bool((found.white.sqrt() < 1.2 * fresh).all())

    @pytest.mark.parametrize("period", [6.0, 10.0, 100.0])
    def test_a_source_that_turns_within_few_frames_is_not_new_in_every_frame(self, period: float) -> None:
        phase = 2 * torch.pi * (torch.arange(400) / period + torch.rand(1, 4, 1))
        white = 0.05 * torch.randn(1, 4, 400, 2)
        residual, seen = phase.sin().unsqueeze(-1) + white, torch.ones(1, 4, 400, dtype=torch.bool)
        assert bool((fresh_variance(residual, seen).sqrt() < 1.15 * 0.05).all())
        assert bool((fresh_variance(white, seen).sqrt() > 0.85 * 0.05).all())

    def test_a_detector_errs_alike_in_all_coordinates(self) -> None:
        residual, seen = torch.randn(2, 4, 500, 4), torch.ones(2, 4, 500, dtype=torch.bool)
        found = scales_of(residual, seen, torch.tensor([[0.02, 0.01, 0.4, 0.03], [0.2, 0.2, 0.2, 0.2]]))
        torch.testing.assert_close(found.white, torch.tensor([[0.02, 0.01, 0.02, 0.02], [0.2, 0.2, 0.2, 0.2]]))
        torch.testing.assert_close(found.white + found.lasting, torch.ones(2, 4), rtol=0.1, atol=0.0)

    @pytest.mark.parametrize("n_frames", [1, 3, 5, 9])
    def test_where_too_little_is_seen_all_is_white(self, n_frames: int) -> None:
        residual = torch.randn(1, 2, n_frames, 3)
        for seen in (torch.ones(1, 2, n_frames, dtype=torch.bool), torch.zeros(1, 2, n_frames, dtype=torch.bool)):
            untold = fresh_variance(residual, seen)
            assert bool(untold.isnan().all())
            found = scales_of(residual, seen, untold)
            assert all(bool(part.isfinite().all()) for part in found)
            assert bool((found.lasting < 1e-3).all())


@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_the_mean_is_that_of_the_joint_gaussian(n_frames: int) -> None:
    scales = Scales(torch.tensor([[0.2, 0.5]]), torch.tensor([[1.0, 0.3]]), torch.tensor([[0.8, 0.4]]))
    residual, seen = torch.randn(1, 2, n_frames, 2).double(), torch.rand(1, 2, n_frames) < 0.7
    found = smoothed(residual, seen, scales)
    steps = torch.arange(n_frames)
    for n in range(2):
        for d in range(2):
            white, lasting, rho = (float(part[0, d]) for part in scales)
            prior = lasting * rho ** (steps[:, None] - steps).abs().double()
            where = seen[0, n]
            gain = prior[:, where] @ torch.linalg.inv(prior[where][:, where] + white * torch.eye(int(where.sum())))
            torch.testing.assert_close(found[0, n, :, d], gain @ residual[0, n, where, d], **EXACT)


class TestShare:
    noise = RelativeNoise(torch.ones_like, 1.0)

    def wander(self, error: RepeatedError, white: float) -> tuple[Tensor, Tensor, Tensor]:
        own = autoregressive(1000, torch.ones(1, 2), 0.9)
        detected = own + white * torch.randn(own.shape)
        seen = torch.rand(own.shape[:-1]) < 0.9
        detected = torch.where(seen.unsqueeze(-1), detected, torch.nan)
        found = error.wander(self.noise, torch.zeros_like(own), detected, seen.to(own), torch.zeros_like(seen))
        return found.shift[seen], own[seen], found.variance[~seen]

    def test_a_precise_detector_is_followed(self) -> None:
        shift, own, unseen = self.wander(LastingError(share=0.0), 0.05)
        assert float((shift - own).square().mean()) < 0.15 * float(own.square().mean())
        assert float(unseen.mean()) == pytest.approx(0.8, abs=0.2)

    def test_a_coarse_one_is_not(self) -> None:
        shift, _, unseen = self.wander(LastingError(share=0.0), 1.0)
        assert not shift.any()
        assert not unseen.any()

    def test_how_coarse_is_said_by_the_errors_that_last(self) -> None:
        small, large = (self.wander(LastingError(lasting=lasting), 0.2)[0] for lasting in (0.5, 3.0))
        assert float(large.square().mean()) < 0.8 * float(small.square().mean())

    def test_an_error_that_repeats_alone_moves_nothing(self) -> None:
        seen = torch.rand(1, 2, 9)
        known = torch.zeros(1, 2, 9, dtype=torch.bool)
        found = RepeatedError().wander(self.noise, torch.zeros(1, 2, 9, 2), torch.ones(1, 2, 9, 2), seen, known)
        assert not found.shift.any()
        assert torch.equal(found.variance, RepeatedError().variance(self.noise, torch.zeros(1, 2, 9, 2), seen))


def test_where_a_source_is_known_says_nothing_of_the_detector() -> None:
    own = autoregressive(1000, torch.ones(1, 2), 0.9)
    detected = own + 0.2 * torch.randn(own.shape)
    seen, known = torch.ones(own.shape[:-1]), torch.zeros(own.shape[:-1], dtype=torch.bool)
    # In half of the film a person has said where sources are: the path that the prior draws is right there.
    known[:, :, 500:] = True
    content = torch.where(known.unsqueeze(-1), own, 0.0)
    noise, error = RelativeNoise(torch.ones_like, 1.0), LastingError(share=0.5)
    first = [part[:, :, :500] for part in (content, detected, seen, known)]
    half, whole = error.wander(noise, *first), error.wander(noise, content, detected, seen, known)
    torch.testing.assert_close(whole.variance[:, :, :500], half.variance, **EXACT)
    assert not whole.shift[:, :, 600:].abs().gt(1e-6).any()
    torch.testing.assert_close(whole.shift[:, :, :400], half.shift[:, :, :400], rtol=0.0, atol=1e-3)


class TestWhatRepeats:
    """Of detections about a path with residuals of .2, of which each scene has a part that is new in every frame."""

    least, residual = 0.05, 0.2

    def variance(self, white: float, n_frames: int = 2000) -> tuple[Tensor, Tensor, EstimatedNoise]:
        """Where the source is seen, and where not, of a source without a way of its own."""
        noise = EstimatedNoise(torch.ones_like, 1.0, least=self.least).fitted(torch.tensor([self.residual**2]))
        lasting = (self.residual**2 - white**2) ** 0.5
        detected = autoregressive(n_frames, torch.full((1, 2), lasting), 0.999)
        detected = detected + white * torch.randn(detected.shape)
        seen = torch.rand(detected.shape[:-1]) < 0.95
        detected = torch.where(seen.unsqueeze(-1), detected, torch.nan)
        known, content = torch.zeros_like(seen), torch.zeros_like(detected)
        found = LastingError(share=0.5).wander(noise, content, detected, seen.to(detected), known).variance
        return found[seen], found[~seen], noise

    def test_what_residuals_show_does_not_repeat(self) -> None:
        seen, hidden, noise = self.variance(0.005)
        torch.testing.assert_close(seen, torch.full_like(seen, 0.5 * self.least**2))
        # What hides a source hides a part of it first; what it does of its own is not seen either.
        assert float(hidden.min()) > 2 * 0.5 * float(noise.repeated(torch.zeros(1, 1)).square())

    def test_of_a_coarse_detector_it_is_as_large_as_what_lasts_may_be(self) -> None:
        seen, hidden, _ = self.variance(0.199)
        torch.testing.assert_close(seen.mean(), torch.tensor(0.5 * (2 * 0.199) ** 2), rtol=0.1, atol=0.0)
        assert bool((hidden.amin(0) >= seen.amax(0)).all())

    def test_where_too_little_is_seen_it_is_all_noise(self) -> None:
        seen, hidden, noise = self.variance(0.1, n_frames=6)
        repeated = noise.repeated(torch.zeros(1, 1)).square()
        torch.testing.assert_close(seen, (0.5 * repeated).expand_as(seen))
        torch.testing.assert_close(hidden, repeated.expand_as(hidden))


def test_a_negative_error_is_refused() -> None:
    with pytest.raises(InputError, match=r"errors that last of -1.0 times"):
        LastingError(lasting=-1.0)


@pytest.mark.parametrize("period", [9, 5])
def test_boxes_are_where_a_precise_detector_sees_them(period: int, rng: np.random.Generator) -> None:
    """Boxes that breathe as a runner's, of many or few frames: the prior, whose detector errs more, smooths it away."""
    steps = np.arange(80)
    along = np.stack([3 * steps, 0 * steps], -1)
    centre = np.stack([np.array([100, 100]) + along, np.array([500, 300]) - along])
    phase = 2 * np.pi * steps / period
    size = np.stack([40 * (1 + 0.15 * np.sin(phase)), 80 + 0 * steps], -1)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], -1).transpose(1, 0, 2)
    boxes = boxes + rng.normal(0, 0.1, boxes.shape)
    result = Tracker(2).track(boxes, (640, 480))
    by_source = result.boxes[:, np.argsort(result.boxes[0, :, 0])]
    assert float(np.sqrt(np.square(by_source - boxes).mean())) < 0.4
