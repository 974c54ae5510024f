import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from pyro_mixdvae.tracking.boxes import centre_size_to_xyxy, iou, ltwh_to_xyxy, xyxy_to_centre_size, xyxy_to_ltwh

LTWH = nps.arrays(np.float64, (3, 4), elements=st.floats(0.125, 1000))


def test_the_three_forms_of_a_box() -> None:
    corners = np.array([[1.0, 2, 5, 10]])
    np.testing.assert_array_equal(xyxy_to_ltwh(corners), [[1, 2, 4, 8]])
    np.testing.assert_array_equal(xyxy_to_centre_size(corners), [[3, 6, 4, 8]])


@given(LTWH)
def test_conversions_are_inverse(boxes: np.ndarray) -> None:
    corners = ltwh_to_xyxy(boxes)
    np.testing.assert_allclose(xyxy_to_ltwh(corners), boxes, atol=1e-9)
    np.testing.assert_allclose(centre_size_to_xyxy(xyxy_to_centre_size(corners)), corners, atol=1e-9)


def test_overlap_by_hand_with_missing_and_empty_boxes() -> None:
    a = np.array([[0.0, 0, 2, 2], [np.nan] * 4, [5, 5, 5, 5]])
    b = np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [5, 5, 5, 5]])
    np.testing.assert_allclose(iou(a, b), [[1 / 7, 1, 0], [np.nan] * 3, [0, 0, 0]])
    assert iou(np.zeros((5, 0, 4)), np.zeros((5, 2, 4))).shape == (5, 0, 2)


@given(LTWH, LTWH, st.floats(-50, 50))
def test_overlap_is_symmetric_at_most_one_and_moves_along(a: np.ndarray, b: np.ndarray, shift: float) -> None:
    a, b = ltwh_to_xyxy(a), ltwh_to_xyxy(b)
    overlap = iou(a, b)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-12)).all()
    np.testing.assert_allclose(np.diag(iou(a, a)), 1)
    np.testing.assert_allclose(overlap, iou(b, a).T)
    np.testing.assert_allclose(overlap, iou(a + shift, b + shift), atol=1e-9)
