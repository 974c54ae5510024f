"""`--model` and `--set` on the command line, the file that a run leaves, and `mixdvae model`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import spectral_srnn

from pyro_mixdvae import Tracker
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import Huber
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import save_network

SIZE = ("--size", "640x480")
COMPANIONS = (".txt", ".boxes.csv", ".assignments.csv", ".check.csv", ".elbo.csv", ".png")

MY_T = """
from pyro.distributions import StudentT

from pyro_mixdvae.models import Likelihood


class MyT(Likelihood):
    def observe(self, content, scale):
        return StudentT(3.0, content, scale).to_event(1)
"""


@pytest.fixture
def sequence(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two boxes that walk for six frames."""
    torch.set_default_dtype(torch.float32)
    start = np.array([[50.0, 100, 40, 100], [400, 150, 50, 130]])
    rows = [
        f"{frame},-1,{','.join(f'{value:.2f}' for value in box + rng.normal(0, 1, 4))},1"
        for frame in range(1, 7)
        for box in start + frame * np.array([3, 1, 0, 0])
    ]
    path = tmp_path / "walk.txt"
    path.write_text("\n".join(rows) + "\n")
    return path


def same_files(one: Path, other: Path) -> None:
    for suffix in COMPANIONS:
        assert one.with_suffix(suffix).read_bytes() == other.with_suffix(suffix).read_bytes(), suffix


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--set", "likelihood.family=student_t", "--set", "likelihood.df=4"),
        ("--set", "likelihood.family=own_t:MyT", "--method", "svi", "--iterations", 2, "--seed", 5),
        ("--preset", "vkf", "--set", "noise.least=0.1", "--set", "assignment.family=exclusive"),
    ],
)
def test_the_file_of_a_run_repeats_it(
    sequence: Path,
    tmp_path: Path,
    mixdvae: Callable,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    options: tuple,
) -> None:
    if options:
        request.getfixturevalue("unrendered")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_t.py").write_text(MY_T)
    first, again = tmp_path / "first.txt", tmp_path / "again.txt"
    ended = mixdvae("track", sequence, "-n", 2, *SIZE, "-o", first, *options)
    assert ended.code == 0, ended.err
    assert str(first.with_suffix(".model.toml")) in ended.out
    ended = mixdvae("track", sequence, *SIZE, "-o", again, "--model", first.with_suffix(".model.toml"))
    assert ended.code == 0, ended.err
    same_files(first, again)
    assert first.with_suffix(".model.toml").read_text() == again.with_suffix(".model.toml").read_text()


@pytest.mark.usefixtures("unrendered")
def test_a_file_changes_the_preset_and_options_change_the_file(
    sequence: Path, tmp_path: Path, mixdvae: Callable
) -> None:
    model, output = tmp_path / "my.toml", tmp_path / "out.txt"
    model.write_text('n_sources = 1\nseed = 4\n[likelihood]\nfamily = "huber"\n[sources]\nstart_spread = 0.75\n')
    ended = mixdvae(
        "track", sequence, "-n", 2, *SIZE, "-o", output, "--model", model, "--set", "likelihood.threshold=2"
    )
    assert ended.code == 0, ended.err
    written = Declaration.read(output.with_suffix(".model.toml")).document()
    assert written["likelihood"] == {"family": "huber", "threshold": 2.0}
    assert written["sources"] == {"family": "kinematic", "weights": "boxes", "start_spread": 0.75}
    assert (written["n_sources"], written["seed"]) == (2, 4)


def test_without_a_report_there_are_tracks_alone(sequence: Path, tmp_path: Path, mixdvae: Callable) -> None:
    output = tmp_path / "folder" / "out.txt"
    assert mixdvae("track", sequence, "-n", 2, *SIZE, "-o", output, "--no-report").code == 0
    assert [path.name for path in output.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--n-sources is missing: give -n N, or a --model that says n_sources."),
        (("-n", 2, "--set", "likelihod.df=4"), "did you mean 'likelihood'?"),
        (("-n", 2, "--set", "likelihood.family=student"), "did you mean 'student_t'?"),
        (("-n", 2, "--model", "none.toml"), "none.toml does not exist"),
        (("-n", 2, "--preset", "published"), "import-weights"),
        (("-n", 2, "--preset", "published", "--weights", "boxes"), "boxes is not an SRNN of absolute boxes"),
    ],
)
def test_errors_end_the_command_before_anything_is_written(
    sequence: Path, tmp_path: Path, mixdvae: Callable, options: tuple, message: str
) -> None:
    output = tmp_path / "out.txt"
    ended = mixdvae("track", sequence, *SIZE, "-o", output, *options)
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
    assert list(tmp_path.glob("out*")) == []


