"""The likelihoods of sound: their noise is that of the mixture, and closed forms are what the contract derives."""

import math

import pytest
import torch
from pyro.distributions import TorchDistribution
from sounds import complex_normal, mixture_scene, sound_sources
from torch import Tensor
from torch.distributions import Normal

from pyro_mixdvae.distributions.complex_normal import as_content, as_spectrum, squared_modulus
from pyro_mixdvae.distributions.complex_student_t import ComplexStudentT as Density
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ComplexStudentT,
    IndependentAssignment,
    Likelihood,
    MixtureModel,
    PowerNoise,
    RelativeNoise,
    SpectralLikelihood,
)
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

R, FLOOR = 0.3, 0.01


def normal() -> ComplexNormal:
    return ComplexNormal(PowerNoise(R, FLOOR))


def student(df: float = 3.0) -> ComplexStudentT:
    return ComplexStudentT(PowerNoise(R, FLOOR), df)


EACH = pytest.mark.parametrize("make", [normal, student], ids=["normal", "student"])


def somewhere() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Observations, means, variances and scales of many frequencies, [200, 1] each; variances small and large."""
    mean, variance = complex_normal(200, 1), 3 * torch.rand(200, 1).square() + 1e-3
    return mean + 2 * complex_normal(200, 1), mean, variance, torch.rand(200, 1) + 0.2


class DerivedNormal(ComplexNormal):
    """The same density, of which nothing but `observe` is said: the rest is the contract's."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        return super().observe(content, scale)


class DerivedStudentT(ComplexStudentT):
    """The same of Student's t."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        return super().observe(content, scale)


def test_closed_forms_are_those_that_the_contract_derives() -> None:
    closed, derived = normal(), DerivedNormal(PowerNoise(R, FLOOR))
    assert type(derived).site is Likelihood.site
    assert not derived.conjugate()
    at = somewhere()
    torch.testing.assert_close(closed.expected_log_prob(*at), derived.expected_log_prob(*at), **EXACT)
    torch.testing.assert_close(closed.log_prob(at[0], at[1], at[3]), derived.log_prob(at[0], at[1], at[3]), **EXACT)
    for one, other in zip(closed.site(*at), derived.site(*at), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("df", [1.0, 3.0, 30.0])
def test_integrals_of_student_s_t_are_those_of_quadrature(df: float) -> None:
    """Where q(s) is narrow enough for twelve nodes a dimension to be enough."""
    closed, derived = student(df), DerivedStudentT(PowerNoise(R, FLOOR), df)
    assert type(derived).site is Likelihood.site
    assert type(derived).expected_log_prob is Likelihood.expected_log_prob
    observed, mean, _, scale = somewhere()
    at = (observed, mean, 0.1 * scale.square(), scale)
    torch.testing.assert_close(closed.expected_log_prob(*at), derived.expected_log_prob(*at), rtol=1e-5, atol=1e-5)
    (value, precision), (same_value, same_precision) = closed.site(*at), derived.site(*at)
    torch.testing.assert_close(precision, same_precision, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(precision * (value - mean), same_precision * (same_value - mean), rtol=1e-3, atol=1e-4)


@EACH
def test_expectation_under_q_is_the_mean_over_draws(make) -> None:
    likelihood: SpectralLikelihood = make()
    observed, mean, variance, scale = (part[:20] for part in somewhere())
    draws = mean + variance.sqrt() * complex_normal(20_000, 20, 1)
    expected = likelihood.expected_log_prob(observed, mean, variance, scale)
    assert_mean_close(likelihood.log_prob(observed, draws, scale), expected, n_errors=5)


@EACH
def test_site_has_the_gradients_of_the_expectation(make) -> None:
    """`dE/dm = 2 precision (value - m)` and `dE/dV = -precision`, of both parts together, by finite differences."""
    likelihood, step = make(), 1e-4
    observed, mean, variance, scale = somewhere()
    value, precision = likelihood.site(observed, mean, variance, scale)
    assert (precision > 0).all()

    def expected(mean: Tensor, variance: Tensor) -> Tensor:
        return likelihood.expected_log_prob(observed, mean, variance, scale).unsqueeze(-1)

    in_variance = (expected(mean, variance + step) - expected(mean, variance - step)) / (2 * step)
    secant = likelihood.secant_site(observed, mean, variance, scale).precision
    free = precision > 0.501 * secant  # where it is no less than it may be
    torch.testing.assert_close(-in_variance[free], precision[free], rtol=1e-3, atol=1e-4)
    for direction in (1.0, 1.0j):
        ahead, behind = (expected(mean + sign * step * direction, variance) for sign in (1, -1))
        pull = 2 * precision * (value - mean)
        own = pull.real if direction == 1.0 else pull.imag
        torch.testing.assert_close((ahead - behind) / (2 * step), own, rtol=1e-3, atol=1e-4)


def test_with_many_degrees_of_freedom_it_is_the_complex_normal() -> None:
    at = somewhere()
    for one, other in zip(student(1e8).site(*at), normal().site(*at), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    found = student(1e8).expected_log_prob(*at)
    torch.testing.assert_close(found, normal().expected_log_prob(*at), rtol=1e-3, atol=1e-3)


def test_outliers_weigh_less() -> None:
    """The further an observation is, the less it says; a Gaussian's says as much as any other."""
    far = torch.tensor([1.0, 5.0, 50.0]).to(torch.complex128).unsqueeze(-1)
    mean, variance, scale = torch.zeros_like(far), torch.full((3, 1), 0.1), torch.ones(3, 1)
    precision = student().site(far, mean, variance, scale).precision
    assert (precision.diff(dim=0) < 0).all()
    assert float(precision[-1]) < 1e-2


