"""What CONTRIBUTING shows as Python runs, block after block in one namespace."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]


def test_the_parts_that_contributing_shows_run() -> None:
    torch.set_default_dtype(torch.float32)  # as a user has it
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M | re.S)
    for number, block in enumerate(blocks):
        exec(compile(block, f"CONTRIBUTING.md, block {number}", "exec"), namespace)
    result = namespace["result"]
    assert np.isfinite(result.boxes).all()
    assert result.engine == "torch"
    assert "Inertia" in result.notes[0] or "Points" in result.notes[0]
