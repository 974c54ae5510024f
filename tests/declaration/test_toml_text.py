"""What is written as TOML is read as it was; what is none is told with its line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mixdvae.declaration.toml_text import read_toml, read_value, write_toml
from pyro_mixdvae.errors import InputError

NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1) | st.booleans()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = NUMBERS | TEXTS | st.lists(st.floats(allow_nan=False)) | st.lists(TEXTS)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES)))
def test_what_is_written_is_read(values: dict, tables: dict) -> None:
    document = {**values, **tables}
    assert read_toml(write_toml(document), "x.toml") == document


@given(st.floats(allow_nan=False))
def test_floats_are_the_same_to_the_bit(value: float) -> None:
    found = read_toml(write_toml({"value": value}), "x.toml")["value"]
    assert isinstance(found, float)
    assert found.hex() == value.hex()


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(read_toml(write_toml({"value": math.nan}), "x.toml")["value"])


def test_a_value_without_notation() -> None:
    with pytest.raises(TypeError, match="no notation for a NoneType"):
        write_toml({"value": None})


def test_syntax_errors_are_told_with_file_and_line() -> None:
    with pytest.raises(InputError, match=r"^my\.toml, line 2, column 10: .*'family = student_t' is no TOML \(a text "):
        read_toml("[likelihood]\nfamily = student_t\n", "my.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("4.0", 4.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("-2", -2),
        ("true", True),
        ("student_t", "student_t"),
        ('"4"', "4"),
        ("[0.1, 2]", [0.1, 2]),
        ("my_module:MyClass", "my_module:MyClass"),
        ("a/b.safetensors", "a/b.safetensors"),
        ('x"\nother = 1', 'x"\nother = 1'),
        ("", ""),
    ],
)
def test_values_of_a_command_line(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)
