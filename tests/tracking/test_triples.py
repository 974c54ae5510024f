from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.benchmark.samples.triples import Sample, make_triples
from pyro_mixdvae.tracking.boxes import iou, ltwh_to_xyxy, xyxy_to_ltwh
from pyro_mixdvae.tracking.files.sequences import find_sequences

FRAMES = 20


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Six targets: 1 to 4 qualify; 5 is missed in frame 3; 6 is detected in 12 frames of 20, below 65 %."""
    folder = tmp_path / "SEQ"
    left = 100.0 * np.arange(6) + np.arange(FRAMES)[:, None]
    boxes = ltwh_to_xyxy(np.stack([left, 0 * left + 3, 0 * left + 30, 0 * left + 60], axis=-1))
    seen = boxes + 1.0
    seen[2, 4] = seen[12:, 5] = np.nan
    seen[13:, 3] = np.nan  # 13 of 20 are 65 % exactly
    write(folder / "gt" / "gt.txt", boxes, identified=True)
    write(folder / "det" / "det.txt", seen[:, ::-1], identified=False)
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nimWidth=800\nimHeight=100\nseqLength={FRAMES}\n")
    return folder


def write(path: Path, boxes: np.ndarray, identified: bool) -> None:
    path.parent.mkdir(parents=True)
    rows = []
    for (t, n), (left, top, width, height) in zip(
        np.ndindex(boxes.shape[:2]), xyxy_to_ltwh(boxes).reshape(-1, 4), strict=True
    ):
        if not np.isnan(left):
            tail = "1,1,1" if identified else f"0.{n + 1},-1,-1"
            rows.append(f"{t + 1},{n + 1 if identified else -1},{left},{top},{width},{height},{tail}")
    path.write_text("\n".join(rows))


def chosen(samples: list[Sample]) -> list[tuple[int, ...]]:
    return [tuple(sample.ids.tolist()) for sample in samples]


def test_all_triples_of_the_targets_that_qualify(sequence: Path) -> None:
    samples = make_triples([sequence], n_frames=FRAMES)
    assert sorted(chosen(samples)) == [(1, 2, 3), (1, 2, 4), (1, 3, 4), (2, 3, 4)]
    sample = samples[chosen(samples).index((1, 3, 4))]
    assert (sample.sequence, sample.first_frame, sample.size) == ("SEQ", 0, (800, 100))
    np.testing.assert_array_equal(sample.ground_truth[7, :, 0], [7, 207, 307])
    np.testing.assert_array_equal(sample.detections[7], sample.ground_truth[7] + 1)
    np.testing.assert_array_equal(np.isnan(sample.detections).any(axis=(0, 2)), [False, False, True])
    np.testing.assert_allclose(sample.confidence[7], [0.6, 0.4, 0.3])


def test_windows_stand_side_by_side_unless_a_step_is_given(sequence: Path) -> None:
    # Five of: targets 1, 2, 3, 4, 6 in the first window, all six in the second, only four in the third.
    samples = make_triples([sequence], n_frames=6, n_sources=5)
    assert [sample.first_frame for sample in samples] == [0, 6, 6, 6, 6, 6, 6]
    assert chosen(samples)[0] == (1, 2, 3, 4, 6)
    assert {sample.first_frame for sample in make_triples([sequence], n_frames=6, step=4)} == {0, 4, 8, 12}
    assert make_triples([sequence], n_frames=FRAMES + 1) == []


def test_a_limited_draw_is_seeded_and_without_repeats(sequence: Path) -> None:
    draws = [chosen(make_triples([sequence], FRAMES, 2, triples_per_window=3, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1
    assert all(len(set(draw)) == 3 for draw in draws)


def test_shuffling_moves_detections_within_their_frame_only(sequence: Path) -> None:
    sample = make_triples([sequence], FRAMES)[-1]
    shuffled = sample.shuffled(3)
    np.testing.assert_array_equal(np.sort(shuffled.confidence), np.sort(sample.confidence))
    for before, after, was, now in zip(
        sample.detections, shuffled.detections, sample.confidence, shuffled.confidence, strict=True
    ):
        pairs = [sorted(map(str, np.column_stack(side))) for side in ((before, was), (after, now))]
        assert pairs[0] == pairs[1]
    assert (shuffled.confidence != sample.confidence).mean() > 0.4
    np.testing.assert_array_equal(shuffled.ground_truth, sample.ground_truth)
    np.testing.assert_array_equal(shuffled.detections, sample.shuffled(3).detections)


def test_numbers_below_one_are_refused(sequence: Path) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        make_triples([sequence], n_frames=0)


def test_triples_of_mot17_keep_what_was_promised(shared: Path) -> None:
    folders = [folder for folder in find_sequences(shared / "data/mot17/train") if "-04-" not in folder.name]
    samples = make_triples(folders)
    assert {sample.sequence for sample in samples} == {folder.name for folder in folders}
    for sample in samples:
        assert sample.ground_truth.shape == sample.detections.shape == (60, 3, 4)
        assert not np.isnan(sample.ground_truth).any()
        seen = ~np.isnan(sample.confidence)
        assert seen[:5].all()
        assert (seen.mean(axis=0) >= 0.65).all()
        overlap = np.diagonal(iou(sample.ground_truth, sample.detections), axis1=1, axis2=2)
        assert (overlap[seen] >= 0.5).all()
    alone = make_triples(folders[-1:])
    assert chosen(alone) == chosen([sample for sample in samples if sample.sequence == folders[-1].name])
