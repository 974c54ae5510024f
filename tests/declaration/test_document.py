"""Declarations are read, laid over another and written; what no declaration has is told with file and key."""

from pathlib import Path

import pytest

from pyro_mixdvae import __version__
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.errors import InputError


def of(document: dict) -> Declaration:
    return Declaration.of(document, "my.toml")


BASE = {"likelihood": {"family": "student_t", "df": 4.0}, "sources": {"family": "kinematic", "weights": "boxes"}}


def test_a_table_that_names_its_family_is_whole_and_another_changes_options() -> None:
    base = of(BASE)
    assert base.under(of({"likelihood": {"family": "student_t"}})).document()["likelihood"] == {"family": "student_t"}
    assert base.under(of({"likelihood": {"df": 3.0}})).document()["likelihood"] == {"family": "student_t", "df": 3.0}


def test_other_weights_say_of_which_family_they_are() -> None:
    assert of(BASE).under(of({"sources": {"weights": "x"}})).document()["sources"] == {"weights": "x"}


def test_options_of_a_command_line_in_any_order() -> None:
    for options in (
        ["likelihood.family=student_t", "likelihood.df=3"],
        ["likelihood.df=3", "likelihood.family=student_t"],
        ["likelihood.df=9", "likelihood.family=student_t", "likelihood.df=3"],
    ):
        layer = Declaration.of_options([*options, "seed=7"])
        assert of(BASE).under(layer).document()["likelihood"] == {"family": "student_t", "df": 3}
        assert layer.setting("seed") == 7
        assert layer.setting("n_sources") is None


def test_the_text_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    declaration = of({"seed": 3, "n_sources": 2, **BASE})
    path.write_text(declaration.text())
    assert declaration.text().startswith(f"# pyro-mixdvae {__version__}\nn_sources = 2\nseed = 3\n\n[sources]\n")
    assert Declaration.read(path).document() == declaration.document()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"likelihod": {}}, r"^my\.toml: there is no table \[likelihod\] \(did you mean 'likelihood'\?\)"),
        (
            {"likelihood": "student_t"},
            r'^my\.toml: likelihood = "student_t": likelihood is a table: write \[likelihood\]',
        ),
        ({"family": "student_t"}, r'family = "student_t" stands in no table'),
        ({"n_source": 3}, "n_sources and seed \\(did you mean 'n_sources'\\?\\)"),
        ({"n_sources": 2.5}, r"n_sources = 2\.5: give a whole number"),
        ({"n_sources": True}, "n_sources = true: give a whole number"),
    ],
)
def test_what_no_declaration_has(document: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of(document)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("likelihood.df", r"^--set likelihood\.df: write TABLE\.KEY=VALUE"),
        ("df=4", "write TABLE"),
        ("likelihood.=4", "write TABLE"),
        ("likelihod.df=4", "did you mean 'likelihood'"),
        ("seed=now", r'seed = "now": give a whole number'),
    ],
)
def test_options_that_are_none(option: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Declaration.of_options([option])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml does not exist: check the path"):
        Declaration.read(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        Declaration.read(binary)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[likelihood]\nfamily = " + "[" * 100_000, "too deep"),
        ("a = " + "{a=" * 5_000, "too deep"),
        ("[likelihood]\ndf = " + "9" * 10_000, "no TOML"),
        ("seed = " + "9" * 40, "give a whole number from 0 to"),
        ("seed = -1", "give a whole number from 0 to"),
        ("n_sources = 1000000000000", "give a whole number from 1 to 10000"),
        ("n_sources = 0", "give a whole number from 1 to 10000"),
        ("[likelihood]\n" + "k" * 200_000 + " = 1", "too long for a name"),
        ('["' + "z" * 100_000 + '"]', "too long for a name"),
        ('[likelihood]\nfamily = "' + "k" * 100_000 + '"', "at most 4096 characters"),
        ("[noise]\nrelative = [" + "0.1, " * 5_000 + "]", "at most 1000 entries"),
        ("[sources]\nweights = [[" + '"speech", ' * 5_000 + "]]", "at most 1000 entries"),
        ("[[likelihood]]\nfamily = 1", "likelihood is a table"),
    ],
)
def test_documents_that_are_no_declarations_are_refused_in_a_short_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        Declaration.read(tmp_path / "a.toml")
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("option", ["likelihood.df=" + "9" * 10_000, "likelihood.df=" + "[" * 50_000])
def test_values_of_options_that_cannot_be_read_are_texts(option: str) -> None:
    with pytest.raises(InputError, match="give a text of at most") as raised:
        Declaration.of_options([option])
    assert len(str(raised.value)) < 700
