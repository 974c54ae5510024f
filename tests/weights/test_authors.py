"""The authors' checkpoint in our network: the same densities, and a sentence for every other file."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.authors import MODULES, import_network
from pyro_mixdvae.weights.store import load_network


def as_theirs(network: SRNN) -> dict[str, Tensor]:
    """A network of ours under their names."""
    theirs = {ours: name for name, ours in MODULES.items()}
    renamed = {}
    for name, value in network.state_dict().items():
        module = next(module for module in theirs if name.startswith(module + "."))
        renamed[theirs[module] + name.removeprefix(module).replace("layers.", "linear_")] = value
    return renamed


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "model.pt"
        torch.save(content, path)
        return path

    return write


def golden(shared: Path, name: str) -> Tensor:
    with np.load(shared / "golden" / "mot_golden.npz") as arrays:
        return torch.as_tensor(arrays[name], dtype=torch.float64)


def test_parity_with_the_published_network(shared: Path) -> None:
    network = import_network(shared / "reference_weights" / "model_mot.pt").double()
    s = golden(shared, "net_s")
    with torch.no_grad():
        h = network.history(network.teacher_forced(s))
        z = network.latent_posterior(h, s).central_path()
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        densities = {
            "z": network.encoder(torch.cat([h, s], -1), before),
            "prior": network.latent_prior(h, before),
            "dec": network.emission(h, z),
        }
    for name, (mean, variance) in densities.items():
        torch.testing.assert_close(mean, golden(shared, f"net_{name}_mean"), rtol=0, atol=1e-5)
        torch.testing.assert_close(variance.log(), golden(shared, f"net_{name}_logvar"), rtol=0, atol=1e-5)


def test_command_line(shared: Path, tmp_path: Path, mixdvae: Callable) -> None:
    source, target = shared / "reference_weights" / "model_mot.pt", tmp_path / "mot.safetensors"
    ended = mixdvae("import-weights", source, "-o", target)
    assert (ended.code, ended.err) == (0, "")
    assert "1540 weights" in ended.out
    loaded = load_network(target)
    assert loaded.coordinates.name == "published-corners"
    assert "GPL-3.0" in loaded.card["licence"]
    assert "GPL-3.0" in target.with_suffix(".json").read_text()
    first = target.read_bytes()
    ended = mixdvae("import-weights", source, "-o", target)
    assert ended.code == 2
    assert "exists already" in ended.err
    assert mixdvae("import-weights", source, "-o", target, "--overwrite").code == 0
    assert target.read_bytes() == first


def test_networks_of_sound_are_imported_too(shared: Path, tmp_path: Path, mixdvae: Callable) -> None:
    source, target = shared / "reference_weights" / "model_scass_cbf.pt", tmp_path / "flute.safetensors"
    ended = mixdvae("import-weights", source, "-o", target)
    assert ended.code == 0
    assert "884993 weights" in ended.out
    loaded = load_network(target)
    assert isinstance(loaded.network, SpectralSRNN)
    assert loaded.network.encoder_input == "power"
    assert loaded.coordinates == STFT()
    assert loaded.card["licence"].startswith("GPL-3.0")


def test_sizes_are_read_off_the_shapes(weights: Callable[[object], Path]) -> None:
    torch.set_default_dtype(torch.float32)
    network = SRNN(3, 2, [5, 6], 7, prior_sizes=[9], emission_sizes=[10, 11], encoder_sizes=[12, 13, 14])
    imported = import_network(weights(as_theirs(network)))
    assert imported.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(imported.state_dict()[name], value)


class Hostile:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("was_run"),)


def test_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Callable) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (weights({"mlp_x_h.linear_0.weight": Hostile()}), tmp_path / "plain.pt"):
        if not path.exists():
            path.write_bytes(pickle.dumps(Hostile()))
        with pytest.raises(InputError, match="is not a checkpoint of weights only"):
            import_network(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 half a zip", b"\x80\x02}q\x00."[:4]])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a checkpoint of weights only"):
        import_network(path)


def test_a_missing_file(tmp_path: Path, mixdvae: Callable) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InputError, match="there is no such file"):
            import_network(path)
        assert mixdvae("import-weights", path).code == 2


@pytest.mark.parametrize("content", [{}, [1, 2], torch.zeros(3), {"state_dict": {}}, {1: torch.zeros(2)}], ids=str)
def test_no_state_dict(weights: Callable[[object], Path], content: object) -> None:
    with pytest.raises(InputError, match="plain state dict"):
        import_network(weights(content))


def test_wrong_keys(weights: Callable[[object], Path]) -> None:
    theirs = as_theirs(SRNN())
    del theirs["inf_z_mean.weight"], theirs["inf_z_mean.bias"]
    with pytest.raises(InputError, match=r"missing: inf_z_mean; unknown: nothing"):
        import_network(weights(theirs))
    with pytest.raises(InputError, match=r"unknown: foreign"):
        import_network(weights({**as_theirs(SRNN()), "foreign.weight": torch.zeros(1)}))


@pytest.mark.parametrize("name", ["inf_z_mean.bias", "rnn_h.weight_hh_l0", "mlp_hz_z.linear_0.weight"])
def test_layers_that_do_not_fit(weights: Callable[[object], Path], name: str) -> None:
    theirs = as_theirs(SRNN())
    for wrong in (theirs[name][..., :-1], torch.zeros(())):
        with pytest.raises(InputError, match="do not fit together"):
            import_network(weights({**theirs, name: wrong}))
    del theirs[name]
    with pytest.raises(InputError, match="do not fit together"):
        import_network(weights(theirs))


def test_weights_that_are_not_finite(weights: Callable[[object], Path]) -> None:
    theirs = as_theirs(SRNN())
    theirs["gen_x_mean.bias"][0] = float("inf")
    with pytest.raises(InputError, match="not finite"):
        import_network(weights(theirs))


def test_what_is_said_to_be_gigabytes_takes_none(weights: Callable[[object], Path]) -> None:
    """Of a tensor without strides, and of one without rows."""
    large = {"rnn_h.weight_hh_l0": torch.zeros(1, 1).expand(40_000, 10_000)}
    with pytest.raises(InputError, match="a few numbers stand for many weights"):
        import_network(weights({**as_theirs(SRNN()), **large}))
    with pytest.raises(InputError, match="do not fit together"):
        import_network(weights({**as_theirs(SRNN()), "rnn_h.weight_hh_l0": torch.zeros(0, 100_000)}))


def test_importing_draws_nothing(weights: Callable[[object], Path]) -> None:
    path, before = weights(as_theirs(SRNN())), torch.get_rng_state()
    import_network(path)
    assert torch.equal(torch.get_rng_state(), before)
