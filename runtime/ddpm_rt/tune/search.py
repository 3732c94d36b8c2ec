"""Local search for better timesteps than the cheapest path, judged by the images of the fitted table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..engine import Engine
from ..requests.request import BoundRequest
from .rows import fit_rows
from .settings import EVALUATIONS, JUDGED
from .teacher import Called, TeacherPaths, on_kept

STRIDES = (4, 2, 1)  # sizes of a move, in points of the grid
GAIN = 1e-3  # smallest relative gain for which a move is accepted

Points = list[int]  # indices into the teacher's grid, ascending from 0


def improved_path(
    engine: Engine, bound: BoundRequest, paths: TeacherPaths, path: Sequence[int], called: Called,
    *, evaluations: int = EVALUATIONS,
) -> Points:  # fmt: skip
    """Improve `path` by moving one point at a time. The result has as many points and is at least as good.

    The error of a path is the root mean square distance between the images of its fitted table and the teacher's, over
    the first samples of the request. `path` was chosen by the cost of DDIM steps, which ignores that a fitted row
    corrects the errors of earlier rows.
    """
    judged = replace(bound, request=replace(bound.request, count=min(JUDGED, bound.request.count)))
    best = [int(point) for point in path]
    error, left = end_error(engine, judged, paths, best, called), evaluations
    for stride in STRIDES:
        moved = True
        while moved:
            moved = False
            for place in range(1, len(best)):
                for candidate in moves(best, place, stride, len(paths.grid)):
                    if left == 0:
                        return best
                    left -= 1
                    found = end_error(engine, judged, paths, candidate, called)
                    if found < error * (1.0 - GAIN):
                        best, error, moved = candidate, found, True
    return best


def moves(path: Points, place: int, stride: int, points: int) -> Iterator[Points]:
    """The paths whose point at `place` is moved by `stride` to either side and stays between its neighbours."""
    after = path[place + 1] if place + 1 < len(path) else points
    for point in (path[place] - stride, path[place] + stride):
        if path[place - 1] < point < after:
            yield [*path[:place], point, *path[place + 1 :]]


def end_error(engine: Engine, bound: BoundRequest, paths: TeacherPaths, path: Points, called: Called) -> float:
    """Root mean square distance between the teacher's images and those of a table fitted over `path`.

    The mean is over all images together. The few samples that turn into another image therefore weigh most, and they
    are the ones that a table should improve.
    """
    targets = paths.after(path, bound.request.count)
    _, images = fit_rows(engine, bound, paths.grid[path], targets, called=called)
    difference = on_kept(engine.card, images) - targets[-1]
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
