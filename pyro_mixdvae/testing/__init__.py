"""The contracts of parts as test cases to inherit: derive, say how your part is made, and run pytest.

from pyro_mixdvae.testing.likelihoods import LikelihoodContract

class TestHeavy(LikelihoodContract):
    def make(self):
        return Heavy(relative_noise())
"""

try:
    import pytest
except ImportError as error:
    raise ImportError(
        'pyro_mixdvae.testing needs the package pytest: install it with pip install "pyro-mixdvae[testing]".'
    ) from error

pytest.register_assert_rewrite(
    *(
        f"pyro_mixdvae.testing.{name}"
        for name in ("assignments", "contract", "guides", "likelihoods", "networks", "scenes", "sources")
    )
)
