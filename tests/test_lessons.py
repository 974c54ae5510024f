"""Exercises of the lessons: an answer that waits, a folded solution, and a last cell that says what is right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MOST_BYTES = 150_000
TELLS = "def told("


def cells(path: Path) -> list[dict[str, Any]]:
    return [
        {"kind": cell["cell_type"], "source": "".join(cell["source"]), "metadata": cell["metadata"]}
        for cell in json.loads(path.read_text())["cells"]
    ]


LESSONS = {path.name: path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if TELLS in path.read_text()}


def test_there_are_lessons_with_exercises() -> None:
    assert len(LESSONS) >= 5


@pytest.mark.parametrize("name", LESSONS)
def test_every_exercise_waits_has_a_folded_solution_and_is_told(name: str) -> None:
    found = cells(LESSONS[name])
    last = found[-1]["source"]
    asked = [number for number, cell in enumerate(found) if re.match(r"my_\w+ = \.\.\.", cell["source"])]
    assert 2 <= len(asked) <= 3
    for number in asked:
        answer = found[number]["source"].split()[0]
        told = re.search(rf"\b{answer}=\({answer}, (\w+),", last)
        assert told, f"{answer} is not held to a test"
        solution = found[number + 1]
        assert re.search(rf"\b{told[1]}\b", solution["source"])
        assert {"solution", "hide-input"} <= set(solution["metadata"]["tags"])  # folded on a site
        assert solution["metadata"]["jupyter"]["source_hidden"]  # folded in Jupyter


@pytest.mark.parametrize("name", LESSONS)
def test_a_wrong_answer_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = cells(LESSONS[name])[-1]["source"]
    own = re.search(r"^def told\(.*?(?=^\S|\Z)", source[source.index(TELLS) :], flags=re.M | re.S)
    assert own
    names: dict[str, Any] = {}
    exec(own[0], names)
    told = names["told"]

    def is_one(answer: int) -> bool:
        return answer + 0 == 1

    told(waits=(..., 1, is_one), found=(1, 1, is_one))
    assert capsys.readouterr().out == "waits: not tried yet\nfound: right\n"
    with pytest.raises(AssertionError, match=r"not right yet: off, odd$"):
        told(found=(1, 1, is_one), off=(2, 1, is_one), odd=("one", 1, is_one))
    assert "odd: not right yet: TypeError" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="solution of off"):
        told(off=(1, 2, is_one))


@pytest.mark.parametrize("name", LESSONS)
def test_lessons_stay_small(name: str) -> None:
    assert LESSONS[name].stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", LESSONS)
def test_lessons_use_public_names_only(name: str) -> None:
    code = "\n".join(cell["source"] for cell in cells(LESSONS[name]) if cell["kind"] == "code")
    imported = re.findall(r"from pyro_mixdvae[\w.]* import (\([^)]*\)|[^\n]*)", code)
    assert imported
    assert not [names for names in imported if re.search(r"\b_\w", names)]
