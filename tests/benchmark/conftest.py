"""A small folder of sequences in MOTChallenge form, from synthetic trajectories."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae.benchmark.running import workers
from pyro_mixdvae.tracking.boxes import xyxy_to_ltwh
from pyro_mixdvae.tracking.tracks.trajectories import rich_trajectories

WIDTH, HEIGHT = 640, 480
FRAMES = 40


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of 40 frames with four targets each, one detection in ten missed after the first five frames."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("SEQ-A", "SEQ-B")):
        rng = np.random.default_rng(number)
        drawn = rich_trajectories(200, FRAMES, seed=number)
        inside = ((drawn > 0) & (drawn < 1)).all(axis=(1, 2))
        boxes = drawn[inside][:4].swapaxes(0, 1) * np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
        seen = boxes + rng.normal(0, 0.3, boxes.shape)
        missed = rng.random(boxes.shape[:2]) < 0.1
        missed[[0, 1, 2, 3, 4, 20, 21, 22, 23, 24]] = False
        seen[missed] = np.nan
        write(folder / name / "gt" / "gt.txt", boxes, identified=True)
        write(folder / name / "det" / "det.txt", seen, identified=False)
        info = f"[Sequence]\nimWidth={WIDTH}\nimHeight={HEIGHT}\nseqLength={FRAMES}\n"
        (folder / name / "seqinfo.ini").write_text(info)
    return folder


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Within `interrupted()` a benchmark ends as by Ctrl-C, when two blocks are done."""
    blocks = workers.run_blocks

    def stopped(some: Sequence[Any], *settings: Any) -> Iterator[Any]:
        for number, result in enumerate(blocks(some, *settings)):
            if number == 2:
                raise KeyboardInterrupt
            yield result

    @contextmanager
    def within() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(workers, "run_blocks", stopped)
            yield

    return within


def write(path: Path, boxes: np.ndarray, identified: bool) -> None:
    path.parent.mkdir(parents=True)
    rows = []
    for t, n in np.ndindex(boxes.shape[:2]):
        if not np.isnan(boxes[t, n, 0]):
            cells = ",".join(f"{number:.4f}" for number in xyxy_to_ltwh(boxes[t, n]))
            rows.append(f"{t + 1},{n + 1},{cells},1,1,1" if identified else f"{t + 1},-1,{cells},0.9,-1,-1")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="session")
def changing_sizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short sequences of two and of three targets that walk side by side, and in each a bystander, seen at times.

    The second target of the first sequence is not annotated in frame 1.
    """
    folder = tmp_path_factory.mktemp("changing")
    for name, n_targets, n_frames in (("SEQ-2", 2, 12), ("SEQ-3", 3, 16)):
        step = np.arange(n_frames)[:, None, None]
        left = 40 + 100 * np.arange(n_targets)[:, None]
        truth = np.array([0, 50, 30, 110]) + left * np.array([1, 0, 1, 0]) + step * np.array([3, 1, 3, 1])
        truth = truth.astype(float)
        bystander = np.where(step % 4 == 1, np.array([500.0, 300, 530, 360]), np.nan)
        seen = np.concatenate([bystander, truth + 0.2 * (-1) ** step], axis=1)
        seen[5, 1] = np.nan
        if n_targets == 2:
            truth[0, 1] = np.nan
        write(folder / name / "gt" / "gt.txt", truth, identified=True)
        write(folder / name / "det" / "det.txt", seen, identified=False)
        info = f"[Sequence]\nimWidth={WIDTH}\nimHeight={HEIGHT}\nseqLength={n_frames}\n"
        (folder / name / "seqinfo.ini").write_text(info)
    return folder
