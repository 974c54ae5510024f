from pathlib import Path

import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder, read_text, some_of


def test_text_is_read_without_its_mark_or_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("\ufeffé".encode())
    assert read_text(path) == "é"
    path.write_bytes(b"ab\xff")
    for wrong, said in (
        (path, "a is not a text file \\(byte 3 is not UTF-8\\)"),
        (tmp_path / "b", "b does not exist: check the path"),
        (tmp_path, "cannot be read \\(is a directory\\): give a file that you may read"),
    ):
        with pytest.raises(InputError, match=said):
            read_text(wrong)


def test_folders_are_listed_by_name_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b", "a", ".a"):
        (tmp_path / name).touch()
    assert list_folder(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(InputError, match=r"none cannot be listed \(no such file or directory\): give a folder"):
        list_folder(tmp_path / "none")


def test_few_names_of_many() -> None:
    assert some_of([1, 2, 3]) == "1, 2, 3"
    assert some_of("abcde") == "a, b, c and 2 more"
