"""The relatives of FID by their published implementations, for tests/golden/test_metrics_golden.c.

    pip install numpy scipy mpmath torch torchvision torch-fidelity prdc
    python3 tests/golden/make_metrics_golden.py

Development only. Writes, for each case, to tests/golden/metrics/:
NAME-features.npy, float32 [2*n, dim]: n rows to score, then n of the reference;
NAME-logits.npy, float32 [n, classes];
NAME-expected.npy, float64 [12]: KID over all rows (torch-fidelity); Inception Score and its deviation over 10 splits
(torch-fidelity, not shuffled); precision, recall at k = 3 (torch-fidelity); precision, recall at k = 3 and density,
coverage at k = 5 (prdc); the Frechet distance (SciPy's sqrtm, or 50 digits where a covariance is singular) and the
error allowed, relative; KID's deviation over the subsets that the last array names.
subsets.npy, int32 [4, 2, rows]: rows of the case "plain" that make its four subsets.
"""

import pathlib

import numpy as np
import prdc
import scipy.linalg
import torch
from torch_fidelity import metric_isc, metric_kid, metric_prc

import make_frechet_golden

FOLDER = pathlib.Path(__file__).parent / "metrics"
SUBSET_ROWS = 40


def kid(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    polynomial = dict(kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
    kernel = lambda a, b: metric_kid.kernel_poly(a, b, **polynomial)
    return metric_kid.mmd2(kernel(x, x), kernel(x, y), kernel(y, y))


def frechet(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    mu1, mu2, s1, s2 = x.mean(0), y.mean(0), np.cov(x.T), np.cov(y.T)
    if min(np.linalg.matrix_rank(s1), np.linalg.matrix_rank(s2)) < len(s1):
        return float(make_frechet_golden.distance(mu1, s1, mu2, s2)), 1e-7
    root = scipy.linalg.sqrtm(s1 @ s2)
    return ((mu1 - mu2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real, 1e-8


def write(name, x, y, logits, subsets=None):
    x, y, logits = (a.astype(np.float32) for a in (x, y, logits))
    isc = metric_isc.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    prc = metric_prc.calculate_precision_recall_full(torch.from_numpy(x).double(), torch.from_numpy(y).double(), 3)
    at3, at5 = (prdc.compute_prdc(y.astype(np.float64), x.astype(np.float64), k) for k in (3, 5))
    deviation = np.std([kid(x[a], y[b]) for a, b in subsets]) if subsets is not None else 0
    expected = [kid(x, y), isc["inception_score_mean"], isc["inception_score_std"], *prc, at3["precision"],
                at3["recall"], at5["density"], at5["coverage"], *frechet(x, y), deviation]
    np.save(FOLDER / f"{name}-features.npy", np.concatenate([x, y]))
    np.save(FOLDER / f"{name}-logits.npy", logits)
    np.save(FOLDER / f"{name}-expected.npy", np.array(expected))
    print(name, *(f"{v:.6g}" for v in expected))


def main():
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(3)
    normal = random.standard_normal
    n, dim = 200, 16
    mixing = normal((dim, dim)) / 4
    subsets = np.stack([[random.permutation(n)[:SUBSET_ROWS] for _ in range(2)] for _ in range(4)]).astype(np.int32)
    np.save(FOLDER / "subsets.npy", subsets)
    write("plain", normal((n, dim)) @ mixing + 0.2, normal((n, dim)) @ mixing, 2 * normal((n, 10)), subsets)
    # Features as networks give them: not negative, some always zero, of very different sizes.
    scale = np.exp(2 * normal(24)) * (random.random(24) > 0.2)
    write("rectified", np.maximum(normal((150, 24)), 0) * scale, np.maximum(0.8 * normal((150, 24)) + 0.3, 0) * scale,
          5 * normal((150, 100)))
    # Fewer rows than dimensions, far apart: a generator that lost half of the modes.
    centres = 3 * normal((6, 32))
    write("wide", centres[random.integers(0, 3, 24)] + 0.5 * normal((24, 32)),
          centres[random.integers(0, 6, 24)] + 0.5 * normal((24, 32)), normal((24, 3)))


if __name__ == "__main__":
    main()
