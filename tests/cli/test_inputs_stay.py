"""No command writes over what it reads, whatever name leads there; it says so before any work."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyro_mixdvae.separation.mixtures.mixing import plan_mixtures

Run = Callable[..., tuple[int, str, str]]

ROWS = "".join(f"{k},1,{10 + k},20,30,40,1\n" for k in range(1, 5))
SPELLINGS: dict[str, Callable[[Path, Path], Path]] = {
    "itself": lambda given, folder: given,
    "a detour": lambda given, folder: folder / ".." / folder.name / os.path.relpath(given, folder),
    "a link": lambda given, folder: _linked(folder / f"soft{given.suffix}", given, os.symlink),
    "a hard link": lambda given, folder: _linked(folder / f"hard{given.suffix}", given, os.link),
}


def _linked(name: Path, given: Path, link: Callable[[Path, Path], None]) -> Path:
    if not name.exists():
        link(given, name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sequences, results, sounds, a declaration and weights: nothing that a refused command has to be able to use."""
    for name in ("A", "B"):
        for part in ("det", "gt"):
            (tmp_path / "seqs" / name / part).mkdir(parents=True)
            (tmp_path / "seqs" / name / part / f"{part}.txt").write_text(ROWS)
        (tmp_path / "seqs" / name / "seqinfo.ini").write_text("[Sequence]\nimWidth=100\nimHeight=100\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "A.txt").write_text(ROWS)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    for name in ("speech/m.wav", "flute/m.wav", "mixtures/m.wav", "out/m/speech.wav", "out/m/flute.wav"):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "sounds" / name, noise, 16_000)
    (tmp_path / "sounds" / "manifest.csv").write_text("id\nm\n")
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "mine.toml").write_text('[sources]\nweights = "mine.safetensors"\n[likelihood]\nfamily = "mine:Own"\n')
    (tmp_path / "plain.toml").write_text("")
    (tmp_path / "mine.safetensors").write_text("")
    (tmp_path / "labels.txt").write_text("1,1,10,20,30,40\n")
    (tmp_path / "samples.json").write_text("")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cases() -> Iterator[tuple[str, str]]:
    """Each command, where OUT is the output, and what it reads."""
    tracking = "track {f}/seqs/A -n 1 --no-report --labels {f}/labels.txt --model {f}/mine.toml -o OUT"
    for given in ("seqs/A/det/det.txt", "seqs/A/seqinfo.ini", "labels.txt", "mine.toml", "mine.safetensors", "mine.py"):
        yield tracking, given
    yield "track {f}/seqs -n 1 -o {f}/seqs/A/det/.. --no-report", "seqs/A/det/../B.txt"
    for option in ("--csv", "--json"):
        for given in ("results/A.txt", "seqs/A/gt/gt.txt"):
            yield f"eval {{f}}/results/A.txt --gt {{f}}/seqs/A {option} OUT", given
            yield f"eval {{f}}/results --gt {{f}}/seqs {option} OUT", given
        for given in ("sounds/flute/m.wav", "sounds/mixtures/m.wav", "sounds/out/m/speech.wav", "sounds/manifest.csv"):
            yield f"eval-audio {{f}}/sounds/out --reference {{f}}/sounds {option} OUT", given
    yield "train boxes --tracks {f}/mine.safetensors -o OUT", "mine.safetensors"
    yield "import-weights {f}/mine.safetensors -o OUT", "mine.safetensors"
    yield "model show {f}/plain.toml --render OUT", "plain.toml"


@pytest.mark.parametrize(("words", "given"), list(cases()))
def test_an_input_is_never_an_output(
    mixdvae: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, words: str, given: str
) -> None:
    monkeypatch.chdir(folder)
    for name, spelled in SPELLINGS.items():
        if "OUT" not in words and name != "itself":
            continue
        path = folder / given
        if not path.exists():
            path.symlink_to(folder / "seqs" / "B" / "det" / "det.txt")
        output = spelled(path, folder)
        if words.startswith(("train", "import")) and output.suffix != ".safetensors":
            continue
        before = contents(folder)
        arguments = words.format(f=folder).replace("OUT", str(output)).split()
        code, out, err = mixdvae(*arguments, "--overwrite")
        assert (code, out) == (2, ""), name
        assert err.count("\n") == 1
        assert "is an input" in err
        assert contents(folder) == before


def test_sounds_are_not_replaced_by_what_is_made_of_them(mixdvae: Run, folder: Path) -> None:
    """Outputs that get their names from the command: a link stands where one would be written."""
    sounds = folder / "sounds"
    stem = folder / "stems" / "m" / "speech.wav"
    (recipe,) = plan_mixtures([0.0], [10], 1, 0)
    part = folder / "mixed" / "speech" / f"{recipe.name}.wav"
    weights = folder / "viola.json"
    for place in (stem, part, weights):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(sounds / "mixtures" / "m.wav")
    before = contents(folder)
    one = ("--snr", 0, "--frames", 10, "--count", 1)
    commands = [
        ("mix", sounds / "mixtures", sounds / "flute", "-o", folder / "mixed", "--overwrite", *one),
        ("separate", sounds / "mixtures" / "m.wav", "-o", folder / "stems", "--overwrite"),
        ("train", "audio", sounds / "mixtures", "-o", folder / "viola.safetensors", "--overwrite"),
        ("bench", "mot", folder / "seqs", "-o", folder, "--samples", folder / "samples.json", "--overwrite"),
        ("bench", "mot", folder / "seqs", "-o", folder / "seqs" / "..", "--samples", folder / "samples.json"),
    ]
    for command in commands:
        code, out, err = mixdvae(*command)
        assert (code, out) == (2, "")
        assert "is an input" in err
    assert contents(folder) == before


def test_what_a_benchmark_removes_holds_no_input(mixdvae: Run, folder: Path) -> None:
    (folder / "seqs").rename(folder / "work")
    before = contents(folder)
    code, _, err = mixdvae("bench", "mot", folder / "work", "-o", folder, "--overwrite")
    assert code == 2
    assert "which is removed" in err
    assert contents(folder) == before


def test_one_file_for_two_tables_is_refused(mixdvae: Run, folder: Path) -> None:
    code, _, err = mixdvae(
        "eval", folder / "results" / "A.txt", "--gt", folder / "seqs" / "A", "--csv", folder / "o", "--json",
        folder / "results" / ".." / "o",
    )  # fmt: skip
    assert code == 2
    assert "would be written twice" in err


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", ".x", "a\\b", "a\nb", ""])
def test_the_name_of_a_source_leads_nowhere(
    mixdvae: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "er")
    before = contents(folder)
    code, out, err = mixdvae("train", "audio", folder / "sounds" / "speech", "--name", name)
    assert (code, out) == (2, "")
    assert "cannot be called" in err or "give the source a --name" in err
    assert contents(folder) == before
