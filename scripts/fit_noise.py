"""Fit the polynomials of `ddpm_rt.noise` and `ddpm_rt.exponential`, and print them with their errors.

The errors are those of exact arithmetic with the rounded coefficients.

The fit is weighted least squares on Chebyshev nodes. Lawson's iteration raises the weights where the error is largest,
which approaches the minimax fit. The coefficients are rounded to float32 one at a time, lowest order first, and the
remaining ones are fitted again after each.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def fit(target: Function, low: float, high: float, terms: int) -> tuple[list[np.float32], float]:
    """Coefficients of a polynomial in z for `target` between low and high, and the largest error."""
    z = low + (high - low) * (0.5 - 0.5 * np.cos(np.pi * (np.arange(4000) + 0.5) / 4000))
    wanted, powers = target(z), z[:, None] ** np.arange(terms)
    fixed: list[np.float32] = []
    for done in range(terms):
        rest = wanted - powers[:, :done] @ np.array(fixed, np.float64)
        free = _lawson(powers[:, done:], rest)
        fixed.append(np.float32(free[0]))
    return fixed, float(np.abs(wanted - powers @ np.array(fixed, np.float64)).max())


def _lawson(matrix: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.ones(len(wanted))
    solution = np.zeros(matrix.shape[1])
    for _ in range(60):
        root = np.sqrt(weights)[:, None]
        solution = np.linalg.lstsq(matrix * root, wanted * root[:, 0], rcond=None)[0]
        error = np.abs(wanted - matrix @ solution)
        weights *= error + 1e-300
        weights /= weights.sum()
    return solution


def main() -> None:
    reach = (np.sqrt(2) - 1) / (np.sqrt(2) + 1)  # |s| for m in [sqrt(1/2), sqrt(2)]
    quarter = np.pi / 4
    half = np.log(2) / 2
    polynomials: dict[str, tuple[Function, float, float, int]] = {
        # ln m = 2 artanh s = s (2 + z LOG(z)), z = s^2
        "LOG": (lambda z: (2 * np.arctanh(np.sqrt(z)) / np.sqrt(z) - 2) / z, 0, reach**2, 3),
        # sin r = r + r z SIN(z), z = r^2
        "SIN": (lambda z: (np.sin(np.sqrt(z)) / np.sqrt(z) - 1) / z, 0, quarter**2, 3),
        # cos r = 1 + z COS(z), z = r^2
        "COS": (lambda z: (np.cos(np.sqrt(z)) - 1) / z, 0, quarter**2, 4),
        # exp r = 1 + (r + r^2 EXP(r))
        "EXP": (lambda r: (np.expm1(r) - r) / r**2, -half, half, 5),
    }
    for name, (target, low, high, terms) in polynomials.items():
        coefficients, error = fit(target, low, high, terms)
        print(f"{name} = ({', '.join(str(value) for value in coefficients)})  # largest error {error:.1e}")
    print("in hexadecimal, for a language without decimal float literals that round correctly:")
    for name, (target, low, high, terms) in polynomials.items():
        print(f"{name} = {', '.join(float(value).hex() for value in fit(target, low, high, terms)[0])}")


if __name__ == "__main__":
    main()
