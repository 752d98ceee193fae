#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures selfio side by side with QEMU; bench/run.sh prepares the guest and runs this where KVM is.

Each run boots Debian's kernel with a small initramfs and one disk, and reads 4 KiB at random places with
O_DIRECT: N reads, then M more of them in a second series. Counters are taken at the start and at the end
of each series; the difference of the two series divided by M - N is what one read costs, without what a
series costs (the serial port's output). The contestants take turns, so that a busy host is shared fairly.

Counters: KVM's own in debugfs, for each VM (exits, io_exits, mmio_exits); and exits to user space, counted
by the kernel's tracepoint kvm_userspace_exit. Both need root.
"""
import argparse
import ctypes
import json
import os
import shutil
import statistics
import struct
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))
import vm  # noqa: E402

DEBUGFS = "/sys/kernel/debug/kvm"
EVENTS = "/sys/kernel/tracing/events/kvm"
MEM = 256
QEMU = os.environ.get("SELFIO_QEMU", "qemu-system-x86_64")


class Tracepoint:
    """Counts a kernel event on all processors (perf_event_open); None where that is not possible."""

    def __init__(self, name):
        self.fds = []
        try:
            with open(f"{EVENTS}/{name}/id") as f:
                number = int(f.read())
            # type PERF_TYPE_TRACEPOINT, size, config, the rest zero: enabled, no sampling
            attr = struct.pack("IIQ", 2, 112, number) + b"\0" * 96
            call = ctypes.CDLL(None, use_errno=True).syscall
            for cpu in range(os.cpu_count()):
                fd = call(298, attr, -1, cpu, -1, 8)  # PERF_FLAG_FD_CLOEXEC
                if fd < 0:
                    raise OSError(ctypes.get_errno(), "perf_event_open")
                self.fds.append(fd)
        except OSError as e:
            print(f"bench: {name} is not counted: {e}", file=sys.stderr)
            self.fds = []

    def read(self):
        return sum(struct.unpack("Q", os.read(fd, 8))[0] for fd in self.fds) if self.fds else None


def kvm_counters(pid):
    """For each VM of the process in order of creation: its counters."""
    found = []
    try:
        names = [n for n in os.listdir(DEBUGFS) if n.startswith(f"{pid}-")]
    except OSError:
        return found
    for name in sorted(names, key=lambda n: int(n.split("-")[1])):
        one = {}
        for key in ("exits", "io_exits", "mmio_exits", "halt_exits", "irq_exits", "irq_injections"):
            try:
                with open(f"{DEBUGFS}/{name}/{key}") as f:
                    one[key] = int(f.read())
            except (OSError, ValueError):
                pass
        found.append(one)
    return found


def memory(pid):
    """KiB of the process by kind. Guest RAM is shared memory with all contestants (RssShmem)."""
    kib = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("RssAnon", "RssFile", "RssShmem"):
                kib[key] = int(value.split()[0])
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Private_Dirty:"):
                kib["Private_Dirty"] = int(line.split()[1])
    return kib


def command(who, disk, append):
    kernel = ["vmlinuz-amd64", "bench-amd64.cpio"]
    kernel, initrd = (vm.guest_file(k, "bench/run.sh makes it") for k in kernel)
    if who == "selfio":
        return None, ["--kernel", kernel, "--initrd", initrd, "--append", append, "--mem", f"{MEM}M",
                      "--disk", disk]
    if not shutil.which(QEMU):
        raise vm.Skip(f"{QEMU} is not there")
    drive = f"file={disk},format=raw,cache=writeback,id=d0,if=none"
    device = {"qemu-ide": "ide-hd,drive=d0,bus=ide.0", "qemu-virtio": "virtio-blk-pci,drive=d0"}[who]
    return [QEMU], ["-accel", "kvm", "-cpu", "host", "-M", "pc,memory-backend=ram,usb=off",
                    "-object", f"memory-backend-memfd,id=ram,size={MEM}M,share=on", "-m", f"{MEM}M",
                    "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
                    "-serial", "stdio", "-no-reboot", "-drive", drive, "-device", device,
                    "-kernel", kernel, "-initrd", initrd, "-append", append]


def less(a, b):
    """b - a of counters that may be nested."""
    if a is None or b is None:
        return None
    if isinstance(a, dict):
        return {k: less(a[k], b[k]) for k in a}
    if isinstance(a, list):
        return [less(x, y) for x, y in zip(a, b)]
    return b - a


def per(a, n):
    if a is None:
        return None
    if isinstance(a, dict):
        return {k: per(v, n) for k, v in a.items()}
    if isinstance(a, list):
        return [per(v, n) for v in a]
    return a / n


def one_run(who, context, reads, user_exits):
    disk = context.path("disk.img")
    if not os.path.exists(disk):
        context.image("disk.img", 64 << 20)
    few, many = reads // 6, reads
    device = "/dev/vda" if who == "qemu-virtio" else "/dev/sda"
    append = (f"console=ttyS0,115200 quiet panic=-1 sio.test=lat sio.args={device},{few},{many}"
              + (" sio.disks=1" if device == "/dev/sda" else ""))
    program, args = command(who, disk, append)
    m = vm.Machine(context, args, label=who, command=program)
    pid = m.process.pid

    def counters():
        return {"vms": kvm_counters(pid), "user": user_exits.read()}

    try:
        m.expect(r"SIO-INIT: up", 300)
        result = {"init_s": m.last_seen - m.began}
        series = []
        for n in (few, many):
            m.expect(r"READLAT START", 120, what=f"the start of a series\n{m.out.data[-600:]}")
            before = counters()
            line = m.expect(r"READLAT END count=%d size=4096 ([^\r\n]*)[\r\n]" % n, 900)
            series.append(less(before, counters()))
            result["read"] = {k: int(v) for k, v in
                              (x.split("=") for x in line[1].decode().split())}
        result["memory"] = memory(pid)
        m.expect(r"SIO-TEST lat: PASS", 30)
        status = m.wait(60)
        vm.check(status == 0, f"{who} ended with status {status}")
    finally:
        m.kill()
    result["per_read"] = per(less(series[0], series[1]), many - few)
    if who == "selfio":
        result["stats"] = m.stats()
    return result


def median(runs, *path):
    values = []
    for r in runs:
        try:
            for p in path:
                r = r[p]
        except (KeyError, IndexError):
            continue
        if r is not None:
            values.append(r)
    return statistics.median(values) if values else None


def figure(value, unit="", scale=1, digits=1):
    return "-" if value is None else f"{value / scale:.{digits}f}{unit}"


ROWS = [
    ("4 KiB random read, median", lambda r: figure(median(r, "read", "median_ns"), " us", 1e3, 0)),
    ("4 KiB random read, 99th percentile", lambda r: figure(median(r, "read", "p99_ns"), " us", 1e3, 0)),
    ("guest's exits for one read, all kinds", lambda r: figure(median(r, "per_read", "vms", 0, "exits"))),
    ("- I/O port exits", lambda r: figure(median(r, "per_read", "vms", 0, "io_exits"))),
    ("- MMIO exits", lambda r: figure(median(r, "per_read", "vms", 0, "mmio_exits"))),
    ("- HLT exits", lambda r: figure(median(r, "per_read", "vms", 0, "halt_exits"))),
    ("companion's exits for one read", lambda r: figure(median(r, "per_read", "vms", 1, "exits"))),
    ("exits to user space for one read, all VMs", lambda r: figure(median(r, "per_read", "user"))),
    ("start to the guest's init", lambda r: figure(median(r, "init_s"), " s", 1, 2)),
    ("process memory apart from guest RAM, anonymous",
     lambda r: figure(median(r, "memory", "RssAnon"), " KiB", 1, 0)),
    ("- mapped files (mostly shared program text)",
     lambda r: figure(median(r, "memory", "RssFile"), " KiB", 1, 0)),
    ("firmware's private memory",
     lambda r: figure(median(r, "stats", "memory", "firmware_private"), " KiB", 1024, 0)),
]


def main():
    p = argparse.ArgumentParser(usage="bench/run.sh [OPTIONS]", description=__doc__.splitlines()[0])
    p.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each contestant (3)")
    p.add_argument("--reads", type=int, default=600, metavar="N", help="reads in the long series (600)")
    p.add_argument("--only", action="append", metavar="NAME", choices=["selfio", "qemu-ide", "qemu-virtio"],
                   help="selfio, qemu-ide or qemu-virtio (repeatable)")
    a = p.parse_args()
    out = os.path.join(os.environ["LAB_OUT"], "bench") if vm.IN_LAB else os.path.join(TOP, "build", "bench")
    work = "/scratch/bench" if vm.IN_LAB else os.path.join(out, "work")
    os.makedirs(out, exist_ok=True)
    who = a.only or ["selfio", "qemu-ide", "qemu-virtio"]
    user_exits = Tracepoint("kvm_userspace_exit")
    context = vm.Context("bench", work, out)
    runs = {w: [] for w in who}
    for n in range(a.runs):
        for w in who:
            try:
                r = one_run(w, context, a.reads, user_exits)
            except (vm.Fail, vm.Skip) as e:
                print(f"bench: {w}: {e}", *context.tail(), sep="\n", file=sys.stderr)
                return 1
            runs[w].append(r)
            print(f"run {n + 1} of {a.runs}: {w}: init after {r['init_s']:.2f} s, read "
                  f"{r['read']['median_ns'] / 1e3:.0f} us, {figure(r['per_read']['user'])} exits to user "
                  "space", flush=True)
    context.finish()
    uname = os.uname()
    lines = [f"Medians of {a.runs} runs, taken in turns"
             f"{' in the lab (nested KVM under software emulation)' if vm.IN_LAB else ''}; kernel "
             f"{uname.release}, guest Debian's amd64 kernel, 1 vCPU, {MEM} MiB.", "",
             "| | " + " | ".join(who) + " |", "|---|" + "---|" * len(who)]
    for name, f in ROWS:
        cells = [f(runs[w]) for w in who]
        if any(c != "-" for c in cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    print("\n" + text)
    with open(os.path.join(out, "bench.md"), "w") as f:
        f.write(text)
    with open(os.path.join(out, "bench.json"), "w") as f:
        json.dump({"runs": runs, "lab": vm.IN_LAB, "kernel": uname.release}, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
