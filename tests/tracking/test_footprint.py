"""The arithmetic of memory: no less than what was measured, and not many times as much."""

import resource
from itertools import product
from pathlib import Path

import pytest

from pyro_mixdvae import resources
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.footprint import Extent, most_bytes, tracking_bytes, writing_bytes

NAMES = "is_compiled", "keeps_gradients", "has_joint_events"
COMPILED, TORCH, GRADIENTS = {}, {"is_compiled": False}, {"keeps_gradients": True}
ALONE = {"is_compiled": False, "has_joint_events": False}


@pytest.mark.parametrize(
    ("sources", "detections", "samples", "how", "measured"),
    [
        (3, 3, 0, COMPILED, 35.8),  # of tracks that jump, so that the search finds something to look at
        (8, 8, 0, COMPILED, 112.3),
        (3, 10, 0, COMPILED, 71.5),
        (1, 1, 0, COMPILED, 10.4),
        (8, 20, 0, COMPILED, 155.6),
        (2, 30, 0, COMPILED, 79.6),
        (3, 10, 0, TORCH, 91.5),
        (8, 8, 0, TORCH, 180.3),
        (3, 3, 0, GRADIENTS, 53.3),
        (8, 8, 0, GRADIENTS, 266.6),
        (8, 20, 0, GRADIENTS, 366.1),
        (3, 3, 0, ALONE, 10.5),
        (3, 10, 0, ALONE, 14.5),
    ],
)
def test_what_was_measured_is_within_what_is_reckoned(
    sources: int, detections: int, samples: int, how: dict[str, bool], measured: float
) -> None:
    """Peaks in KiB a frame beyond those of a short scene, each in a process of its own."""
    reckoned = tracking_bytes(Extent(1000, sources, detections, samples), **how) / 1000 / 1024
    assert measured <= reckoned < 4 * measured


def test_samples_and_tables_count() -> None:
    one, other = (tracking_bytes(Extent(1000, 3, 3, samples)) for samples in (0, 20))
    assert 9.8 <= (other - one) / 1000 / 1024 < 20  # 9.8 were measured
    assert writing_bytes(Extent(10, 3, 3, 0), True) > writing_bytes(Extent(10, 3, 3, 0), False) > 0
    assert tracking_bytes(Extent(10, 3, 3, 10**23)) > 10**23


@pytest.mark.parametrize("sources", [1, 3, 12])
def test_no_way_of_tracking_takes_more_than_the_most(sources: int) -> None:
    extent = Extent(1000, sources, 10, 2)
    ways = [dict(zip(NAMES, way, strict=True)) for way in product([True, False], repeat=3)]
    assert most_bytes(extent) >= max(tracking_bytes(extent, **way) for way in ways)
    assert most_bytes(extent, 24) == pytest.approx(6 * most_bytes(extent))  # a pose of twelve parts


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 3 * 2**30)
    resources.require_memory(3 * 2**30, "these", "cut them")
    with pytest.raises(InputError, match=r"^these take about 3\.5 GiB of memory, and 3\.0 .* cut them\.$"):
        resources.require_memory(7 * 2**29, "these", "cut them")
    monkeypatch.setattr(resources, "available_memory", lambda: None)
    resources.require_memory(10**30, "these", "cut them")


def test_control_groups_of_either_version_leave_what_they_leave(tmp_path: Path) -> None:
    """The least of the group's own limit and those around it; kept files do not count as used."""
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    inner = root / "outer" / "inner"
    inner.mkdir(parents=True)
    own.write_text("0::/outer/inner\n")
    for folder, most, used, cached in ((inner, "max", 10, 0), (inner.parent, "1000", 400, 100)):
        (folder / "memory.max").write_text(most)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"anon 3\ninactive_file {cached}\n")
    assert list(resources._of_groups(root, own)) == [700]

    own.write_text("4:memory:/host/name\n3:cpuset:/\n")
    (root / "memory").mkdir()
    for name, value in (("limit_in_bytes", 50), ("usage_in_bytes", 20)):
        (root / "memory" / f"memory.{name}").write_text(str(value))
    (root / "memory" / "memory.stat").write_text("total_inactive_file 5\n")
    assert list(resources._of_groups(root, own)) == [35]
    assert list(resources._of_groups(root, tmp_path / "none")) == []


def test_there_is_some_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = resources.available_memory()
    assert found is None or found > 0
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert resources.available_memory() in (0, None)
