"""``mixdvae train boxes``: what it writes, what it refuses, and that a kill costs nothing but time."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from interrupting import start_and_signal

from pyro_mixdvae.training.checkpoint import write_checkpoint
from pyro_mixdvae.weights.cards import source_version
from pyro_mixdvae.weights.store import load_network

N_WEIGHTS = {
    "kinematic": 10192,
    "constant-velocity": 12,
    "constant-acceleration": 20,
    "random-walk": 4,
    "autoregressive": 9928,
    "artist": 48240,
    "hmm": 400,
    "vae": 848,
    "vrnn": 12952,
    "storn": 15760,
    "dkf": 11816,
    "rvae": 18768,
    "srnn": 1540,
}
CLOSED_FORM = ("constant-velocity", "constant-acceleration", "random-walk")
OBJECTIVES = {
    **dict.fromkeys([*CLOSED_FORM, "autoregressive", "hmm"], "log_likelihood"),
    "artist": "log_probability",
}
SMALL = ("--count", 24, "--frames", 8, "--batch-size", 8)


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    """As in use: the command runs in torch's own default."""
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("network", N_WEIGHTS)
def test_weights_card_and_curve(
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    # Somebody may commit while the test runs.
    source = source_version()
    assert source.startswith(("commit ", "version "))
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: source)
    path = tmp_path / "out" / "a.safetensors"
    ended = mixdvae("train", "boxes", "-o", path, "--network", network, "--epochs", 3, *SMALL, "--seed", 4, "-v")
    assert ended.code == 0, ended.err
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.json", "a.png", "a.safetensors"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    card = json.loads(path.with_suffix(".json").read_text())
    generator = "published" if network == "srnn" else "rich"
    assert card["data"] == {"generator": generator, "count": 24, "frames": 8, "seed": 4}
    assert card["seed"] == 4
    n_epochs = 1 if network == "random-walk" else 3
    assert card["schedule"]["iterations" if network in CLOSED_FORM else "epochs"] == card["epochs"] == n_epochs
    assert card["number_of_weights"] == N_WEIGHTS[network]
    assert card["source"] == source
    best = card[f"best_{OBJECTIVES.get(network, 'elbo')}"]
    assert f"{best:.3f}" in ended.out
    loaded = load_network(path)
    assert loaded.card == card
    assert loaded.coordinates.name == ("published-corners" if network == "srnn" else "centre-log-size")


@pytest.mark.parametrize("network", ["kinematic", "constant-velocity", "artist", "vrnn", "srnn"])
def test_the_seed_decides(tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: "this one")
    path, again = tmp_path / "out" / "a.safetensors", tmp_path / "again" / "a.safetensors"
    mixdvae("train", "boxes", "-o", path, "--network", network, "--epochs", 3, *SMALL, "--seed", 4)
    mixdvae("train", "boxes", "-o", again, "--network", network, "--epochs", 3, *SMALL, "--seed", 4)
    for suffix in (".safetensors", ".json", ".png"):
        assert again.with_suffix(suffix).read_bytes() == path.with_suffix(suffix).read_bytes()
    other = tmp_path / "other.safetensors"
    mixdvae("train", "boxes", "-o", other, "--network", network, "--epochs", 3, *SMALL, "--seed", 5)
    assert other.read_bytes() != path.read_bytes()


def test_tracks_of_files(tmp_path: Path, mixdvae: Callable, pedestrians: Path) -> None:
    path = tmp_path / "a.safetensors"
    files = [pedestrians / name / "gt.txt" for name in ("TUD-Campus", "TUD-Stadtmitte")]
    options = [word for file in files for word in ("--tracks", file)]
    ended = mixdvae("train", "boxes", "-o", path, *options, "--epochs", 2, "--frames", 30, "--count", 16)
    assert ended.code == 0, ended.err
    assert "too short for windows of 30 frames" in ended.out
    card = json.loads(path.with_suffix(".json").read_text())
    assert [file["name"] for file in card["data"]["files"]] == ["gt.txt", "gt.txt"]
    assert all(len(file["sha256"]) == 64 for file in card["data"]["files"])
    assert "licence may bind" in card["licence"]


