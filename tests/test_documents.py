"""What the documents show as Python runs: those of a page block after block in one namespace. Links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
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
    assert n_blocks == 3


LIMITS = {
    "train audio": ("--epochs", "1", "--count", "16"),
    "train boxes": ("--epochs", "1", "--count", "64"),
    "bench mot": ("--methods", "sort", "--workers", "1"),
}
"""What keeps a command of the README, which is run as it stands otherwise, from taking hours."""


def lines_of_the_readme() -> list[str]:
    """The commands of the program in its shell blocks, without their remarks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), flags=re.M | re.S)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("mixdvae ")]


def write_recordings(folder: Path) -> None:
    """What the README says that the user has: three folders of recordings, and a mix."""
    rng = np.random.default_rng(0)
    for name in ("speech", "flutes", "viola", "."):
        (folder / name).mkdir(exist_ok=True)
        for number in range(1 if name == "." else 3):
            path = folder / name / ("mix.wav" if name == "." else f"{number}.wav")
            soundfile.write(path, 0.2 * rng.standard_normal(7 * 16_000), 16_000)


@pytest.mark.slow
def test_every_line_of_the_readme_works_in_its_order(
    mixdvae: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_default_dtype(torch.float32)  # as a user has it
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    heavy = re.search(r"^```python\n(from dataclasses import replace\n.*?)^preset = ", README.read_text(), re.M | re.S)
    assert heavy is not None
    (tmp_path / "mine.py").write_text(heavy[1])
    write_recordings(tmp_path)
    assert mixdvae("demo").code == 0  # what `make demo` runs
    for line in lines_of_the_readme():
        words = shlex.split(line)[1:]
        code, out, err = mixdvae(*words, *LIMITS.get(" ".join(words[:2]), ()))
        if words[0] == "import-weights":
            assert (code, "there is no such file" in err) == (2, True)
        else:
            assert code == 0, f"{line}: {err}"
        if words[0] == "eval":  # the demo's own targets are followed, and score as they do in the demo
            assert (
                float(next(cells[1] for cells in map(str.split, out.splitlines()) if cells[:1] == ["TUD-Stadtmitte"]))
                > 0.9
            )


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
