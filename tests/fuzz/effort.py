"""How much is tried: a minute in all, the same inputs each time; with ``FUZZ_EXAMPLES=n`` new ones, n a test."""

import os

from hypothesis import HealthCheck, Phase, settings

_EXAMPLES = os.environ.get("FUZZ_EXAMPLES")


def tried(in_ci: int) -> settings:
    """How a test of this folder is run.

    Args:
        in_ci: inputs that are tried where ``FUZZ_EXAMPLES`` says nothing.
    """
    return settings(
        max_examples=int(_EXAMPLES or in_ci),
        derandomize=_EXAMPLES is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        # Inputs are small already, and a run takes up to seconds: shrinking them would take hours.
        phases=[Phase.explicit, Phase.generate],
    )
