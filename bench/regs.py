#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What one access to a register costs in each home of the models, and on each fast path; bench/run.sh runs this
where KVM is. A bare-metal guest (bench/guest/regs.c) makes each access some hundred times and times it with the
TSC; variants take turns; figures are medians over the runs of each run's median, 99th percentile and worst.
"""
import os
import re
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("SELFIO_BUILD", os.path.join(TOP, "build"))
ELSE = ["--place", "all=ioemu,test=firmware"]

# name: program, options
VARIANTS = {
    "inproc": ("selfio-inproc", ["--fast", "none"]),
    "firmware": ("selfio", ["--fast", "none"]),
    "ioemu": ("selfio", ["--fast", "none", "--place", "all=ioemu"]),
    "stubdom": ("selfio", ["--fast", "none", "--place", "all=stubdom"]),
    # Firmware that does nothing: what is left is the way there and back.
    "echo-paged": ("selfio", ["--fast", "none", *ELSE, "--firmware", f"{BUILD}/bench/echo-paged.elf"]),
    "echo-flat": ("selfio", ["--fast", "none", *ELSE, "--firmware", f"{BUILD}/bench/echo-flat.elf"]),
    "fast": ("selfio", ["--fast", "all"]),
}
QUICK = ["inproc", "firmware", "ioemu", "stubdom", "fast"]


def one_run(name, smp, limit=120):
    program, options = VARIANTS[name]
    r = subprocess.run([os.path.join(BUILD, program), "run", "--bios", f"{BUILD}/bench/regs.rom", "--mem", "64M",
                        "--smp", str(smp), "--testdev", *options],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    out, key = {}, None
    for line in r.stdout.replace("\r", "").splitlines():
        m = re.fullmatch(r"([a-z0-9-]+): (?:(99|worst): )?([0-9A-Fa-f]+)", line)
        if m:
            out.setdefault(m[1], {})[m[2] or "median"] = int(m[3], 16)
    if r.returncode or "END: checks: 1" not in r.stdout or len(out) < 11:
        raise RuntimeError(f"{name}: status {r.returncode}\n{r.stdout[-300:]}\n{r.stderr[-600:]}")
    return out


def measure(runs, names, say):
    """{smp: {variant: {access: {median, 99, worst}}}}, ns."""
    raw = {smp: {n: [] for n in names} for smp in (1, 2)}
    for run in range(runs):
        for smp in (1, 2):
            for n in names:
                raw[smp][n].append(one_run(n, smp))
        say(f"registers: run {run + 1} of {runs}")
    return {smp: {n: {a: {k: statistics.median(r[a][k] for r in rs) for k in ("median", "99", "worst")}
                      for a in rs[0]} for n, rs in by.items()} for smp, by in raw.items()}


def table(result):
    lines = []
    for smp, by in result.items():
        names = list(by)
        lines += [f"Median, 99th percentile and worst of one access, us; "
                  f"{'one vCPU' if smp == 1 else 'two vCPUs, the other one computing'}:", "",
                  "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for a in by[names[0]]:
            lines.append(f"| {a} | " + " | ".join(
                "{:.1f} / {:.0f} / {:.0f}".format(*(by[n][a][k] / 1e3 for k in ("median", "99", "worst")))
                for n in names) + " |")
        lines.append("")
    ratios = []
    for smp, by in result.items():
        fw = by["firmware"]["port-read"]["median"]
        ratios.append(f"{smp} vCPU: firmware / inproc {fw / by['inproc']['port-read']['median']:.2f}, "
                      f"ioemu / firmware {by['ioemu']['port-read']['median'] / fw:.2f}, "
                      f"stubdom / firmware {by['stubdom']['port-read']['median'] / fw:.2f}")
    return "\n".join(lines + ["One reflected port read: " + "; ".join(ratios) + ".", ""])


if __name__ == "__main__":
    import json
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    res = measure(n, list(VARIANTS), lambda t: print("bench: " + t, file=sys.stderr, flush=True))
    print(table(res))
    out = os.environ.get("LAB_OUT", os.path.join(BUILD, "bench"))
    with open(os.path.join(out, "regs.json"), "w") as f:
        json.dump(res, f, indent=1)
