"""Fréchet distances at 50 digits, for tests/unit/test_frechet.c.

    python3 tests/golden/make_frechet_golden.py

needs NumPy and mpmath, and writes tests/golden/frechet/*.npy, float64 [2*dim + 3, dim]:
row 0 mu1, then sigma1, mu2, sigma2; the last row holds the distance and the error allowed in units of
|mu1 - mu2|^2 + tr sigma1 + tr sigma2. The oracle takes tr (S1 S2)^(1/2) from the eigenvalues of the plain product:
another way than the program's.
"""

import pathlib

import mpmath
import numpy as np

mpmath.mp.dps = 50
FOLDER = pathlib.Path(__file__).parent / "frechet"


def distance(mu1, sigma1, mu2, sigma2):
    product = mpmath.matrix(sigma1.tolist()) * mpmath.matrix(sigma2.tolist())
    eigenvalues = mpmath.eig(product, left=False, right=False)
    # The product is similar to a positive semidefinite matrix: what is not real and positive is rounding at 50 digits.
    cross = sum(mpmath.sqrt(max(mpmath.re(v), 0)) for v in eigenvalues)
    between = sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(mu1.tolist(), mu2.tolist()))
    traces = sum(mpmath.mpf(v) for s in (sigma1, sigma2) for v in np.diag(s).tolist())
    return between + traces - 2 * cross


def write(name, mu1, sigma1, mu2, sigma2, tolerance):
    dim = len(mu1)
    last = np.zeros(dim)
    last[:2] = max(float(distance(mu1, sigma1, mu2, sigma2)), 0), tolerance
    rows = np.concatenate([mu1[None], sigma1, mu2[None], sigma2, last[None]])
    np.save(FOLDER / f"{name}.npy", rows)
    print(f"{name:16s} dim {dim:3d}  distance {last[0]:.17g}")


def whole(random, rows, dim):
    """A covariance-like matrix of whole numbers: singular exactly, when rows < dim."""
    factor = random.integers(-4, 5, (rows, dim)).astype(float)
    return factor.T @ factor


def dense(random, dim):
    factor = random.standard_normal((3 * dim, dim))
    return factor.T @ factor / (3 * dim)


def main():
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    for dim in (2, 5, 16):
        write(f"dense_{dim}", random.standard_normal(dim), dense(random, dim), random.standard_normal(dim),
              dense(random, dim), 1e-13)
    for dim, rows in ((4, 2), (12, 5)):
        write(f"singular_{dim}", random.standard_normal(dim), whole(random, rows, dim), random.standard_normal(dim),
              whole(random, dim, dim), 1e-7)
    write("both_singular_9", random.standard_normal(9), whole(random, 4, 9), random.standard_normal(9),
          whole(random, 3, 9), 1e-7)
    scale = 10.0 ** np.linspace(-4, 4, 8)  # variances from 1e-8 to 1e8
    write("scaled_8", random.standard_normal(8), dense(random, 8) * np.outer(scale, scale), random.standard_normal(8),
          dense(random, 8) * np.outer(scale, scale), 1e-8)
    write("scaled_apart_8", random.standard_normal(8), dense(random, 8) * np.outer(scale, scale),
          random.standard_normal(8), dense(random, 8) * np.outer(scale[::-1], scale[::-1]), 1e-8)
    for name, factor in (("tiny_6", 1e-8), ("huge_6", 1e8)):
        write(name, factor ** 0.5 * random.standard_normal(6), factor * dense(random, 6),
              factor ** 0.5 * random.standard_normal(6), factor * dense(random, 6), 1e-13)
    same = dense(random, 10)
    mean = random.standard_normal(10)
    write("identical_10", mean, same, mean, same, 1e-13)


if __name__ == "__main__":
    main()
