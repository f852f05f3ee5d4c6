"""Golden archives, by NumPy: each holds the same mu and sigma in one of the forms that published statistics have.

    python3 tests/golden/make_npz_golden.py tests/golden/npz
"""
import sys

import numpy as np

DIM = 5


def main():
    folder = sys.argv[1]
    half = np.arange(DIM * DIM, dtype=np.float64).reshape(DIM, DIM) / 8 - 1
    mu, sigma = np.arange(DIM, dtype=np.float64) / 4 - 0.5, half @ half.T + np.eye(DIM)
    np.savez(f"{folder}/float64.npz", mu=mu, sigma=sigma)  # as pytorch-fid
    np.savez_compressed(f"{folder}/float64_compressed.npz", sigma=sigma, mu=mu, count=np.int64(9))
    np.savez(f"{folder}/float32.npz", mu=mu.astype(np.float32), sigma=sigma.astype(np.float32))
    np.savez_compressed(f"{folder}/float32_fortran.npz", mu=mu.astype("f4"), sigma=np.asfortranarray(sigma, "f4"))
    np.savez(f"{folder}/big_endian.npz", mu=mu.astype(">f8"), sigma=sigma.astype(">f4"))
    skew = sigma.copy()
    skew[0, 1] += 0.5
    np.savez(f"{folder}/skew.npz", mu=mu, sigma=np.asfortranarray(skew))  # tells rows from columns
    pictures = (np.arange(3 * 4 * 5 * 3) * 7 % 256).astype(np.uint8).reshape(3, 4, 5, 3)
    np.savez(f"{folder}/pictures.npz", pictures)  # arr_0, as guided-diffusion
    np.savez_compressed(f"{folder}/pictures_labels.npz", pictures, np.arange(3))


main()
