"""The README stays true: it lists every notebook, its links lead somewhere, and its Python runs."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.separation.separator import Separation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_notebook_is_listed_in_the_readme() -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    unlisted = [path.name for path in notebooks if f"(notebooks/{path.name})" not in README]
    assert not unlisted


def test_links_in_the_readme_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    files = [target for target in targets if "://" not in target]
    assert files
    assert [target for target in files if not (ROOT / target).exists()] == []


def test_python_in_the_readme_runs() -> None:
    """Block after block in one namespace, as a reader would."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
    assert len(blocks) == 4
    names: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
        result = names["result"]
        if isinstance(result, Separation):
            assert result.stems.shape == (2, names["rate"])
            np.testing.assert_allclose(result.stems.sum(0), names["mix"], atol=1e-5)
        else:
            assert result.boxes.shape == (20, 2, 4)
            assert (result.lower < result.upper).all()
