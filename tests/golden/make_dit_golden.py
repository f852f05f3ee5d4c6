"""Golden values of the backbone, by PyTorch in float64: forward, its derivative along a direction of x, t and s
(torch.func.jvp), loss, gradients, two AdamW updates and their EMA.

An implementation of its own, from the description of the network alone: patches by a convolution, pictures channels
first, attention and layer norm from PyTorch. Writes tests/golden/dit/dit.safetensors, which test_dit_golden.c reads.

    python3 tests/golden/make_dit_golden.py tests/golden/dit/dit.safetensors
"""
import json
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

CONFIG = dict(height=4, width=8, channels=2, patch=2, hidden=16, depth=2, heads=2, classes=3, rows=5)
# A large epsilon: the bias of k has no gradient (softmax does not see it), and AdamW would make updates of rounding
# errors; and whether it stands outside the root is seen.
ADAMW = dict(learning_rate=1e-3, beta1=0.9, beta2=0.99, epsilon=1e-4, weight_decay=0.1)
EMA_DECAY = 0.75
UPDATES = 2


def shapes(c):
    """Name and shape of every parameter, as in the DiT repository; `d_embedder` embeds the step size."""
    d, p = c["hidden"], c["patch"]
    yield "x_embedder.proj.weight", (d, c["channels"], p, p)
    yield "x_embedder.proj.bias", (d,)
    for embedder in "t_embedder", "d_embedder":
        yield f"{embedder}.mlp.0.weight", (d, 256)
        yield f"{embedder}.mlp.0.bias", (d,)
        yield f"{embedder}.mlp.2.weight", (d, d)
        yield f"{embedder}.mlp.2.bias", (d,)
    yield "y_embedder.embedding_table.weight", (c["classes"] + 1, d)
    for i in range(c["depth"]):
        layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4), "adaLN_modulation.1": (6, 1)}
        for name, (out, into) in layers.items():
            yield f"blocks.{i}.{name}.weight", (out * d, into * d)
            yield f"blocks.{i}.{name}.bias", (out * d,)
    yield "final_layer.linear.weight", (p * p * c["channels"], d)
    yield "final_layer.linear.bias", (p * p * c["channels"],)
    yield "final_layer.adaLN_modulation.1.weight", (2 * d, d)
    yield "final_layer.adaLN_modulation.1.bias", (2 * d,)


def linear(w, name, x):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def embed_number(w, name, value):
    frequencies = 10000.0 ** (-torch.arange(128, dtype=torch.float64) / 128)
    angles = value[:, None] * frequencies[None]
    features = torch.cat([angles.cos(), angles.sin()], dim=1)
    return linear(w, name + ".mlp.2", F.silu(linear(w, name + ".mlp.0", features)))


def positions(c):
    down, across, quarter = c["height"] // c["patch"], c["width"] // c["patch"], c["hidden"] // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, col = torch.meshgrid(torch.arange(down).double(), torch.arange(across).double(), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (col, row)]
    return torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], dim=1)


