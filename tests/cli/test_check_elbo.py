"""`mixdvae check-elbo`: what it prints, and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import torch


def terms(model, scene, guide):
    chain = guide.chain()
    return {"entropy": torch.diagonal(chain.scale_tril, dim1=-2, dim2=-1).log().sum((1, 2, 3, 4))}


def e_step(model, scene, guide):
    mean, variance = guide.marginals()
    fit = model.expected_log_likelihood(scene, mean, 0 * variance)
    return model.assignment.posterior_logits(fit, scene.mask)


NOTHING = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_terms.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_drawn_scene_of_a_declared_model_is_right(mixdvae: Callable[..., Any], here: Path) -> None:
    (here / "my.toml").write_text('[assignment]\nfamily = "independent"\nclutter = 0.1\n')
    arguments = (
        "--drawn",
        "--preset",
        "vkf",
        "--model",
        "my.toml",
        "--frames",
        "2",
        "--only",
        "terms",
        "--only",
        "sites",
    )
    ended = mixdvae("check-elbo", *arguments)
    assert (ended.code, ended.err) == (0, "")
    assert "0 wrong" in ended.out
    assert "log p(o|w,s)" in ended.out
    assert mixdvae("check-elbo", *arguments, "--json", "out.json").code == 0
    assert json.loads((here / "out.json").read_text())["is_right"]
    assert mixdvae("check-elbo", *arguments, "--json", "out.json").code == 2  # it exists


def test_claims_and_updates_of_a_module_are_found_wrong(mixdvae: Callable[..., Any], here: Path) -> None:
    arguments = ("--drawn", "--preset", "vkf", "--frames", "2", "--json")
    ended = mixdvae("check-elbo", *arguments, "--claim", "my_terms:terms", "--only", "terms")
    assert ended.code == 1
    wrong = [row for row in json.loads(ended.out)["rows"] if row["verdict"] == "wrong"]
    assert [row["name"] for row in wrong] == ["entropy"]
    assert "-k/2 log 2 pi e, k = 32" in wrong[0]["hint"]
    ended = mixdvae(
        "check-elbo",
        *arguments,
        *("--set", "assignment.family=independent", "--set", "assignment.clutter=0.2"),
        *("--update", "my_terms:e_step", "--only", "slopes"),
    )
    assert ended.code == 1
    assert "counts 0 times" in ended.out


def test_a_sequence_is_checked_in_its_first_frames(mixdvae: Callable[..., Any], here: Path) -> None:
    rows = [f"{t},-1,{100 + 200 * n + 2 * t},50,40,80,1,-1,-1,-1" for t in range(1, 9) for n in range(2)]
    (here / "det.txt").write_text("\n".join(rows) + "\n")
    ended = mixdvae("check-elbo", "det.txt", "-n", "2", "--frames", "2", "--only", "judge", "--json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["is_right"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing says what to check on"),
        (("det.txt", "--drawn"), "leave one of them out"),
        (("--drawn", "--only", "everything"), "there are terms, the judge"),
        (("--drawn", "--update", "my_terms:NOTHING"), "no function (model, scene, guide)"),
        (("--drawn", "--claim", "my_terms:nowhere"), "has no 'nowhere'"),
        (("--drawn", "--frames", "0"), "--frames is 0"),
        (("nowhere.txt",), "nowhere.txt"),
    ],
)
def test_bad_input_ends_in_2(mixdvae: Callable[..., Any], here: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = mixdvae("check-elbo", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
