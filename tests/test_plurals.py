"""One of a thing is no several."""

import numpy as np
import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import IndependentAssignment
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.testing.scenes import toy_scene
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm, start_of
from pyro_mixdvae.tracking.footprint import Extent


def test_a_noun_goes_with_its_number() -> None:
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [counted(number, "box", "boxes") for number in (1, 2)] == ["1 box", "2 boxes"]


def test_one_source_is_spoken_of_as_one() -> None:
    film = ArrayFilm.of(np.full((3, 2, 4), np.nan), (640, 480), None, None)
    with pytest.raises(InputError, match="No frame has a detection, so nothing says where the source starts"):
        start_of(film, 1, None)
    with pytest.raises(InputError, match=r"No frame has 2 detections \(the fullest has 0\)"):
        start_of(film, 2, None)
    for source, name in ((0, "the source 1, but 2 sources are"), (2, "the source 3, but 2 sources are")):
        with pytest.raises(InputError, match=f"The labels name {name} to be tracked"):
            start_of(film, 2, Labels([0], [source], [[1, 1, 5, 5]]))
    with pytest.raises(InputError, match="The labels name the sources 1, 2, but 1 source is to be tracked"):
        start_of(film, 1, Labels([0, 0], [0, 1], [[1, 1, 5, 5], [1, 1, 5, 5]]))
    assert str(Extent(1, 1, 1, 0)).startswith("1 frame of 1 source with up to 1 detection")
    with pytest.raises(InputError, match="has 1 source, and the scene 2"):
        IndependentAssignment(1).check(toy_scene(1, 2, 2, 2))
