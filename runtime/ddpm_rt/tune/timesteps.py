"""Choose the timesteps of a table with few calls: the cheapest path through the teacher's grid."""

import numpy as np
from numpy.typing import NDArray

from ..samplers.schedule import Floats, Schedule
from .teacher import TeacherPaths

CHUNK = 1 << 14  # columns that are converted to float64 at once


def step_errors(paths: TeacherPaths, schedule: Schedule) -> Floats:
    """The root mean square error of one DDIM step from point i of the grid to point j, float64 `[G, G + 1]`.

    The step starts at the teacher's x of i and is compared with the teacher's x of j. The last point is the data. The
    error is infinite unless j comes after i. This is the cost of GITS (Chen et al. 2024, section 4.2), written in x and
    x0. All errors follow from the inner products of the points, so no step has to be computed.
    """
    points = len(paths.grid)
    products = inner_products(paths)
    alpha_bar = np.append(schedule.alpha_bar[paths.grid], 1.0)
    errors = np.full((points, points + 1), np.inf)
    for i in range(points):
        after = np.arange(i + 1, points + 1)
        from_x = np.sqrt(1.0 - alpha_bar[after]) / np.sqrt(1.0 - alpha_bar[i])
        weights = np.zeros((len(after), len(products)))
        weights[:, i], weights[:, points + 1 + i] = from_x, np.sqrt(alpha_bar[after]) - from_x * np.sqrt(alpha_bar[i])
        weights[np.arange(len(after)), after] -= 1.0
        squares = np.einsum("ja,ab,jb->j", weights, products, weights)
        errors[i, after] = np.sqrt(np.maximum(squares, 0.0))
    return errors


def inner_products(paths: TeacherPaths) -> Floats:
    """Mean inner products of all x and x0 of the paths, x first: float64 `[2 G + 1, 2 G + 1]`."""
    x, x0 = (array.reshape(len(array), -1) for array in (paths.x, paths.x0))
    products = np.zeros((len(x) + len(x0),) * 2)
    for first in range(0, x.shape[1], CHUNK):
        part = np.concatenate([x[:, first : first + CHUNK], x0[:, first : first + CHUNK]]).astype(np.float64)
        products += part @ part.T
    return np.asarray(products / x.shape[1])


def cheapest_path(errors: Floats, calls: int, growth: float = 1.0) -> NDArray[np.int64]:
    """The path of `calls` grid points with the least sum of step errors. Returns ascending indices, the first is 0.

    The path is found by dynamic programming over the number of steps; its last step leads to the data. Each step
    multiplies the error before it by `growth`. Raises ValueError unless the grid has that many points.
    """
    points = len(errors)
    if not 1 <= calls <= points:
        raise ValueError(f"calls must lie between 1 and the {points} timesteps of the teacher, not {calls}")
    cost = np.full(points + 1, np.inf)
    cost[0] = 0.0
    came = np.zeros((calls, points + 1), np.int64)
    for step in range(calls):
        through = growth * cost[:points, None] + errors  # [from, to]
        came[step] = through.argmin(0)
        cost = through.min(0)
    path, at = np.empty(calls, np.int64), points
    for step in range(calls - 1, -1, -1):
        at = int(came[step, at])
        path[step] = at
    return path
