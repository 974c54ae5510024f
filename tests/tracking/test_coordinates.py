"""The maps between boxes and content, and how variances pass through them."""

import pytest
import torch

from pyro_mixdvae.representations.boxes import COORDINATES, MIN_SIZE, CentreLogSize, Coordinates

EACH = pytest.mark.parametrize("coordinates", COORDINATES.values(), ids=COORDINATES)


def some_boxes(*shape: int) -> torch.Tensor:
    corner = torch.rand(*shape, 2)
    return torch.cat([corner, corner + 0.02 + 0.3 * torch.rand(*shape, 2)], -1)


@EACH
def test_boxes_come_back_from_their_content(coordinates: Coordinates) -> None:
    boxes = some_boxes(3, 5)
    torch.testing.assert_close(coordinates.boxes(coordinates.content(boxes)), boxes)


@EACH
def test_missing_boxes_stay_missing(coordinates: Coordinates) -> None:
    boxes = some_boxes(3)
    boxes[1] = torch.nan
    content = coordinates.content(boxes)
    assert content[1].isnan().all()
    assert content[[0, 2]].isfinite().all()


@EACH
def test_variances_of_corners_are_those_of_the_linearised_map(coordinates: Coordinates) -> None:
    content = coordinates.content(some_boxes())
    variance = 0.01 * torch.rand(4)
    slope = torch.autograd.functional.jacobian(coordinates.boxes, content)
    torch.testing.assert_close(coordinates.box_covariance(content, variance), slope.square() @ variance)


@EACH
def test_units_are_positive_and_displacements_count_in_them(coordinates: Coordinates) -> None:
    content = coordinates.content(some_boxes(6))
    assert (coordinates.unit(content) > 0).all()
    assert (coordinates.noise_unit(content) > 0).all()
    steps = coordinates.displacements(content)
    assert steps.shape == (5, 4)
    torch.testing.assert_close(content[:-1] + steps * coordinates.unit(content[:-1]), content[1:])


def test_every_content_is_a_box_of_positive_size() -> None:
    boxes = CentreLogSize().boxes(5 * torch.randn(100, 4))
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_a_flat_box_has_a_finite_content() -> None:
    content = CentreLogSize().content(torch.tensor([0.5, 0.5, 0.5, 0.6]))
    torch.testing.assert_close(content[2], torch.tensor(MIN_SIZE).log())
