"""Fit the coefficients of a table row by row, on the chains that the table itself draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..denoiser import Batch
from ..engine import Engine
from ..requests.request import BoundRequest
from ..samplers import ddim
from ..samplers.schedule import Floats, Integers
from ..samplers.table import StepTable
from .teacher import Called, Kept, initial_noise, on_kept, row_noise

RIDGE = 1e-5  # pull towards DDIM, relative to the features' mean square; keeps coefficients of collinear features small


def fit_rows(
    engine: Engine, bound: BoundRequest, timesteps: Integers, targets: Kept, *, eta: float = 0.0,
    ridge: float = RIDGE, called: Called = lambda: None,
) -> tuple[StepTable, Batch]:  # fmt: skip
    """Fit a table over `timesteps` to `targets`. Returns the table and its images `[N, C, H, W]`.

    `targets`, float32 `[K, N, E]`, holds the desired x after each row, before the row adds noise. Each row predicts its
    target from x, x0 and the previous x0 by least squares. These features come from the table's own chains, so a row
    corrects the errors of the rows before it. With `eta` a row adds as much noise as the same row of DDIM.
    """
    card = engine.card
    columns: list[Any] = [
        column.copy() for column in ddim(card.schedule, timesteps, prediction=card.prediction, eta=eta)
    ]
    table = StepTable(*columns)  # copies, because `ddim` uses one array for all zero columns, and `set_row` writes
    path = StudentPath(engine, bound)
    for row in range(table.steps):
        path.call(table, row, called)
        products, with_target = path.products(targets[row])
        found = fitted_row(products, with_target, ddim_row(table, row, len(products)), ridge)
        set_row(table, row, found)
        path.take(table, row)
    return table, path.x


def ddim_row(table: StepTable, row: int, count: int) -> Floats:
    """The first `count` of a row's present coefficients of x, x0 and the previous x0."""
    return np.array([table.mean_from_x[row], table.mean_from_x0[row], table.mean_from_prev_x0[row]])[:count]


def set_row(table: StepTable, row: int, found: Sequence[float] | Floats) -> None:
    """Write the coefficients `found` into a row of the table, in place."""
    for column, value in zip((table.mean_from_x, table.mean_from_x0, table.mean_from_prev_x0), found, strict=False):
        column[row] = value


def fitted_row(products: Floats, with_target: Floats, prior: Floats, ridge: float) -> Floats:
    """Ridge regression of the target on the features, which shrinks towards `prior`. Returns coefficients `[F]`.

    `products` `[F, F]` holds the mean products of the features, `with_target` `[F]` those with the target.
    """
    weight = ridge * np.trace(products) / len(prior)
    system = products + weight * np.eye(len(prior))
    return np.asarray(np.linalg.solve(system, with_target + weight * prior), np.float64)


class StudentPath:
    """The chains of all samples of a request, advanced row by row. Holds x, x0 and the previous x0."""

    def __init__(self, engine: Engine, bound: BoundRequest) -> None:
        self.engine, self.bound, self.card = engine, bound, engine.card
        self.x: Batch = np.concatenate(
            [initial_noise(bound, self.card, portion) for portion in bound.batches(bound.request.samples)]
        )  # float32 [N, C, H, W]
        self.x0: Batch | None = None
        self.prev_x0: Batch | None = None

    def call(self, table: StepTable, row: int, called: Called) -> None:
        """Compute the x0 of a row with the network, bit-equal to the loop."""
        from_x, from_out = np.float32(table.x0_from_x[row]), np.float32(table.x0_from_out[row])
        self.prev_x0, self.x0 = self.x0, np.empty_like(self.x)
        for portion, at in self._portions():
            x = self.x[at]
            t = np.full(len(x), table.t[row], np.int64)
            out = self.bound.denoiser(self.engine, portion)(x, t, *self._given(at))
            x0 = from_x * x + from_out * out[:, : x.shape[1]]
            self.x0[at] = x0 if self.card.clip is None else np.clip(x0, *self.card.clip)
            called()

    @property
    def features(self) -> list[Batch]:
        """x, x0 and, from the second row on, the previous x0."""
        return [part for part in (self.x, self.x0, self.prev_x0) if part is not None]

    def products(self, target: Kept) -> tuple[Floats, Floats]:
        """Mean products of the features with each other and with the target `[N, E]`, over the kept elements."""
        features = self.features
        products = np.zeros((len(features) + 1,) * 2)
        for _, at in self._portions():
            kept = [on_kept(self.card, feature[at]) for feature in features]
            columns = np.stack([part.ravel() for part in (*kept, target[at])]).astype(np.float64)
            products += columns @ columns.T
        products /= target.size
        return products[:-1, :-1], products[:-1, -1]

    def take(self, table: StepTable, row: int) -> None:
        """Take the step of a row, with the operations in the order of the loop."""
        for portion, at in self._portions():
            x = self.x[at]  # a view
            x *= np.float32(table.mean_from_x[row])
            x += np.float32(table.mean_from_x0[row]) * self._of(self.x0, at)
            if self.prev_x0 is not None:
                x += np.float32(table.mean_from_prev_x0[row]) * self.prev_x0[at]
            if table.sigma[row]:
                x += np.float32(table.sigma[row]) * row_noise(self.bound, self.card, portion, row)

    def _given(self, at: slice) -> tuple[Batch, ...]:
        """What a network with self-conditioning also takes: the previous x0, zeros at first."""
        if self.card.prev_x0 is None:
            return ()
        return (np.zeros_like(self.x[at]) if self.prev_x0 is None else self.prev_x0[at],)

    @staticmethod
    def _of(part: Batch | None, at: slice) -> Batch:
        assert part is not None  # `call` comes before `take`
        return part[at]

    def _portions(self) -> list[tuple[Sequence[int], slice]]:
        first = self.bound.request.first
        portions = self.bound.batches(self.bound.request.samples)
        return [(portion, slice(portion[0] - first, portion[-1] - first + 1)) for portion in portions]
