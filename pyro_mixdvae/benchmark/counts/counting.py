"""All that is counted of an outcome, and the columns that follow: counts add up over samples."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from pyro_mixdvae.benchmark.counts.calibration import assignment_counts, calibration_columns, interval_counts
from pyro_mixdvae.benchmark.counts.outcome import Outcome
from pyro_mixdvae.benchmark.samples.trials import Trial
from pyro_mixdvae.reporting.bootstrap import Counts
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.scores.clear import score
from pyro_mixdvae.tracking.scores.hota import HotaCounts, hota_counts, hota_scores


def count(outcome: Outcome, trial: Trial) -> Counts:
    """What all columns follow from, for one sample: by name, numbers ``[]`` and rows of numbers ``[n]``."""
    truth = trial.sample.ground_truth
    scored = asdict(score(Tracks.from_boxes(outcome.boxes), Tracks.from_boxes(truth)).overall)
    del scored["name"], scored["within"]
    counts = {name: np.array(float(value)) for name, value in scored.items()}
    counts |= {f"hota {name}": value for name, value in asdict(hota_counts(outcome.boxes, truth)).items()}
    return counts | interval_counts(outcome, trial) | assignment_counts(outcome, trial)


def stack(samples: Sequence[Mapping[str, Array]]) -> Counts:
    """The counts of several samples under each name, ``[samples, ...]``."""
    return {name: np.stack([np.asarray(sample[name]) for sample in samples]) for name in samples[0]}


def columns(counts: Counts) -> dict[str, Array]:
    """The columns of the paper's table, HOTA, and calibration where it was counted.

    From summed counts with any leading axes ``[*]``, which the columns have too. As in `tracking.scores`, MOTP is a
    distance, the mean of 1 - IoU over matches, and percentages are of the true boxes.
    """
    boxes, matches = (np.where(counts[name] > 0, counts[name], np.nan) for name in ("boxes", "matches"))
    wrong = counts["false_negatives"] + counts["false_positives"] + counts["switches"]
    motp = counts["distance"] / matches
    hota = hota_scores(HotaCounts(*(counts[f"hota {name}"] for name in HotaCounts.__dataclass_fields__)))
    return {
        "MOTA": 1 - wrong / boxes,
        "MOTP": motp,
        "IDF1": 2 * counts["identity_true_positives"] / (boxes + counts["result_boxes"]),
        "#IDS": counts["switches"],
        "%IDS": 100 * counts["switches"] / boxes,
        "MT": counts["mostly_tracked"],
        "ML": counts["mostly_lost"],
        "#FP": counts["false_positives"],
        "%FP": 100 * counts["false_positives"] / boxes,
        "#FN": counts["false_negatives"],
        "%FN": 100 * counts["false_negatives"] / boxes,
        **hota,
        "mean IoU": 1 - motp,
        **calibration_columns(counts),
    }
