"""The backbone's update and sampling forward in PyTorch, eager and compiled, for comparison with `fewstep bench`:
one JSON object a line. Development only; needs torch.

As fast as PyTorch goes without a change of what is computed: fused AdamW, the average as one foreach operation,
scaled_dot_product_attention, torch.compile of network and loss, on a device with CUDA graphs too; no clipping, as in
`fewstep bench`, and the same sizes. bf16 is autocast: float32 weights, moments and average on both sides."""

import argparse
import copy
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

PRESETS = {"dit-xs": (128, 4, 4), "dit-ti": (192, 6, 3), "dit-s": (384, 12, 6), "dit-b": (768, 12, 12),
           "dit-l": (1024, 24, 16), "dit-xl": (1152, 28, 16)}
WAYS = ("eager", "compiled", "graphs")  # graphs: compiled, and CUDA graphs; on a device only


def sinusoidal(values):
    """[B] → [B, 256]: cos, then sin, of value · 10000^(−i/128)."""
    frequencies = torch.exp(-math.log(10000) / 128 * torch.arange(128, device=values.device))
    angles = values[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(256, width), nn.Linear(width, width)

    def forward(self, values):
        return self.second(F.silu(self.first(sinusoidal(values))))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, c):
        batch, tokens, width = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(c))[:, None].chunk(6, dim=2)
        heads = self.qkv(self.norm1(x) * (1 + scale1) + shift1).view(batch, tokens, 3, self.heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, scale=1 / q.shape[-1])
        x = x + gate1 * self.projection(attended.transpose(1, 2).reshape(batch, tokens, width))
        hidden = F.gelu(self.up(self.norm2(x) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.down(hidden)


class Network(nn.Module):
    def __init__(self, width, depth, heads, patch, channels, side, classes=10):
        super().__init__()
        self.patch, self.channels, self.side = patch, channels, side
        self.inputs = nn.Linear(patch * patch * channels, width)
        self.register_buffer("positions", torch.randn((side // patch) ** 2, width))
        self.time, self.size = Embedder(width), Embedder(width)
        self.labels = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 2 * width)
        self.outputs = nn.Linear(width, patch * patch * channels)

    def forward(self, x, t, s, labels):
        n, across = self.patch, self.side // self.patch
        tokens = x.view(-1, across, n, across, n, self.channels).transpose(2, 3).reshape(len(x), across**2, -1)
        c = self.time(t) + self.size(s) + self.labels(labels)
        h = self.inputs(tokens) + self.positions
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.modulation(F.silu(c))[:, None].chunk(2, dim=2)
        out = self.outputs(self.norm(h) * (1 + scale) + shift)
        return out.view(-1, across, across, n, n, self.channels).transpose(2, 3).reshape(x.shape)


def best_time(action, device, seconds=2, warm=3, least=4):
    """Seconds: the best of some runs for about `seconds`, `least` of them or more, after `warm` that do not count."""

    def run():
        action()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(warm):
        run()
    best, start, runs = math.inf, time.perf_counter(), 0
    while runs < least or (time.perf_counter() - start < seconds and runs < 100):
        before = time.perf_counter()
        run()
        best, runs = min(best, time.perf_counter() - before), runs + 1
    return best


class Peer:
    """A network with its optimiser, average and rows; eager and compiled share them."""

    def __init__(self, model, batch, device):
        size, patch = model.split("/")
        side, channels = (28, 1) if size == "dit-xs" else (32, 4)
        torch.manual_seed(0)
        self.device = device
        self.network = Network(*PRESETS[size], int(patch), channels, side).to(device)
        self.average = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-6, fused=True)
        self.weights, self.averages = list(self.network.parameters()), list(self.average.parameters())
        self.x, self.target = (torch.randn(batch, side, side, channels, device=device) for _ in range(2))
        self.t, self.s = torch.rand(batch, device=device), torch.full((batch,), 7.0, device=device)
        self.labels = torch.randint(0, 10, (batch,), device=device)
        self.made = {}

    def _functions(self, how):
        """(velocity, loss), compiled once."""
        if how not in self.made:

            def velocity(x, t, s, labels):
                return self.network(x, t, s, labels)

            def loss(x, t, s, labels, target):
                return F.mse_loss(self.network(x, t, s, labels).float(), target)

            mode = "reduce-overhead" if how == "graphs" else "default"
            self.made[how] = ((velocity, loss) if how == "eager" else
                              (torch.compile(velocity, mode=mode), torch.compile(loss, mode=mode)))
        return self.made[how]

    def _precision(self, precision):
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=precision == "bf16")

    def actions(self, how, precision):
        """What is timed, by name."""
        velocity, loss = self._functions(how)

        def sampling():
            if how == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            with torch.no_grad(), self._precision(precision):
                velocity(self.x, self.t, self.s, self.labels)

        def update():
            if how == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            self.optimiser.zero_grad(set_to_none=True)
            with self._precision(precision):
                error = loss(self.x, self.t, self.s, self.labels, self.target)
            error.backward()
            self.optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.weights, 0.001)

        return {"sampling": sampling, "update": update}


def measure(options, precision, how):
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    peer = Peer(options.model, options.batch, options.device)
    for name, action in peer.actions(how, precision).items():
        seconds = best_time(action, options.device)
        used = torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else 0
        what = f"{name} {how}" + (" bf16" if precision == "bf16" else "")
        print(json.dumps({"model": options.model, "batch": options.batch, "operation": what, "seconds": seconds,
                          "mib": round(used), "torch": torch.__version__}, separators=(",", ":")), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="dit-b/2")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--eager-only", action="store_true")
    options = parser.parse_args()
    ways = WAYS[:1] if options.eager_only else WAYS if options.device == "cuda" else WAYS[:2]
    for precision in ("fp32", "bf16"):
        for how in ways:
            measure(options, precision, how)


if __name__ == "__main__":
    main()