def test_one_track_cannot_be_validated(tmp_path: Path, mixdvae: Callable) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"{frame},1,5,5,9,9,1,-1,-1,-1\n" for frame in range(1, 20)))
    ended = mixdvae("train", "boxes", "-o", tmp_path / "a.safetensors", "--tracks", file, "--frames", 8)
    assert ended.code == 2
    assert "only one track" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--network", "transformer"],
            "--network is 'transformer': choose one of kinematic, random-walk, constant-velocity,",
        ),
        (["--motion", "poor"], "--motion is 'poor': choose one of published, rich"),
        (["--epochs", 0], "--epochs is 0"),
        (["--count", 0], "--count is 0"),
        (["--frames", 2], "--frames is 2: give a whole number of 3 or more"),
        (["--batch-size", -1], "--batch-size is -1"),
        (["--seed", -1], "--seed is -1"),
        (["--learning-rate", 0], "--learning-rate is 0"),
        (["--network", "constant-velocity", "--learning-rate", 0.1], "fitted by EM, which has none"),
        (["--learning-rate", "nan"], "--learning-rate is nan"),
        (["--tracks", "none.txt"], "none.txt"),
        (["--tracks", "none.txt", "--motion", "rich"], "exclude each other"),
        (["--resume"], "there is no checkpoint to resume from"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(tmp_path: Path, mixdvae: Callable, options: list, sentence: str) -> None:
    ended = mixdvae("train", "boxes", "-o", tmp_path / "a.safetensors", *options)
    assert ended.code == 2
    assert sentence in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.safetensors", "a.json", "a.png"])
def test_outputs_are_not_replaced_unasked(tmp_path: Path, mixdvae: Callable, name: str) -> None:
    (tmp_path / name).write_text("mine")
    ended = mixdvae("train", "boxes", "-o", tmp_path / "a.safetensors", "--epochs", 1, *SMALL)
    assert ended.code == 2
    assert f"{name} exists already" in ended.err
    assert mixdvae("train", "boxes", "-o", tmp_path / "a.safetensors", "--epochs", 1, *SMALL, "--overwrite").code == 0
    assert (tmp_path / name).read_bytes() != b"mine"


def test_an_output_that_cannot_be_written(tmp_path: Path, mixdvae: Callable) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "b.json").mkdir()
    for output in ("a.pt", "file/a.safetensors", "b.safetensors"):
        ended = mixdvae("train", "boxes", "-o", tmp_path / output, "--epochs", 1, *SMALL)
        assert ended.code == 2
        assert ended.err.count("\n") == 1


def command(path: Path, *more: object) -> list[object]:
    return ["train", "boxes", "-o", path, "--epochs", 12, *SMALL, "--count", 64, *more]


def test_a_killed_training_is_resumed_to_the_same_bytes(
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody may commit while the test runs.
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: "this one")
    whole, broken = tmp_path / "whole" / "a.safetensors", tmp_path / "broken" / "a.safetensors"
    assert start_and_signal(command(broken), broken.with_suffix(".checkpoint"), signal.SIGKILL)[0] == -signal.SIGKILL
    assert not broken.exists()
    assert "--resume continues it" in mixdvae(*command(broken)).err
    assert "learning_rate" in mixdvae(*command(broken, "--resume", "--learning-rate", 0.5)).err
    assert mixdvae(*command(broken, "--resume")).code == 0
    assert mixdvae(*command(whole)).code == 0
    for suffix in (".safetensors", ".json", ".png"):
        assert broken.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    assert not broken.with_suffix(".checkpoint").exists()


@pytest.mark.parametrize("network", ["artist", "constant-velocity"])
def test_trainings_without_svi_are_resumed_too(
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """Stopped by Ctrl-C after the second epoch: the same bytes as without."""
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: "this one")
    written = []

    def stop_after_two(*arguments: object) -> None:
        write_checkpoint(*arguments)  # type: ignore[arg-type]
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("pyro_mixdvae.training.loop.write_checkpoint", stop_after_two)
    small = ("--network", network, "--epochs", 5, *SMALL)
    whole, broken = tmp_path / "whole" / "a.safetensors", tmp_path / "broken" / "a.safetensors"
    interrupted = mixdvae("train", "boxes", "-o", broken, *small)
    assert interrupted.code == 130
    assert "--resume continues" in interrupted.out
    assert [path.name for path in broken.parent.iterdir()] == ["a.checkpoint"]
    other = mixdvae("train", "boxes", "-o", broken, *small, "--count", 25, "--resume")
    assert other.code == 2
    assert "other settings (count 24 instead of 25)" in other.err
    assert mixdvae("train", "boxes", "-o", broken, *small, "--resume").code == 0
    assert len(written) == 5
    assert mixdvae("train", "boxes", "-o", whole, *small).code == 0
    for suffix in (".safetensors", ".json", ".png"):
        assert broken.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    assert not broken.with_suffix(".checkpoint").exists()


def test_an_interrupted_training_says_how_to_go_on(tmp_path: Path) -> None:
    command_line = command(tmp_path / "a.safetensors")
    code, output = start_and_signal(command_line, tmp_path / "a.checkpoint", signal.SIGINT)
    assert code == 130
    assert "--resume continues" in output
