"""What the documents show as Python runs: those of a page block after block in one namespace. Links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_files import examples

from pyro_mixdvae.separation.result import Separation

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [path for path in sorted((ROOT / "docs" / "how_to").glob("*.md")) if "```python" in path.read_text()]


def after_each_block(page: Path) -> Iterator[dict[str, Any]]:
    """The namespace, block after block."""
    torch.set_default_dtype(torch.float32)  # as a user has it
    namespace: dict[str, Any] = {"__name__": page.stem}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
        yield namespace


def run_blocks(page: Path) -> dict[str, Any]:
    *_, namespace = after_each_block(page)
    return namespace


def test_links_in_the_readme_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    files = [target for target in targets if "://" not in target]
    assert files
    assert [target for target in files if not (ROOT / target).exists()] == []


def test_what_the_readme_shows_runs() -> None:
    n_blocks = 0
    for names in after_each_block(README):
        n_blocks += 1
        result = names["result"]
        if isinstance(result, Separation):
            assert result.stems.shape == (2, names["rate"])
            np.testing.assert_allclose(result.stems.sum(0), names["mix"], atol=1e-5)
        else:
            assert result.boxes.shape == (20, 2, 4)
            assert (result.lower < result.upper).all()
    assert n_blocks == 5


def test_the_parts_that_contributing_shows_run() -> None:
    result = run_blocks(ROOT / "CONTRIBUTING.md")["result"]
    assert np.isfinite(result.boxes).all()
    assert result.engine == "torch"
    assert "Inertia" in result.notes[0] or "Points" in result.notes[0]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_pages_of_the_site_run(page: Path) -> None:
    namespace = run_blocks(page)
    assert len(namespace) > 1


def test_every_command_for_own_detections_runs(mixdvae: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On files as the tools write them, two things that walk for six frames; what needs an extra says so without it."""
    page = (ROOT / "docs" / "how_to" / "own_detections.md").read_text()
    commands = re.findall(r"^\|.*\| `mixdvae (track .*?)` \|$", page, flags=re.M)
    assert len(commands) == 10
    monkeypatch.chdir(tmp_path)
    for name, text in examples().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for command in commands:
        code, _, err = mixdvae(*command.split(), "--overwrite", "--no-report")
        if "poses.slp" in command:
            assert code == 2
            assert "sleap-io" in err
        else:
            assert code == 0, err
            assert "recognised as" in err, command
