"""Few cases in the place of all combinations: any two values of any two parameters meet in one of them at least."""

from collections.abc import Sequence
from typing import Any

import pytest
from allpairspy import AllPairs


def pairs(**values: Sequence[Any]) -> pytest.MarkDecorator:
    """A mark like those of ``parametrize`` for each name in turn, of which it takes far fewer combinations.

    Most of what fails does so for one value, or for two that meet; and a product of five lists runs for minutes.
    """
    return pytest.mark.parametrize(tuple(values), [tuple(row) for row in AllPairs(list(values.values()))])
