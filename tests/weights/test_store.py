"""Weights written and read again, and what is said about files that cannot be."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import CentreLogSize, PublishedCorners
from pyro_mixdvae.weights.store import HEADER, load_network, save_network, shipped_names


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


def rewrite(path: Path, *, tensors: dict | None = None, **header: object) -> None:
    """The file again with other tensors, or other entries in its header."""
    with safe_open(path, "pt") as file:
        old = json.loads(file.metadata()[HEADER])
    save_file(tensors or load_file(path), path, {HEADER: json.dumps({**old, **header})})


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="was not written by this program"):
        load_network(tmp_path / "a.safetensors")


def test_a_future_format(saved: Path) -> None:
    rewrite(saved, format=2, something="new")
    with pytest.raises(InputError, match=r"has format 2, .* update pyro-mixdvae"):
        load_network(saved)


@pytest.mark.parametrize("header", [{"format": "x"}, {"sizes": 3}, {"extra": 1}])
def test_a_damaged_header(saved: Path, header: dict) -> None:
    rewrite(saved, **header)
    with pytest.raises(InputError, match="description of the network is damaged"):
        load_network(saved)


@pytest.mark.parametrize("header", [{"network": "transformer"}, {"coordinates": "polar"}])
def test_an_unknown_network_or_coordinates(saved: Path, header: dict) -> None:
    rewrite(saved, **header)
    with pytest.raises(InputError, match="which this version does not know"):
        load_network(saved)


@pytest.mark.parametrize(
    "sizes", [{"hidden": 8}, {"hidden": -1}, {"hidden": "wide"}, {"prior_sizes": []}, {"depth": 2}], ids=str
)
def test_weights_of_another_shape(saved: Path, sizes: dict) -> None:
    with safe_open(saved, "pt") as file:
        old = json.loads(file.metadata()[HEADER])["sizes"]
    rewrite(saved, sizes={**old, **sizes})
    with pytest.raises(InputError, match="do not have the shapes or names"):
        load_network(saved)


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
