"""``mixdvae demo``: three pedestrians through real detections that come with an installed dependency."""

from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pyro_mixdvae.cli.options import Overwrite, SeedOfFiles, check_seed, use_one_thread
from pyro_mixdvae.outputs import check_outputs, write_together

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from pyro_mixdvae.tracking.boxes import Array


class Scene(NamedTuple):
    """Frames of a sequence that comes with motmetrics, first and last counted from 1, and the targets to follow.

    All targets are labelled in the first frame; `also_labelled` holds (frame, id) of further labels.
    """

    name: str
    ids: tuple[int, ...]
    first: int
    last: int
    also_labelled: tuple[tuple[int, int], ...] = ()


# TUD-Stadtmitte has six targets in each of its first 60 frames: the three that the detections cover best. From the
# frame where target 7 enters to the end, TUD-Campus has three targets in every frame; of target 4 no detection is near
# enough in the first half, and a second label says where it is in the middle.
SCENES = (
    Scene("TUD-Stadtmitte", (2, 3, 4), 1, 60),
    Scene("TUD-Campus", (4, 5, 7), 24, 71, also_labelled=((48, 4),)),
)
WIDTH, HEIGHT = 640, 480  # pixels, in both sequences
RATE = 10.0  # frames a second of the film, slow enough to look at; the sequences have 25
WHAT_IS_SCORED = (
    "What is scored: the tracks of 3 sources against 3 pedestrians, ids {ids}, over frames {first} to {last} of {name} "
    "(counted from 1 in the files). Their ground-truth boxes in the first frame{also} are given, as if by hand, and "
    "scored too. The detections are the boxes of another tracker's output without its ids; all are given, so those of "
    "other pedestrians are clutter. {covered:.0%} of the ground-truth boxes are overlapped by a detection (IoU .5 or "
    "more): only inference can match the others."
)
WHAT_WAS_CHOSEN = (
    "frames and pedestrians were chosen, scores known, where the detections see enough of them. With the label in the "
    "middle of TUD-Campus left out, source 1 follows the wrong person for longer; where detections see half of the "
    "targets, as of 3, 4, 5 in frames 1 to 60 of TUD-Campus, it takes many labels."
)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.")] = Path("out/demo"),
    seed: SeedOfFiles = 0,
    overwrite: Overwrite = False,
) -> None:
    """Track 3 pedestrians in two real scenes, print the scores, write tracks, uncertainties, pictures and a film."""
    check_seed("--seed", seed)
    from pyro_mixdvae.tracking.files.results import result_paths

    inputs = {scene: _sequence_files(scene, output / "sequences" / scene.name) for scene in SCENES}
    results = {scene: output / f"{scene.name}.txt" for scene in SCENES}
    film = output / f"{SCENES[0].name}.{'mp4' if find_spec('imageio_ffmpeg') else 'gif'}"
    page = output / f"{SCENES[0].name}.html"
    written = [*(path for files in inputs.values() for path in files), film, page]
    check_outputs([*written, *(path for result in results.values() for path in result_paths(result))], overwrite)

    use_one_thread()
    from pyro_mixdvae.cli.eval import show
    from pyro_mixdvae.tracking.files.detections import read_detections
    from pyro_mixdvae.tracking.files.jobs import Job, track_job
    from pyro_mixdvae.tracking.files.labels import read_labels
    from pyro_mixdvae.tracking.files.tracks import read_ground_truth, read_results
    from pyro_mixdvae.tracking.scores.clear import score
    from pyro_mixdvae.tracking.scores.diagnostics import diagnostics
    from pyro_mixdvae.tracking.tracker import Tracker

    tracks, truths, notes = {}, {}, []
    for scene in SCENES:
        folder = output / "sequences" / scene.name
        write_together(inputs[scene], overwrite)
        detections, truth = read_detections(folder), read_ground_truth(folder)
        tracker = Tracker(n_sources=len(scene.ids), seed=seed)
        labels = read_labels(folder / "labels.txt")
        print(track_job(Job(detections, results[scene]), tracker, labels, 0, True, overwrite))
        share = _covered(detections.boxes, truth.boxes)
        also = "".join(f", and of {target} in frame {t}," for t, target in scene.also_labelled)
        ids = ", ".join(map(str, scene.ids))
        print(WHAT_IS_SCORED.format(**{**scene._asdict(), "ids": ids}, covered=share, also=also))
        options = f"--n-sources {len(scene.ids)} --labels {folder / 'labels.txt'} -o OUT.txt"
        print(f"The same by hand: mixdvae track {folder} {options}\n")
        tracks[scene.name], truths[scene.name] = read_results(results[scene]), truth
        notes += diagnostics(tracks[scene.name], truth)
    show(score(tracks, truths), [WHAT_WAS_CHOSEN, *notes])
    _look(results[SCENES[0]], film, page, overwrite)
    print(f"Tracks, uncertainties and pictures are in {output}: look at {film} and {page} first.")


