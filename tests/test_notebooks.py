"""Notebooks are whole and listed. Exercises of the lessons wait, have folded solutions, and are told when right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.name: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
MOST_BYTES, MOST_PLAYERS = 150_000, 3
TOLD = r"^def told\(.*?(?=^\S|\Z)"


def cells(name: str, kind: str = "") -> list[dict[str, Any]]:
    """Of one kind, or all."""
    found = json.loads(NOTEBOOKS[name].read_text())["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in found if cell["cell_type"].startswith(kind)]


def test_there_are_ten_lessons_and_two_labs() -> None:
    assert len(NOTEBOOKS) == 12


def test_every_notebook_is_listed_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in NOTEBOOKS if f"(notebooks/{name})" not in readme]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_its_outputs(name: str) -> None:
    outputs = [output for cell in cells(name, "code") for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_exercise_waits_has_a_folded_solution_and_is_told(name: str) -> None:
    found = cells(name)
    last = found[-1]["source"]
    asked = [number for number, cell in enumerate(found) if "exercise" in cell["metadata"].get("tags", [])]
    assert asked == [number for number, cell in enumerate(found) if re.match(r"my_\w+ = \.\.\.", cell["source"])]
    assert 2 <= len(asked) <= 3
    for number in asked:
        answer = found[number]["source"].split()[0]
        told = re.search(rf"\b{answer}=\({answer}, (\w+),", last)
        assert told, f"{answer} is not held to a test"
        solution = found[number + 1]
        assert re.search(rf"\b{told[1]}\b", solution["source"])
        assert {"solution", "hide-input"} <= set(solution["metadata"]["tags"])  # folded on a site
        assert solution["metadata"]["jupyter"]["source_hidden"]  # folded in Jupyter


def test_all_lessons_tell_alike() -> None:
    assert len({re.findall(TOLD, cells(name)[-1]["source"], flags=re.M | re.S)[0] for name in NOTEBOOKS}) == 1


def test_a_wrong_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    own = re.search(TOLD, cells(next(iter(NOTEBOOKS)))[-1]["source"], flags=re.M | re.S)
    assert own
    names: dict[str, Any] = {}
    exec(own[0], names)
    told = names["told"]

    def is_one(answer: int) -> bool:
        return answer + 0 == 1

    def is_hinted(answer: int) -> bool:
        assert answer == 1, f"{answer} is too large."
        return True

    told(waits=(..., 1, is_one), found=(1, 1, is_one))
    assert capsys.readouterr().out == "waits: not tried yet\nfound: right\n"
    with pytest.raises(AssertionError, match=r"not right yet: off, odd, far$"):
        told(found=(1, 1, is_hinted), off=(2, 1, is_one), odd=("one", 1, is_one), far=(9, 1, is_hinted))
    out = capsys.readouterr().out
    assert out.startswith("found: right\noff: not right yet\nodd: not right yet: TypeError")
    assert "far: not right yet: 9 is too large.\n" in out
    with pytest.raises(AssertionError, match="solution of off"):
        told(off=(1, 2, is_one))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_lessons_stay_small(name: str) -> None:
    outputs = [output.get("data", {}) for cell in cells(name, "code") for output in cell["outputs"]]
    players = [html for data in outputs if "<audio" in (html := "".join(data.get("text/html", "")))]
    assert len(players) <= MOST_PLAYERS
    assert NOTEBOOKS[name].stat().st_size - sum(map(len, players)) < MOST_BYTES


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_lessons_use_public_names_only(name: str) -> None:
    code = "\n".join(cell["source"] for cell in cells(name, "code"))
    imported = re.findall(r"from pyro_mixdvae[\w.]* import (\([^)]*\)|[^\n]*)", code)
    assert imported
    assert not [names for names in imported if re.search(r"\b_\w", names)]
