"""What all boxes of a frame do at once, for compiled loops (`inference.camera`)."""

import math

import numpy as np

from pyro_mixdvae.engines.numba.compiled import Array, kernel, part

LIKE = 0.35
"""Difference of the logarithms of two widths, or heights, above which two boxes are not of one target."""

REACH = 1.5
"""Sizes that a box moves from one frame to the next, at most; the size is the square root of its area."""

NEAR, AROUND = 0.1, 0.3
"""Standard deviations, in sizes, of a box about where the others would take it: to find that, and to pair boxes off."""

WITHIN = 0.1
"""Weight of a pair, of one that lies where the others would take it exactly, below which it is none."""

MOST = 200
"""Displacements that are tried."""

SHORTEST = 6
"""Boxes on end, of which fewer say nothing of how smooth the way is."""

CLIPPED = 3.0
"""Standard deviations at which what a box does by itself is cut off, where the common variance is estimated."""

FREEDOM = 3.0
"""Degrees of freedom of Student's t, of what the camera does and of what boxes do by themselves."""

ROUNDS = 32
"""Of smoothing each way without what is common, and finding that anew: slower swings take more of them."""

CHANCE = 5.0
"""Standard errors that the common variance is above 0, at least: less may be chance, as what boxes do has heavy tails
and goes on for some frames."""

TO_DEVIATION = 1.4826
"""From the median of absolute deviations to the standard deviation of a normal number."""


@kernel
def common_path(centre: Array, side: Array, mask: Array, slow: float) -> Array:
    """The camera's path [T, 2], of boxes [T, K]; 0 where nothing is told.

    Args:
        centre, side: of each box, (x, y) and (w, h) [T, K, 2]; `mask` [T, K] says which there are.
        slow: frames; swings that are slower are left to the boxes.
    """
    found = np.zeros((mask.shape[0], 2))
    frames, columns, ends = runs_of(predecessors(centre, side, mask))
    is_told, size = np.zeros(mask.shape, np.bool_), np.ones(mask.shape)
    for i in range(frames.shape[0]):
        t, k = frames[i], columns[i]
        is_told[t, k], size[t, k] = True, math.sqrt(side[t, k, 0] * side[t, k, 1])
    for d in range(2):
        common(centre[:, :, d].copy(), size, is_told, frames, columns, ends, slow**4 / ROUNDS, found[:, d])
    return found


@part
def runs_of(before: Array) -> tuple[Array, Array, Array]:
    """Frames and columns of the boxes of all runs, one run after the other, and where each ends among them.

    Args:
        before: the column of the frame before that each box goes on from [T, K], -1 for none.
    """
    n_frames, n_columns = before.shape
    frames, columns = np.empty(before.size, np.int64), np.empty(before.size, np.int64)
    ends, n_runs, n_boxes = np.empty(before.size, np.int64), 0, 0
    goes_on = np.zeros(before.shape, np.bool_)
    for t in range(1, n_frames):
        for k in range(n_columns):
            if before[t, k] >= 0:
                goes_on[t - 1, before[t, k]] = True
    for t in range(n_frames):
        for k in range(n_columns):
            if goes_on[t, k] or before[t, k] < 0:
                continue  # no run ends here
            length, column = 1, k
            while before[t - length + 1, column] >= 0:
                column = before[t - length + 1, column]
                length += 1
            if length < SHORTEST:
                continue
            column = k
            for i in range(length):
                at = n_boxes + length - 1 - i
                frames[at], columns[at] = t - i, column
                column = before[t - i, column]
            n_boxes += length
            ends[n_runs] = n_boxes
            n_runs += 1
    return frames[:n_boxes], columns[:n_boxes], ends[:n_runs]


@part
def predecessors(centre: Array, side: Array, mask: Array) -> Array:
    """The column of the frame before that each box goes on from [T, K], -1 for none: one to one, as most boxes move."""
    n_frames, n_columns = mask.shape
    found = np.full((n_frames, n_columns), -1, np.int64)
    first, second = np.empty(n_columns * n_columns, np.int64), np.empty(n_columns * n_columns, np.int64)
    moved, size = np.empty((n_columns * n_columns, 2)), np.empty(n_columns * n_columns)
    for t in range(1, n_frames):
        n_pairs = 0
        for i in range(n_columns):
            if not mask[t - 1, i]:
                continue
            own = math.sqrt(side[t - 1, i, 0] * side[t - 1, i, 1])
            for k in range(n_columns):
                if mask[t, k] and may_be_one(centre, side, t, i, k, own):
                    first[n_pairs], second[n_pairs], size[n_pairs] = i, k, own
                    moved[n_pairs] = centre[t, k] - centre[t - 1, i]
                    n_pairs += 1
        if n_pairs:
            best = likeliest(first[:n_pairs], moved[:n_pairs], size[:n_pairs])
            pair_up(first[:n_pairs], second[:n_pairs], moved[:n_pairs], size[:n_pairs], best, found[t])
    return found