def _look(tracks: Path, film: Path, page: Path, overwrite: bool) -> None:
    """A film and a page of the tracks, as `mixdvae render` and `mixdvae report` make them."""
    from dataclasses import replace

    from pyro_mixdvae.tracking.files.runs import read_run
    from pyro_mixdvae.tracking.render.films import render
    from pyro_mixdvae.tracking.render.grounds import PlainGround
    from pyro_mixdvae.tracking.report.pages import TrackingPage

    run = read_run(tracks)
    render(run, PlainGround((WIDTH, HEIGHT), RATE), film, overwrite=overwrite)
    run = replace(run, result=replace(run.result, size=(float(WIDTH), float(HEIGHT))))
    write_together({page: TrackingPage(run).html()}, overwrite)


def _sequence_files(scene: Scene, folder: Path) -> dict[str | Path, str | bytes]:
    """The scene as a sequence folder of the MOTChallenge, with the boxes drawn by hand in ``labels.txt``."""
    data = resources.files("motmetrics") / "data" / scene.name
    detections = [[frame, "-1", *rest] for frame, _, *rest in _rows(data / "test.txt", scene)]
    targets = [row for row in _rows(data / "gt.txt", scene) if int(row[1]) in scene.ids]
    drawn = {(1, target) for target in scene.ids} | {(t - scene.first + 1, target) for t, target in scene.also_labelled}
    labelled = [row for row in targets if (int(row[0]), int(row[1])) in drawn]
    labels = [[row[0], str(1 + scene.ids.index(int(row[1]))), *row[2:6]] for row in labelled]
    length = scene.last - scene.first + 1
    info = f"[Sequence]\nname={scene.name}\nseqLength={length}\nimWidth={WIDTH}\nimHeight={HEIGHT}\n"
    return {
        folder / "det" / "det.txt": _text(detections),
        folder / "gt" / "gt.txt": _text(targets),
        folder / "labels.txt": _text(labels),
        folder / "seqinfo.ini": info,
    }


def _rows(file: "Traversable", scene: Scene) -> list[list[str]]:
    """The cells of the scene's frames, which count from 1."""
    rows = [line.split(",") for line in file.read_text().splitlines()]
    kept = [row for row in rows if scene.first <= int(row[0]) <= scene.last]
    return [[str(int(frame) - scene.first + 1), *rest] for frame, *rest in kept]


def _text(rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def _covered(detections: "Array", targets: "Array") -> float:
    """The share of the boxes ``[T, N, 4]`` of targets that one of the detections ``[T, K, 4]`` overlaps by .5."""
    import numpy as np

    from pyro_mixdvae.tracking.boxes import iou

    overlap = np.nan_to_num(iou(targets, detections)).max(axis=-1, initial=0.0)
    return float((overlap >= 0.5).sum() / (~np.isnan(targets[..., 0])).sum())
