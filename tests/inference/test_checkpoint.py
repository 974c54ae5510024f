"""Checkpoints: what is written is read back, and anything else is refused in a sentence."""

import copy
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.training.checkpoint import _checksum, read_checkpoint, write_checkpoint
from pyro_mixdvae.training.loop import Checkpoint, Epoch, train
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule


def new_training(hidden: int = 5) -> Pretraining:
    torch.manual_seed(1)
    tracks = 0.1 * torch.randn(8, 4, 4)
    plan = Schedule(
        epochs=2, warm_up=0, sampling_start=0, sampling_end=0, own_output_probability=0.3, learning_rate=0.01
    )
    return Pretraining(KinematicNetwork(hidden=hidden), lambda epoch: tracks, tracks, plan, 5)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04"])
def test_another_file_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "c", {})


def test_a_missing_checkpoint_and_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint to resume from"):
        read_checkpoint(tmp_path / "c", {})
    torch.save([1, 2], tmp_path / "c")
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "c", {})


def forged(path: Path, content: object) -> None:
    """With the checksum of what it holds."""
    payload = io.BytesIO()
    torch.save(content, payload)
    path.write_bytes(_checksum(payload.getvalue()) + payload.getvalue())


def test_checkpoints_that_somebody_made_up(tmp_path: Path) -> None:
    path = tmp_path / "c"
    forged(path, {"format": 99, "settings": {}, "state": {}})
    with pytest.raises(InputError, match="another version"):
        read_checkpoint(path, {})
    for content in ([1, 2], {"format": 2, "settings": 3, "state": {}}, {"format": 2, "settings": {}, "state": None}):
        forged(path, content)
        with pytest.raises(InputError, match="is not a checkpoint"):
            read_checkpoint(path, {})
    forged(path, {"format": 2, "settings": {"a": torch.zeros(3)}, "state": {}})
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(path, {"a": torch.zeros(3)})


class Runs:
    """What a pickle may call when it is read."""

    def __reduce__(self) -> tuple:
        return print, ("it ran",)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged(tmp_path / "c", {"format": 2, "settings": {}, "state": {"a": Runs()}})
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "c", {})
    assert "it ran" not in capsys.readouterr().out


def test_what_is_packed_is_not_unpacked(tmp_path: Path) -> None:
    """A few bytes could be any number of zeros."""
    forged(tmp_path / "c", {"format": 2, "settings": {}, "state": {"a": torch.zeros(10**6)}})
    payload = (tmp_path / "c").read_bytes()[len(_checksum(b"")) :]
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(payload)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    assert len(packed.getvalue()) < 100_000
    (tmp_path / "c").write_bytes(_checksum(packed.getvalue()) + packed.getvalue())
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "c", {})


def test_any_byte_of_a_checkpoint_that_is_changed_is_seen(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, {"a": torch.randn(5)}, {"b": 1})
    content = path.read_bytes()
    for place in rng.choice(len(content), 100, replace=False):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(InputError, match=r"is damaged|is not a checkpoint"):
            read_checkpoint(path, {"b": 1})
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="is damaged: what it holds does not have the checksum"):
        read_checkpoint(path, {"b": 1})


def altered(state: dict, *path: object, value: object) -> dict:
    """The same with something else at one place; `KeyError` stands for nothing there."""
    found = copy.deepcopy(state)
    at: Any = found
    for key in path[:-1]:
        at = at[key]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return found


def test_well_formed_but_wrong_checkpoints_are_refused(tmp_path: Path) -> None:
    path, training = tmp_path / "c", new_training()

    def stop(point: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(training, Checkpoint(path), stop)
    good = read_checkpoint(path, training.settings)
    name, weight = next(iter(good["network"].items()))
    moment, first = good["optimiser"]["state"][0]["exp_avg"], good["curve"][0]
    wrong = {
        "a weight of another shape": altered(good, "network", name, value=torch.zeros(2, 2)),
        "a weight that is no number": altered(good, "network", name, value=weight * math.nan),
        "a weight of whole numbers": altered(good, "network", name, value=weight.long()),
        "no weight": altered(good, "network", name, value=KeyError),
        "one weight more": altered(good, "network", "more", value=weight),
        "another best weight": altered(good, "best_weights", name, value=torch.zeros(1)),
        "no best weights": altered(good, "best_weights", value={}),
        "another moment": altered(good, "optimiser", "state", 0, "exp_avg", value=moment[:1]),
        "an infinite moment": altered(good, "optimiser", "state", 0, "exp_avg", value=moment / 0),
        "no moments": altered(good, "optimiser", "state", value={}),
        "no learning rate": altered(good, "optimiser", "param_groups", 0, "lr", value=math.nan),
        "a generator of another kind": altered(good, "generator", value=torch.zeros(8, dtype=torch.uint8)),
        "an impossible generator": altered(good, "draws", value=torch.full_like(good["draws"], 255)),
        "no generator": altered(good, "generator", value=KeyError),
        "a negative epoch": altered(good, "curve", 0, value=(-1, *first[1:])),
        "a later epoch": altered(good, "curve", 0, value=(7, *first[1:])),
        "half an epoch": altered(good, "curve", 0, value=(1.0, *first[1:])),
        "an epoch without a value": altered(good, "curve", 0, value=(1,)),
        "an epoch that is no number": altered(good, "curve", 0, value=(1, math.nan, 0.0)),
        "no epoch": altered(good, "curve", value=[]),
        "no curve": altered(good, "curve", value=KeyError),
        "a text": altered(good, "curve", value="111"),
        "a best epoch to come": altered(good, "best_epoch", value=2),
        "a negative best epoch": altered(good, "best_epoch", value=-1),
    }
    for state in wrong.values():
        write_checkpoint(path, state, training.settings)
        with pytest.raises(InputError, match="is a checkpoint of something else"):
            train(new_training(), Checkpoint(path, resume=True))
    write_checkpoint(path, good, training.settings)
    assert len(train(new_training(), Checkpoint(path, resume=True)).curve) == 2


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """Also where the settings do not say so."""
    train(new_training(hidden=5), Checkpoint(tmp_path / "c"))
    with pytest.raises(InputError, match="is a checkpoint of something else"):
        train(new_training(hidden=6), Checkpoint(tmp_path / "c", resume=True))


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, {"epoch": 1}, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="no space left"):
        write_checkpoint(path, {"epoch": 2}, {})
    assert read_checkpoint(path, {}) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c"]