class TestStudentT:
    def test_density_sums_to_one_and_is_that_of_two_dimensions(self) -> None:
        """Multivariate Student's t with scale matrix v / 2 (its density written out), over a grid."""
        df, v = 3.0, 0.7
        axis = torch.linspace(-30, 30, 601)
        grid = torch.complex(*torch.meshgrid(axis, axis, indexing="ij"))
        cell = float(axis[1] - axis[0]) ** 2
        density = Density(df, torch.tensor(0.0j), torch.tensor(v)).log_prob(grid).exp()
        assert float(density.sum() * cell) == pytest.approx(1, abs=1e-3)
        x = complex_normal(5)
        shape = (1 + squared_modulus(x) / (df * v / 2)).pow(-(df + 2) / 2)
        constant = math.gamma(df / 2 + 1) / (math.gamma(df / 2) * df * math.pi * v / 2)
        found = Density(df, torch.zeros_like(x), torch.full((5,), v)).log_prob(x)
        torch.testing.assert_close(found, (constant * shape).log(), **EXACT)

    def test_draws_have_its_moments_and_its_quantiles(self) -> None:
        q = Density(9.0, torch.tensor(0.3 - 0.2j), torch.tensor(0.5))
        x = q.rsample((100_000,))
        assert_mean_close(x.real, q.mean.real)
        assert_mean_close(squared_modulus(x - q.mean), q.variance, n_errors=5)
        # P(|x - m|^2 > r) = (1 + 2 r / (df v))^(-df / 2)
        for r in (0.1, 0.5, 2.0):
            expected = (1 + 2 * r / (9.0 * 0.5)) ** (-4.5)
            assert_mean_close((squared_modulus(x - q.mean) > r).double(), torch.tensor(expected))

    def test_expanded_it_is_the_same(self) -> None:
        q = Density(4.0, complex_normal(3), torch.rand(3) + 0.1)
        larger = q.expand(torch.Size([5, 3]))
        assert larger.rsample().shape == (5, 3)
        x = complex_normal(5, 3)
        torch.testing.assert_close(larger.log_prob(x), q.log_prob(x))

    def test_degrees_of_freedom_are_positive(self) -> None:
        with pytest.raises(InputError, match="0 degrees of freedom"):
            student(0)


def test_scale_statistic_is_the_mean_square_of_the_residual_in_scales() -> None:
    observed, mean, variance, scale = somewhere()
    expected = ((observed - mean).abs().square() + variance) / scale.square()
    torch.testing.assert_close(normal().scale_statistic(observed, mean, variance, scale), expected.squeeze(-1), **EXACT)


