#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures selfio side by side with QEMU; bench/run.sh prepares the guests and runs this where KVM is.

Registers (regs.py): a bare-metal guest times single accesses in each home of the models.

Disks: each run boots Debian's kernel with a small initramfs and one disk, and reads 4 KiB at random places with
O_DIRECT: N reads, then M more of them in a second series. Counters are taken at the start and at the end
of each series; the difference of the two series divided by M - N is what one read costs, without what a
series costs (the serial port's output). Then some MiB in pieces of 128 KiB, read and written. The contestants
take turns, so that a busy host is shared fairly; the same program on the same image without a guest is the last.

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
import subprocess
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))
sys.path.insert(0, os.path.join(TOP, "bench"))
import regs  # noqa: E402
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


# name: whose machine, options of selfio, more of the kernel's command line, divisor of the amount of work
CONTESTANTS = {
    "selfio": ("selfio", [], "", 1),
    "qemu-ide": ("qemu-ide", [], "", 1),
    "qemu-virtio": ("qemu-virtio", [], "", 1),
    "selfio-ioemu": ("selfio", ["--place", "all=ioemu"], "", 1),
    "selfio-stubdom": ("selfio", ["--place", "all=stubdom"], "", 1),
    "selfio-inproc": ("selfio-inproc", [], "", 1),
    "selfio-nofast": ("selfio", ["--fast", "none"], "", 1),
    "selfio-allfast": ("selfio", ["--fast", "all"], "", 1),
    "selfio-pio": ("selfio", [], "libata.dma=0", 4),
    "qemu-pio": ("qemu-ide", [], "libata.dma=0", 4),
}


def command(who, disk, append):
    kernel = ["vmlinuz-amd64", "bench-amd64.cpio"]
    kernel, initrd = (vm.guest_file(k, "bench/run.sh makes it") for k in kernel)
    machine, options, _, _ = CONTESTANTS[who]
    if machine.startswith("selfio"):
        program = None if machine == "selfio" else [os.path.join(os.path.dirname(vm.SELFIO), machine), "run"]
        return program, [*options, "--kernel", kernel, "--initrd", initrd, "--append", append, "--mem", f"{MEM}M",
                      "--disk", disk]
    if not shutil.which(QEMU):
        raise vm.Skip(f"{QEMU} is not there")
    drive = f"file={disk},format=raw,cache=writeback,id=d0,if=none"
    device = {"qemu-ide": "ide-hd,drive=d0,bus=ide.0", "qemu-virtio": "virtio-blk-pci,drive=d0"}[machine]
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


def warm_disk(context):
    """The image, all of it in the page cache: QEMU drops it from there when it ends, which the next one would pay."""
    disk = context.path("disk.img")
    if not os.path.exists(disk):
        context.image("disk.img", 64 << 20)
    with open(disk, "rb") as f:
        while f.read(1 << 20):
            pass
    return disk


def one_run(who, context, reads, user_exits):
    disk = warm_disk(context)
    machine, _, more, divisor = CONTESTANTS[who]
    many = reads // divisor
    few, mib = many // 6, SEQ_MIB // divisor ** 2  # PIO writes take QEMU seconds for a MiB
    device = "/dev/vda" if machine == "qemu-virtio" else "/dev/sda"
    append = (f"console=ttyS0,115200 quiet panic=-1 sio.test=lat sio.args={device},{few},{many},{mib} {more}"
              + (" sio.disks=1" if device == "/dev/sda" else ""))
    program, args = command(who, disk, append)
    stats = None
    if machine == "selfio-inproc":
        stats = context.path("stats-inproc.json")
        args += ["--stats", stats]
    m = vm.Machine(context, args, label=who, command=program)
    m.stats_file = m.stats_file or stats
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
        for what in ("read", "write"):
            line = m.expect(r"READLAT END seq=%s size=131072 ([^\r\n]*)[\r\n]" % what, 300)
            result["seq_" + what] = {k: int(v) for k, v in
                                     (x.split("=") for x in line[1].decode().split())}
        result["memory"] = memory(pid)
        m.expect(r"SIO-TEST lat: PASS", 30)
        status = m.wait(60)
        vm.check(status == 0, f"{who} ended with status {status}")
    finally:
        m.kill()
    result["per_read"] = per(less(series[0], series[1]), many - few)
    if machine.startswith("selfio"):
        result["stats"] = m.stats()
    vms, user = result["per_read"]["vms"], result["per_read"]["user"]
    if user is not None and vms:
        # A companion leaves by port and memory accesses to user space only.
        result["guest_user"] = user - sum(v.get("io_exits", 0) + v.get("mmio_exits", 0) for v in vms[1:])
    return result


