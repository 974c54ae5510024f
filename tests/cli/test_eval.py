import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pyro_mixdvae
from pyro_mixdvae.tracking.files.results import TABLES

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dataset(tmp_path: Path, pedestrians: Path) -> tuple[Path, Path]:
    """A folder of results and a folder of sequences, of TUD-Campus and TUD-Stadtmitte."""
    results, sequences = tmp_path / "results", tmp_path / "sequences"
    results.mkdir()
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        (sequences / name / "gt").mkdir(parents=True)
        (sequences / name / "gt" / "gt.txt").write_text((pedestrians / name / "gt.txt").read_text())
        (results / f"{name}.txt").write_text((pedestrians / name / "test.txt").read_text())
    return results, sequences


def cells(out: str, name: str) -> list[str]:
    return next(line.split()[1:] for line in out.splitlines() if line.split()[:1] == [name])


def test_two_sequences_and_all_together(mixdvae: Run, dataset: tuple[Path, Path]) -> None:
    code, out, err = mixdvae("eval", dataset[0], "--gt", dataset[1])
    assert (code, err) == (0, "")
    # The first row is what motmetrics publishes for its own example.
    assert cells(out, "TUD-Campus")[:5] == ["0.526", "0.277", "0.723", "0.558", "7"]
    assert cells(out, "OVERALL")[-2:] == ["250", "1515"]
    assert "MOTP is a distance" in out
    assert "13 ids where the ground truth holds 8" in " ".join(out.split())


def test_one_file_against_a_file_a_sequence_or_a_folder(mixdvae: Run, dataset: tuple[Path, Path]) -> None:
    results, sequences = dataset
    truths = [sequences, sequences / "TUD-Campus", sequences / "TUD-Campus" / "gt" / "gt.txt"]
    outputs = {mixdvae("eval", results / "TUD-Campus.txt", "--gt", truth)[1] for truth in truths}
    assert len(outputs) == 1
    assert "OVERALL" not in outputs.pop()


def test_csv_and_json_hold_the_same_numbers(mixdvae: Run, dataset: tuple[Path, Path], tmp_path: Path) -> None:
    table, document = tmp_path / "scores.csv", tmp_path / "scores.json"
    assert mixdvae("eval", dataset[0], "--gt", dataset[1], "--csv", table, "--json", document)[0] == 0
    rows = {row.pop("sequence"): row for row in csv.DictReader(table.read_text().splitlines())}
    content = json.loads(document.read_text())
    assert [*rows] == ["TUD-Campus", "TUD-Stadtmitte", "OVERALL"]
    assert {name: float(cell) for name, cell in rows["OVERALL"].items()} == content["overall"]
    assert {name: float(cell) for name, cell in rows["TUD-Campus"].items()} == content["sequences"]["TUD-Campus"]
    assert len(content["notes"]) == 2


def test_existing_outputs_stay_unless_overwritten(mixdvae: Run, dataset: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.json"
    old.write_text("mine")
    arguments = ("eval", dataset[0], "--gt", dataset[1], "--csv", old, "--json", new)
    code, out, err = mixdvae(*arguments)
    assert (code, out) == (2, "")
    assert err == f"{old} exists already: give another path, or --overwrite to replace it.\n"
    assert old.read_text() == "mine"
    assert not new.exists()
    assert mixdvae(*arguments, "--overwrite")[0] == 0
    assert old.read_text().startswith("sequence,MOTA")


def test_chosen_targets_restrict_the_ground_truth(mixdvae: Run, dataset: tuple[Path, Path], tmp_path: Path) -> None:
    truth = dataset[1] / "TUD-Campus" / "gt" / "gt.txt"
    few = tmp_path / "few.txt"
    few.write_text("".join(line + "\n" for line in truth.read_text().splitlines() if line.split(",")[1] in ("3", "6")))
    out = mixdvae("eval", few, "--gt", truth)[1]
    assert "use --ids 3,6." in out
    assert cells(out, "few")[0] != "1.000"
    out = mixdvae("eval", few, "--gt", truth, "--ids", "3,6")[1]
    assert cells(out, "few")[0] == "1.000"
    assert "Note" not in out


def test_ids_that_cannot_be_used(mixdvae: Run, dataset: tuple[Path, Path]) -> None:
    results, sequences = dataset
    for ids, truth, says in [
        ("3,x", "TUD-Campus", "no list of ids"),
        ("3,99", "TUD-Campus", "no id 99"),
        ("3", "", "one"),
    ]:
        code, out, err = mixdvae("eval", results, "--gt", sequences / truth, "--ids", ids)
        assert (code, out) == (2, "")
        assert says in err


def test_sequences_without_counterpart_are_told(mixdvae: Run, dataset: tuple[Path, Path]) -> None:
    results, sequences = dataset
    (results / "TUD-Stadtmitte.txt").rename(results / "other.txt")
    code, out, _ = mixdvae("eval", results, "--gt", sequences)
    assert code == 0
    assert "TUD-Stadtmitte: not scored" in out
    assert "other.txt: not scored" in out
    (results / "TUD-Campus.txt").unlink()
    assert mixdvae("eval", results, "--gt", sequences)[0] == 2
    assert mixdvae("eval", results / "other.txt", "--gt", sequences)[0] == 2


def test_tables_beside_results_are_no_tracks(mixdvae: Run, dataset: tuple[Path, Path]) -> None:
    results, sequences = dataset
    for suffix, beginnings in TABLES.items():
        (results / f"TUD-Campus{suffix}").write_text(f"{beginnings[-1]}\n1,2\n")
    assert "not scored" not in mixdvae("eval", results, "--gt", sequences)[1]
    mine = results / "TUD-Campus.check.csv"
    mine.write_text("frame,id,x,y,w,h\n1,1,2,3,4,5\n")
    assert f"{mine}: not scored" in "".join(mixdvae("eval", results, "--gt", sequences)[1].split("\n"))


def test_a_bad_row_is_one_sentence_and_nothing_is_written(
    mixdvae: Run, dataset: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = dataset[0] / "TUD-Campus.txt"
    bad.write_text(bad.read_text() + "72,1,5,5,-1,5,-1,-1,-1,-1\n")
    code, out, err = mixdvae("eval", dataset[0], "--gt", dataset[1], "--csv", tmp_path / "scores.csv")
    assert (code, out) == (2, "")
    assert err.startswith(f"{bad}, line 223: the box has no width or no height")
    assert err.count("\n") == 1
    assert not (tmp_path / "scores.csv").exists()


def test_the_program_as_a_user_starts_it(tmp_path: Path) -> None:
    script = "from pyro_mixdvae.cli.main import run; run()"

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-X", "importtime", "-c", script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    version = start("--version")
    assert version.stdout == f"{pyro_mixdvae.__version__}\n"
    imported = {line.rpartition("|")[2].strip() for line in version.stderr.splitlines()}
    assert not imported & {"torch", "pandas", "motmetrics"}
    missing = start("eval", str(tmp_path / "none.txt"), "--gt", str(tmp_path))
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr


def test_an_interrupt_ends_in_130(mixdvae: Run, dataset: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyro_mixdvae.tracking.scores.clear.score", interrupt)
    assert mixdvae("eval", dataset[0], "--gt", dataset[1])[0] == 130
