# SPDX-License-Identifier: BSD-2-Clause
"""What the disk does with data: a long random mix, and backing stores that fail."""
import filecmp
import fcntl
import os
import re
import signal
import struct
import time

from vm import GUESTS, Fail, Skip, TROUBLE, check, readable, sha256, test

MIB = 1 << 20
RESETS = rb"lost interrupt|qc timeout|hard resetting|frozen|SRST failed|nobody cared|blocked for more"


def host_program(name):
    path = os.path.join(GUESTS, "bin", name)
    if not os.path.exists(path):
        raise Skip(f"{path} is not there (tools/guests/programs.sh)")
    return path


def diskmix(t, ops, disks, mib, seed, limit=900, suffix="", options=(), meanwhile=None, **kwargs):
    """A random mix in the guest; then image and model must be equal, byte for byte."""
    program = host_program("diskmix")
    images = [t.image(f"disk{i}", mib * MIB, fill=False) for i in range(disks)]
    m = t.boot("mix", [disks, "--seed", seed, "--ops", ops, *options], [i + suffix for i in images],
               **kwargs)
    m.expect(r"SIO-INIT: %d disks" % disks, 120, what=f"{disks} disks")
    if meanwhile:
        meanwhile(m)
    done = m.expect(r"diskmix: (\d+) operations on \d+ disks in (\d+) ms, 0 errors", limit)
    m.expect(r"SIO-TEST mix: PASS", 30)
    m.finish(errors=meanwhile is not None)
    models = [t.image(f"model{i}", mib * MIB, fill=False) for i in range(disks)]
    t.shell(program, "--seed", seed, "--ops", ops, *options, "--model", *models, timeout=300)
    for image, model in zip(images, models):
        check(filecmp.cmp(image, model, shallow=False),
              f"{os.path.basename(image)} and its model differ")
    s = m.stats()["disks"]
    check(len(s) == disks and all(d["writes"] and d["reads"] and d["flushes"] for d in s),
          f"a PV disk was not used: {s}")
    t.note(f"{int(done[1])} operations in {int(done[2]) / 1000:.0f} s of the guest's time")
    return m


@test("disk-mix", cost=200)
def disk_mix(t):
    """20,000 reads, writes and flushes on four disks of both channels, 512 B to 256 KiB, O_DIRECT."""
    diskmix(t, 20000, 4, 32, 7, smp=2)


@test("disk-mix-short", quick=True, cost=40)
def disk_mix_short(t):
    diskmix(t, 1500, 4, 16, 11, smp=2)


def mix_fast(name, fast, smp):
    @test(f"disk-mix-fast-{name}-{smp}", cost=300)
    def disk_mix_fast(t):
        diskmix(t, 20000, 4, 32, 7, limit=1800, smp=smp, more=["--fast", fast])


for SMP in (1, 4):
    for FAST in ("none", "posted", "shadow", "clock", "readthrough", "fifo", "doorbell", "irq", "all"):
        mix_fast(FAST, FAST, SMP)


@test("disk-mix-direct", cost=40)
def disk_mix_direct(t):
    """The back end with O_DIRECT: buffers on 512-byte boundaries only."""
    diskmix(t, 1000, 2, 16, 13, suffix=",direct")


@test("disk-mix-pio", cost=60)
def disk_mix_pio(t):
    """READ and WRITE MULTIPLE instead of DMA."""
    diskmix(t, 200, 2, 4, 17, options=["--max", 16384], append="libata.dma=0")


@test("disk-ioemu-killed", cost=120)
def ioemu_killed(t):
    """The process that emulates the disks is killed in the middle of it: the driver finds reset ones, and nothing is lost."""
    def kill(m):
        for _ in range(2):
            time.sleep(4)
            check(not m.seen(r"diskmix: \d+ operations"), "the mix was over too soon")
            child = t.shell("pgrep", "-P", m.process.pid, "-f", "selfio-ioemu").stdout.split()
            check(len(child) == 1, f"processes of the domain: {child}")
            os.kill(int(child[0]), signal.SIGKILL)
            m.expect(r"exception Emask", 120)  # the command on its way is lost, and made again

    m = diskmix(t, 3000, 2, 16, 23, meanwhile=kill, more=["--place", "ide=ioemu", "--on-panic", "reset"])
    again = sum("its devices are reset in a fresh ioemu" in s for s in m.messages())
    check(again == 2, f"{again} fresh processes")


@test("disk-fs-i386", cost=40)
def disk_fs_i386(t):
    """An i386 guest makes a file system, writes, remounts, compares; the host checks it."""
    disk = t.image("disk.img", 64 * MIB, fill=False)
    t.shell("mkfs.ext4", "-q", "-F", disk)
    m = t.boot("fsmix", disks=[disk], arch="i386", smp=2)
    m.expect(r"SIO-TEST fsmix: PASS", 300)
    m.finish()
    t.shell("e2fsck", "-fn", disk)


