#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Disk reads on Xen, in the lab's dom0: through the firmware's IDE (also without fast ranges, and without persistent
grants), the guest's own xen-blkfront, IDE of QEMU in dom0, and in dom0 itself, each from a file of the same kind. They
take turns, short ones since the host's speed changes from minute to minute, and who has none is paused.
tests/xen/run.sh --times runs it.

  bench.py [READS [MIB [PASSES]]]

A line for each pass. CPU time is what Xen has charged to the domain and to dom0 (what xl list and xentop show, in ns)
while the reads were made.
"""
import ctypes
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guests import MIB, Context, check, output, vm  # noqa: E402

READS, MIBS, PASSES = (int(a) for a in (sys.argv[1:] + ["100", "8", "8"][len(sys.argv) - 1:]))


class VcpuInfo(ctypes.Structure):
    """struct xen_domctl_getvcpuinfo"""
    _fields_ = [("vcpu", ctypes.c_uint32), ("online", ctypes.c_uint8), ("blocked", ctypes.c_uint8),
                ("running", ctypes.c_uint8), ("cpu_time", ctypes.c_uint64), ("cpu", ctypes.c_uint32)]


class Control:
    """libxenctrl: xl takes longer than a turn."""

    def __init__(self):
        self.lib = ctypes.CDLL("libxenctrl.so.4.17")
        self.lib.xc_interface_open.restype = ctypes.c_void_p
        self.xc = ctypes.c_void_p(self.lib.xc_interface_open(None, None, 0))

    def cpu_time(self, domid):
        """Of a domain with one vCPU, in ns."""
        info = VcpuInfo()
        check(not self.lib.xc_vcpu_getinfo(self.xc, domid, 0, ctypes.byref(info)), "no CPU time to be had")
        return info.cpu_time

    def pause(self, domid):
        check(not self.lib.xc_domain_pause(self.xc, domid), f"domain {domid} can't be paused")

    def unpause(self, domid):
        check(not self.lib.xc_domain_unpause(self.xc, domid), f"domain {domid} can't be unpaused")


xc = Control()


def report(who, kind, line, domain, dom0):
    """line: the end of readlat's."""
    m = re.search(r"count=(\d+) .*?median_ns=(\d+)", line)
    if m:
        n, ns = int(m[1]), int(m[2])
    else:
        m = re.search(r"size=(\d+) bytes=(\d+) total_ns=(\d+)", line)
        n = int(m[2]) // int(m[1])
        ns = int(m[3]) // n
    print(f"DISK {who}/{kind} {ns} ns a read, CPU {domain // n} ns domain {dom0 // n} ns dom0, {n} reads", flush=True)


def guest(m, who):
    """Follows xenlat in a domain: paused wherever it yields, a turn between that and the next. who: of each disk."""
    domid = 0
    for _ in range(PASSES):
        m.expect(r"XENLAT turn[\r\n]", 240)
        domid = domid or m.domid()
        xc.pause(domid)
        yield
        xc.unpause(domid)
        for _ in range(2 * len(who)):
            at = m.expect(r"XENLAT (\w+) (\w+)[\r\n]", 60)
            # Its reads begin 0.2 s after START, and after END it sleeps.
            m.expect(r"READLAT START", 60)
            before = xc.cpu_time(domid), xc.cpu_time(0)
            end = m.expect(r"READLAT END ([^\r\n]*)[\r\n]", 300)
            report(who[at[1].decode()], at[2].decode(), end[1].decode(), xc.cpu_time(domid) - before[0],
                   xc.cpu_time(0) - before[1])
    m.expect(r"SIO-TEST xenlat: PASS", 60)
    m.wait(60)


def image(t, name):
    path = t.image(name, 64 * MIB)
    subprocess.run(["sync", path], check=True)
    return path


# A kernel that was paused is not to wonder about the time.
PAUSED = "nosoftlockup rcupdate.rcu_cpu_stall_suppress=1 tsc=reliable"


def firmware(t):
    disks = [image(t, f"fw{i}") for i in range(2)]
    m = t.boot("xenlat", [READS, MIBS, PASSES, "sda", "xvda"], disks[:1],
               append=f"xen_emul_unplug=unnecessary {PAUSED}", words="xen",
               extra=[f"format=raw,vdev=xvda,access=rw,target={disks[1]}"], label="fw")
    yield from guest(m, {"sda": "firmware", "xvda": "blkfront"})


def nofast(t):
    m = t.boot("xenlat", [READS, MIBS, PASSES, "sda"], [image(t, "nofast")], append=PAUSED, words="xen nofast",
               label="nofast")
    yield from guest(m, {"sda": "nofast"})


def mapped(t):
    """With a back end that does not keep pages mapped, as those of user space don't."""
    switch = "/sys/module/xen_blkback/parameters/feature_persistent"
    with open(switch, "w") as f:
        f.write("N")
    try:
        m = t.boot("xenlat", [READS, MIBS, PASSES, "sda"], [image(t, "mapped")], append=PAUSED, words="xen",
                   label="mapped")
        turns = guest(m, {"sda": "mapped"})
        next(turns)
    finally:
        with open(switch, "w") as f:
            f.write("Y")
    yield
    yield from turns


def qemu(t):
    m = t.boot_qemu("xenlat", [READS, MIBS, PASSES, "sda"], [image(t, "qemu")], label="qemu", append=PAUSED)
    yield from guest(m, {"sda": "qemu"})


def dom0(t):
    """The program on the loop device that a back end would have."""
    device = output("losetup", "-f", "--show", image(t, "dom0")).strip()
    program = vm.guest_file("bin/readlat", "tests/xen/guests.sh")
    for _ in range(PASSES):
        yield
        for kind, args in (("random", ["--count", READS]), ("sequential", ["--seq", "read", "--mb", MIBS])):
            with subprocess.Popen([program, *map(str, args), device], stdout=subprocess.PIPE, text=True) as p:
                p.stdout.readline()
                before = xc.cpu_time(0)
                line = p.stdout.readline()
                report("dom0", kind, line, 0, xc.cpu_time(0) - before)
    output("losetup", "-d", device)


def main():
    logs = os.path.join(os.environ["LAB_OUT"], "xen-bench")
    os.makedirs(logs, exist_ok=True)
    t = Context("bench", "/scratch/xen-bench", logs)
    bad = 0
    parts = {part.__name__: part(t) for part in (firmware, nofast, mapped, qemu, dom0)}
    while parts:
        for name, part in list(parts.items()):
            try:
                next(part)
                continue
            except StopIteration:
                pass
            except (vm.Fail, vm.Skip, subprocess.SubprocessError, OSError) as e:
                # The others' figures are worth having all the same.
                print(f"FAIL bench {name}: {e}", *t.tail(), sep="\n    ", flush=True)
                bad = 1
            del parts[name]
    t.finish()
    return bad


if __name__ == "__main__":
    sys.exit(main())
