"""Weights written and read again, and what is said about files that cannot be."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from weights_files import header_of, rewrite

from pyro_mixdvae.endings import Ended
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.vrnn import VRNN
from pyro_mixdvae.representations.boxes import CentreLogSize, PublishedCorners
from pyro_mixdvae.weights.store import load_network, save_network, shipped_names


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_waits_while_weights_are_loaded() -> None:
    """PyTorch in C++ would make an error of its own of an exception that a handler raises there."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(128 + number)

    def kill(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.endswith("torch/storage.py"):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        sys.setprofile(kill)
        with pytest.raises(Ended) as ended:
            load_network("boxes")
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 128 + signal.SIGTERM


def odd_srnn() -> SRNN:
    """No size is the default, and no two are the same."""
    return SRNN(
        3, 2, input_sizes=[5, 6], hidden=7, prior_sizes=[9], emission_sizes=[10, 11], encoder_sizes=[12, 13, 14]
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    save_network(path, odd_srnn(), PublishedCorners(), {"seed": 1})
    return path


def uneven_constant_velocity() -> ConstantVelocity:
    return ConstantVelocity(3, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9], damping=0.5)


ODD = {
    "srnn": odd_srnn(),
    "kinematic": KinematicNetwork(3, 5, 7.5),
    "constant-velocity": uneven_constant_velocity(),
    "autoregressive": Autoregressive(3, 5, 7.5),
}


@pytest.mark.parametrize("network", ODD.values(), ids=ODD.keys())
def test_one_file_is_enough_to_rebuild_a_network(tmp_path: Path, network: DVAE) -> None:
    network = network.double()
    card = {"data": {"generator": "rich"}, "best_elbo": 1.25, "name": "größer"}
    save_network(tmp_path / "b.safetensors", network, CentreLogSize(), card)
    assert json.loads((tmp_path / "b.json").read_text()) == card
    (tmp_path / "b.json").unlink()
    loaded = load_network(tmp_path / "b.safetensors")
    assert type(loaded.network) is type(network)
    assert loaded.card == card
    assert loaded.coordinates.name == "centre-log-size"
    assert not loaded.network.training
    h, z = torch.rand(2, 6, 7 if isinstance(network, SRNN) else 5), torch.rand(2, 6, network.latent_dim)
    for density in ("latent_prior", "emission"):
        ours, theirs = getattr(network, density)(h, z), getattr(loaded.network, density)(h, z)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert loaded.network.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, loaded.network.state_dict()[name]) for name, value in network.state_dict().items())


def test_artist_s_network_is_rebuilt_with_its_clusters(tmp_path: Path) -> None:
    network = MotionCategories(3, 7, 5, 2.5)
    network.centroid.normal_()
    save_network(tmp_path / "b.safetensors", network, CentreLogSize(), {})
    loaded = load_network(tmp_path / "b.safetensors").network
    assert type(loaded) is MotionCategories
    assert loaded.history.gain == 2.5
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    """Safetensors keeps metadata in a hash map: several keys would come in another order each time."""
    network = KinematicNetwork()
    paths = [tmp_path / f"{number}.safetensors" for number in range(10)]
    for path in paths:
        save_network(path, network, CentreLogSize(), {"b": 1, "a": {"d": 2, "c": 3}})
    assert len({path.read_bytes() for path in paths}) == 1


def test_nothing_is_replaced_unasked(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(InputError, match=r"a\.safetensors exists already"):
        save_network(saved, SRNN(), PublishedCorners(), {})
    saved_card = saved.with_suffix(".json")
    saved.unlink()
    with pytest.raises(InputError, match=r"a\.json exists already"):
        save_network(saved, SRNN(), PublishedCorners(), {})
    assert saved_card.exists()
    save_network(saved, SRNN(), PublishedCorners(), {}, overwrite=True)
    assert saved.read_bytes() != before


def test_only_registered_networks_can_be_saved(tmp_path: Path) -> None:
    class Mine(ConstantVelocity):
        pass

    with pytest.raises(TypeError, match="Mine"):
        save_network(tmp_path / "c.safetensors", Mine(), CentreLogSize(), {})


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end in \.safetensors"):
        save_network(tmp_path / "c.pt", SRNN(), PublishedCorners(), {})
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(InputError, match="no weights called 'bxes'") as raised:
        load_network("bxes")
    assert all(name in str(raised.value) for name in shipped_names())


@pytest.mark.parametrize("path", ["missing.safetensors", "folder/missing"])
def test_a_missing_file(path: str) -> None:
    with pytest.raises(InputError, match="there is no such weights file"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8], ids=["empty", "text", "huge header"])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not a \.safetensors file"):
        load_network(path)


def test_a_file_that_was_cut_short(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(InputError, match="or a damaged one"):
        load_network(saved)


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="was not written by this program"):
        load_network(tmp_path / "a.safetensors")