def errdisk(t, m, make_room, limit=200):
    m.expect(r"ERRDISK WAITING FOR SPACE", limit, bad=[r"ERRDISK DONE", r"Kernel panic"])
    make_room()
    m.expect(r"RETRY OK", 100)
    m.expect(r"ERRDISK DONE failed=(\d+) verify=ok", limit)
    m.expect(r"SIO-TEST errdisk: PASS", 30)


def hangs(m):
    found = re.search(RESETS, m.out.data)
    if found:
        line = next((s for s in readable(bytes(m.out.data)) if re.search(RESETS, s.encode())), "")
        raise Fail(f"the guest saw a hang instead of an error: {line}")


def mount_small(t, kind, mib):
    """A small file system of its own, mounted; gone at the end."""
    if os.getuid() != 0:
        raise Skip("mounting a small file system needs root (or the lab)")
    where = t.path("small")
    os.mkdir(where)
    if kind == "tmpfs":
        t.shell("mount", "-t", "tmpfs", "-o", f"size={mib}M", "small", where)
    else:
        backing = t.image("small.fs", mib * MIB, fill=False)
        t.shell("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", backing)
        t.shell("mount", "-o", "loop", backing, where)
    t.at_end(t.shell, "umount", where)
    return where


def enospc(t, kind, suffix=""):
    where = mount_small(t, kind, 24)
    filler, disk = os.path.join(where, "filler"), os.path.join(where, "disk.img")
    with open(disk, "wb") as f:
        f.truncate(32 * MIB)
    with open(filler, "wb") as f:
        f.write(b"\xff" * (16 * MIB))
        f.flush()
        os.fsync(f.fileno())
    m = t.boot("errdisk", ["--mb", 12, "/dev/sda"], [disk + suffix])
    errdisk(t, m, lambda: os.unlink(filler))
    m.finish(errors=True)
    hangs(m)
    s = m.stats()["disks"][0]
    check(s["errors"] > 0, "the PV disk counted no error")


@test("disk-enospc-ext4", cost=40)
def enospc_ext4(t):
    """A sparse image on a full ext4: the guest gets errors; with space again, it goes on, nothing lost."""
    enospc(t, "ext4")


@test("disk-enospc-tmpfs", cost=40)
def enospc_tmpfs(t):
    enospc(t, "tmpfs")


@test("disk-eio", quick=True, cost=30)
def eio(t):
    """Sectors that fail: ATA errors at once for these, all others are as before."""
    disk = t.image("disk.img", 4 * MIB)
    m = t.boot("badsector", [2048, 8], [f"{disk},inject=eio@2048+8"])
    m.expect(r"SIO-TEST badsector: PASS", 250)
    m.finish(errors=True)
    hangs(m)
    check(TROUBLE.search(m.out.data), "the guest's log has no ATA error")
    sums = dict(re.findall(r"SIO-SUM (\w+) ([0-9a-f]{64})", m.out.data.decode(errors="replace")))
    bad, end = 2048 * 512, (2048 + 8) * 512
    check(sums.get("before") == sha256(disk, 0, bad), "what lies before the bad sectors reads wrong")
    check(sums.get("after") == sha256(disk, end), "what lies behind the bad sectors reads wrong")


@test("disk-eio-pio", cost=30)
def eio_pio(t):
    disk = t.image("disk.img", 4 * MIB)
    m = t.boot("badsector", [2048, 8], [f"{disk},inject=eio@2048+8"], append="libata.dma=0")
    m.expect(r"SIO-TEST badsector: PASS", 250)
    m.finish(errors=True)
    hangs(m)


def loop_device(t, path):
    r = t.shell("losetup", "--find", "--show", path)
    device = r.stdout.strip()
    t.at_end(t.shell, "losetup", "-d", device)
    return device


@test("disk-eio-devmapper", cost=35)
def eio_devmapper(t):
    """A host block device that fails (device-mapper's error target), then is repaired under the guest."""
    if os.getuid() != 0 or not os.path.exists("/dev/mapper/control"):
        raise Skip("needs root and device-mapper (the lab has both)")
    disk = t.image("disk.img", 16 * MIB)
    loop = loop_device(t, disk)
    name = "selfio-test"
    good = f"0 32768 linear {loop} 0"
    bad = (f"0 8192 linear {loop} 0\n8192 4096 error\n12288 20480 linear {loop} 12288")
    t.shell("dmsetup", "create", name, "--table", bad)
    t.at_end(t.shell, "dmsetup", "remove", "--force", name)
    device = f"/dev/mapper/{name}"
    t.shell("dmsetup", "mknodes")
    with open(device, "rb") as f:  # BLKGETSIZE64
        size = struct.unpack("Q", fcntl.ioctl(f, 0x80081272, b"\0" * 8))[0]
    check(size == 16 * MIB, f"the device has {size} bytes")
    m = t.boot("errdisk", ["--mb", 8, "/dev/sda"], [device + ",direct"])

    def repair():
        t.shell("dmsetup", "suspend", name)
        t.shell("dmsetup", "load", name, "--table", good)
        t.shell("dmsetup", "resume", name)

    errdisk(t, m, repair)
    m.finish(errors=True)
    hangs(m)
