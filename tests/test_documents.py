"""What the documents show as Python runs: those of a page block after block in one namespace."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGES = [path for path in sorted((ROOT / "docs" / "how_to").glob("*.md")) if "```python" in path.read_text()]


def run_blocks(page: Path) -> dict[str, Any]:
    torch.set_default_dtype(torch.float32)  # as a user has it
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
    return namespace


def test_the_parts_that_contributing_shows_run() -> None:
    result = run_blocks(ROOT / "CONTRIBUTING.md")["result"]
    assert np.isfinite(result.boxes).all()
    assert result.engine == "torch"
    assert "Inertia" in result.notes[0] or "Points" in result.notes[0]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_pages_of_the_site_run(page: Path) -> None:
    namespace = run_blocks(page)
    assert "result" in namespace or "posterior" in namespace
