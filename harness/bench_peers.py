"""This program beside PyTorch on the CPU, in one go: `make bench-peers`. Each round measures fewstep, then PyTorch eager
and compiled, of each model; the table has the medians of the rounds, the share of the peak that was measured before and
after fewstep's own, and what the faster of PyTorch's two takes of fewstep's time. Development only.

bench_peers.py PROGRAM [--models dit-xs/4,dit-b/2] [--rounds 3] [--seconds 2]"""

import argparse
import json
import os
import statistics
import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(f"bench-peers: {sys.executable} has no torch: `pip install torch` into a virtual environment, then "
             "make bench-peers PYTHON=that/bin/python")

import bench_pytorch

WORKS = [("update", "fp32"), ("update", "bf16"), ("sampling", "fp32"), ("sampling", "bf16")]


def own(program, model):
    """One run of `fewstep bench`: seconds and FLOPs of each work, MiB of each precision, peaks, batch and threads."""
    out = subprocess.run([program, "bench", "--op", "update", "--model", model, "--json"], check=True,
                         capture_output=True, text=True).stdout
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
            work = (name, half or "fp32")
            found["seconds"][work] = line["seconds"]
            found["flops"][work] = line["gflops"] * line["seconds"]
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


def measure(options, model):
    """The rounds of a model."""
    first = own(options.program, model)
    torch.set_num_threads(first["threads"])
    peer = bench_pytorch.Peer(model, first["batch"], "cpu")
    actions = {(how, precision): peer.actions(how, precision) for how in ("eager", "compiled")
               for precision in ("fp32", "bf16")}
    mib = {precision: resident_mib(actions["eager", precision]["update"]) for precision in ("fp32", "bf16")}
    rounds, theirs = [], {}
    for number in range(options.rounds):
        rounds.append(own(options.program, model))
        for name, precision in WORKS:
            for how in ("eager", "compiled"):
                print(f"bench-peers: {model}, round {number + 1} of {options.rounds}: {name} {how} {precision}",
                      file=sys.stderr)
                seconds = bench_pytorch.best_time(actions[how, precision][name], "cpu", options.seconds)
                theirs.setdefault((how, name, precision), []).append(seconds)
    return rounds, theirs, mib


def print_model(model, rounds, theirs, mib):
    for name, precision in WORKS:
        mine = [r for r in rounds if (name, precision) in r["seconds"]]
        if not mine:
            continue  # a CPU that multiplies no bf16
        seconds = statistics.median(r["seconds"][name, precision] for r in mine)
        shares = [r["flops"][name, precision] / r["seconds"][name, precision] / max(r["peaks"][precision])
                  for r in mine if max(r["peaks"][precision]) > 0]
        share = f"{100 * statistics.median(shares):.0f} %" if shares else "–"
        eager, compiled = (statistics.median(theirs[how, name, precision]) for how in ("eager", "compiled"))
        print(f"| {name}, {model}, batch {mine[0]['batch']}, {precision} | {1e3 * seconds:.1f} | {share} | "
              f"{1e3 * eager:.1f} | {1e3 * compiled:.1f} | {min(eager, compiled) / seconds:.2f} |")
    for precision in ("fp32", "bf16"):
        if precision in rounds[0]["mib"]:
            own_mib = statistics.median(r["mib"][precision] for r in rounds)
            print(f"| peak memory of an update, {model}, {precision}, MiB | {own_mib:.0f} | | {mib[precision]:.0f} | | "
                  f"{mib[precision] / own_mib:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--models", default="dit-xs/4,dit-b/2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    results = {model: measure(options, model) for model in options.models.split(",")}
    any_round = next(iter(results.values()))[0][0]
    peaks = [peak for rounds, _, _ in results.values() for r in rounds for peak in r["peaks"]["fp32"]]
    halves = [peak for rounds, _, _ in results.values() for r in rounds for peak in r["peaks"]["bf16"]]
    print(f"fewstep ({any_round['variant']}) and PyTorch {torch.__version__}, {any_round['threads']} threads; medians of "
          f"{options.rounds} rounds, ms; peak in float32 {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s, in bf16 "
          f"{min(halves):.0f} to {max(halves):.0f}\n")
    print("| work | fewstep | of peak | PyTorch eager | compiled | PyTorch's best / fewstep |\n|---|---|---|---|---|---|")
    for model, (rounds, theirs, mib) in results.items():
        print_model(model, rounds, theirs, mib)


if __name__ == "__main__":
    main()
