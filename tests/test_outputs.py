import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import (
    check_outputs,
    check_removed,
    refuse_existing,
    staged,
    write_atomically,
    write_together,
    writing,
)
from pyro_mixdvae.tracking.files.presence import presence_table
from pyro_mixdvae.tracking.files.results import former_paths, result_files
from pyro_mixdvae.tracking.presence import Span

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


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


@pytest.mark.parametrize(("name", "overwrite"), [("fsync", False), ("link", False), ("replace", True)])
def test_a_full_disk_or_a_failed_rename_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, overwrite: bool
) -> None:
    calls = []
    genuine = getattr(os, name)

    def fail_the_second_time(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) >= 2:
            raise OSError(28, "No space left on device")
        genuine(*arguments)

    monkeypatch.setattr(os, name, fail_the_second_time)
    if name == "link":  # what stands in for it where there are no links
        monkeypatch.setattr(os, "replace", fail_the_second_time)
    with pytest.raises(InputError, match=r"b cannot be written.*no space left"):
        write_together({tmp_path / "new" / "a": "1", tmp_path / "b": "2"}, overwrite)
    assert everything(tmp_path) == set()


def test_an_interrupt_leaves_the_old_file_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "fsync", interrupt)
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
        assert [path.parent.parent for path in temporaries] == [tmp_path, tmp_path]
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


def test_an_input_is_known_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    given = folder / "given"
    given.write_text("mine")
    (tmp_path / "hard").hardlink_to(given)
    (tmp_path / "soft").symlink_to(given)
    (tmp_path / "way").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    spellings = ["folder/given", "./folder/../folder/given", "way/given", "hard", "soft", str(given)]
    for path in spellings:
        for name in spellings:
            with pytest.raises(InputError, match="is an input"):
                check_outputs([path], overwrite=True, inputs=[name])
    with pytest.raises(InputError, match="lies in way, which is removed"):
        check_removed("way", [tmp_path / "hard", "folder/given"])
    check_removed("folder", ["hard"])


def test_what_cannot_be_a_file_is_told_before_any_work(tmp_path: Path) -> None:
    for path, said in (
        ("/dev/null", "is not a regular file"),
        (tmp_path / ("x" * 300), "cannot be written .file name too long"),
        (tmp_path / ("x" * 300) / "a", "cannot be written .file name too long"),
    ):
        with pytest.raises(InputError, match=said):
            check_outputs([path], overwrite=True)
        with pytest.raises(InputError, match=said):
            write_atomically(path, "")
    assert everything(tmp_path) == set()


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_runs_to_one_output_the_second_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(InputError, match="b has come into being meanwhile"), staged([tmp_path / "a", tmp_path / "b"]):
        write_together({tmp_path / "b": "first"})
    assert everything(tmp_path) == {"b"}
    assert (tmp_path / "b").read_text() == "first"
    assert (tmp_path / "b").stat().st_nlink == 1


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_an_error_between_renames_gives_the_former_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, has_links: bool
) -> None:
    paths = [tmp_path / "a", tmp_path / "new" / "b", tmp_path / "c"]
    for path in (paths[0], paths[2]):
        path.write_text("old")
    genuine, moved = os.replace, []

    def fail(source: str, target: str) -> None:
        if len(moved) == at and Path(target) in paths and not source.endswith(".former"):
            raise error
        moved.append(target)
        genuine(source, target)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "replace", fail)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        write_together(dict.fromkeys(paths, "new"), overwrite=True)
    assert everything(tmp_path) == {"a", "c"}
    assert [path.read_text() for path in (paths[0], paths[2])] == ["old", "old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pyro_mixdvae.outputs import write_together
at, genuine, calls = int(sys.argv[1]), os.replace, []
def replace(*paths):
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(paths)
    genuine(*paths)
os.replace = replace
write_together({Path("a"): "new", Path("b"): "new", Path("sub/c"): "new", Path("d"): "new"}, overwrite=True)
"""


def killed(folder: Path, code: str, *arguments: object) -> None:
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=folder, env=ENVIRONMENT)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor flock")
def test_the_next_run_undoes_an_exchange_that_was_killed(tmp_path: Path) -> None:
    """Also where it looks into one of two folders only, and not what somebody else has written meanwhile."""
    for at, looked_at in ((0, "x"), (2, "x"), (3, "sub/x")):
        (tmp_path / "sub").mkdir(exist_ok=True)
        for name in ("a", "b", "sub/c"):
            (tmp_path / name).write_text("old")
        killed(tmp_path, KILLED, at)
        assert (tmp_path / "a").read_text() == ("new" if at else "old")
        if at == 2:
            write_elsewhere = tmp_path / "mine"
            write_elsewhere.write_text("mine")
            os.replace(write_elsewhere, tmp_path / "b")
        check_outputs([tmp_path / looked_at], overwrite=False)
        check_outputs([tmp_path / "x", tmp_path / "sub" / "x"], overwrite=False)
        assert everything(tmp_path) == {"a", "b", "sub", "sub/c"}
        wanted = ["old", "mine" if at == 2 else "old", "old"]
        assert [(tmp_path / name).read_text() for name in ("a", "b", "sub/c")] == wanted


LIVING = """
import sys, time
from pathlib import Path
from pyro_mixdvae.outputs import staged
with staged([Path("a")]) as (part,):
    part.write_text("half")
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor flock")
def test_parts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    mine = tmp_path / ".mixdvae-notes"
    mine.write_text("no part")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", LIVING], cwd=tmp_path, env=ENVIRONMENT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    dead, living = runs
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    assert len([*tmp_path.glob(".mixdvae-*.part")]) == 2
    dead.kill()
    dead.communicate()
    check_outputs([tmp_path / "new" / "b"], overwrite=False)
    (left,) = tmp_path.glob(".mixdvae-*.part")
    assert (left / "0").read_text() == "half"
    living.communicate("\n")
    assert living.returncode == 0
    assert everything(tmp_path) == {"a", ".mixdvae-notes"}


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only root can give files away")
def test_a_journal_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    victim, evil = tmp_path / "victim", tmp_path / "evil"
    victim.write_text("mine")
    evil.write_text("theirs")
    folder = tmp_path / "open" / ".mixdvae-0.part"
    folder.mkdir(parents=True)
    found = victim.stat()
    move = {
        "part": "x", "target": str(victim), "backup": str(evil), "name": "x",
        "device": found.st_dev, "inode": found.st_ino,
    }  # fmt: skip
    (folder / "journal").write_text(json.dumps([move]))
    for path in (folder, folder / "journal"):
        os.chown(path, 12345, 12345)
    check_outputs([tmp_path / "open" / "a"], overwrite=False)
    assert victim.read_text() == "mine"


def test_a_name_that_is_no_text_is_written_as_escapes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "a").read_text() == "caf\\udce9"