def modulate(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def attention(c, w, name, x):
    n, t, d = x.shape
    heads = c["heads"]
    q, k, v = linear(w, name + ".qkv", x).reshape(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.transpose(-1, -2) / (d // heads), dim=-1)  # by d_head, not its root
    return linear(w, name + ".proj", (weights @ v).transpose(1, 2).reshape(n, t, d))


def network(c, w, image, t, s, labels):
    """Velocity [n, C, H, W] of images [n, C, H, W]."""
    p = c["patch"]
    x = F.conv2d(image, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=p)
    x = x.flatten(2).transpose(1, 2) + positions(c)
    condition = embed_number(w, "t_embedder", t) + embed_number(w, "d_embedder", s)
    condition = F.silu(condition + w["y_embedder.embedding_table.weight"][labels])
    for i in range(c["depth"]):
        block = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = linear(w, block + ".adaLN_modulation.1", condition).chunk(6, 1)
        x = x + gate1[:, None] * attention(c, w, block + ".attn", modulate(x, shift1, scale1))
        hidden = F.gelu(linear(w, block + ".mlp.fc1", modulate(x, shift2, scale2)), approximate="tanh")
        x = x + gate2[:, None] * linear(w, block + ".mlp.fc2", hidden)
    shift, scale = linear(w, "final_layer.adaLN_modulation.1", condition).chunk(2, 1)
    x = linear(w, "final_layer.linear", modulate(x, shift, scale))
    down, across = c["height"] // p, c["width"] // p
    x = x.reshape(len(image), down, across, p, p, c["channels"])
    return torch.einsum("nhwpqc->nchpwq", x).reshape(image.shape)


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array, dtype="<f4")
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def as_float32(array):
    """float64 numbers that float32 holds exactly, so that both sides start from the same."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32).astype(np.float64))


def tangent(c, weights, point, labels):
    """A direction of everything that moves, and the velocity's derivative along it."""
    rng = np.random.default_rng(20242)
    direction = tuple(as_float32(rng.standard_normal(value.shape)) for value in point)
    _, velocity_dot = torch.func.jvp(lambda image, t, s: network(c, weights, image, t, s, labels), point, direction)
    x_dot, t_dot, s_dot = direction
    return {"x_dot": x_dot.permute(0, 2, 3, 1), "t_dot": t_dot, "s_dot": s_dot,
            "velocity_dot": velocity_dot.permute(0, 2, 3, 1)}


def main(path):
    c, rng = CONFIG, np.random.default_rng(20241)
    n, picture = c["rows"], (c["channels"], c["height"], c["width"])
    weights = {name: as_float32(0.2 * rng.standard_normal(shape)) for name, shape in shapes(c)}
    image, target = as_float32(rng.standard_normal((n, *picture))), as_float32(rng.standard_normal((n, *picture)))
    t, s = as_float32(rng.random(n)), as_float32(rng.integers(0, 8, n))
    labels, row_weight = torch.tensor([2, 3, 0, 3, 1]), as_float32((0.5 + rng.random(n)) / n)

    out = {"x": image.permute(0, 2, 3, 1), "target": target.permute(0, 2, 3, 1), "t": t, "s": s, "labels": labels,
           "weight": row_weight}
    out.update({"weights." + name: w.clone() for name, w in weights.items()})
    out.update(tangent(c, weights, (image, t, s), labels))
    average = {name: w.clone() for name, w in weights.items()}
    for w in weights.values():
        w.requires_grad_(True)
    optimiser = torch.optim.AdamW(weights.values(), lr=ADAMW["learning_rate"], betas=(ADAMW["beta1"], ADAMW["beta2"]),
                                  eps=ADAMW["epsilon"], weight_decay=ADAMW["weight_decay"])
    for update in range(UPDATES):
        optimiser.zero_grad()
        velocity = network(c, weights, image, t, s, labels)
        loss = (row_weight * ((velocity - target) ** 2).mean(dim=(1, 2, 3))).sum()
        loss.backward()
        if update == 0:
            out["velocity"], out["loss"] = velocity.permute(0, 2, 3, 1), loss.reshape(1)
            out.update({"gradient." + name: w.grad.clone() for name, w in weights.items()})
        optimiser.step()
        for name, w in weights.items():
            average[name] = EMA_DECAY * average[name] + (1 - EMA_DECAY) * w.detach()
    out.update({"updated." + name: w for name, w in weights.items()})
    out.update({"ema." + name: w for name, w in average.items()})

    settings = {**CONFIG, **ADAMW, "ema_decay": EMA_DECAY, "updates": UPDATES}
    write_safetensors(path, {name: value.detach().numpy() for name, value in out.items()},
                      {key: repr(value) for key, value in settings.items()})


if __name__ == "__main__":
    main(sys.argv[1])