def native_run(context, reads):
    """The program without a guest, on the file system where the images are."""
    disk, out = warm_disk(context), {}
    program = os.path.join(vm.GUESTS, "bin", "readlat")

    def figures(*args):
        text = context.shell(program, *args, disk, timeout=300).stdout
        end = next(s for s in text.splitlines() if s.startswith("READLAT END"))
        return {k: int(v) for k, v in (x.split("=") for x in end.split()[2:]) if v.isdigit()}

    out["read"] = figures("--count", str(reads))
    for what in ("read", "write"):
        out["seq_" + what] = figures("--seq", what, "--mb", str(SEQ_MIB))
    return out


SEQ_MIB = 48


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


def share(runs, part):
    parts = [r["stats"]["cpu_ns"] for r in runs if "stats" in r]
    return "-" if not parts else f"{statistics.median(100 * p[part] / sum(p.values()) for p in parts):.0f} %"


ROWS = [
    ("4 KiB random read, median", lambda r: figure(median(r, "read", "median_ns"), " us", 1e3, 0)),
    ("4 KiB random read, 99th percentile", lambda r: figure(median(r, "read", "p99_ns"), " us", 1e3, 0)),
    ("guest's exits for one read, all kinds", lambda r: figure(median(r, "per_read", "vms", 0, "exits"))),
    ("- I/O port exits", lambda r: figure(median(r, "per_read", "vms", 0, "io_exits"))),
    ("- MMIO exits", lambda r: figure(median(r, "per_read", "vms", 0, "mmio_exits"))),
    ("- HLT exits", lambda r: figure(median(r, "per_read", "vms", 0, "halt_exits"))),
    ("companion's hypercalls for one read", lambda r: figure(median(r, "per_read", "vms", 1, "io_exits"))),
    ("companion's PV register accesses", lambda r: figure(median(r, "per_read", "vms", 1, "mmio_exits"))),
    ("128 KiB sequential read", lambda r: figure(median(r, "seq_read", "KiBps"), " MiB/s", 1024)),
    ("128 KiB sequential write", lambda r: figure(median(r, "seq_write", "KiBps"), " MiB/s", 1024)),
    ("CPU time: guest", lambda r: share(r, "guest")),
    ("- models and their PV drivers", lambda r: share(r, "companion")),
    ("- host: reflector, back ends", lambda r: share(r, "host")),
    ("disk data copied on the way", lambda r: figure(median(r, "stats", "disks", 0, "copied"), " bytes", 1, 0)),
    ("- to user space", lambda r: figure(median(r, "guest_user"))),
    ("exits to user space for one read, all VMs", lambda r: figure(median(r, "per_read", "user"))),
    ("start to the guest's init", lambda r: figure(median(r, "init_s"), " s", 1, 2)),
    ("process memory apart from guest RAM, anonymous",
     lambda r: figure(median(r, "memory", "RssAnon"), " KiB", 1, 0)),
    ("- mapped files (mostly shared program text)",
     lambda r: figure(median(r, "memory", "RssFile"), " KiB", 1, 0)),
    ("firmware's private memory",
     lambda r: figure(median(r, "stats", "memory", "firmware_private"), " KiB", 1024, 0)),
]


