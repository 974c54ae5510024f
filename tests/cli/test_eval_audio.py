import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyro_mixdvae.separation.scores import measures as scores
from pyro_mixdvae.separation.scores.measures import si_sdr

Run = Callable[..., tuple[int, str, str]]
RATE = 16_000


@pytest.fixture
def reference(mixdvae: Run, tmp_path: Path) -> Path:
    """What `mixdvae mix` writes: speech and flute, two mixtures at 0 and 5 dB each, of 60 frames."""
    random = np.random.default_rng(0)
    for name in ("voices", "flutes"):
        (tmp_path / name).mkdir()
        time = np.arange(60_000) / RATE
        tone = np.sin(2 * np.pi * (300 if name == "flutes" else 170) * time) * (1 + np.sin(9 * time))
        soundfile.write(tmp_path / name / "a.wav", 0.2 * tone + 0.02 * random.standard_normal(60_000), RATE, "FLOAT")
    command = ("mix", tmp_path / "voices", tmp_path / "flutes", "-o", tmp_path / "mixed", "--names", "speech", "flute")
    assert mixdvae(*command, "--snr", 0, 5, "--frames", 60, "--count", 2)[0] == 0
    return tmp_path / "mixed"


@pytest.fixture
def estimates(reference: Path, tmp_path: Path) -> Path:
    """A tenth of the other source is left in each estimate, and a gain of 3."""
    for path in (reference / "mixtures").iterdir():
        (tmp_path / "out" / path.stem).mkdir(parents=True)
        mixture = soundfile.read(path)[0]
        for source in ("speech", "flute"):
            true = soundfile.read(reference / source / path.name)[0]
            estimate = 3 * (true + 0.1 * (mixture - true))
            soundfile.write(tmp_path / "out" / path.stem / f"{source}.wav", estimate, RATE, "FLOAT")
    return tmp_path / "out"


def rows(out: str) -> dict[tuple[str, str], list[str]]:
    """Cells of the table by source and ratio."""
    lines = [line.split() for line in out.splitlines()]
    return {(cells[0], cells[2]): cells for cells in lines if cells[:1] in (["speech"], ["flute"])}


def test_table_csv_and_json(mixdvae: Run, reference: Path, estimates: Path, tmp_path: Path) -> None:
    table, document = tmp_path / "scores.csv", tmp_path / "scores.json"
    code, out, err = mixdvae("eval-audio", estimates, "--reference", reference, "--csv", table, "--json", document)
    assert (code, err) == (0, "")
    assert {*rows(out)} == {(source, snr) for source in ("speech", "flute") for snr in ("0", "5", "all")}
    # A tenth of the other source in amplitude: 20 dB above the mixture.
    cells = rows(out)["flute", "0"]
    assert cells[1:4] == ["60", "0", "2"]
    assert float(cells[4]) == pytest.approx(20, abs=0.5)
    assert float(rows(out)["speech", "5"][4]) == pytest.approx(25, abs=0.5)

    lines = list(csv.DictReader(table.read_text().splitlines()))
    content = json.loads(document.read_text())
    items = [line for line in lines if line["mixture"] != "MEAN"]
    assert len(items) == len(content["items"]) == 8
    assert len(lines) - 8 == len(content["means"]) == 6
    for line, item in zip(items, content["items"], strict=True):
        folder = estimates / line["mixture"]
        pair = [
            soundfile.read(path)[0]
            for path in (reference / line["source"] / f"{folder.name}.wav", folder / f"{line['source']}.wav")
        ]
        assert float(line["SI-SDR"]) == item["SI-SDR"] == pytest.approx(si_sdr(*pair), abs=1e-9)
        assert item["SI-SDR gain"] == pytest.approx(item["SI-SDR"] - item["SI-SDR of the mixture"])
        assert item["RMSE gain"] > 0
        assert item["ESTOI"] > item["ESTOI of the mixture"]
        assert float(line["snr"]) == item["snr"]
    for line, mean in zip(lines[8:], content["means"], strict=True):
        for name, cells in mean["columns"].items():
            for key, column in (
                ("value", name),
                ("low", f"{name} low"),
                ("high", f"{name} high"),
                ("missing", f"{name} n/a"),
            ):
                assert line[column] == ("" if cells[key] is None else str(cells[key]))


def test_without_manifest_and_mixtures_there_are_means_of_each_source(
    mixdvae: Run, reference: Path, estimates: Path
) -> None:
    (reference / "manifest.csv").unlink()
    shutil.rmtree(reference / "mixtures")
    code, out, _ = mixdvae("eval-audio", estimates, "--reference", reference)
    assert code == 0
    assert {*rows(out)} == {("speech", "all"), ("flute", "all")}
    assert "no gain" in out


def test_other_formats_and_files_are_no_matter(mixdvae: Run, reference: Path, estimates: Path) -> None:
    first = mixdvae("eval-audio", estimates, "--reference", reference)[1]
    for path in list(estimates.rglob("flute.wav")):
        soundfile.write(path.with_suffix(".aiff"), soundfile.read(path)[0], RATE, "FLOAT")
        path.unlink()
        shutil.copy(path.with_name("speech.wav"), path.with_name("residual.wav"))
    (estimates / "another").mkdir()
    second = mixdvae("eval-audio", estimates, "--reference", reference)[1]
    assert rows(first) == rows(second)
    assert "not scored" in second
    assert "another" in second


