import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pyro_mixdvae.cli.bench import LIST, OUTPUTS
from pyro_mixdvae.cli.options import spread

# Of the numbers that a table holds, only these change from run to run.
TIMINGS = {"seconds per sample"}
FEW = ("--triples-per-window", 1, "--workers", 1)
NUMPY_ONLY = ("--methods", "sort", "jpda", "oracle")


def table(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO((folder / "table.csv").read_text()))
    return [{name: cell for name, cell in row.items() if name not in TIMINGS} for row in rows]


def assert_same(one: Path, other: Path) -> None:
    assert table(one) == table(other)
    for name in (LIST, "per_sample.csv", "scores.png", "reliability.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_command_writes_tables_and_the_same_again(data: Path, tmp_path: Path, mixdvae: Callable) -> None:
    harder = ("--extra-misses", 0.1, "--clutter", 0.5)
    options = ("-T", 20, 40, *harder, "--triples-per-window", 2, "--workers", 1, "--block", 3)
    ended = mixdvae("bench", "mot", data, *options, "-o", tmp_path / "a")
    assert ended.code == 0, ended.err
    assert "mixdvae" in ended.out
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*OUTPUTS, LIST}
    rows = table(tmp_path / "a")
    assert {(row["T"], row["sequence"], row["method"]) for row in rows} >= {
        (length, name, method)
        for length in ("20", "40")
        for name in ("SEQ-A", "SEQ-B", "OVERALL")
        for method in ("mixdvae", "sort", "jpda", "oracle")
    }
    for row in rows:
        assert 0 <= float(row["HOTA low"]) <= float(row["HOTA"]) <= float(row["HOTA high"]) <= 1
        assert (row["90 % observed"] != "") == (row["method"] == "mixdvae")
    written = json.loads((tmp_path / "a" / "table.json").read_text())
    assert written["options"]["clutter"] == 0.5
    assert "## T = 20" in (tmp_path / "a" / "table.md").read_text()

    again = mixdvae("bench", "mot", data, *options, "-o", tmp_path / "b")
    assert again.code == 0
    assert_same(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_list_is_run_again_and_by_processes(data: Path, tmp_path: Path, mixdvae: Callable) -> None:
    alone = ("bench", "mot", data, "-T", 20, *NUMPY_ONLY, "--triples-per-window", 2, "--block", 2)
    assert mixdvae(*alone, "--seed", 4, "--workers", 1, "-o", tmp_path / "a").code == 0
    listed = ("bench", "mot", data, *NUMPY_ONLY, "--block", 2, "--samples", tmp_path / "a" / LIST)
    assert mixdvae(*listed, "--workers", 2, "-o", tmp_path / "b").code == 0
    assert_same(tmp_path / "a", tmp_path / "b")


@pytest.mark.usefixtures("unrendered")
def test_the_same_command_goes_on_where_it_was(
    data: Path, tmp_path: Path, mixdvae: Callable, interrupted: Callable[[], AbstractContextManager[None]]
) -> None:
    options = ("bench", "mot", data, "-T", 20, *NUMPY_ONLY, *FEW, "--block", 1)
    assert mixdvae(*options, "-o", tmp_path / "whole").code == 0
    out = tmp_path / "stopped"
    with interrupted():
        assert mixdvae(*options, "-o", out).code == 130
    kept = {path.name: path.read_bytes() for path in out.glob("work/T*.json")}
    assert len(kept) == 2
    assert not (out / "table.csv").exists()

    changed = mixdvae(*options, "--clutter", 1, "-o", out)
    assert changed.code == 2
    assert "clutter is 1.0, and was 0.0" in changed.err
    assert {path.name: path.read_bytes() for path in out.glob("work/T*.json")} == kept

    ended = mixdvae(*options, "-o", out)
    assert ended.code == 0, ended.err
    assert "2 of " in ended.err
    assert_same(tmp_path / "whole", out)
    assert not (out / "work").exists()


@pytest.mark.usefixtures("unrendered")
def test_what_stands_in_the_way_is_told(data: Path, tmp_path: Path, mixdvae: Callable) -> None:
    options = ("bench", "mot", data, "-T", 20, "--methods", "oracle", "--workers", 1)
    out = tmp_path / "out"
    out.mkdir()
    (out / "table.md").write_text("mine")
    refused = mixdvae(*options, "-o", out)
    assert refused.code == 2
    assert "exists already" in refused.err
    assert mixdvae(*options, "-o", out, "--overwrite").code == 0
    assert (out / "table.md").read_text() != "mine"
    (tmp_path / "other" / "work").mkdir(parents=True)
    assert "not of a benchmark" in mixdvae(*options, "-o", tmp_path / "other").err
    for bad, sentence in (
        (("--methods", "sorted"), "There is no method 'sorted'"),
        (("--workers", 0), "--workers is 0"),
        (("-T", 0), "-T is 0"),
        (("--extra-misses", 1.5), "extra misses"),
        (("--samples", out / LIST), "is an input"),
        (("--samples", data / "list.json", "--clutter", 1), "leave out the options"),
        (("-T", 41), "no window of 41 frames"),
    ):
        ended = mixdvae("bench", "mot", data, *bad, "-o", out, "--overwrite")
        assert ended.code == 2, bad
        assert sentence in ended.err


@pytest.mark.usefixtures("unrendered")
def test_a_method_that_cannot_run_has_a_row_that_says_so(
    data: Path, tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    methods = ("--methods", "published", "bytetrack", "oracle")
    ended = mixdvae("bench", "mot", data, "-T", 20, 41, *methods, "--workers", 1, "-o", tmp_path)
    assert ended.code == 0, ended.err
    assert "T = 41 has no rows" in ended.err
    for method, sentence in (("published", "--published-weights"), ("bytetrack", "pip install")):
        row = next(row for row in table(tmp_path) if row["method"] == method)
        assert row["MOTA"] == ""
        assert sentence in row["note"]
    assert "n/a" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("DATA -T 60 120 -o OUT", "DATA -T 60 -T 120 -o OUT"),
        ("-T 60 120 DATA --methods a b --seed 3", "-T 60 -T 120 DATA --methods a --methods b --seed 3"),
        ("DATA -T", "DATA -T"),
        ("DATA -T -1", "DATA -T -1"),
        ("-T -10 -5 0 2.5 -o OUT", "-T -10 -T -5 -T 0 -T 2.5 -o OUT"),
    ],
)
def test_options_take_several_values(line: str, expected: str) -> None:
    assert spread(line.split(), ("-T", "--methods")) == expected.split()
