"""Classes of a user's own, from a file in the working directory and from an installed package."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pyro_mixdvae.declaration import lookup
from pyro_mixdvae.declaration.builder import build_preset, resolve
from pyro_mixdvae.declaration.overview import overview
from pyro_mixdvae.declaration.shipped import declared
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import Laplace

OWN = """
from abc import abstractmethod

from pyro.distributions import Normal, StudentT

from pyro_mixdvae.models import Likelihood


class MyT(Likelihood):
    def __init__(self, noise, df: float, wide: bool = False):
        super().__init__(noise)
        self.df, self.wide = df, wide

    def observe(self, content, scale):
        return StudentT(self.df, content, scale).to_event(1)


class Unfinished(Likelihood):
    pass


class Careless(MyT):
    def __init__(self, noise, df: float = 1.0):
        super().__init__(noise, 1 // int(df))


def program(scene):
    pass


NOTHING = 4
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the command is started in, with a file `own_parts.py`."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own_parts.py"
    path.write_text(OWN)
    yield path
    for name in ("own_parts", "broken", "leaving"):
        sys.modules.pop(name, None)


def test_a_class_in_a_file_of_the_working_directory(own: Path) -> None:
    declaration = declared("default", sets=["likelihood.family=own_parts:MyT", "likelihood.df=5"])
    likelihood = build_preset(declaration, 2).model.likelihood
    assert type(likelihood).__name__ == "MyT"
    assert (likelihood.df, likelihood.wide) == (5.0, False)
    assert resolve(declaration).document()["likelihood"] == {"family": "own_parts:MyT", "df": 5.0, "wide": False}
    assert build_preset(declared("default", sets=["guide.family=own_parts:program"]), 2).guide.__name__ == "program"


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("own_parts:MyT", "the family own_parts:MyT needs df: give a number"),
        ("own_parts:MyTT", r"own_parts has no 'MyTT' \(did you mean 'MyT'\?\): .*own_parts.py was read"),
        ("own_parts:NOTHING", r"own_parts:NOTHING is no Likelihood: .* derives from it"),
        ("own_parts:Unfinished", "own_parts:Unfinished lacks `observe`: write it"),
        ("own_part:MyT", "there is no module 'own_part' in .*: start the command in the folder of own_part.py"),
        ("broken:MyT", r"broken cannot be imported: ZeroDivisionError: .*\(broken.py, line 2\)"),
        ("unreadable:MyT", r"unreadable cannot be imported: .*\(unreadable.py, line 1\)"),
        ("leaving:MyT", r"leaving cannot be imported: SystemExit"),
        ("needing:MyT", r"needing cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("own parts:My T", 'names nothing: write "my_module:MyClass"'),
    ],
)
def test_errors_in_importing_are_told_in_a_sentence(own: Path, family: str, message: str) -> None:
    own.with_name("broken.py").write_text("x = 0\n1 / x\n")
    own.with_name("unreadable.py").write_text("class MyT(\n")
    own.with_name("leaving.py").write_text("import sys\nsys.exit(3)\n")
    own.with_name("needing.py").write_text("import not_there\n")
    with pytest.raises(InputError, match=message):
        build_preset(declared("default", sets=[f"likelihood.family={family}"]), 2)


def test_what_a_class_of_ones_own_raises_is_told_with_its_key(own: Path) -> None:
    sets = ["likelihood.family=own_parts:Careless", "likelihood.df=0.5"]
    with pytest.raises(InputError, match=r"--set likelihood.df=0.5: \[likelihood\] df = 0.5: .*by zero"):
        build_preset(declared("default", sets=sets), 2)


def test_families_of_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = metadata.EntryPoints(
        [
            metadata.EntryPoint("likelihood.my_laplace", "pyro_mixdvae.models:Laplace", lookup.GROUP),
            metadata.EntryPoint("noise.gone", "pyro_mixdvae.models:Gone", lookup.GROUP),
        ]
    )
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == lookup.GROUP else ())
    assert isinstance(
        build_preset(declared("default", sets=["likelihood.family=my_laplace"]), 2).model.likelihood, Laplace
    )
    assert "my_laplace" in [row.name for row in overview() if row.table == "likelihood"]
    with pytest.raises(InputError, match=r"family = \"my_laplce\": .*did you mean 'my_laplace'"):
        build_preset(declared("default", sets=["likelihood.family=my_laplce"]), 2)
    with pytest.raises(
        InputError, match=r"pyro_mixdvae\.models:Gone, which an installed package gives as 'gone', cannot"
    ):
        build_preset(declared("default", sets=["noise.family=gone"]), 2)
