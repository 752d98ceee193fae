#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""table.py FILE: the tables of docs/benchmarks.md, out of what tests/xen/run.sh --times has printed."""
import re
import statistics
import sys

WHO = {"firmware": "IDE in the firmware", "nofast": "the same, `nofast`",
       "mapped": "without persistent grants", "qemu": "IDE of QEMU in dom0",
       "blkfront": "guest's xen-blkfront", "dom0": "dom0 itself"}
KINDS = {"random": "4 KiB, random", "sequential": "128 KiB, sequential"}


def add(table, key, *values):
    table.setdefault(key, []).append(values)


def medians(rows):
    return [statistics.median(column) for column in zip(*rows)]


def us(ns):
    return f"{ns / 1000:.1f}" if ns < 100000 else f"{ns / 1000:.0f}"


def main():
    variant = domain = ""
    access, disk, waits = {}, {}, []
    for line in open(sys.argv[1]):
        m = re.match(r"RUN (\w+)", line)
        if m:
            variant = m[1]
        m = re.match(r"TIME (.*) (\d+) ns", line)
        if m:
            waits.append((m[1], int(m[2])))
        m = re.match(r"PASS domain (\S+):", line)  # ends a domain's lines
        if m:
            for what, ns in waits:
                add(access, (m[1], variant, what), ns)
            waits = []
        m = re.match(r"DISK (\w+)/(\w+) (\d+) ns a read, CPU (\d+) ns domain (\d+) ns dom0", line)
        if m:
            add(disk, (m[1], m[2]), *map(int, m.groups()[2:]))

    print("| us | without firmware: stock Xen | ours | of a domain with firmware |\n|---|---|---|---|")
    cells = {}
    for (domain, variant, what), rows in access.items():
        column = 2 if domain == "time" else variant != "stock"
        if domain != "hvm" and (domain == "hvm-times") == ("QEMU" in what):
            cells.setdefault(what, ["", "", ""])[column] = us(medians(rows)[0])
    for what, row in cells.items():
        print(f"| {what} | {' | '.join(row)} |")

    for kind, title in KINDS.items():
        names = [w for w in WHO if (w, kind) in disk]
        if not names:
            continue
        columns = [medians(disk[w, kind]) for w in names]
        print(f"\n| {title} read | {' | '.join(WHO[w] for w in names)} |\n|---{'|---' * len(names)}|")
        for i, what in enumerate(("time, us", "CPU time of the domain, us", "CPU time of dom0, us")):
            print(f"| {what} | {' | '.join(us(c[i]) for c in columns)} |")
        if kind == "sequential":
            print(f"| MiB/s | {' | '.join(f'{125e6 / c[0]:.1f}' for c in columns)} |")
        # Side by side in time: contestants take turns, and the host's speed is not the same in each.
        turns = zip(disk.get(("firmware", kind), []), disk.get(("qemu", kind), []))
        ratios = sorted(qemu[0] / ours[0] for ours, qemu in turns)
        if ratios:
            print(f"\n{title}: times as fast as QEMU, turn by turn: {statistics.median(ratios):.1f} "
                  f"(median of {', '.join(f'{r:.1f}' for r in ratios)})")


if __name__ == "__main__":
    main()