@part
def may_be_one(centre: Array, side: Array, t: int, i: int, k: int, size: float) -> bool:
    """Whether box k of frame t may be box i of the frame before: as large, and not further off than boxes move."""
    for d in range(2):
        if abs(math.log(side[t, k, d] / side[t - 1, i, d])) > LIKE:
            return False
        if abs(centre[t, k, d] - centre[t - 1, i, d]) > REACH * size:
            return False
    return True


@part
def likeliest(first: Array, moved: Array, size: Array) -> Array:
    """The displacement of a pair under which most boxes go on near to where it takes them, or none: [2].

    A displacement has one box more by the pair that it is of, which says nothing.
    """
    best, most = np.zeros(2), support(first, moved, size, 0.0, 0.0) + 1
    stride = 1 + first.shape[0] // MOST
    for p in range(0, first.shape[0], stride):
        found = support(first, moved, size, moved[p, 0], moved[p, 1])
        if found > most:
            best[0], best[1], most = moved[p, 0], moved[p, 1], found
    return best


@part
def support(first: Array, moved: Array, size: Array, x: float, y: float) -> float:
    """How many boxes have a pair near to where a displacement takes them; pairs of one box stand side by side."""
    total, own = 0.0, 0.0
    for p in range(first.shape[0]):
        if p > 0 and first[p] != first[p - 1]:
            total += own
            own = 0.0
        own = max(own, closeness(moved[p, 0] - x, moved[p, 1] - y, NEAR * size[p]))
    return total + own


@part
def closeness(x: float, y: float, spread: float) -> float:
    """1 where a pair has moved exactly as the others, less where it is (x, y) off."""
    return math.exp(-0.5 * (x * x + y * y) / (spread * spread))


@part
def pair_up(first: Array, second: Array, moved: Array, size: Array, shift: Array, found: Array) -> None:
    """Each box with the one before it that is its closest, and whose closest it is, into `found` [K]."""
    n_columns = found.shape[0]
    ahead, behind = np.full(n_columns, -1, np.int64), np.full(n_columns, -1, np.int64)
    weights = np.empty(first.shape[0])
    for p in range(first.shape[0]):
        weights[p] = closeness(moved[p, 0] - shift[0], moved[p, 1] - shift[1], AROUND * size[p])
        if weights[p] < WITHIN:
            continue
        i, k = first[p], second[p]
        if ahead[i] < 0 or weights[p] > weights[ahead[i]]:
            ahead[i] = p
        if behind[k] < 0 or weights[p] > weights[behind[k]]:
            behind[k] = p
    for k in range(n_columns):
        if behind[k] >= 0 and ahead[first[behind[k]]] == behind[k]:
            found[k] = first[behind[k]]


@part
def common(
    place: Array,
    size: Array,
    is_told: Array,
    frames: Array,
    columns: Array,
    ends: Array,
    stiffness: float,
    found: Array,
) -> None:
    """Of one coordinate [T, K]: how far the boxes of each frame are together from where their ways lead, [T].

    Those of runs count (`is_told`), whose boxes are in `frames` and `columns` (`runs_of`).
    """
    n_frames, n_columns = place.shape
    beside = np.zeros((n_frames, n_columns))
    spread, variance = 0.0, 0.0
    for number in range(ROUNDS):
        roughness(place, frames, columns, ends, stiffness, found, beside)
        if number == 0:
            middle = np.zeros(n_frames)
            spread = spread_alone(beside, size, is_told, middle)
            variance = common_variance(beside, size, is_told, middle, spread) if spread > 0 else 0.0
            if not variance > 0:
                return
        for t in range(n_frames):
            precision, total = 0.0, 0.0
            for k in range(n_columns):
                if is_told[t, k]:
                    own = (spread * size[t, k]) ** 2
                    weight = (FREEDOM + 1) / (FREEDOM + (beside[t, k] - found[t]) ** 2 / own) / own
                    precision, total = precision + weight, total + weight * beside[t, k]
            wide = (FREEDOM * variance + found[t] ** 2) / (FREEDOM + 1)
            found[t] = total / (precision + 1 / wide)


