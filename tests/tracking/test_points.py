"""Points in place of boxes: tracked by motion and noise that the scene itself shows."""

import numpy as np
import pytest
import torch
from points import walk

from pyro_mixdvae import Tracker
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels


def error(found: Array, true: Array) -> Array:
    """Distances [T, N], the sources in the order that fits better in the first frame."""
    order = np.linalg.norm(found[0][:, None] - true[0], axis=-1).argmin(0)
    distance: Array = np.linalg.norm(found[:, order] - true, axis=-1)
    return distance


@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["small", "large"])
def test_points_are_tracked_in_whatever_unit_they_move(scale: float, rng: np.random.Generator) -> None:
    torch.set_default_dtype(torch.float32)
    true, seen = walk(25, rng, scale)
    with only_torch():
        result = Tracker(2).track(seen)
    assert result.boxes.shape == (25, 2, 2)
    assert error(result.boxes, true).max() < 4 * scale
    assert (result.lower < result.boxes).all()
    assert (result.boxes < result.upper).all()
    assert result.observed.sum() == (~np.isnan(seen[..., 0])).sum()


def test_what_is_labelled_is_a_point_too(rng: np.random.Generator) -> None:
    torch.set_default_dtype(torch.float32)
    true, seen = walk(12, rng)
    labels = Labels([0, 0], [0, 1], true[0, ::-1])
    with only_torch():
        result = Tracker(2, n_iterations=1).track(seen, labels=labels)
    assert np.linalg.norm(result.boxes[0] - true[0, ::-1], axis=-1).max() < 0.5
    with pytest.raises(InputError, match="The labels are boxes, and the detections points"):
        Tracker(2).track(seen, labels=Labels([0, 0], [0, 1], [[0, 0, 5, 5], [9, 9, 12, 12]]))


def test_a_model_of_boxes_that_was_chosen_takes_no_points(rng: np.random.Generator) -> None:
    _, seen = walk(5, rng)
    with pytest.raises(InputError, match='take the preset "points"'):
        Tracker(2, "vkf").track(seen)
    with pytest.raises(InputError, match='take the preset "default"'):
        Tracker(2, "points").track(np.zeros((3, 2, 4)))
    with pytest.raises(InputError, match="by themselves"):
        Tracker(2).track_many([seen, np.zeros((3, 2, 4))])
