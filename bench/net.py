#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures network cards side by side with QEMU's on the same kernel, in one run; bench/run.sh net runs this
where KVM is.

Each run boots Debian's kernel with one card on a TAP interface, whose other end is the host's own network stack
with nettool's server: TCP from and to the guest, 1-byte requests and answers, and datagrams of 64 bytes as fast
as the guest sends them. Counters are taken between the guest's words at the start and at the end of each step,
so a step's figure has the start of a program and a line of output in it. The contestants take turns.

With --profile the vCPU's thread is traced instead (profile.py), which takes time itself: shares are what counts.
"""
import argparse
import json
import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "tests", "vm"), os.path.join(TOP, "bench")]
import vm  # noqa: E402
from bench import MEM, QEMU, Tracepoint, figure, kvm_counters, less, median, share  # noqa: E402
from profile import Trace, row, table  # noqa: E402
from test_net import Tap  # noqa: E402

# name: selfio's options or QEMU's device, the guest's drivers, MiB of a stream
WHO = {
    "selfio-e1000": ("e1000", "e1000", 24),
    "qemu-e1000": ("e1000", "e1000", 24),
    "selfio-rtl8139": ("rtl8139", "8139cp", 12),
    "qemu-rtl8139": ("rtl8139", "8139cp", 12),
    "selfio-ne2k": ("ne2k_pci", "ne2k-pci", 1),
    "qemu-ne2k": ("ne2k_pci", "ne2k-pci", 1),
    "qemu-virtio": ("virtio-net-pci", "virtio_pci+virtio_net", 24),
}
SEGMENT = 1448  # bytes of TCP in a frame of 1,500
STEPS = {"down": "1,448 bytes to the guest", "up": "1,448 bytes from the guest",
         "rr": "a request and its answer", "flood": "a datagram"}


def command(name, tap, append, place):
    kernel, initrd = vm.kernel_args("amd64")[1::2]
    model = WHO[name][0]
    if name.startswith("selfio"):
        return None, ["--kernel", kernel, "--initrd", initrd, "--append", append, "--mem", f"{MEM}M",
                      "--net", f"tap,ifname={tap.name},model={model}", *place]
    if not shutil.which(QEMU):
        raise vm.Skip(f"{QEMU} is not there")
    return [QEMU], ["-accel", "kvm", "-cpu", "host", "-M", "pc,memory-backend=ram,usb=off",
                    "-object", f"memory-backend-memfd,id=ram,size={MEM}M,share=on", "-m", f"{MEM}M",
                    "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
                    "-serial", "stdio", "-no-reboot",
                    "-netdev", f"tap,id=n0,ifname={tap.name},script=no,downscript=no",
                    "-device", f"{model},netdev=n0,romfile=",
                    "-kernel", kernel, "-initrd", initrd, "-append", append]


def one_run(name, context, user_exits, seconds, place, traces=None):
    tap = Tap(context)
    mib = WHO[name][2]
    steps = ["dhcp", f"down:{mib}", f"up:{mib}", f"rr:{seconds}", f"flood:64:{seconds}"]
    append = (f"console=ttyS0,115200 quiet panic=-1 sio.disks=0 sio.test=net "
              f"sio.args={WHO[name][1]},{','.join(steps)}")
    program, args = command(name, tap, append, place)
    m = vm.Machine(context, args, label=name, command=program)

    def counters():
        return {"vms": kvm_counters(m.process.pid), "user": user_exits.read()}

    result = {}
    try:
        m.expect("SIO-NET eth0", 300)
        m.expect("SIO-STEP down", 60)
        for step in STEPS:
            before = counters()
            if traces:
                traces[step].on(True)
            line = m.expect(r"SIO-NET %s ([^\r\n]*)[\r\n]" % step, 300)[1].decode()
            if traces:
                traces[step].on(False)
            spent = less(before, counters())
            speed = float(re.search(r"([\d.]+) (?:KiB/s|per s)", line)[1])
            if step in ("down", "up"):
                count = (mib << 20) / SEGMENT
            elif step == "rr":
                count = speed * seconds
            else:
                count = int(re.search(r"(\d+) sent", line)[1])
            result[step] = {"speed": speed, "count": count,
                            "user": spent["user"] / count if spent["user"] is not None else None,
                            "exits": sum(v.get("exits", 0) for v in spent["vms"][:1]) / count}
        m.expect(r"SIO-TEST net: PASS", 60)
        vm.check(m.wait(60) == 0, f"{name} failed")
    finally:
        m.kill()
    if name.startswith("selfio"):
        result["stats"] = m.stats()
    return result


ROWS = [
    ("TCP to the guest", lambda r: figure(median(r, "down", "speed"), " MiB/s", 1024)),
    ("TCP from the guest", lambda r: figure(median(r, "up", "speed"), " MiB/s", 1024)),
    ("requests and answers over TCP", lambda r: figure(median(r, "rr", "speed"), " /s", 1, 0)),
    ("64-byte datagrams from the guest, arrived", lambda r: figure(median(r, "flood", "speed"), " /s", 1, 0)),
    ("exits to user space for 1,448 bytes to the guest", lambda r: figure(median(r, "down", "user"), "", 1, 2)),
    ("exits to user space for 1,448 bytes from the guest", lambda r: figure(median(r, "up", "user"), "", 1, 2)),
    ("exits to user space for a request and its answer", lambda r: figure(median(r, "rr", "user"), "", 1, 2)),
    ("exits to user space for a datagram", lambda r: figure(median(r, "flood", "user"), "", 1, 2)),
    ("guest's exits of all kinds for 1,448 bytes to it", lambda r: figure(median(r, "down", "exits"), "", 1, 2)),
    ("guest's exits of all kinds for 1,448 bytes from it", lambda r: figure(median(r, "up", "exits"), "", 1, 2)),
    ("CPU time: guest", lambda r: share(r, "guest")),
    ("- models and their PV drivers", lambda r: share(r, "companion")),
    ("- host: reflector, back ends", lambda r: share(r, "host")),
]


def profile(who, context, user_exits, seconds, place):
    """Rows of a table: us for each unit of a step, and of them where the vCPU's thread was, how often it got there."""
    traces, rows = {s: Trace(s) for s in STEPS}, []
    try:
        r = one_run(who, context, user_exits, seconds, place, traces)
        for s, unit in STEPS.items():
            count = r[s]["count"]
            places = {p: (t / count * 1e6, n / count) for p, (t, n) in traces[s].places().items()}
            rows.append(row(who, unit, sum(us for us, _ in places.values()), places, 2))
    finally:
        for t in traces.values():
            t.close()
    return rows