def test_a_signal_waits_until_parts_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree

    ended = threading.Event()
    idle = threading.Thread(target=ended.wait)  # it takes the signals that the main one does not

    def interrupted(folder: Path, ignore_errors: bool) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        remove(folder, ignore_errors=ignore_errors)

    def end(*_: object) -> None:
        raise SystemExit(143)

    monkeypatch.setattr("pyro_mixdvae.exchange.shutil.rmtree", interrupted)
    former = signal.signal(signal.SIGTERM, end)
    idle.start()
    try:
        with pytest.raises(SystemExit):
            write_atomically(tmp_path / "a.txt", "whole")
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, former)
        ended.set()
        idle.join()
    assert everything(tmp_path) == {"a.txt"}


def test_what_a_new_set_does_not_hold_goes_with_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("old")
    paths, former = [tmp_path / "a"], [tmp_path / name for name in ("b", "none", "c")]

    def replaced() -> None:
        with staged(paths, True, former) as (part,):
            part.write_text("new")

    rename = os.rename

    def full(source: str, target: str) -> None:
        if Path(source).name == "c":
            raise OSError(errno.ENOSPC, "no space")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("pyro_mixdvae.exchange.os.rename", full)
        with pytest.raises(InputError, match="c cannot be written"):
            replaced()
    assert everything(tmp_path) == {"a", "b", "c"}
    assert {(tmp_path / name).read_text() for name in "abc"} == {"old"}
    with pytest.raises(KeyboardInterrupt), staged(paths, True, former):
        raise KeyboardInterrupt
    assert everything(tmp_path) == {"a", "b", "c"}
    replaced()
    assert everything(tmp_path) == {"a"}
    assert (tmp_path / "a").read_text() == "new"


def test_companions_of_a_former_run_are_of_its_tracks_alone(tmp_path: Path) -> None:
    tracks, written = tmp_path / "a.txt", [tmp_path / "a.txt", tmp_path / "a.boxes.csv"]
    (tmp_path / "a.presence.csv").write_text(presence_table([Span(0, 0, 9, 1.0)]))
    assert former_paths(tracks, written) == []  # no tracks lie there
    tracks.write_text("")
    assert former_paths(tracks, written) == [tmp_path / "a.presence.csv"]
    with result_files(written, overwrite=True):
        pass
    assert everything(tmp_path) == {"a.txt", "a.boxes.csv"}


def test_what_a_user_has_called_like_a_companion_stays(tmp_path: Path) -> None:
    names = {"a.txt", "a.presence.csv", "a.points.csv", "a.png", "a.parts.csv", "a.samples.csv"}
    for name in names - {"a.samples.csv", "a.parts.csv"}:
        (tmp_path / name).write_text("id,from,to\n1,1,9\n")
    (tmp_path / "a.parts.csv").mkdir()
    (tmp_path / "linked").write_text("sample,frame,source,left\n")
    (tmp_path / "a.samples.csv").symlink_to("linked")
    with result_files([tmp_path / "a.txt"], overwrite=True):
        pass
    assert everything(tmp_path) == names | {"linked"}


def test_every_table_of_a_run_begins_as_it_is_recognised(tmp_path: Path) -> None:
    boxes = np.array([[[10.0, 10, 30, 40]], [[11.0, 10, 31, 40]], [[12.0, 10, 32, 40]]])
    result = Tracker(1).track(boxes, (100, 100), n_samples=1)
    paths = {path for path in result.save(tmp_path, "a") if path.suffix == ".csv"}
    assert len(paths) == 5
    assert set(former_paths(tmp_path / "a.txt", [])) == paths
