"""This program beside PyTorch on the CPU, in one go: `make bench-peers`. Each round measures fewstep, then PyTorch eager
and compiled, of each model; the table has the medians of the rounds, the share of the peak that was measured before and
after fewstep's own, and what the faster of PyTorch's two takes of fewstep's time. Development only.

A round is not begun that would not end within the minutes given. What was measured by then, or until an interruption or
an error, is printed with the number of its rounds, and each time is in the log as it was taken. Exit status: 0, 3 when
something is missing, 5 after an interruption.

bench_peers.py PROGRAM [--models dit-xs/4,dit-b/2] [--rounds 3] [--seconds 2] [--minutes 11] [--log FILE] [--batch N]"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(f"bench-peers: {sys.executable} has no torch: `pip install torch` into a virtual environment, then "
             "make bench-peers PYTHON=that/bin/python")

import bench_pytorch

WORKS = [("update", "fp32"), ("update", "bf16"), ("sampling", "fp32"), ("sampling", "bf16")]
WAYS = ("eager", "compiled")
PRECISIONS = ("fp32", "bf16")


def own(options, model, part):
    """One run of `fewstep bench --op PART`: seconds and FLOPs of each work, MiB of each precision, peaks, batch, threads."""
    command = [options.program, "bench", "--op", part, "--model", model, "--json"]
    command += ["--batch", str(options.batch)] if options.batch else []
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {"seconds": {}, "flops": {}, "mib": {}}
    for line in map(json.loads, out.splitlines()):
        if "device" in line:
            found["threads"] = line["threads"]
            found["peaks"] = {"fp32": [line["peak_gflops"]], "bf16": [line["bf16_peak_gflops"]]}
            found["variant"] = line["variant"]
        elif "peak_gflops_after" in line:
            found["peaks"]["fp32"].append(line["peak_gflops_after"])
        elif "peak_resident_mib" in line:
            found["mib"][line["precision"]] = line["peak_resident_mib"]
        elif line.get("operation", "").split(" ")[0] in ("update", "sampling"):
            name, _, half = line["operation"].partition(" ")
            found["seconds"][name, half or "fp32"] = line["seconds"]
            found["flops"][name, half or "fp32"] = line["gflops"] * line["seconds"]
            found["batch"] = line["batch"]
    return found


def resident_mib(action):
    """The peak of the resident set over some runs."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    for _ in range(3):
        action()
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def print_memory(model, batch):
    """The child of peer_memory."""
    peer = bench_pytorch.Peer(model, batch, "cpu")
    print(json.dumps({precision: resident_mib(peer.actions("eager", precision)["update"]) for precision in PRECISIONS}))


