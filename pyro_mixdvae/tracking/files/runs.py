"""A run read back: the tracks that `mixdvae track` left, and as much as there is of the tables beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array, ltwh_to_xyxy
from pyro_mixdvae.tracking.doubts import Doubt, ranked
from pyro_mixdvae.tracking.files.detections import padded_frames
from pyro_mixdvae.tracking.files.results import ASSIGNMENTS, BOXES, CHECK, ELBO, PARTS, POINTS
from pyro_mixdvae.tracking.files.rows import Integers
from pyro_mixdvae.tracking.files.tables import Table, read_table
from pyro_mixdvae.tracking.files.tracks import Tracks, read_results
from pyro_mixdvae.tracking.poses import Parts, is_of_poses, named_parts, parts_of, points_of
from pyro_mixdvae.tracking.report.tables import CORNERS, NONE_OF_THEM, POINT, Records, place_columns
from pyro_mixdvae.tracking.result import TrackingResult


@dataclass(frozen=True)
class Run:
    """Tracks, and what is known of them.

    Attributes:
        result: where a source is absent its boxes are NaN; without a table of boxes all are taken to be observed, with
            no interval.
        ids: of the N sources, as in the file.
        names: of them, for the eye: the ids if nothing else is given.
        title: of the sequence.
        records: of the ELBO, an entry for frames that were inferred together.
        files: that were read.
    """

    result: TrackingResult
    ids: tuple[int, ...]
    names: tuple[str, ...]
    title: str
    records: tuple[Records, ...] = ()
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, result: TrackingResult, names: Sequence[str] | None = None, title: str = "tracks") -> "Run":
        """Of a result in memory.

        Raises:
            InputError: there is not one name for each source.
        """
        first, last = result.block or (result.first, result.first + len(result.boxes) - 1)
        records = (Records(first, last, result.records),) if result.records else ()
        ids = tuple(range(1, result.boxes.shape[1] + 1))
        own = cls(result.while_there(), ids, tuple(map(str, ids)), title, records)
        return own if names is None else own.named(names)

    def named(self, names: Sequence[str]) -> "Run":
        """With other names of the sources, in their order.

        Raises:
            InputError: there is not one for each.
        """
        if len(names) != len(self.names):
            given, wanted = counted(len(names), "name"), counted(len(self.names), "source")
            raise InputError(f"{given} for {wanted}: give one for each.")
        return replace(self, names=tuple(names))


def read_run(path: str | Path) -> Run:
    """Read the tracks of a run, ``tracks.txt`` or ``tracks.csv``, and of its tables those that stand beside them.

    Tracks of any other tracker can be read likewise, which have no tables.

    Raises:
        InputError: a file cannot be used; says where and why.
    """
    path = Path(path)
    tracks = read_results(path)
    there = np.flatnonzero(~np.isnan(tracks.boxes[..., 0]).all(1))
    # As of detections: a file that numbers a frame 0 counts from 0, any other from 1.
    since, until = int(there[0]), int(there[-1]) + 1
    origin = min(since, 1) if tracks.origin == 0 else tracks.origin
    first = since + tracks.origin - origin
    rows = tracks.boxes[since:until]
    boxes = points_of(rows)
    n_frames, n_sources = boxes.shape[:2]
    result = TrackingResult(
        boxes, boxes, boxes, 0.0, np.ones((n_frames, n_sources), bool), np.full((n_frames, 0, n_sources + 1), np.nan),
        (), np.zeros((0, *boxes.shape)), first, origin, "file",
    )  # fmt: skip
    if is_of_poses(rows):
        parts = parts_of(rows)
        seen = np.ones(parts.shape[:-1], bool)
        result = replace(result, parts=Parts(named_parts(tracks.parts, parts.shape[-2]), parts, parts, parts, seen))
    reader = _Beside(path, tracks, result)
    result = replace(reader.with_parts(reader.with_limits(result)), doubts=reader.doubts())
    result = reader.with_assignments(result)
    ids = tuple(tracks.ids.tolist())
    return Run(result, ids, tuple(map(str, ids)), path.stem, reader.records(), (path, *reader.found))


class _Beside:
    """Reads the tables beside a file of tracks; each is left out where it is not there."""

    def __init__(self, path: Path, tracks: Tracks, result: TrackingResult):
        self.path, self.ids, self.result = path, tracks.ids, result
        self.width = result.boxes.shape[-1]
        self.found: list[Path] = []

    def with_limits(self, result: TrackingResult) -> TrackingResult:
        bounds = CORNERS if self.width == 4 else POINT
        names = [f"{bound}_{side}" for bound in bounds for side in ("low", "high")]
        table = self._read(BOXES if self.width == 4 else POINTS, ("frame", "source", "level", *names), ("status",))
        if table is None:
            return result
        if result.origin == 1 and int(table.numbers["frame"].min()) == result.number - 1:
            # MOTChallenge files count from 1 also where the film counts from 0, as its tables do.
            self.result = result = replace(result, origin=0)
        t, n = self._frames(table, "frame"), self._sources(table, table.numbers["source"])
        lower, upper, observed = result.lower.copy(), result.upper.copy(), result.observed.copy()
        for column, bound in enumerate(bounds):
            lower[t, n, column] = table.numbers[f"{bound}_low"]
            upper[t, n, column] = table.numbers[f"{bound}_high"]
        observed[t, n] = [status == "observed" for status in table.texts["status"]]
        return replace(result, lower=lower, upper=upper, observed=observed, level=float(table.numbers["level"][0]))

    def with_parts(self, result: TrackingResult) -> TrackingResult:
        if result.parts is None:
            return result
        bounds = [f"{bound}_{side}" for bound in POINT for side in ("low", "high")]
        table = self._read(PARTS, ("frame", "source", *bounds), ("part", "status"))
        if table is None:
            return result
        t, n = self._frames(table, "frame"), self._sources(table, table.numbers["source"])
        at = {name: p for p, name in enumerate(result.parts.names)}
        table.refuse(
            np.array([name not in at for name in table.texts["part"]]), "the part is none of the tracks'", self.path
        )
        p = np.array([at[name] for name in table.texts["part"]])
        lower, upper, observed = result.parts.lower.copy(), result.parts.upper.copy(), result.parts.observed.copy()
        for column, bound in enumerate(POINT):
            lower[t, n, p, column] = table.numbers[f"{bound}_low"]
            upper[t, n, p, column] = table.numbers[f"{bound}_high"]
        observed[t, n, p] = [status == "observed" for status in table.texts["status"]]
        return replace(result, parts=replace(result.parts, lower=lower, upper=upper, observed=observed))

    def doubts(self) -> tuple[Doubt, ...]:
        table = self._read(CHECK, ("first_frame", "last_frame", "source", "probability"), ("other_source",))
        if table is None:
            return ()
        origin = self.result.origin
        one = self._sources(table, table.numbers["source"])
        at = {str(number): n for n, number in enumerate(self.ids.tolist())}
        texts = table.texts["other_source"]
        unknown = np.array([text not in at and text != NONE_OF_THEM for text in texts])
        table.refuse(unknown, "the other source is none of the tracks'", self.path)
        others = [() if text == NONE_OF_THEM else (at[text],) for text in texts]
        return ranked(
            Doubt(int(first) - origin, int(last) - origin, (int(source), *other), float(probability))
            for first, last, source, other, probability in zip(
                table.numbers["first_frame"], table.numbers["last_frame"], one, others, table.numbers["probability"],
                strict=True,
            )
        )  # fmt: skip

    def with_assignments(self, result: TrackingResult) -> TrackingResult:
        owners = [*(f"source_{number}" for number in self.ids.tolist()), NONE_OF_THEM]
        places = place_columns(self.width)
        table = self._read(ASSIGNMENTS, ("frame", *places, *owners))
        if table is None:
            return result
        t = self._frames(table, "frame")
        values = np.stack([table.numbers[name] for name in (*places, *owners)], -1)
        counts = np.bincount(t, minlength=len(result.boxes))
        padded = padded_frames(t, values, counts)
        seen = padded[..., : self.width]
        seen = seen if self.width == 2 else ltwh_to_xyxy(seen)
        return replace(result, detections=seen, responsibilities=padded[..., self.width :])

    def records(self) -> tuple[Records, ...]:
        table = self._read(ELBO, ("iteration", "elbo"), others=True)
        if table is None:
            return ()
        result = self.result
        n_rows = len(table.numbers["iteration"])
        whole = np.full(n_rows, result.number), np.full(n_rows, result.number + len(result.boxes) - 1)
        firsts = table.numbers.get("first_frame", whole[0])
        lasts = table.numbers.get("last_frame", whole[1])
        terms = [name for name in table.numbers if name not in ("first_frame", "last_frame", "iteration")]
        blocks: dict[tuple[int, int], list[dict[str, float]]] = {}
        for row, key in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
            record = {name: float(table.numbers[name][row]) for name in terms}
            blocks.setdefault((int(key[0]), int(key[1])), []).append(
                {name: value for name, value in record.items() if not np.isnan(value)}
            )
        origin = result.origin
        return tuple(Records(first - origin, last - origin, tuple(rows)) for (first, last), rows in blocks.items())

    def _read(
        self, suffix: str, numbers: tuple[str, ...], texts: tuple[str, ...] = (), others: bool = False
    ) -> Table | None:
        path = self.path.with_suffix(suffix)
        if not path.exists():
            return None
        self.found.append(path)
        table = read_table(path, numbers, texts, others)
        return table if table.length else None

    def _frames(self, table: Table, column: str) -> Integers:
        """Of each row, from the first frame of the tracks."""
        last = len(self.result.boxes) - 1
        at: Array = table.numbers[column] - self.result.number
        table.refuse((at < 0) | (at > last) | (at != np.floor(at)), f"the {column} is none of the tracks'", self.path)
        return at.astype(np.int64)

    def _sources(self, table: Table, ids: Array) -> Integers:
        """Of each row, from 0."""
        at = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        table.refuse(self.ids[at] != ids, "the source is none of the tracks'", self.path)
        return at.astype(np.int64)