def plot(out, result):
    """Bars of one access in each home; gnuplot, where it is installed."""
    if not shutil.which("gnuplot"):
        return
    by = result["registers"]["1"]
    names = [n for n in by if n != "fast"]
    with open(os.path.join(out, "regs.dat"), "w") as f:
        f.write("home " + " ".join(("port-read", "mmio-read", "insw-256")) + "\n")
        for n in names:
            f.write(" ".join([n] + [f"{by[n][a]['median'] / 1e3:.2f}"
                                    for a in ("port-read", "mmio-read", "insw-256")]) + "\n")
    script = f"""set terminal pngcairo size 900,500
set output "{out}/regs.png"
set style data histograms
set style fill solid 0.8
set ylabel "us, median"
set yrange [0:*]
set grid y
set key top left
plot for [i=2:4] "{out}/regs.dat" using i:xtic(1) title columnheader(i)
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=False)


def main():
    p = argparse.ArgumentParser(usage="bench/run.sh [OPTIONS]", description=__doc__.splitlines()[0])
    p.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each contestant (5)")
    p.add_argument("--reads", type=int, default=600, metavar="N", help="reads in the long series (600)")
    p.add_argument("--quick", action="store_true", help="one run, few reads, the main contestants")
    p.add_argument("--no-registers", action="store_true", help="disks only")
    p.add_argument("--no-disks", action="store_true", help="registers only")
    p.add_argument("--only", action="append", metavar="NAME", choices=list(CONTESTANTS),
                   help=f"of the disks' contestants: {', '.join(CONTESTANTS)} (repeatable)")
    a = p.parse_args()
    if a.quick:
        a.runs, a.reads = 1, 120
    out = os.path.join(os.environ["LAB_OUT"], "bench") if vm.IN_LAB else os.path.join(TOP, "build", "bench")
    work = "/scratch/bench" if vm.IN_LAB else os.path.join(out, "work")
    os.makedirs(out, exist_ok=True)
    who = a.only or (["selfio", "qemu-ide", "qemu-virtio"] if a.quick else list(CONTESTANTS))
    uname = os.uname()
    where = " in the lab (nested KVM under software emulation)" if vm.IN_LAB else ""
    result = {"lab": vm.IN_LAB, "kernel": uname.release, "runs": a.runs}
    text = ""

    def keep():
        with open(os.path.join(out, "bench.md"), "w") as f:
            f.write(text)
        with open(os.path.join(out, "bench.json"), "w") as f:
            json.dump(result, f, indent=1)

    def say(t):
        print("bench: " + t, file=sys.stderr, flush=True)

    if not a.no_registers:
        names = regs.QUICK if a.quick else list(regs.VARIANTS)
        r = regs.measure(a.runs, names, say)
        result["registers"] = {str(k): v for k, v in r.items()}
        text += f"## Registers\n\nMedians of {a.runs} runs{where}; kernel {uname.release}.\n\n" + regs.table(r) + "\n"
        keep()
        plot(out, result)
    if a.no_disks:
        print("\n" + text)
        return 0
    user_exits = Tracepoint("kvm_userspace_exit")
    context = vm.Context("bench", work, out)
    runs = {w: [] for w in who}
    native = []
    for n in range(a.runs):
        for w in who:
            try:
                r = one_run(w, context, a.reads, user_exits)
            except (vm.Fail, vm.Skip) as e:
                say(f"{w}: {e}\n" + "\n".join(context.tail()))
                return 1
            runs[w].append(r)
            say(f"run {n + 1} of {a.runs}: {w}: init after {r['init_s']:.2f} s, read "
                f"{r['read']['median_ns'] / 1e3:.0f} us, {figure(r['per_read']['user'])} exits to user space")
        native.append(native_run(context, a.reads))
        result["disks"] = runs
        result["native"] = native
        keep()
    context.finish()
    lines = ["## Disks", "", f"Medians of {a.runs} runs, taken in turns{where}; kernel "
             f"{uname.release}, guest Debian's amd64 kernel, 1 vCPU, {MEM} MiB.", "",
             "| | " + " | ".join(who) + " | native |", "|---|" + "---|" * (len(who) + 1)]
    for name, f in ROWS:
        cells = [f(runs[w]) for w in who] + [f(native)]
        if any(c != "-" for c in cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text += "\n".join(lines) + "\n"
    keep()
    print("\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