@part
def roughness(
    place: Array, frames: Array, columns: Array, ends: Array, stiffness: float, path: Array, beside: Array
) -> None:
    """Places [T, K] less the smooth way of their run without a camera's path [T], into `beside` [T, K]."""
    steady, smooth, begin = np.empty(frames.shape[0]), np.empty(frames.shape[0]), 0
    for i in range(frames.shape[0]):
        steady[i] = place[frames[i], columns[i]] - path[frames[i]]
    for end in ends:
        smoothed(steady[begin:end], stiffness, smooth[begin:end])
        begin = end
    for i in range(frames.shape[0]):
        beside[frames[i], columns[i]] = place[frames[i], columns[i]] - smooth[i]


@part
def smoothed(values: Array, stiffness: float, found: Array) -> None:
    """Whittaker's smoother of n numbers, 4 or more: argmin |y - m|^2 + stiffness |second differences of m|^2.

    `(1 + stiffness D'D) m = y`, a matrix of five bands, by its factors L diag(d) L'.
    """
    n = values.shape[0]
    d, below, twice = np.empty(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        is_end, is_next = i == 0 or i == n - 1, i == 1 or i == n - 2
        own = 1 + stiffness * (1.0 if is_end else 5.0 if is_next else 6.0)
        one = stiffness * (-2.0 if i == 0 or i == n - 2 else -4.0) if i < n - 1 else 0.0
        two = stiffness if i < n - 2 else 0.0
        value = values[i]
        if i > 0:
            own -= d[i - 1] * below[i - 1] ** 2
            one -= d[i - 1] * below[i - 1] * twice[i - 1]
            value -= below[i - 1] * found[i - 1]
        if i > 1:
            own -= d[i - 2] * twice[i - 2] ** 2
            value -= twice[i - 2] * found[i - 2]
        d[i], below[i], twice[i], found[i] = own, one / own, two / own, value
    for i in range(n - 1, -1, -1):
        found[i] /= d[i]
        if i < n - 1:
            found[i] -= below[i] * found[i + 1]
        if i < n - 2:
            found[i] -= twice[i] * found[i + 2]


@part
def spread_alone(beside: Array, size: Array, is_told: Array, middle: Array) -> float:
    """Standard deviation, in sizes, of what boxes do beside the middle of their frame, which goes into `middle` [T]."""
    n_found = 0
    deviations, here = np.empty(beside.size), np.empty(beside.shape[1])
    for t in range(beside.shape[0]):
        n = 0
        for k in range(beside.shape[1]):
            if is_told[t, k]:
                here[n] = beside[t, k]
                n += 1
        if n < 2:
            continue
        middle[t] = np.median(here[:n])
        # The middle of few boxes goes with each of them.
        for k in range(beside.shape[1]):
            if is_told[t, k]:
                deviations[n_found] = abs(beside[t, k] - middle[t]) / size[t, k] * math.sqrt(n / (n - 1))
                n_found += 1
    return TO_DEVIATION * np.median(deviations[:n_found]) if n_found else 0.0


@part
def common_variance(beside: Array, size: Array, is_told: Array, middle: Array, spread: float) -> float:
    """The mean product of two boxes of a frame, what is far off cut off; 0 where a box does more by itself.

    Of independent boxes of variances `(spread size)^2` and weights `w = size^-2` the sum of all `w w' a a'` has a
    variance of `2 spread^4` times the sum of all `w w'`.
    """
    product, total, all_weights, n_boxes = 0.0, 0.0, 0.0, 0
    for t in range(beside.shape[0]):
        once, twice, sums, squares = 0.0, 0.0, 0.0, 0.0
        for k in range(beside.shape[1]):
            if not is_told[t, k]:
                continue
            far = CLIPPED * spread * size[t, k]
            value = middle[t] + min(max(beside[t, k] - middle[t], -far), far)
            weight = 1 / size[t, k] ** 2
            once, twice, n_boxes = once + weight, twice + weight**2, n_boxes + 1
            sums, squares = sums + weight * value, squares + (weight * value) ** 2
        product, total, all_weights = product + sums**2 - squares, total + once**2 - twice, all_weights + once
    if not product > CHANCE * spread**2 * math.sqrt(2 * total):
        return 0.0
    alone = spread**2 * n_boxes / all_weights
    return product / total if product / total > alone else 0.0
