"""``mixdvae train audio``: what it writes, what it refuses, and that a kill costs nothing but time."""

import json
import math
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from interrupting import start_and_signal

from pyro_mixdvae.exchange import SUFFIX
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.training.checkpoint import write_checkpoint
from pyro_mixdvae.weights.store import load_network

SMALL = ("--count", 6, "--frames", 10, "--batch-size", 3)


@pytest.fixture(autouse=True)
def _as_in_use(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch's own default precision, but few held-out pieces; and whoever commits while a test runs is not noticed."""
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.recipes.N_VALIDATION", 4)
    monkeypatch.setattr("pyro_mixdvae.separation.recordings.expectation.N_MIXTURES", 1)
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: "this one")
    yield
    torch.set_num_threads(threads)


def hum(pitch: float, rate: int, seconds: float = 0.4) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return 0.3 * sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5)) * (1.2 + np.sin(20 * time))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of any rate, one of them stereo, one with silence around it, one that is none, and one too short."""
    folder = tmp_path_factory.mktemp("hums")
    soundfile.write(folder / "a.wav", hum(200, 16000), 16000)
    soundfile.write(folder / "b.flac", np.stack([hum(250, 44100), 0.5 * hum(250, 44100)], -1), 44100)
    soundfile.write(folder / "c.wav", np.concatenate([np.zeros(8000), hum(300, 8000), np.zeros(4000)]), 8000, "PCM_24")
    soundfile.write(folder / "short.wav", hum(300, 8000, 0.05), 8000)
    (folder / "text.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noises")
    for number in range(2):
        noise = 0.1 * np.random.default_rng(number).standard_normal(6000)
        soundfile.write(folder / f"{number}.wav", noise, 16000)
    return folder


def test_weights_card_and_curve(tmp_path: Path, mixdvae: Callable, clips: Path) -> None:
    path = tmp_path / "out" / "hum.safetensors"
    arguments = (clips, "--name", "a hum", "--epochs", 2, *SMALL, "--attribution", "Nobody, CC0", "--verbose")
    ended = mixdvae("train", "audio", *arguments, "-o", path)
    assert ended.code == 0, ended.err
    assert sorted(file.name for file in path.parent.iterdir()) == ["hum.json", "hum.png", "hum.safetensors"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "3 clips" in ended.out
    assert "text.wav is no sound" in ended.out
    assert "short.wav has 0.05 s of sound, 0.10 s are needed" in ended.out
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == "a hum"
    assert card["attribution"] == "Nobody, CC0"
    assert [file["name"] for file in card["data"]["files"]] == ["a.wav", "b.flac", "c.wav"]
    assert card["data"]["against"] == "noise and tones"
    assert (card["data"]["count"], card["data"]["frames"], card["seed"]) == (6, 10, 0)
    assert card["schedule"]["epochs"] == card["epochs"] == 2
    assert "licence may bind" in card["licence"]
    assert f"{card['best_elbo']:.3f} nats a frame" in ended.out
    for score in card["resynthesis_si_sdr"].values():
        assert f"at {score:.1f} dB" in ended.out
    loaded = load_network(path)
    assert loaded.card == card
    assert loaded.coordinates == STFT()
    assert isinstance(loaded.network, SpectralSRNN)
    assert card["number_of_weights"] == sum(value.numel() for value in loaded.network.state_dict().values())

    again, other = tmp_path / "again" / "hum.safetensors", tmp_path / "other.safetensors"
    assert mixdvae("train", "audio", *arguments, "-o", again).code == 0
    for suffix in (".safetensors", ".json", ".png"):
        assert again.with_suffix(suffix).read_bytes() == path.with_suffix(suffix).read_bytes()
    assert mixdvae("train", "audio", *arguments, "-o", other, "--seed", 1).code == 0
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.usefixtures("unrendered")
def test_sounds_that_it_may_be_heard_with(
    tmp_path: Path, mixdvae: Callable, clips: Path, noises: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and folders; without -o the weights are called by the name."""
    monkeypatch.chdir(tmp_path)
    options = ("--against", noises / "0.wav", "--against", noises / "1.wav", "--epochs", 1, *SMALL, "--verbose")
    ended = mixdvae("train", "audio", clips / "a.wav", clips / "c.wav", "--name", "hum.v2", *options)
    assert ended.code == 0, ended.err
    both = [f"hum.v2{role}{suffix}" for role in ("", "-others") for suffix in (".json", ".safetensors")]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*both, "hum.v2.png"])
    assert "separate --sources hum.v2.safetensors hum.v2-others.safetensors" in ended.out
    card = json.loads(Path("hum.v2.json").read_text())
    assert [file["name"] for file in card["data"]["against"]] == ["0.wav", "1.wav"]
    assert card["name"] == "hum.v2"
    shape = load_network("hum.v2.safetensors").network.power_shape
    assert 0.03 <= shape == card["separation"]["power_shape"] <= 10
    others = load_network("hum.v2-others.safetensors")
    assert others.card["name"] == card["separation"]["partner"] == "hum.v2-others"
    assert others.card["separation"]["partner"] == "hum.v2"
    assert others.card["separation"]["gain"] == card["separation"]["gain_of_other"]
    assert others.network.power_shape == others.card["separation"]["power_shape"]
    assert others.card["best_gain"] == card["best_gain"]
    assert f"gain of what was held out: {card['best_gain']:.3f} dB." in ended.out
    assert "best_elbo" not in card
    alone = mixdvae("train", "audio", clips, "-o", "alone.safetensors", "--epochs", 1, *SMALL)
    assert alone.code == 0
    assert json.loads(Path("alone.json").read_text())["name"] == "alone"
    assert load_network("alone.safetensors").network.power_shape == math.inf


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", 0], "--epochs is 0"),
        (["--count", -1], "--count is -1"),
        (["--frames", 9], "--frames is 9: give a whole number of 10 or more"),
        (["--batch-size", 0], "--batch-size is 0"),
        (["--seed", -1], "--seed is -1"),
        (["--learning-rate", 0], "--learning-rate is 0"),
        (["--learning-rate", "inf"], "--learning-rate is inf"),
        (["--frames", 10, "--against", "none"], "none does not exist"),
        (["--resume"], "there is no checkpoint to resume from"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(
    tmp_path: Path, mixdvae: Callable, clips: Path, options: list, sentence: str
) -> None:
    ended = mixdvae("train", "audio", clips, "-o", tmp_path / "a.safetensors", *options)
    assert ended.code == 2
    assert sentence in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unrendered")
def test_what_a_training_starts_from(
    tmp_path: Path, mixdvae: Callable, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of epochs there are fewer where a trained model is gone on from."""
    monkeypatch.setattr("pyro_mixdvae.cli.train_audio.EPOCHS", 1)
    monkeypatch.setattr("pyro_mixdvae.cli.train_audio.EPOCHS_FROM_NOTHING", 2)
    refused = mixdvae("train", "audio", clips, "-o", tmp_path / "a.safetensors", "--start", "boxes", *SMALL)
    assert refused.code == 2
    assert "boxes is no model of sound" in refused.err
    assert not list(tmp_path.iterdir())
    for start, epochs in (("nothing", 2), ("flute", 1)):
        path = tmp_path / f"from-{start}.safetensors"
        assert mixdvae("train", "audio", clips, "-o", path, "--start", start, *SMALL).code == 0
        card = json.loads(path.with_suffix(".json").read_text())
        assert (card["data"]["start"], card["epochs"]) == (start, epochs)
    flute, mine, new = (
        load_network(name).network.emission_log_power.bias
        for name in ("flute", tmp_path / "from-flute.safetensors", tmp_path / "from-nothing.safetensors")
    )
    assert float((mine - flute).abs().max()) < 0.1 < float((new - flute).abs().max())


def test_a_source_without_a_name(
    tmp_path: Path, mixdvae: Callable, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--name", ""]):
        ended = mixdvae("train", "audio", clips, *options)
        assert ended.code == 2
        assert "give the source a --name" in ended.err
    assert not list(tmp_path.iterdir())


def test_bad_sounds_to_be_heard_with_are_refused_before_clips_are_read(
    tmp_path: Path, mixdvae: Callable, clips: Path, noises: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("all clips were read")

    monkeypatch.setattr("pyro_mixdvae.separation.recordings.recipes.read_clips", refuse)
    for name in ("bare", "odd"):
        (tmp_path / name).mkdir()
    for name in ("text.wav", "short.wav"):
        shutil.copy(clips / name, tmp_path / "odd")
    for against, sentence in (
        ([tmp_path / "none"], "none does not exist"),
        ([noises, tmp_path / "bare"], "bare holds no sound files"),
        ([tmp_path / "odd"], "no clip can be used"),
        ([noises / "0.wav"], "0.wav is the only clip that can be used"),
    ):
        options = [word for path in against for word in ("--against", path)]
        ended = mixdvae("train", "audio", clips, "-o", tmp_path / "out" / "a.safetensors", *SMALL, *options)
        assert ended.code == 2
        assert sentence in ended.err
        assert ended.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "odd"]


def test_a_source_is_not_learned_against_itself(tmp_path: Path, mixdvae: Callable, clips: Path) -> None:
    (tmp_path / "link").symlink_to(clips, target_is_directory=True)
    one = min(clips.glob("*.wav"))
    for folder, against in ((clips, clips), (clips, one), (one, clips), (clips, tmp_path / "link")):
        ended = mixdvae("train", "audio", folder, "-o", tmp_path / "a.safetensors", *SMALL, "--against", against)
        assert ended.code == 2
        assert "is a recording of the source and one of --against too" in ended.err
        assert ended.err.count("\n") == 1


def test_folders_without_enough_clips(tmp_path: Path, mixdvae: Callable, clips: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "silence").mkdir()
    soundfile.write(tmp_path / "silence" / "a.wav", np.zeros(9000), 16000)
    for folder, sentence in (
        (tmp_path / "bare", "holds no sound files"),
        (tmp_path / "silence", "no clip can be used"),
        (tmp_path / "none", "does not exist"),
        (clips / "text.wav", "no clip can be used"),
        (clips / "a.wav", "is the only clip that can be used"),
    ):
        ended = mixdvae("train", "audio", folder, "-o", tmp_path / "a.safetensors", *SMALL)
        assert ended.code == 2
        assert sentence in ended.err
        assert ended.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "silence"]


@pytest.mark.usefixtures("unrendered")
def test_outputs_are_not_replaced_unasked(tmp_path: Path, mixdvae: Callable, clips: Path) -> None:
    arguments = ("train", "audio", clips, "-o", tmp_path / "a.safetensors", "--epochs", 1, *SMALL)
    paths = [tmp_path / name for name in ("a.safetensors", "a.json", "a.png", "a.checkpoint")]
    for path in paths:
        path.write_text("mine")
        ended = mixdvae(*arguments)
        assert ended.code == 2
        assert path.name in ended.err
        assert path.read_text() == "mine"
        path.unlink()
    for path in paths:
        path.write_text("mine")
    assert mixdvae(*arguments, "--overwrite").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png", "a.safetensors"]
    assert b"mine" not in (tmp_path / "a.json").read_bytes()


def test_an_output_that_cannot_be_written(tmp_path: Path, mixdvae: Callable, clips: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "b.json").mkdir()
    for output in ("a.pt", "file/a.safetensors", "b.safetensors"):
        ended = mixdvae("train", "audio", clips, "-o", tmp_path / output, "--epochs", 1, *SMALL)
        assert ended.code == 2
        assert ended.err.count("\n") == 1


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, mixdvae: Callable, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ended = mixdvae("train", "audio", clips, "-o", tmp_path / "out" / "a.safetensors", "--epochs", 1, *SMALL)
    assert ended.code == 2
    assert "cannot be written (no space left on device)" in ended.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def command(path: Path, clips: Path, *more: object) -> list[str]:
    words = ["train", "audio", clips, "-o", path, "--epochs", 3, *SMALL, *more]
    return [str(word) for word in words]


# Few held-out pieces; and with the second checkpoint half-written it waits to be killed.
WAITS = """
import sys, time
from pathlib import Path
from pyro_mixdvae import outputs
from pyro_mixdvae.separation.recordings import recipes
recipes.N_VALIDATION = 4
checkpoint = Path(sys.argv[sys.argv.index("-o") + 1]).with_suffix(".checkpoint")
sync = outputs._sync
def sync_once(path):
    if checkpoint.exists():
        time.sleep(120)
    sync(path)
outputs._sync = sync_once
"""


def test_a_killed_training_is_resumed_to_the_same_bytes(
    tmp_path: Path, mixdvae: Callable, clips: Path, noises: Path
) -> None:
    whole, broken = tmp_path / "whole" / "a.safetensors", tmp_path / "broken" / "a.safetensors"
    killed = start_and_signal(command(broken, clips), broken.with_suffix(".checkpoint"), signal.SIGKILL, WAITS)
    assert killed[0] == -signal.SIGKILL
    # It may have died while it wrote the next checkpoint: what that left goes at the next run.
    assert {path.name for path in broken.parent.iterdir() if path.suffix != SUFFIX} == {"a.checkpoint"}
    assert "--resume continues it" in mixdvae(*command(broken, clips)).err
    for options, sentence in (
        (["--learning-rate", 0.5], "learning_rate 0.001 instead of 0.5"),
        (["--frames", 12], "frames 10 instead of 12"),
        (["--against", noises], "other against"),
    ):
        ended = mixdvae(*command(broken, clips, "--resume", *options))
        assert ended.code == 2
        assert sentence in ended.err
    assert mixdvae(*command(broken, clips, "--resume")).code == 0
    assert mixdvae(*command(whole, clips)).code == 0
    for suffix in (".safetensors", ".json"):
        assert broken.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    assert {path.name for path in broken.parent.iterdir()} == {path.name for path in whole.parent.iterdir()}


def test_an_interrupted_training_says_how_to_go_on(
    tmp_path: Path, mixdvae: Callable, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_hear_ctrl_c(*arguments: object) -> None:
        write_checkpoint(*arguments)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("pyro_mixdvae.training.loop.write_checkpoint", write_and_hear_ctrl_c)
    ended = mixdvae(*command(tmp_path / "a.safetensors", clips))
    assert ended.code == 130
    assert "--resume continues" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["a.checkpoint"]


@pytest.mark.usefixtures("unrendered")
def test_with_others_it_goes_on_to_the_same_bytes_too(
    tmp_path: Path, mixdvae: Callable, clips: Path, noises: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both networks are in the checkpoint."""
    whole, broken = tmp_path / "whole" / "a.safetensors", tmp_path / "broken" / "a.safetensors"
    assert mixdvae(*command(whole, clips, "--against", noises)).code == 0
    with monkeypatch.context() as patched:

        def write_and_hear_ctrl_c(*arguments: object) -> None:
            write_checkpoint(*arguments)  # type: ignore[arg-type]
            signal.raise_signal(signal.SIGINT)

        patched.setattr("pyro_mixdvae.training.loop.write_checkpoint", write_and_hear_ctrl_c)
        assert mixdvae(*command(broken, clips, "--against", noises)).code == 130
    assert mixdvae(*command(broken, clips, "--against", noises, "--resume")).code == 0
    names = sorted(path.name for path in whole.parent.iterdir() if path.suffix != ".png")
    assert names == ["a-others.json", "a-others.safetensors", "a.json", "a.safetensors"]
    for name in names:
        assert (broken.parent / name).read_bytes() == (whole.parent / name).read_bytes()


def test_others_of_a_former_training_are_not_replaced_unasked(
    tmp_path: Path, mixdvae: Callable, clips: Path, noises: Path
) -> None:
    (tmp_path / "a-others.safetensors").write_text("mine")
    ended = mixdvae(*command(tmp_path / "a.safetensors", clips, "--against", noises))
    assert ended.code == 2
    assert "a-others.safetensors exists already" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["a-others.safetensors"]
