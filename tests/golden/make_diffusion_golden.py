"""Golden targets and DDIM samples of the diffusion baseline, by diffusers' DDIMScheduler in float64.

Its step k counts from 0 to 999 where fewstep's counts from 1 to 1000. Noise and times are fewstep's own random streams
(make_targets_golden.py), the network is a formula. Writes what test_diffusion_golden.c makes with fewstep.

    python3 tests/golden/make_diffusion_golden.py tests/golden/diffusion/diffusion.safetensors
"""
import sys

import numpy as np
import torch
from diffusers import DDIMScheduler

from make_targets_golden import NOISE, SAMPLES, TEST, TIME, below, normals, write_safetensors

ROWS, DIM, SEED, UPDATE, STEPS = 24, 6, 7, 3, (1, 4, 8)
CHOICES = [(p, b) for p in ("epsilon", "v") for b in ("linear", "cosine")]
DIFFUSERS = {"epsilon": "epsilon", "v": "v_prediction", "linear": "linear", "cosine": "squaredcos_cap_v2"}


def network(x, t):
    """Smooth, and different in each coordinate and at each time."""
    return torch.sin(x + 2 * torch.roll(x, -1, dims=1) + t)


def scheduler(prediction, schedule):
    made = DDIMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=DIFFUSERS[schedule],
                         clip_sample=True, clip_sample_range=1.0, set_alpha_to_one=True, prediction_type=DIFFUSERS[prediction])
    betas = made.betas.double()
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)  # theirs are in float32
    made.alphas_cumprod = torch.cumprod(1 - betas, 0)
    made.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return made


def main(path):
    out = {}
    data = torch.from_numpy(np.clip(normals(SEED, TEST, UPDATE, ROWS, DIM), -1, 1)).double()
    noise = torch.from_numpy(normals(SEED, NOISE, UPDATE, ROWS, DIM)).double()
    bank = torch.from_numpy(normals(SEED, SAMPLES, 0, ROWS, DIM)).double()
    k = torch.from_numpy(1 + below(SEED, TIME, UPDATE, np.arange(ROWS), 1000))
    for prediction, schedule in CHOICES:
        name, made = f"{prediction}-{schedule}", scheduler(prediction, schedule)
        out[name + ".x"] = made.add_noise(data, noise, k - 1)
        out[name + ".target"] = noise if prediction == "epsilon" else made.get_velocity(data, noise, k - 1)
        out[name + ".t"] = 1 - k.double() / 1000
        for steps in STEPS:
            x = bank
            made.set_timesteps(steps)
            for i in range(steps):
                at = 1000 - i * 1000 // steps
                x = made.step(network(x, 1 - at / 1000), at - 1, x, eta=0.0, use_clipped_model_output=True).prev_sample
            out[f"{name}.samples-{steps}"] = x
    write_safetensors(path, {key: value.numpy() for key, value in out.items()},
                      {"rows": repr(ROWS), "dim": repr(DIM), "seed": repr(SEED), "update": repr(UPDATE)})
    print({key: float(value.abs().max()) for key, value in out.items()})


if __name__ == "__main__":
    main(sys.argv[1])