def peer_memory(options, model, batch):
    """MiB of an eager update by precision, in a process of its own: nothing else of this one's counts."""
    command = [sys.executable, os.path.abspath(__file__), options.program, "--memory", model, "--batch", str(batch)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Model:
    """What was measured of a model so far."""

    def __init__(self, name):
        self.name, self.peer, self.actions = name, None, {}
        self.rounds, self.theirs = [], {}
        self.mib, self.recompute_mib = {}, {}
        self.longest = 0  # seconds of a round but the first, which compiles

    def round(self, options, log):
        begin = time.perf_counter()
        mine = own(options, self.name, "update")
        self.rounds.append(mine)
        for (work, precision), seconds in mine["seconds"].items():
            log(self.name, len(self.rounds), "fewstep", work, precision, seconds)
        first = self.peer is None
        if first:
            torch.set_num_threads(mine["threads"])
            self.peer = bench_pytorch.Peer(self.name, mine["batch"], "cpu")
            self.actions = {(how, precision): self.peer.actions(how, precision)
                            for how in WAYS for precision in PRECISIONS}
        compiling = 0
        for work, precision in WORKS:
            for how in WAYS:
                before = time.perf_counter()
                action = self.actions[how, precision][work]
                if first:
                    action()
                    compiling += time.perf_counter() - before
                seconds = bench_pytorch.best_time(action, "cpu", options.seconds, warm=1, least=3)
                self.theirs.setdefault((how, work, precision), []).append(seconds)
                log(self.name, len(self.rounds), how, work, precision, seconds)
        self.longest = max(self.longest, time.perf_counter() - begin - compiling)

    def memory(self, options):
        self.recompute_mib = own(options, self.name, "recompute")["mib"]
        self.mib = peer_memory(options, self.name, self.rounds[0]["batch"])


def median(values, scale=1):
    return f"{scale * statistics.median(values):.1f}" if values else "–"


def print_model(model):
    rounds, name = model.rounds, model.name
    for work, precision in WORKS:
        mine = [r for r in rounds if (work, precision) in r["seconds"]]
        if not mine:
            continue  # a CPU that multiplies no bf16
        seconds = [r["seconds"][work, precision] for r in mine]
        shares = [r["flops"][work, precision] / r["seconds"][work, precision] / max(r["peaks"][precision])
                  for r in mine if max(r["peaks"][precision]) > 0]
        share = f"{100 * statistics.median(shares):.0f} %" if shares else "–"
        theirs = [model.theirs.get((how, work, precision), []) for how in WAYS]
        best = min((statistics.median(times) for times in theirs if times), default=None)
        ratio = f"{best / statistics.median(seconds):.2f}" if best else "–"
        taken = "/".join(str(n) for n in sorted({len(seconds), *map(len, theirs)}))
        print(f"| {work}, {name}, batch {mine[0]['batch']}, {precision} | {median(seconds, 1e3)} | {share} | "
              f"{median(theirs[0], 1e3)} | {median(theirs[1], 1e3)} | {ratio} | {taken} |")
    for precision in PRECISIONS:
        theirs = model.mib.get(precision)
        own_mib = {"an update": [r["mib"][precision] for r in rounds if precision in r["mib"]],
                   "an update, blocks recomputed": [m for m in [model.recompute_mib.get(precision)] if m]}
        for what, values in own_mib.items():
            if values:
                mib = statistics.median(values)
                ratio = f"{theirs / mib:.2f}" if theirs else "–"
                print(f"| peak memory of {what}, {name}, {precision}, MiB | {mib:.0f} | | "
                      f"{f'{theirs:.0f}' if theirs else '–'} | | {ratio} | {len(values)} |")


def print_table(models):
    measured = [model for model in models if model.rounds]
    if not measured:
        return
    first = measured[0].rounds[0]
    peaks = {p: [peak for model in measured for r in model.rounds for peak in r["peaks"][p]] for p in PRECISIONS}
    print(f"fewstep ({first['variant']}) and PyTorch {torch.__version__}, {first['threads']} threads; medians of rounds, "
          f"ms; peak in float32 {min(peaks['fp32']):.0f} to {max(peaks['fp32']):.0f} GFLOP/s, in bf16 "
          f"{min(peaks['bf16']):.0f} to {max(peaks['bf16']):.0f}\n")
    print("| work | fewstep | of peak | PyTorch eager | compiled | PyTorch's best / fewstep | rounds |\n"
          "|---|---|---|---|---|---|---|")
    for model in measured:
        print_model(model)
    sys.stdout.flush()


def measure(options, models, log):
    """Round by round all models, so that what is left out is a round and not a model."""
    begin = time.perf_counter()
    for number in range(options.rounds):
        for model in models:
            left = 60 * options.minutes - (time.perf_counter() - begin)
            if model.rounds and model.longest > left:
                print(f"bench-peers: {model.name}: {len(model.rounds)} of {options.rounds} rounds; another takes "
                      f"{model.longest:.0f} s, and {max(left, 0):.0f} are left of {options.minutes:g} minutes (--minutes)",
                      file=sys.stderr)
                continue
            model.round(options, log)
            if number == 0:
                model.memory(options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--models", default="dit-xs/4,dit-b/2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--log", default="build/bench-peers.jsonl")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    if options.memory:
        return print_memory(options.memory, options.batch)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    models = [Model(name) for name in options.models.split(",")]
    begin, missing = time.perf_counter(), None
    with open(options.log, "w") as file:

        def log(model, number, who, work, precision, seconds):
            file.write(json.dumps({"model": model, "round": number, "who": who, "work": work, "precision": precision,
                                   "seconds": seconds}) + "\n")
            file.flush()
            print(f"bench-peers: {time.perf_counter() - begin:4.0f} s: {model}, round {number} of {options.rounds}: {work} "
                  f"{precision} {who}: {1e3 * seconds:.1f} ms", file=sys.stderr)

        try:
            measure(options, models, log)
        except KeyboardInterrupt:
            missing = "interrupted"
        except Exception as error:  # what was measured is not lost with what failed
            missing = f"{type(error).__name__}: {error}"
    print_table(models)
    if missing:
        print(f"bench-peers: {missing}; the table is of what was measured by then, each time in {options.log}",
              file=sys.stderr)
        sys.exit(5 if missing == "interrupted" else 3)


if __name__ == "__main__":
    main()
