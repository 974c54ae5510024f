"""The README stays true: it lists every notebook, its links lead somewhere, its Python runs. Notebooks are whole."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae.separation.separator import Separation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_notebook_is_listed_in_the_readme() -> None:
    assert NOTEBOOKS
    unlisted = [path.name for path in NOTEBOOKS if f"(notebooks/{path.name})" not in README]
    assert not unlisted


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_a_notebook_has_its_outputs_and_folds_its_solutions_away(path: Path) -> None:
    """In Jupyter by `source_hidden`, on a site by the tag."""
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in code)
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    for cell in code:
        if "solution" in cell["metadata"].get("tags", []):
            assert "hide-input" in cell["metadata"]["tags"]
            assert cell["metadata"]["jupyter"]["source_hidden"]


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
