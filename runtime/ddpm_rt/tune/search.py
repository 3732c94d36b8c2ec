"""Better timesteps than the cheapest path: what counts is where the fitted table ends."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..engine import Engine
from ..requests.request import BoundRequest
from .rows import fit_rows
from .settings import EVALUATIONS, JUDGED
from .teacher import Called, TeacherPaths, on_kept

STRIDES = (4, 2, 1)  # of a move, in points of the grid
GAIN = 1e-3  # share of the error that a move must save

Points = list[int]  # of the teacher's grid, ascending from 0


def improved_path(
    engine: Engine, bound: BoundRequest, paths: TeacherPaths, path: Sequence[int], called: Called,
    *, evaluations: int = EVALUATIONS,
) -> Points:  # fmt: skip
    """A path of as many points of the teacher's grid as `path`, and at least as good: one point at a time is moved.

    A path is judged by the root mean square distance between the images of its fitted table and the teacher's, over
    the first samples of the request. The cost of DDIM steps, which `path` was chosen by, does not know how a fitted
    row corrects the rows before it, nor which errors the later rows undo.
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
    """The paths with the point at `place` moved by `stride` to either side, if it stays between its neighbours."""
    after = path[place + 1] if place + 1 < len(path) else points
    for point in (path[place] - stride, path[place] + stride):
        if path[place - 1] < point < after:
            yield [*path[:place], point, *path[place + 1 :]]


def end_error(engine: Engine, bound: BoundRequest, paths: TeacherPaths, path: Points, called: Called) -> float:
    """Root mean square distance to the teacher's images, of a table that is fitted to the request's samples.

    Over all images together: the few samples that end as another picture weigh most, and are what a table should mend.
    """
    targets = paths.after(path, bound.request.count)
    _, images = fit_rows(engine, bound, paths.grid[path], targets, called=called)
    difference = on_kept(engine.card, images) - targets[-1]
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
