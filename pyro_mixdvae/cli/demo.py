"""``mixdvae demo``: three pedestrians through real detections that come with an installed dependency."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pyro_mixdvae.outputs import refuse_existing, write_together

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from pyro_mixdvae.tracking.boxes import Array


class Scene(NamedTuple):
    """A sequence that comes with motmetrics, and the targets that are followed through its first frames."""

    name: str
    ids: tuple[int, ...]
    frames: int


# In TUD-Campus these are all targets that the ground truth has in each of the frames; in TUD-Stadtmitte, of six such,
# the three that the detections cover best.
SCENES = (Scene("TUD-Campus", (3, 4, 5), 60), Scene("TUD-Stadtmitte", (2, 3, 4), 60))
WIDTH, HEIGHT = 640, 480  # pixels, in both sequences
WHAT_IS_SCORED = (
    "What is scored: the tracks of 3 sources against the 3 pedestrians named by their ground-truth boxes in frame 1 "
    "(ids {ids}; given by hand, and scored too), over frames 1 to {frames}. The detections are the boxes of another "
    "tracker's output without its ids; all of them are given, so those of other pedestrians are clutter. {covered:.0%} "
    "of the ground-truth boxes are overlapped by a detection (IoU .5 or more): only inference can match the others."
)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.")] = Path("out/demo"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
) -> None:
    """Track 3 pedestrians in two real scenes, print the scores, write tracks, uncertainties and pictures."""
    from pyro_mixdvae.tracking.result_files import result_paths

    inputs = {scene: _sequence_files(scene, output / "sequences" / scene.name) for scene in SCENES}
    results = {scene: output / f"{scene.name}.txt" for scene in SCENES}
    written = [*(path for files in inputs.values() for path in files)]
    refuse_existing([*written, *(path for result in results.values() for path in result_paths(result))], overwrite)

    # torch, Pyro and pandas take seconds to import.
    import torch

    from pyro_mixdvae.cli.score_table import show
    from pyro_mixdvae.cli.track import Job, track_job
    from pyro_mixdvae.tracking.caveats import caveats
    from pyro_mixdvae.tracking.files import read_detections, read_ground_truth, read_labels, read_results
    from pyro_mixdvae.tracking.scores import score
    from pyro_mixdvae.tracking.tracker import Tracker

    torch.set_num_threads(1)
    tracks, truths, notes = {}, {}, []
    for scene in SCENES:
        folder = output / "sequences" / scene.name
        write_together(inputs[scene])
        detections, truth = read_detections(folder), read_ground_truth(folder)
        tracker = Tracker(n_sources=len(scene.ids), seed=seed)
        print(track_job(Job(detections, results[scene]), tracker, read_labels(folder / "init.txt"), 0, True))
        ids = ", ".join(map(str, scene.ids))
        print(WHAT_IS_SCORED.format(ids=ids, frames=scene.frames, covered=_covered(detections.boxes, truth.boxes)))
        print(f"By hand: mixdvae track {folder} --sources {len(scene.ids)} --init {folder / 'init.txt'} -o OUT.txt\n")
        tracks[scene.name], truths[scene.name] = read_results(results[scene]), truth
        notes += caveats(tracks[scene.name], truth)
    show(score(tracks, truths), notes)


def _sequence_files(scene: Scene, folder: Path) -> dict[str | Path, str | bytes]:
    """The scene as a sequence folder of the MOTChallenge, with the boxes drawn by hand in ``init.txt``."""
    data = resources.files("motmetrics") / "data" / scene.name
    detections = [
        ["-1" if column == 1 else cell for column, cell in enumerate(row)] for row in _rows(data / "test.txt")
    ]
    targets = [row for row in _rows(data / "gt.txt") if int(row[1]) in scene.ids]
    starts = [[row[0], str(1 + scene.ids.index(int(row[1]))), *row[2:6]] for row in targets if row[0] == "1"]
    info = f"[Sequence]\nname={scene.name}\nseqLength={scene.frames}\nimWidth={WIDTH}\nimHeight={HEIGHT}\n"
    return {
        folder / "det" / "det.txt": _text(detections, scene.frames),
        folder / "gt" / "gt.txt": _text(targets, scene.frames),
        folder / "init.txt": _text(starts, scene.frames),
        folder / "seqinfo.ini": info,
    }


def _rows(file: "Traversable") -> list[list[str]]:
    return [line.split(",") for line in file.read_text().splitlines()]


def _text(rows: list[list[str]], frames: int) -> str:
    return "".join(",".join(row) + "\n" for row in rows if int(row[0]) <= frames)


def _covered(detections: "Array", targets: "Array") -> float:
    """The share of the boxes ``[T, N, 4]`` of targets that one of the detections ``[T, K, 4]`` overlaps by .5."""
    import numpy as np

    from pyro_mixdvae.tracking.boxes import iou

    overlap = np.nan_to_num(iou(targets, detections)).max(axis=-1, initial=0.0)
    return float((overlap >= 0.5).sum() / (~np.isnan(targets[..., 0])).sum())