def test_a_future_format(saved: Path) -> None:
    rewrite(saved, format=3, something="new")
    with pytest.raises(InputError, match=r"has format 3, .* update pyro-mixdvae"):
        load_network(saved)


@pytest.mark.parametrize("header", [{"format": "x"}, {"sizes": 3}, {"extra": 1}])
def test_a_damaged_header(saved: Path, header: dict) -> None:
    rewrite(saved, checksum="", **header)
    with pytest.raises(InputError, match="description of the network is damaged"):
        load_network(saved)


@pytest.mark.parametrize("header", [{"network": "transformer"}, {"coordinates": "polar"}])
def test_an_unknown_network_or_coordinates(saved: Path, header: dict) -> None:
    rewrite(saved, **header)
    with pytest.raises(InputError, match="which this version does not know"):
        load_network(saved)


@pytest.mark.parametrize(
    "sizes", [{"hidden": 8}, {"prior_sizes": []}, {"hidden": 14_000}, {"latent_dim": 2**24}], ids=str
)
def test_weights_of_another_shape(saved: Path, sizes: dict) -> None:
    """Also of one that would take gigabytes: nothing is taken for it."""
    rewrite(saved, sizes={**header_of(saved)["sizes"], **sizes})
    with pytest.raises(InputError, match="do not have the shapes or names"):
        load_network(saved)


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": -1},
        {"hidden": 0},
        {"hidden": "wide"},
        {"hidden": 2.5},
        {"hidden": True},
        {"hidden": None},
        {"hidden": 10**15},
        {"hidden": 10**400},
        {"hidden": [[[8]]]},
        {"hidden": {"a": 1}},
        {"prior_sizes": [1] * 10_000},
        {"prior_sizes": 3},
        {"prior_sizes": "33"},
        {"depth": 2},
        {"x" * 10_000: "y" * 10_000},
    ],
    ids=lambda sizes: str(sizes)[:40],
)
def test_sizes_that_no_network_has(saved: Path, sizes: dict) -> None:
    rewrite(saved, sizes={**header_of(saved)["sizes"], **sizes})
    with pytest.raises(InputError) as raised:
        load_network(saved)
    assert len(str(raised.value)) < 800


@pytest.mark.parametrize("gain", [0, -1.0, float("nan"), float("inf"), 1e300, "10", [10.0]])
@pytest.mark.parametrize("kind", [KinematicNetwork, HMM, VRNN])
def test_a_gain_that_no_network_has(tmp_path: Path, kind: type[DVAE], gain: object) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, kind(), CentreLogSize(), {})
    rewrite(path, sizes={**header_of(path)["sizes"], "gain": gain})
    with pytest.raises(InputError, match="there is no"):
        load_network(path)


@pytest.mark.parametrize("damping", [-0.1, 1.1, float("nan")])
def test_a_damping_that_no_network_has(tmp_path: Path, damping: float) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, ConstantVelocity(), CentreLogSize(), {})
    rewrite(path, sizes={"content_dim": 4, "damping": damping})
    with pytest.raises(InputError, match="there is no constant-velocity network"):
        load_network(path)


def test_any_byte_that_is_changed_is_seen(saved: Path, rng: np.random.Generator) -> None:
    """But for spaces after the description."""
    content = saved.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    padding = length - len(content[:length].rstrip())
    places = [*rng.choice(length - padding, 150, replace=False), *rng.choice(range(length, len(content)), 50)]
    for place in map(int, places):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(changed)
        with pytest.raises(InputError, match=r"a\.safetensors"):
            load_network(saved)


def test_a_changed_weight_or_card_is_named_for_what_it_is(saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged: what it holds does not have the checksum"):
        load_network(saved)
    saved.write_bytes(content)
    rewrite(saved, card={"seed": 2}, checksum=header_of(saved)["checksum"])
    with pytest.raises(InputError, match="is damaged: what it holds does not have the checksum"):
        load_network(saved)


def test_a_format_without_a_checksum(saved: Path) -> None:
    rewrite(saved, format=1)
    with pytest.raises(InputError, match="has format 1, which has no checksum yet"):
        load_network(saved)


def test_loading_draws_nothing_and_keeps_nothing_of_the_file(saved: Path) -> None:
    before = torch.get_rng_state()
    network = load_network(saved).network
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    saved.write_bytes(b"")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_missing_and_unknown_keys(saved: Path) -> None:
    tensors = load_file(saved)
    name, value = tensors.popitem()
    rewrite(saved, tensors=tensors)
    with pytest.raises(InputError, match="do not have the shapes or names"):
        load_network(saved)
    rewrite(saved, tensors={**tensors, name: value, "more": torch.zeros(2)})
    with pytest.raises(InputError, match="do not have the shapes or names"):
        load_network(saved)


def test_weights_that_are_not_finite(saved: Path) -> None:
    tensors = load_file(saved)
    next(iter(tensors.values())).fill_(float("nan"))
    rewrite(saved, tensors=tensors)
    with pytest.raises(InputError, match="not finite"):
        load_network(saved)
