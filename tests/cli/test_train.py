"""``mixdvae train boxes``: what it writes, what it refuses, and that a kill costs nothing but time."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

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
SEEDED = ("kinematic", "constant-velocity", "artist", "vrnn", "srnn")  # one of each kind of training
DRAWN = ("kinematic", "constant-velocity", "artist")  # one of each kind of curve
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
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, network: str
) -> None:
    if network not in DRAWN:
        request.getfixturevalue("unrendered")
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
    if network not in SEEDED:
        return
    # The seed decides.
    again, other = tmp_path / "again" / "a.safetensors", tmp_path / "other.safetensors"
    for output, seed in ((again, 4), (other, 5)):
        arguments = ("-o", output, "--network", network, "--epochs", 3, *SMALL, "--seed", seed)
        assert mixdvae("train", "boxes", *arguments).code == 0
    for suffix in (".safetensors", ".json", ".png"):
        assert again.with_suffix(suffix).read_bytes() == path.with_suffix(suffix).read_bytes()
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.usefixtures("unrendered")
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


@pytest.mark.usefixtures("unrendered")
def test_a_sequence_may_hold_tracks_of_another_format(tmp_path: Path, mixdvae: Callable) -> None:
    path, truth = tmp_path / "a.safetensors", tmp_path / "S1" / "gt" / "gt.csv"
    rows = [f"{t},{source},{40 * source + t},5,20,30\n" for t in range(20) for source in (1, 2)]
    truth.parent.mkdir(parents=True)
    truth.write_text("frame,id,x,y,w,h\n" + "".join(rows))
    options = ("--network", "random-walk", "--tracks", tmp_path / "S1", "--frames", 8, "--count", 8)
    ended = mixdvae("train", "boxes", "-o", path, *options)
    assert ended.code == 0, ended.err
    files = json.loads(path.with_suffix(".json").read_text())["data"]["files"]
    assert files == [{"name": "S1", "sha256": hashlib.sha256(truth.read_bytes()).hexdigest()}]


def test_one_track_cannot_be_validated(tmp_path: Path, mixdvae: Callable) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"{frame},1,5,5,9,9,1,-1,-1,-1\n" for frame in range(1, 20)))
    ended = mixdvae("train", "boxes", "-o", tmp_path / "a.safetensors", "--tracks", file, "--frames", 8)
    assert ended.code == 2
    assert "only one track" in ended.err
    assert "fewer frames (--frames)." in ended.err
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


@pytest.mark.usefixtures("unrendered")
def test_outputs_are_not_replaced_unasked(tmp_path: Path, mixdvae: Callable) -> None:
    arguments = ("train", "boxes", "-o", tmp_path / "a.safetensors", "--epochs", 1, *SMALL)
    paths = [tmp_path / name for name in ("a.safetensors", "a.json", "a.png")]
    for path in paths:
        path.write_text("mine")
        ended = mixdvae(*arguments)
        assert ended.code == 2
        assert f"{path.name} exists already" in ended.err
        assert [*tmp_path.iterdir()] == [path]
        path.unlink()
    for path in paths:
        path.write_text("mine")
    assert mixdvae(*arguments, "--overwrite").code == 0
    assert all(path.read_bytes() != b"mine" for path in paths)


def test_an_output_that_cannot_be_written(tmp_path: Path, mixdvae: Callable) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "b.json").mkdir()
    for output in ("a.pt", "file/a.safetensors", "b.safetensors"):
        ended = mixdvae("train", "boxes", "-o", tmp_path / output, "--epochs", 1, *SMALL)
        assert ended.code == 2
        assert ended.err.count("\n") == 1


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("network", ["kinematic", "artist", "constant-velocity"])
def test_an_interrupted_training_is_resumed_to_the_same_bytes(
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """By SVI, without, and by EM; stopped by Ctrl-C after the second epoch. `train audio` shows that of a kill."""
    monkeypatch.setattr("pyro_mixdvae.weights.cards.source_version", lambda: "this one")
    written = []

    def stop_after_two(*arguments: object) -> None:
        write_checkpoint(*arguments)  # type: ignore[arg-type]
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("pyro_mixdvae.training.loop.write_checkpoint", stop_after_two)
    small = ("--network", network, "--epochs", 4, *SMALL)
    whole, broken = tmp_path / "whole" / "a.safetensors", tmp_path / "broken" / "a.safetensors"
    interrupted = mixdvae("train", "boxes", "-o", broken, *small)
    assert interrupted.code == 130
    assert "--resume continues" in interrupted.out
    assert [path.name for path in broken.parent.iterdir()] == ["a.checkpoint"]
    assert "--resume continues it" in mixdvae("train", "boxes", "-o", broken, *small).err
    other = mixdvae("train", "boxes", "-o", broken, *small, "--count", 25, "--resume")
    assert other.code == 2
    assert "other settings (count 24 instead of 25)" in other.err
    if network != "constant-velocity":
        other = mixdvae("train", "boxes", "-o", broken, *small, "--learning-rate", 0.5, "--resume")
        assert "instead of 0.5" in other.err
    assert mixdvae("train", "boxes", "-o", broken, *small, "--resume").code == 0
    assert len(written) == 4
    assert mixdvae("train", "boxes", "-o", whole, *small).code == 0
    for suffix in (".safetensors", ".json"):
        assert broken.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    assert not broken.with_suffix(".checkpoint").exists()