def test_what_does_not_exist_is_counted(mixdvae: Run, reference: Path, estimates: Path, tmp_path: Path) -> None:
    path = next(estimates.rglob("flute.wav"))
    soundfile.write(path, np.zeros(59 * 256), RATE)
    code, out, _ = mixdvae("eval-audio", estimates, "--reference", reference, "--json", tmp_path / "scores.json")
    assert code == 0
    assert "(1 n/a)" in out
    assert "SI-SDR is n/a for 1 of 8 estimates" in out
    content = json.loads((tmp_path / "scores.json").read_text())
    assert sum(item["SI-SDR"] is None for item in content["items"]) == 1


def test_without_the_extra_pesq_is_not_there(
    mixdvae: Run, reference: Path, estimates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "has_pesq", lambda: False)
    code, out, _ = mixdvae("eval-audio", estimates, "--reference", reference)
    assert code == 0
    assert "pip install 'pyro-mixdvae[pesq]'" in out


def break_length(reference: Path, estimates: Path) -> None:
    path = next(estimates.rglob("flute.wav"))
    soundfile.write(path, soundfile.read(path)[0][:-1], RATE)


def break_rate(reference: Path, estimates: Path) -> None:
    path = next(estimates.rglob("flute.wav"))
    soundfile.write(path, soundfile.read(path)[0], 8000)


def break_channels(reference: Path, estimates: Path) -> None:
    path = next(estimates.rglob("flute.wav"))
    soundfile.write(path, np.tile(soundfile.read(path)[0][:, None], 2), RATE)


def lose_estimates(reference: Path, estimates: Path) -> None:
    for path in list(estimates.rglob("flute.wav")):
        path.unlink()


def call_otherwise(reference: Path, estimates: Path) -> None:
    (reference / "flute").rename(reference / "music")
    path = reference / "manifest.csv"
    path.write_text(path.read_text().replace("flute", "music"))


def lose_reference(reference: Path, estimates: Path) -> None:
    next((reference / "flute").iterdir()).unlink()


def lose_sources(reference: Path, estimates: Path) -> None:
    for source in ("speech", "flute"):
        shutil.rmtree(reference / source)


def lose_all(reference: Path, estimates: Path) -> None:
    shutil.rmtree(estimates)


def double(reference: Path, estimates: Path) -> None:
    path = next(estimates.rglob("flute.wav"))
    shutil.copy(path, path.with_suffix(".aiff"))


def spoil_manifest(reference: Path, estimates: Path) -> None:
    path = reference / "manifest.csv"
    path.write_text(path.read_text().replace(",60,", ",sixty,"))


def spoil_ids(reference: Path, estimates: Path) -> None:
    path = reference / "manifest.csv"
    path.write_text(path.read_text().replace("id,", "name,", 1))


def endless_snr(reference: Path, estimates: Path) -> None:
    path = reference / "manifest.csv"
    path.write_text(re.sub(r",[-\d.]+,60,", ",nan,60,", path.read_text()))


def underlined_frames(reference: Path, estimates: Path) -> None:
    path = reference / "manifest.csv"
    path.write_text(path.read_text().replace(",60,", ",6_0,"))


def twice_in_the_manifest(reference: Path, estimates: Path) -> None:
    path = reference / "manifest.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]) + "\n")


def spoil_sound(reference: Path, estimates: Path) -> None:
    next(estimates.rglob("flute.wav")).write_text("no sound")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (break_length, "has 15103 samples, and"),
        (break_rate, "has 8000 samples a second, and"),
        (break_channels, "has 2 channels, and"),
        (lose_estimates, "flute.wav and 1 more: separate all mixtures of"),
        (call_otherwise, "holds flute, speech, and the sources in {} are called music, speech; give both the same"),
        (lose_reference, "names mixtures without a source"),
        (lose_sources, "holds no folders of sources"),
        (lose_all, "there is no estimate|cannot be listed"),
        (double, "have one name"),
        (spoil_manifest, "something else than a number"),
        (endless_snr, "something else than a number"),
        (underlined_frames, "something else than a number"),
        (twice_in_the_manifest, "twice: take one of the rows away"),
        (spoil_ids, "does not name a mixture"),
        (spoil_sound, "is no sound"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    mixdvae: Run,
    reference: Path,
    estimates: Path,
    tmp_path: Path,
    spoil: Callable[[Path, Path], None],
    says: str,
) -> None:
    spoil(reference, estimates)
    code, out, err = mixdvae("eval-audio", estimates, "--reference", reference, "--csv", tmp_path / "scores.csv")
    assert (code, out) == (2, "")
    assert any(part.format(reference) in err for part in says.split("|"))
    assert err.count("\n") == 1
    assert not (tmp_path / "scores.csv").exists()


def test_existing_outputs_stay_unless_overwritten(
    mixdvae: Run, reference: Path, estimates: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.csv"
    old.write_text("mine")
    command = ("eval-audio", estimates, "--reference", reference, "--csv", old)
    assert mixdvae(*command)[0] == 2
    assert old.read_text() == "mine"
    assert mixdvae(*command, "--overwrite")[0] == 0
    assert old.read_text().startswith("mixture,source")
