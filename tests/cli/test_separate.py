import math
import shutil
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from scipy.signal import butter, sosfilt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.outputs import staged
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation import fit
from pyro_mixdvae.separation.audio.writing import WavWriter
from pyro_mixdvae.separation.high_band import HighBand
from pyro_mixdvae.separation.separator import Separator
from pyro_mixdvae.weights.store import save_network

Run = Callable[..., tuple[int, str, str]]
Sound = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three tiny models of sound that nothing was taught, and that differ."""
    folder = tmp_path_factory.mktemp("weights")
    paths = [folder / f"{name}.safetensors" for name in ("voice", "pipe", "drum")]
    for seed, path in enumerate(paths):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            save_network(path, _tiny(513), STFT(), {})
    return paths


def _tiny(n_frequencies: int) -> SpectralSRNN:
    small = {"input_sizes": [4], "hidden": 3, "backward_sizes": [4], "backward_hidden": 3, "prior_sizes": [4]}
    return SpectralSRNN(
        n_frequencies, latent_dim=2, emission_sizes=[4], encoder_sizes=[4], encoder_input="log-power", **small
    ).float()  # type: ignore[arg-type]


@pytest.fixture
def separate(mixdvae: Run, weights: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `mixdvae separate` into tmp_path/out by the first two of the weights, without pictures."""
    # Networks that were taught nothing explain nothing, and change their mind.
    monkeypatch.setattr(fit, "BAD", 1e9)
    monkeypatch.setattr(fit, "UNSTEADY", -1e9)

    def call(*arguments: object, plot: bool = False, sources: str | None = None) -> tuple[int, str, str]:
        chosen = f"{weights[0]},{weights[1]}" if sources is None else sources
        options = ("-o", tmp_path / "out", "--sources", chosen, *([] if plot else ["--no-plot"]))
        return mixdvae("separate", *arguments, *options)

    return call


def sound(n: int, rate: int, channels: int = 1) -> Sound:
    """Noise and a tone that differ from channel to channel."""
    random = np.random.default_rng(n)
    tone = np.sin(2 * np.pi * 440 * np.arange(n)[:, None] / rate + np.arange(channels))
    return np.float32(0.2 * tone + 0.1 * random.standard_normal((n, channels)))


def stems(tmp_path: Path, name: str, *sources: str) -> tuple[list[Sound], int]:
    read = [soundfile.read(tmp_path / "out" / name / f"{s}.wav", dtype="float32", always_2d=True) for s in sources]
    return [samples for samples, _ in read], read[0][1]


COMPANIONS = ("separation.png", "posterior.npz", "model.toml")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("rate", "channels", "n", "subtype"),
    [
        (16_000, 1, 6_001, "FLOAT"),
        (44_100, 2, 20_003, "PCM_24"),
        (8_000, 1, 7_777, "PCM_U8"),
        (16_000, 1, 100, "PCM_16"),
        (48_000, 3, 1, "DOUBLE"),
        (11_025, 1, 8_000, "PCM_32"),
    ],
)
def test_stems_have_the_form_of_their_mixture_and_sum_to_it(
    separate: Run, tmp_path: Path, rate: int, channels: int, n: int, subtype: str
) -> None:
    soundfile.write(tmp_path / "mix.wav", sound(n, rate, channels), rate, subtype=subtype)
    mixture = soundfile.read(tmp_path / "mix.wav", dtype="float32", always_2d=True)[0]
    code, out, err = separate(tmp_path / "mix.wav")
    assert (code, err) == (0, "")
    assert "2 stems" in out
    assert "real-time factor" not in out
    (voice, pipe), found = stems(tmp_path, "mix", "voice", "pipe")
    assert (found, voice.shape, pipe.shape) == (rate, mixture.shape, mixture.shape)
    assert np.abs(voice + pipe - mixture).max() <= 1e-4 * np.abs(mixture).max()
    assert np.abs(voice - pipe).max() > 1e-3 * np.abs(mixture).max()


def test_steady_noise_is_a_source_by_its_name(separate: Run, mixdvae: Run, tmp_path: Path) -> None:
    """Also in the model that is written, which gives the same again."""
    mix = tmp_path / "mix.wav"
    soundfile.write(mix, sound(8_000, 16_000), 16_000, subtype="FLOAT")
    code, _, err = separate(mix, sources="speech,noise")
    assert (code, err) == (0, "")
    (speech, noise), _ = stems(tmp_path, "mix", "speech", "noise")
    np.testing.assert_allclose(speech + noise, sound(8_000, 16_000), atol=1e-5)
    (tmp_path / "out").rename(tmp_path / "before")
    model = tmp_path / "before" / "mix" / "model.toml"
    assert 'weights = ["speech", "noise"]' in model.read_text()
    assert mixdvae("separate", mix, "-o", tmp_path / "out", "--no-plot", "--model", model)[0] == 0
    np.testing.assert_array_equal(stems(tmp_path, "mix", "noise")[0][0], noise)