def test_live_takes_a_model_too(sequence: Path, tmp_path: Path, mixdvae: Callable) -> None:
    plain = mixdvae("track", sequence, "-n", 2, *SIZE, "--live")
    other = mixdvae("track", sequence, "-n", 2, *SIZE, "--live", "--set", "noise.relative=0.3")
    assert (plain.code, other.code) == (0, 0), other.err
    assert plain.out != other.out


def test_a_tracker_takes_a_declaration_and_gives_it_back_whole() -> None:
    declaration = Tracker(2).declaration
    assert declaration is not None
    changed = declaration.under(Declaration.of({"likelihood": {"family": "huber"}}, "here"))
    tracker = Tracker(2, changed, seed=3)
    assert isinstance(tracker.preset.model.likelihood, Huber)
    assert tracker.declaration is not None
    assert tracker.declaration.document()["likelihood"] == {"family": "huber", "threshold": 1.345}
    assert tracker.declaration.setting("seed") == 3
    assert Tracker(2, tracker.preset).declaration is None


def test_the_list_of_families(mixdvae: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = mixdvae("model", "list")
    assert ended.code == 0
    for text in ("[sources]", "[inference]", "constant_velocity", "student_t", "df = 4.0", "At most one", "none"):
        assert text.lower() in ended.out.lower(), text
    one = mixdvae("model", "list", "likelihood")
    assert "[likelihood]" in one.out
    assert "[noise]" not in one.out
    assert mixdvae("model", "list", "likelihod").code == 2


def test_the_program_of_a_model(tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "my.toml"
    path.write_text('n_sources = 3\n[assignment]\nfamily = "learned_weights"\n')
    ended = mixdvae("model", "show", path)
    assert ended.code == 0, ended.err
    lines = {line.split()[1]: line for line in ended.out.splitlines() if line.startswith("│")}
    assert {"sz", "pi", "w", "o", "q_sz"} <= set(lines)
    assert "concentration = 1.0" in ended.out
    assert "scenes, time, observations" in lines["o"]
    assert "3 3 8" in lines["sz"]  # N, T, D + L


def test_the_program_of_sounds(mixdvae: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = mixdvae("model", "show", "--preset", "additive")
    assert ended.code == 0, ended.err
    assert "ComplexNormal" in ended.out
    assert "SharedSum" in ended.out
    of_weights = mixdvae("model", "show", "--set", 'sources.weights=["flute", "speech"]')
    assert of_weights.code == 0, of_weights.err
    assert 'weights = ["flute", "speech"]' in of_weights.out


def test_rendering_without_graphviz_is_a_sentence(
    tmp_path: Path, mixdvae: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyro

    def missing(*arguments: object, **options: object) -> None:
        raise ImportError("No module named 'graphviz'")

    monkeypatch.setattr(pyro, "render_model", missing)
    ended = mixdvae("model", "show", "--render", tmp_path / "graph.pdf")
    assert ended.code == 2
    assert ended.err.startswith("--render needs graphviz")


def test_a_declaration_of_too_few_sources() -> None:
    with pytest.raises(InputError, match="0 sources cannot be tracked"):
        Tracker(0)


@pytest.fixture
def mixture(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, list[Path]]:
    """A short noise, and weights of two sounds that nothing was taught."""
    torch.set_default_dtype(torch.float32)
    paths = [tmp_path / f"{name}.safetensors" for name in ("voice", "pipe")]
    for path in paths:
        save_network(path, spectral_srnn(STFT().n_frequencies), STFT(), {})
    soundfile.write(tmp_path / "mix.wav", 0.1 * rng.standard_normal(6000), 16000)
    return tmp_path / "mix.wav", paths


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--likelihood", "assignment", "--set", "noise.relative=0.1"),
        ("--method", "svi", "--iterations", 2, "--seed", 5),
        ("--likelihood", "assignment", "--set", "likelihood.family=complex_student_t", "--iterations", 1),
    ],
)
def test_the_file_of_a_separation_repeats_it(
    mixture: tuple[Path, list[Path]], tmp_path: Path, mixdvae: Callable, request: pytest.FixtureRequest, options: tuple
) -> None:
    if options:
        request.getfixturevalue("unrendered")
    sound, weights = mixture
    first, again = tmp_path / "first", tmp_path / "again"
    ended = mixdvae("separate", sound, "-o", first, "--sources", ",".join(map(str, weights)), *options)
    assert ended.code == 0, ended.err
    ended = mixdvae("separate", sound, "-o", again, "--model", first / "mix" / "model.toml")
    assert ended.code == 0, ended.err
    written = sorted(path.name for path in (first / "mix").iterdir())
    assert written == ["model.toml", "pipe.wav", "separation.png", "voice.wav"]
    for name in written:
        assert (first / "mix" / name).read_bytes() == (again / "mix" / name).read_bytes(), name