@EACH
def test_noise_is_relative_to_the_mixture_and_the_same_for_all_sources(make) -> None:
    scene, noise = mixture_scene(2, 3, 3, 2, is_padded=True), make().noise
    expected = (R * scene.observations.abs().square() + FLOOR).sqrt()
    torch.testing.assert_close(noise.scale(scene), expected.unsqueeze(-2).expand(2, 3, 3, 2, 1), **EXACT)
    assert (noise.scale(scene) > 0).all()
    assert noise.is_shared()


def test_expectation_is_the_closed_form_of_the_paper() -> None:
    """`-log(pi v_o) - (|o - m|^2 + V) / v_o` with V the sum of the variances of both parts."""
    scene, model = mixture_scene(2, 3, 3, 2), MixtureModel(sound_sources(), IndependentAssignment(2), normal())
    mean, variance = torch.randn(2, 2, 3, 6), torch.rand(2, 2, 3, 6)
    found = model.expected_log_likelihood(scene, mean, variance)
    noise = R * squared_modulus(scene.observations) + FLOOR
    for n in range(2):
        for f in range(3):
            m = torch.complex(mean[:, n, :, 2 * f], mean[:, n, :, 2 * f + 1])
            spread = variance[:, n, :, 2 * f] + variance[:, n, :, 2 * f + 1]
            v, o = noise[..., f, 0], scene.observations[..., f, 0]
            expected = -(math.pi * v).log() - ((o - m).abs().square() + spread) / v
            torch.testing.assert_close(found[:, :, f, n], expected, **EXACT)


def test_density_is_that_of_two_normals() -> None:
    scene, model = mixture_scene(2, 3, 3, 2), MixtureModel(sound_sources(), IndependentAssignment(2), normal())
    contents = torch.randn(2, 2, 3, 6)
    spread = model.likelihood.noise.scale(scene).squeeze(-1) / 2**0.5
    o = scene.observations
    centre = contents.unflatten(-1, (3, 2)).movedim(1, -2)  # [B, T, F, N, 2]
    expected = Normal(centre[..., 0], spread).log_prob(o.real) + Normal(centre[..., 1], spread).log_prob(o.imag)
    torch.testing.assert_close(model.log_likelihood(scene, contents), expected, **EXACT)


def test_what_is_seen_of_a_class_is_its_complex_number_at_a_frequency() -> None:
    spectrum = complex_normal(5, 2, 3, 4, 3)  # [*, C, T, F]
    located = normal().locate(as_content(spectrum))
    assert located.shape == (5, 2, 4, 3, 3, 1)
    assert located[1, 0, 3, 2, 1, 0] == spectrum[1, 0, 1, 3, 2]


def test_noise_of_each_source_is_refused_where_sounds_add_up_and_nothing_is_not_positive() -> None:
    other = RelativeNoise(torch.ones_like, 0.1, "start")
    with pytest.raises(InputError, match="RelativeNoise is another noise for each source"):
        AdditiveModel(sound_sources(), ComplexNormal(other))
    for relative, floor in ((0.0, 1e-6), (0.1, -1.0)):
        with pytest.raises(InputError, match="both have to be positive"):
            PowerNoise(relative, floor)


def test_there_is_no_clutter() -> None:
    with pytest.raises(InputError, match="say what clutter looks like"):
        MixtureModel(sound_sources(), IndependentAssignment(2, clutter=0.1), normal())


def test_contents_are_real_and_imaginary_parts_side_by_side() -> None:
    spectrum = complex_normal(2, 3)
    content = as_content(spectrum)
    assert content.shape == (2, 6)
    torch.testing.assert_close(content[:, 2], spectrum[:, 1].real)
    torch.testing.assert_close(content[:, 3], spectrum[:, 1].imag)
    assert torch.equal(as_spectrum(content), spectrum)
    assert torch.equal(as_spectrum(content.movedim(0, 1).contiguous().movedim(1, 0)), spectrum)  # any strides
