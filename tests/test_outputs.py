import os
import stat
from pathlib import Path

import pytest

from pyro_mixdvae import outputs
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs, refuse_existing, staged, write_atomically, write_together, writing


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_text_and_bytes_arrive_as_they_are_in_folders_that_are_made(tmp_path: Path) -> None:
    write_together({tmp_path / "a" / "b.txt": "é\n", tmp_path / "a" / "c.png": b"\x00\xff"})
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é\n".encode()
    assert (tmp_path / "a" / "c.png").read_bytes() == b"\x00\xff"
    assert everything(tmp_path) == {"a", "a/b.txt", "a/c.png"}


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "theirs").stat().st_mode)


def test_existing_outputs_are_refused_by_name_unless_they_may_be_overwritten(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("kept")
    refuse_existing([tmp_path / "new"], overwrite=False)
    refuse_existing([old], overwrite=True)
    with pytest.raises(InputError, match=r"old exists already.*--overwrite"):
        refuse_existing([tmp_path / "new", old], overwrite=False)


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists"):
        refuse_existing([tmp_path / "link"], overwrite=False)


def test_none_appears_if_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    contents = {tmp_path / "new" / "deep" / "a": "1", tmp_path / "file" / "b": "2"}
    with pytest.raises(InputError, match="b cannot be written"):
        write_together(contents)
    assert everything(tmp_path) == {"file"}
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_or_a_failed_rename_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    calls = []
    name, genuine = ("fsync", os.fsync) if fails_at == 1 else ("replace", os.replace)

    def fail_the_second_time(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(outputs.os, name, fail_the_second_time)
    with pytest.raises(InputError, match=r"b cannot be written.*no space left"):
        write_together({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert everything(tmp_path) == set()


def test_an_interrupt_leaves_the_old_file_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(outputs.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", "new")
    assert everything(tmp_path) == {"a"}
    assert (tmp_path / "a").read_text() == "old"


def test_folders_devices_and_one_file_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        write_atomically(tmp_path, "")
    with pytest.raises(InputError, match="not a regular file"):
        write_atomically("/dev/null", "")
    with pytest.raises(InputError, match="the same file"):
        write_together({tmp_path / "a": "", tmp_path / "." / "b" / ".." / "a": ""})
    assert everything(tmp_path) == set()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_staged_files_grow_under_other_names_and_appear_together(tmp_path: Path) -> None:
    paths = [tmp_path / "new" / "b", tmp_path / "a"]
    with staged(paths) as temporaries:
        for round_ in ("1", "2"):
            for temporary in temporaries:
                with temporary.open("a") as file:
                    file.write(round_)
        assert not any(path.exists() for path in paths)
        assert [path.parent for path in temporaries] == [path.parent for path in paths]
    assert [path.read_text() for path in paths] == ["12", "12"]
    assert everything(tmp_path) == {"new", "new/b", "a"}


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), ValueError(), InputError("no")])
def test_nothing_staged_stays_when_the_block_fails(tmp_path: Path, reason: BaseException) -> None:
    def fail(temporaries: list[Path]) -> None:
        temporaries[0].write_text("half")
        raise reason

    with pytest.raises(type(reason)), staged([tmp_path / "new" / "a", tmp_path / "b"]) as temporaries:
        fail(temporaries)
    assert everything(tmp_path) == set()


def test_staged_files_replace_only_what_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    with pytest.raises(InputError, match="b exists already"), staged([tmp_path / "a", tmp_path / "b"]):
        pass
    assert everything(tmp_path) == {"b"}
    with staged([tmp_path / "a", tmp_path / "b"], overwrite=True) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")
        assert (tmp_path / "b").read_text() == "old"
    assert (tmp_path / "b").read_text() == "new"


def test_a_staged_file_that_vanished_is_told_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="b cannot be written"), staged([tmp_path / "a", tmp_path / "b"]) as temporary:
        temporary[1].unlink()
    assert everything(tmp_path) == set()


def test_an_error_of_the_system_is_told_with_the_name_that_the_user_knows() -> None:
    with (
        pytest.raises(InputError, match=r"stem.wav cannot be written \(no space left on device\)"),
        writing("stem.wav"),
    ):
        raise OSError(28, "No space left on device", ".abc.part")


def test_outputs_are_checked_before_any_work(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(given)
    check_outputs([tmp_path / "new" / "a", tmp_path / "b"], overwrite=False, inputs=[given])
    check_outputs([given], overwrite=True)
    check_outputs([], overwrite=False)
    for paths, said in (
        ([tmp_path / "a", tmp_path / "folder" / ".." / "a"], "a would be written twice: rename it"),
        ([tmp_path / "link"], "link is an input, which the results would replace: rename it"),
        ([tmp_path / "folder"], "folder is a folder where a file is to be written"),
        ([given / "a"], "given is no folder that you may write to"),
        ([given / "b" / "a"], "given is no folder that you may write to"),
    ):
        with pytest.raises(InputError, match=said):
            check_outputs(paths, overwrite=True, inputs=[given], advice="rename it")
    with pytest.raises(InputError, match="given exists already"):
        check_outputs([given], overwrite=False)
