"""Weights of sounds: written and read again with their transform, and refused where boxes are wanted."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sounds import complex_normal, spectral_srnn
from weights_files import header_of, rewrite

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.testing.scenes import EXACT
from pyro_mixdvae.tracking.tracker import Tracker
from pyro_mixdvae.weights.authors import SOUND_MODULES, import_network
from pyro_mixdvae.weights.store import load_network, save_network

TINY = STFT(8000, 4, 2)  # three frequencies


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "flute.safetensors"
    save_network(path, spectral_srnn(3), TINY, {"name": "flute"})
    return path


def test_powers_are_known_where_nothing_is_said_of_them(saved: Path) -> None:
    assert math.isinf(load_network(saved).network.power_shape)
    for shape in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="give a positive one"):
            SpectralSRNN(3, power_shape=shape)


@pytest.mark.parametrize("encoder_input", ["power", "log-power"])
@pytest.mark.parametrize("widths", [[], [4], [4, 5]], ids=str)
def test_one_file_is_enough_to_rebuild_a_network_of_sound(
    tmp_path: Path, encoder_input: str, widths: list[int]
) -> None:
    """No two sizes are the same; MLPs of any number of layers."""
    network = SpectralSRNN(
        3,
        2,
        input_sizes=[*widths, 6],
        hidden=7,
        backward_sizes=[*widths, 8],
        backward_hidden=9,
        prior_sizes=[*widths, 10],
        emission_sizes=[*widths, 11],
        encoder_sizes=[*widths, 12],
        encoder_input=encoder_input,  # type: ignore[arg-type]
        floor=3e-5,
        power_shape=0.4,
    )
    save_network(tmp_path / "a.safetensors", network, TINY, {"name": "flute"})
    (tmp_path / "a.json").unlink()
    loaded = load_network(tmp_path / "a.safetensors")
    assert type(loaded.network) is SpectralSRNN
    assert loaded.coordinates == TINY
    assert loaded.card == {"name": "flute"}
    assert not loaded.network.training
    assert (loaded.network.encoder_input, loaded.network.floor) == (encoder_input, 3e-5)
    assert loaded.network.power_shape == 0.4
    assert loaded.network.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, loaded.network.state_dict()[name]) for name, value in network.state_dict().items())
    power = squared_modulus(complex_normal(2, 5, 3))
    torch.testing.assert_close(loaded.network.reconstructed(power), network.reconstructed(power), **EXACT)


def test_the_tracker_refuses_sounds(saved: Path, tmp_path: Path, mixdvae: Callable) -> None:
    with pytest.raises(InputError, match="is a model of sound: give one of boxes"):
        Tracker(n_sources=2, weights=saved)
    detections = tmp_path / "det.txt"
    detections.write_text("".join(f"{frame},-1,5,5,9,9,1,-1,-1,-1\n" for frame in range(1, 9)))
    ended = mixdvae("track", detections, "--n-sources", 1, "--weights", saved, "-o", tmp_path / "out.txt")
    assert ended.code == 2
    assert "is a model of sound" in ended.err
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("content", [CentreLogSize(), STFT(), STFT(8000, 6, 2)], ids=lambda content: content.name)
def test_a_network_of_sound_belongs_to_a_transform_of_its_size(tmp_path: Path, content: CentreLogSize | STFT) -> None:
    with pytest.raises(InputError, match=f"SpectralSRNN of 3 frequencies has no content in '{content.name}'"):
        save_network(tmp_path / "a.safetensors", spectral_srnn(3), content, {})
    with pytest.raises(InputError, match="KinematicNetwork has no content in 'stft-8000-4-2'"):
        save_network(tmp_path / "a.safetensors", KinematicNetwork(), TINY, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("coordinates", "sentence"),
    [
        ("centre-log-size", "has no content in 'centre-log-size'"),
        ("stft-16000-1024-256", "has no content in 'stft-16000-1024-256'"),
        ("stft-8000-4-0", "which this version does not know"),
        ("stft-8000-4", "which this version does not know"),
        ("stft-1-4-2", "which this version does not know"),
        ("stft-999999999-4-2", "which this version does not know"),
        ("stft-16000-1024-1", "which this version does not know"),
        ("x" * 10_000, "which this version does not know"),
    ],
)
def test_files_that_were_changed(saved: Path, coordinates: str, sentence: str) -> None:
    rewrite(saved, coordinates=coordinates)
    with pytest.raises(InputError, match=sentence):
        load_network(saved)


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 8},
        {"backward_hidden": 8},
        {"emission_sizes": []},
        {"content_dim": 4},
        {"hidden": 14_000},
    ],
    ids=str,
)
def test_weights_of_another_shape(saved: Path, sizes: dict) -> None:
    rewrite(saved, sizes=header_of(saved)["sizes"] | sizes)
    with pytest.raises(InputError, match="do not have the shapes or names"):
        load_network(saved)


@pytest.mark.parametrize(
    "sizes",
    [
        {"encoder_input": "loudness"},
        {"depth": 1},
        {"floor": -1e-6},
        {"floor": 0.0},
        {"floor": 1e-60},
        {"floor": 1e30},
        {"floor": math.nan},
        {"floor": math.inf},
        {"floor": "low"},
    ],
    ids=str,
)
def test_sizes_that_no_network_has(saved: Path, sizes: dict) -> None:
    rewrite(saved, sizes=header_of(saved)["sizes"] | {"encoder_input": "log-power"} | sizes)
    with pytest.raises(InputError, match="there is no spectral-srnn network of the sizes"):
        load_network(saved)


def checkpoint_of(path: Path, network: SpectralSRNN, **changes: torch.Tensor) -> Path:
    """A network of ours as the authors would have saved it."""
    theirs = {ours: name for name, ours in SOUND_MODULES.items()}
    renamed = {}
    for name, value in network.state_dict().items():
        module = next(module for module in theirs if name.startswith(module + "."))
        renamed[theirs[module] + name.removeprefix(module).replace("layers.", "linear_")] = value
    torch.save(renamed | changes, path)
    return path


class TestTheAuthorsCheckpoints:
    def network(self, n_frequencies: int = 3) -> SpectralSRNN:
        return SpectralSRNN(
            n_frequencies,
            2,
            input_sizes=[5, 6],
            hidden=7,
            backward_sizes=[8],
            backward_hidden=9,
            prior_sizes=[10],
            emission_sizes=[11, 12],
            encoder_sizes=[13, 14, 15],
            encoder_input="power",
            floor=0.0,
        ).float()

    def test_sizes_are_read_off_the_shapes(self, tmp_path: Path) -> None:
        torch.set_default_dtype(torch.float32)
        network = self.network()
        imported = import_network(checkpoint_of(tmp_path / "a.pt", network))
        assert isinstance(imported, SpectralSRNN)
        assert (imported.encoder_input, imported.floor) == ("power", 0.0)
        assert imported.state_dict().keys() == network.state_dict().keys()
        assert all(torch.equal(value, imported.state_dict()[name]) for name, value in network.state_dict().items())

    def test_wrong_keys_and_layers_that_do_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"authors' SRNN for sound .*unknown: foreign"):
            import_network(checkpoint_of(tmp_path / "a.pt", self.network(), **{"foreign.bias": torch.zeros(1)}))
        with pytest.raises(InputError, match="do not fit together"):
            import_network(checkpoint_of(tmp_path / "a.pt", self.network(), **{"gen_x.bias": torch.zeros(4)}))
        with pytest.raises(InputError, match="not finite"):
            import_network(
                checkpoint_of(tmp_path / "a.pt", self.network(), **{"gen_x.bias": torch.full((3,), torch.nan)})
            )

    def test_only_those_of_the_paper_s_transform_can_be_written(self, tmp_path: Path, mixdvae: Callable) -> None:
        path = checkpoint_of(tmp_path / "a.pt", self.network())
        ended = mixdvae("import-weights", path)
        assert ended.code == 2
        assert "SpectralSRNN of 3 frequencies has no content in 'stft-16000-1024-256'" in ended.err
        assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]
        checkpoint_of(path, self.network(513))
        assert mixdvae("import-weights", path).code == 0
        assert load_network(tmp_path / "a.safetensors").coordinates == STFT()