def test_block_by_block_is_as_all_at_once(
    separate: Run, weights: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that end anywhere in segments, of which two go into a batch."""
    mixture = sound(4 * 22_050, 22_050, 2)
    soundfile.write(tmp_path / "mix.wav", mixture, 22_050, subtype="FLOAT")
    monkeypatch.setattr("pyro_mixdvae.separation.files.separating.BLOCK", 7_001)
    monkeypatch.setattr("pyro_mixdvae.separation.separator.BATCH_SECONDS", 4)
    assert separate(tmp_path / "mix.wav", "--segment", 1, "--overlap", 0.25)[0] == 0
    whole = Separator(weights[:2], segment=1, overlap=0.25).separate(mixture.T, 22_050)
    for written, expected in zip(stems(tmp_path, "mix", "voice", "pipe")[0], whole.stems, strict=True):
        np.testing.assert_allclose(written.T, expected, atol=1e-4 * np.abs(mixture).max())


def test_channels_may_come_first_or_last(weights: list[Path]) -> None:
    """The longer axis is that of the samples; as many of both are refused."""
    mixture = sound(3_000, 16_000, 2)
    separator = Separator(weights[:2])
    last, first = separator.separate(mixture, 16_000).stems, separator.separate(mixture.T, 16_000).stems
    assert last.shape == (2, 3_000, 2)
    np.testing.assert_array_equal(last, first.swapaxes(1, 2))
    with pytest.raises(InputError, match="more samples than channels"):
        separator.separate(np.zeros((3, 3)), 16_000)


def test_what_lies_above_the_models_goes_with_the_source_that_is_strong_below() -> None:
    """Whatever the blocks; where no stem has anything in the top bands, in equal shares."""
    rng = np.random.default_rng(0)
    rate, n = 44_100, 8_820
    high = sosfilt(butter(6, 9_000, "highpass", fs=rate, output="sos"), rng.standard_normal(n))
    near = sosfilt(butter(6, [6_000, 7_800], "bandpass", fs=rate, output="sos"), rng.standard_normal(n))
    stems = np.stack([near, 0.05 * near[::-1]])[:, None].astype(np.float32)
    mixture = (stems.sum(0) + high[None]).astype(np.float32)
    whole = HighBand(rate, 16_000, 1.0).add(stems, mixture)
    np.testing.assert_allclose(whole.sum(0), mixture, atol=1e-5)
    took = ((whole - stems)[:, 0, 2_000:] ** 2).sum(-1)
    assert took[0] > 100 * took[1]
    band = HighBand(rate, 16_000, 1.0)
    pieces = [band.add(stems[..., a:b], mixture[:, a:b]) for a, b in ((0, 7), (7, 5_000), (5_000, n))]
    np.testing.assert_allclose(np.concatenate(pieces, -1), whole, atol=1e-6)
    silent = HighBand(rate, 16_000, 1.0).add(np.zeros_like(stems), mixture)
    np.testing.assert_allclose(silent[0], silent[1])


@pytest.mark.parametrize("kind", ["silence", "click", "clipped", "offset"])
@pytest.mark.parametrize("likelihood", ["additive", "assignment"])
def test_extreme_sounds(separate: Run, tmp_path: Path, kind: str, likelihood: str) -> None:
    """Half of them also with a picture and intervals, which know nothing of the likelihood."""
    mixture = np.zeros((8_000, 1), np.float32)
    if kind == "click":
        mixture[3_000] = 1
    elif kind == "clipped":
        mixture = np.clip(20 * sound(8_000, 16_000), -1, 1)
    elif kind == "offset":
        mixture = 0.5 + 0.01 * sound(8_000, 16_000)
    soundfile.write(tmp_path / "mix.wav", mixture, 16_000, subtype="FLOAT")
    is_shown = (likelihood == "additive") == (kind in ("silence", "clipped"))
    options = ("--likelihood", likelihood, *(["--save-posterior"] if is_shown else []))
    assert separate(tmp_path / "mix.wav", *options, plot=is_shown)[0] == 0
    found, _ = stems(tmp_path, "mix", "voice", "pipe")
    assert np.isfinite(found).all()
    assert np.abs(sum(found) - mixture).max() <= 1e-4 * np.abs(mixture).max()


@pytest.mark.parametrize("peak", [1e-45, 1e-42, 1.2e-38, 1e-30, 1e14], ids=str)
def test_sounds_of_any_level(weights: list[Path], peak: float) -> None:
    """Below the least normal number of single precision nothing can be made louder: that is silence."""
    mixture = sound(3_000, 16_000)[:, 0].astype(np.float64)
    mixture = (peak * mixture / np.abs(mixture).max()).astype(np.float32)
    found = Separator(weights[:2]).separate(mixture, 16_000).stems
    assert np.isfinite(found).all()
    assert np.abs(found.sum(0) - mixture).max() <= 1e-4 * peak + 1e-42


@pytest.mark.parametrize("shape", [(1,), (8, 50), (2, 1)])
def test_the_shortest_sounds_and_many_channels(weights: list[Path], shape: tuple[int, ...]) -> None:
    found = Separator(weights[:2]).separate(np.full(shape, 0.5, np.float32), 44_100).stems
    assert found.shape == (2, *shape)
    np.testing.assert_allclose(found.sum(0), 0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("waveform", "rate", "said"),
    [
        (np.full((2, 9), np.nan), 16_000, "holds NaN or infinity"),
        (np.full(9, 1e300), 16_000, "holds NaN or infinity"),
        (np.full(9, 1e30), 16_000, "holds a number beyond 1e"),
        (np.zeros((3, 0)), 16_000, "holds no samples"),
        (np.zeros(9), 0, "0 samples a second"),
        (np.zeros(9), 10**9, "1000000000 samples a second"),
        (np.zeros(9), math.nan, "a rate of nan"),
    ],
)
def test_waveforms_that_are_no_sounds(weights: list[Path], waveform: np.ndarray, rate: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Separator(weights[:2]).separate(waveform, rate)


def test_residual_picture_posterior_and_three_sources(separate: Run, weights: list[Path], tmp_path: Path) -> None:
    mixture = sound(32_000, 16_000, 2)
    soundfile.write(tmp_path / "mix.wav", mixture, 16_000, subtype="FLOAT")
    options = ("--residual", "--save-posterior", "--no-sum", "--segment", 1, "--overlap", 0.25)
    sources = ",".join(map(str, weights))
    assert separate(tmp_path / "mix.wav", *options, plot=True, sources=sources)[0] == 0
    names = ("voice", "pipe", "drum", "residual")
    written = {*(f"mix/{name}.wav" for name in names), *(f"mix/{name}" for name in COMPANIONS)}
    assert files(tmp_path / "out") == written
    found, _ = stems(tmp_path, "mix", *names)
    np.testing.assert_allclose(sum(found), mixture, atol=1e-6)
    assert np.abs(found[-1]).max() > 1e-3
    assert (tmp_path / "out/mix/separation.png").read_bytes().startswith(b"\x89PNG")
    posterior = np.load(tmp_path / "out/mix/posterior.npz")
    assert posterior["names"].tolist() == ["voice", "pipe", "drum"]
    assert posterior["starts"].tolist() == [0, 0.75]
    for k, seconds in enumerate([1, 1.25]):
        shape = (2, 3, STFT().n_frames(int(seconds * 16_000)), 513)
        assert {posterior[f"{what}_{k}"].shape for what in ("gains", "mean", "variance")} == {shape}
        for what in ("magnitudes", "gains"):
            low, high = posterior[f"{what}_low_{k}"], posterior[f"{what}_high_{k}"]
            assert low.shape == high.shape == shape
            assert (low <= high).all()
        inside = (np.abs(posterior[f"mean_{k}"]) < posterior[f"magnitudes_high_{k}"]).mean()
        assert inside > 0.9  # in units of the file, as the mean
    # In units of the file: the first segment, before another one begins, is what was written.
    mean = STFT().waveform(torch.from_numpy(posterior["mean_0"][0, 0]), 16_000).numpy()
    np.testing.assert_allclose(mean[:12_000], found[0][:12_000, 0], atol=1e-5)


def test_methods_estimates_and_mono(separate: Run, tmp_path: Path) -> None:
    mixture = sound(3_000, 16_000, 2)
    soundfile.write(tmp_path / "mix.flac", mixture, 16_000)
    for number, options in enumerate((
        ("--method", "svi", "--iterations", 2, "--seed", 3),
        ("--method", "hybrid", "--iterations", 2, "--likelihood", "assignment"),
        ("--estimate", "mask"),
        ("--iterations", 1),
    )):  # fmt: skip
        template = f"{number}/{{source}}.wav"
        assert separate(tmp_path / "mix.flac", "--mono", "--filename", template, *options)[0] == 0
        found, _ = stems(tmp_path, str(number), "voice", "pipe")
        np.testing.assert_allclose(sum(found), mixture.mean(1, keepdims=True), atol=1e-4)


def test_folders_templates_and_bits(separate: Run, tmp_path: Path) -> None:
    for name, gain in (("a", 1.0), ("deep/b", 8.0)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{name}.wav", gain * sound(3_000, 16_000), 16_000, subtype="FLOAT")
    code, out, err = separate(tmp_path / "in", "--bits", 16, "--filename", "{source}/{mixture} x.wav")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert files(tmp_path / "out") == {
        f"{place}/{name} x.{kind}"
        for place, kind in (("voice", "wav"), ("pipe", "wav"), ("model", "toml"))
        for name in "ab"
    }
    assert soundfile.info(tmp_path / "out/voice/a x.wav").subtype == "PCM_16"
    assert "b.wav: " in err
    assert "samples of its stems were clipped" in err
    assert "a.wav" not in err


def test_the_same_source_twice(separate: Run, weights: list[Path], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", sound(3_000, 16_000), 16_000)
    code, _, err = separate(tmp_path / "mix.wav", sources=f"{weights[0]},{weights[0]}")
    assert code == 0
    assert "voice is given 2 times" in err
    assert files(tmp_path / "out") == {"mix/voice.wav", "mix/voice-2.wav", "mix/model.toml"}


def test_existing_files_are_kept(separate: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", sound(3_000, 16_000), 16_000)
    (tmp_path / "out/mix").mkdir(parents=True)
    (tmp_path / "out/mix/pipe.wav").write_bytes(b"mine")
    code, _, err = separate(tmp_path / "mix.wav")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "exists already" in err
    assert (tmp_path / "out/mix/pipe.wav").read_bytes() == b"mine"
    assert files(tmp_path / "out") == {"mix/pipe.wav"}
    assert separate(tmp_path / "mix.wav", "--overwrite")[0] == 0
    assert len((tmp_path / "out/mix/pipe.wav").read_bytes()) > 12_000


def test_a_full_disk_leaves_nothing(separate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "mix.wav", sound(3_000, 16_000), 16_000)

    def full(writer: WavWriter, samples: Sound) -> None:
        raise InputError("out cannot be written (no space left on device): choose a place with space.")

    monkeypatch.setattr(WavWriter, "write", full)
    code, _, err = separate(tmp_path / "mix.wav")
    assert (code, len(err.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_a_file_that_fails_leaves_those_before_it(
    separate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", sound(3_000, 16_000), 16_000)

    def full(paths: list[Path], overwrite: bool, former: Sequence[Path]) -> AbstractContextManager[list[Path]]:
        if paths[0].parent.name == "b":
            raise InputError("b is full")
        return staged(paths, overwrite, former)

    monkeypatch.setattr("pyro_mixdvae.separation.files.separating.staged", full)
    code, out, err = separate(tmp_path / "a.wav", tmp_path / "b.wav")
    assert (code, len(out.splitlines()), err) == (2, 1, "b is full\n")
    assert files(tmp_path / "out") == {"a/voice.wav", "a/pipe.wav", "a/model.toml"}


def test_a_place_that_cannot_be_used_is_found_before_any_file_is_separated(separate: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", sound(3_000, 16_000), 16_000)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").write_text("a file where a folder is to be")
    code, out, err = separate(tmp_path / "a.wav", tmp_path / "b.wav")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "out/b is no folder that you may write to" in err
    assert files(tmp_path / "out") == {"b"}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of inputs each of which something is wrong with."""
    folder = tmp_path_factory.mktemp("bad")
    soundfile.write(folder / "good.wav", sound(3_000, 16_000), 16_000)
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / "good.wav", folder / "elsewhere")
    (folder / "text.wav").write_text("no sound at all")
    (folder / "nothing.wav").write_bytes(b"")
    soundfile.write(folder / "no-samples.wav", np.zeros((0, 1)), 16_000)
    broken = sound(3_000, 16_000)
    broken[2_000] = np.nan
    soundfile.write(folder / "nan.wav", broken, 16_000, subtype="FLOAT")
    soundfile.write(folder / "slow.wav", sound(30, 16_000), 1)
    (folder / "cut.wav").write_bytes((folder / "good.wav").read_bytes()[:-2000])
    soundfile.write(folder / "long.wav", np.zeros(61 * 8_000), 8_000)
    no_channels = bytearray((folder / "good.wav").read_bytes())
    no_channels[22:24] = struct.pack("<H", 0)
    (folder / "no-channels.wav").write_bytes(no_channels)
    with torch.random.fork_rng():
        save_network(folder / "other.safetensors", _tiny(257), STFT(16_000, 512, 128), {})
        save_network(folder / "residual.safetensors", _tiny(513), STFT(), {})
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.wav"], "does not exist"),
        (["text.wav"], "no sound"),
        (["good.wav", "nothing.wav"], "empty"),
        (["no-samples.wav"], "no samples"),
        (["no-channels.wav"], "no sound"),
        (["good.wav", "nan.wav"], "NaN"),
        (["slow.wav"], "too few"),
        (["good.wav", "cut.wav"], "are missing; repair"),
        (["good.wav", "elsewhere"], "written twice"),
        (["long.wav", "--save-posterior"], "61.0 s"),
        (["good.wav", "--sources", "speech"], "one source"),
        (["good.wav", "--sources", "speech,,flute"], "lacks a name"),
        (["good.wav", "--sources", "kazoo,VOICE"], "kazoo"),
        (["good.wav", "--sources", "VOICE,boxes"], "no model of sound"),
        (["good.wav", "--sources", "VOICE,other.safetensors"], "another transform"),
        (["good.wav", "--sources", "VOICE,residual.safetensors", "--residual"], "written twice"),
        (["good.wav", "--bits", "20"], "--bits"),
        (["good.wav", "--likelihood", "sum"], "--likelihood"),
        (["good.wav", "--method", "magic"], "--method"),
        (["good.wav", "--estimate", "mode"], "--estimate"),
        (["good.wav", "--iterations", "0"], "--iterations"),
        (["good.wav", "--seed", "-1"], "--seed"),
        (["good.wav", "--segment", "inf"], "--segment"),
        (["good.wav", "--segment", "nan"], "--segment"),
        (["good.wav", "--segment", "2", "--overlap", "1.5"], "--overlap"),
        (["good.wav", "--filename", "{mixture}.wav"], "{source}"),
        (["good.wav", "--filename", "{mixture}/{source}.flac"], ".wav"),
        (["good.wav", "--filename", "{source}/{name}.wav"], "field"),
        (["good.wav", "--filename", "{source.name}.wav"], "field"),
        (["good.wav", "--filename", "{}{source}.wav"], "field"),
        (["good.wav", "--filename", "{source"], "template"),
        (["good.wav", "--filename", "../{source}.wav"], "leads out"),
        (["good.wav", "--filename", "/{source}.wav"], "leads out"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(
    mixdvae: Run, weights: list[Path], bad: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    def placed(text: str) -> str:
        if text.endswith(".wav") and "{" not in text:
            return str(bad / text)
        parts = [str(bad / part) if part.endswith(".safetensors") else part for part in text.split(",")]
        return str(bad / text) if text == "elsewhere" else ",".join(parts).replace("VOICE", str(weights[0]))

    chosen = [] if "--sources" in arguments else ["--sources", f"{weights[0]},{weights[1]}"]
    code, out, err = mixdvae("separate", *map(placed, arguments), *chosen, "-o", tmp_path / "out")
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert said in err
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_replaced(mixdvae: Run, weights: list[Path], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.wav", sound(3_000, 16_000), 16_000)
    before = (tmp_path / "voice.wav").read_bytes()
    options = ("--sources", f"{weights[0]},{weights[1]}", "--filename", "{source}.wav", "--overwrite")
    code, _, err = mixdvae("separate", tmp_path / "voice.wav", "-o", tmp_path, *options)
    assert code == 2
    assert "is an input" in err
    assert (tmp_path / "voice.wav").read_bytes() == before


def test_a_model_that_does_not_fit_is_said(mixdvae: Run, weights: list[Path], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", sound(3_000, 16_000), 16_000)
    options = ("-o", tmp_path / "out", "--no-plot", "--sources", f"{weights[0]},{weights[1]}")
    code, _, err = mixdvae("separate", tmp_path / "mix.wav", *options)
    assert code == 0
    assert "mix.wav: the model of voice explains its part of the mixture badly" in err


def test_help_says_that_stems_sum(mixdvae: Run) -> None:
    code, out, _ = mixdvae("separate", "--help")
    assert code == 0
    assert "--no-sum" in out
    assert "sum to the mixture" in " ".join(out.split())
