"""Whatever a sound, or a folder of mixtures, holds: stems that sum to the mixture, or one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzz.effort import tried
from fuzz.inputs import altered
from fuzz.sounds import check_stems, sound_files
from fuzz.workplace import Workplace, workplace
from hypothesis import given
from hypothesis import strategies as st

OPTIONS = [["--no-plot"], ["--no-plot"], ["--no-plot", "--mono"], [], ["--no-plot", "--likelihood", "assignment"]]


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} in JSON")


@tried(8)
@given(sound_files(), st.sampled_from(OPTIONS))
def test_mixtures(sound: tuple[str, bytes], options: list[str]) -> None:
    with workplace() as place:
        mixture = place.give(f"a.{sound[0]}", sound[1])
        ended = place.run("separate", mixture, "-o", place.output, "--iterations", 2, *options)
        stems = [place.output / "a" / f"{name}.wav" for name in ("speech", "flute")]
        if ended.code == 0 and "--mono" not in options:
            check_stems(mixture, stems)
        elif ended.code == 0:
            assert all(np.isfinite(soundfile.read(stem)[0]).all() for stem in stems)


@pytest.mark.usefixtures("unrendered")
@tried(6)
@given(st.lists(sound_files(), min_size=1, max_size=4))
def test_recordings_to_learn_from(sounds: list[tuple[str, bytes]]) -> None:
    small = ("--epochs", 1, "--count", 2, "--frames", 10, "--batch-size", 2)
    with workplace() as place:
        for number, (ending, data) in enumerate(sounds):
            place.give(f"clips/{number}.{ending}", data)
        place.run("train", "audio", place.inputs / "clips", "-o", place.output / "a.safetensors", *small)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What `mixdvae mix` writes, by the path below its folder."""
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for name in ("voices", "flutes"):
        (folder / name).mkdir()
        soundfile.write(folder / name / "a.wav", 0.1 * random.standard_normal(40_000), 16_000)
    place = Workplace(folder / "place")
    few = ("--snr", 0, "--frames", 60, "--count", 2)
    ended = place.run("mix", folder / "voices", folder / "flutes", "-o", place.output, *few)
    assert ended.code == 0, ended
    return {path.relative_to(place.output).as_posix(): path.read_bytes() for path in place.output.rglob("*.*")}


@tried(4)
@given(st.data())
def test_manifests(mixed: dict[str, bytes], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(["manifest.csv", "manifest.csv", *mixed]))
    with workplace() as place:
        for name, content in mixed.items():
            place.give(f"mixed/{name}", data.draw(altered(content)) if name == changed else content)
        for name, content in mixed.items():
            source, _, file = name.rpartition("/")
            if source not in ("", "mixtures"):
                place.give(f"found/{Path(file).stem}/{source}.wav", content)
        scores = place.output / "a.json"
        command = ("eval-audio", place.inputs / "found", "--reference", place.inputs / "mixed", "--json", scores)
        if place.run(*command).code == 0:
            json.loads(scores.read_text(), parse_constant=_no_constant)