def main():
    p = argparse.ArgumentParser(usage="bench/run.sh net [OPTIONS]", description=__doc__.splitlines()[0])
    p.add_argument("--runs", type=int, default=2, metavar="N", help="runs of each contestant (2)")
    p.add_argument("--seconds", type=int, default=5, metavar="N", help="of requests, of datagrams (5)")
    p.add_argument("--only", action="append", metavar="NAME", choices=WHO, help=", ".join(WHO))
    p.add_argument("--selfio", action="append", default=[], metavar="OPTION", help="a further option of selfio")
    p.add_argument("--profile", action="store_true", help="where the vCPU's thread spends its time, from a trace")
    a = p.parse_args()
    out = os.path.join(os.environ["LAB_OUT"], "bench") if vm.IN_LAB else os.path.join(TOP, "build", "bench")
    work = "/scratch/bench" if vm.IN_LAB else os.path.join(out, "work")
    os.makedirs(out, exist_ok=True)
    who = a.only or list(WHO)
    user_exits = Tracepoint("kvm_userspace_exit")
    measure = profile if a.profile else one_run
    runs, failures, rows = {w: [] for w in who}, [], []
    for n in range(1 if a.profile else a.runs):
        for w in who:
            context = vm.Context("bench-net", work, out)
            try:
                r = measure(w, context, user_exits, a.seconds, a.selfio)
            except (vm.Fail, vm.Skip) as e:
                # The others' figures are worth having all the same.
                print(f"bench: {w}: {e}", *context.tail(), sep="\n", file=sys.stderr, flush=True)
                failures.append(f"run {n + 1} of {w}: {e}".splitlines()[0])
                continue
            finally:
                context.finish()
            if a.profile:
                rows += r
                continue
            runs[w].append(r)
            print(f"run {n + 1} of {a.runs}: {w}: "
                  + ", ".join(f"{k} {r[k]['speed']:.0f} ({figure(r[k]['user'], '', 1, 2)})"
                              for k in ("down", "up", "rr", "flood")), flush=True)
    if a.profile:
        print("\n" + table(rows))
        return bool(failures)
    uname = os.uname()
    lines = [f"Medians of {a.runs} runs, taken in turns"
             f"{' in the lab (nested KVM under software emulation)' if vm.IN_LAB else ''}; kernel "
             f"{uname.release}, guest Debian's amd64 kernel, 1 vCPU, {MEM} MiB.", "",
             "| | " + " | ".join(who) + " |", "|---|" + "---|" * len(who)]
    lines += [f"| {name} | " + " | ".join(f(runs[w]) if runs[w] else "-" for w in who) + " |" for name, f in ROWS]
    if failures:
        lines += ["", "Failed, and left out:", *(f"- {f}" for f in failures)]
    text = "\n".join(lines) + "\n"
    print("\n" + text)
    with open(os.path.join(out, "net.md"), "w") as f:
        f.write(text)
    with open(os.path.join(out, "net.json"), "w") as f:
        json.dump({"runs": runs, "failures": failures, "lab": vm.IN_LAB, "kernel": uname.release}, f, indent=1)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
