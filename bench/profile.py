#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Where the time of a disk request goes, selfio beside QEMU; bench/run.sh profile runs this where KVM is.

The guest of bench.py reads 4 KiB at random places and then 128 KiB in sequence, and writes. While a series runs, KVM's
tracepoints tell for the vCPU's thread where it is: in the guest, in the companion, in KVM, in the VMM
(from the exit to user space to the next entry), or asleep. What a request takes is the guest's own figure; the trace
divides it. Tracing costs time itself, so the shares are what counts: figures to compare come from bench.py. Needs root.
"""
import argparse
import collections
import os
import re
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "tests", "vm"), os.path.join(TOP, "bench")]
import vm  # noqa: E402
from bench import CONTESTANTS, command, warm_disk  # noqa: E402

TRACING = "/sys/kernel/tracing"
PRIVATE = range(0xf0000000, 0xf1000000)  # SIO_PRIV_BASE: where a companion runs, and no guest
PLACES = ("guest", "companion", "KVM", "VMM", "asleep")
LINE = re.compile(r"\s*(\S+)-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (\w+): (.*)")
READS, MIB = 400, 16
SERIES = "4 KiB random read", "128 KiB read", "128 KiB write"


class Trace:
    """An instance for one series, made before it: the guest doesn't wait."""

    def __init__(self, name):
        self.dir = f"{TRACING}/instances/selfio-{os.getpid()}-{name}"
        os.mkdir(self.dir)
        self.put("tracing_on", "0")
        self.put("buffer_size_kb", "32768")
        for e in ("kvm/kvm_entry", "kvm/kvm_exit", "kvm/kvm_userspace_exit", "sched/sched_switch"):
            self.put(f"events/{e}/enable", "1")

    def put(self, name, value):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(value)

    def on(self, yes):
        self.put("tracing_on", "1" if yes else "0")

    def places(self):
        """{place: (seconds, arrivals)} of the threads that run a guest."""
        at, threads = {}, collections.defaultdict(lambda: {p: [0.0, 0] for p in PLACES})

        def go(tid, place, now):
            if tid in at:
                was, since = at[tid]
                threads[tid][was][0] += now - since
            threads[tid][place][1] += 1
            at[tid] = place, now

        woken = {}  # where a sleeper was
        with open(f"{self.dir}/trace", errors="replace") as f:
            for line in f:
                m = LINE.match(line)
                if not m:
                    continue
                tid, now, event, rest = int(m[2]), float(m[3]), m[4], m[5]
                if event == "kvm_entry":
                    rip = re.search(r"rip 0x(\w+)", rest)
                    go(tid, "companion" if rip and int(rip[1], 16) in PRIVATE else "guest", now)
                elif event == "kvm_exit":
                    go(tid, "KVM", now)
                elif event == "kvm_userspace_exit":
                    go(tid, "VMM", now)
                elif event == "sched_switch":
                    if tid in at:
                        woken[tid] = at[tid][0]
                        go(tid, "asleep", now)
                    to = int(re.search(r"next_pid=(\d+)", rest)[1])
                    if to in woken:
                        go(to, woken.pop(to), now)
        total = {p: [0.0, 0] for p in PLACES}
        for places in threads.values():
            if places["guest"][1]:
                for p, (s, n) in places.items():
                    total[p][0] += s
                    total[p][1] += n
        return total

    def close(self):
        self.on(False)
        os.rmdir(self.dir)


def row(who, what, us, places, digits=1):
    """places: {place: (us, times)}"""
    return f"| {who} | {what} | {us:.0f} | " + " | ".join(f"{t:.0f} ({n:.{digits}f})" for t, n in places.values()) + " |"


def table(rows):
    return "\n".join(["| | | us | " + " | ".join(PLACES) + " |", "|---|---|---|" + "---|" * len(PLACES), *rows, ""])


def one_run(who, context):
    """[(series, us for a request, {place: (us, times)})]"""
    disk = warm_disk(context)
    machine, _, more, divisor = CONTESTANTS[who]
    device = "/dev/vda" if machine == "qemu-virtio" else "/dev/sda"
    append = (f"console=ttyS0,115200 quiet panic=-1 sio.test=lat sio.args={device},10,{READS // divisor},"
              f"{MIB // divisor ** 2} {more}" + (" sio.disks=1" if device == "/dev/sda" else ""))
    program, args = command(who, disk, append)
    traces = [Trace(n) for n in range(len(SERIES))]
    m = vm.Machine(context, args, label=f"profile-{who}", command=program)
    ends, out = [], []
    try:
        m.expect(r"READLAT END count=10 ", 300)
        for t in traces:
            m.expect(r"READLAT START", 120)
            t.on(True)
            ends.append(m.expect(r"READLAT END \S+ size=(\d+) ([^\r\n]*)[\r\n]", 600))
            t.on(False)
        m.expect(r"SIO-TEST lat: PASS", 60)
        vm.check(m.wait(60) == 0, f"{who} ended badly")
        for name, t, line in zip(SERIES, traces, ends):
            end = {k: int(v) for k, v in (x.split("=") for x in line[2].decode().split())}
            n = end["bytes"] // int(line[1]) if "bytes" in end else READS // divisor
            us, places = end["total_ns"] / n / 1e3, t.places()
            whole = sum(s for s, _ in places.values()) or 1
            out.append((name, us, {p: (s / whole * us, k / n) for p, (s, k) in places.items()}))
    finally:
        m.kill()
        for t in traces:
            t.close()
    return out


def main():
    p = argparse.ArgumentParser(usage="bench/run.sh profile [--only NAME]...", description=__doc__.splitlines()[0])
    p.add_argument("--only", action="append", metavar="NAME", choices=list(CONTESTANTS),
                   help=f"{', '.join(CONTESTANTS)} (repeatable; default: selfio, qemu-ide)")
    a = p.parse_args()
    out = os.path.join(os.environ["LAB_OUT"], "bench") if vm.IN_LAB else os.path.join(TOP, "build", "bench")
    work = "/scratch/bench" if vm.IN_LAB else os.path.join(out, "work")
    os.makedirs(out, exist_ok=True)
    context, rows = vm.Context("profile", work, out), []
    try:
        for who in a.only or ("selfio", "qemu-ide"):
            for name, us, places in one_run(who, context):
                rows.append(row(who, name, us, places))
            print(f"profile: {who} done", file=sys.stderr, flush=True)
    except (vm.Fail, vm.Skip) as e:
        print(f"profile: {who}: {e}\n" + "\n".join(context.tail()), file=sys.stderr)
        return 1
    finally:
        context.finish()
    text = "us for a request, and of them, with how often it is entered:\n\n" + table(rows)
    print(text)
    with open(os.path.join(out, "profile.md"), "w") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
