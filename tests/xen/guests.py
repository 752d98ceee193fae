#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Guests on Xen, with the bodies of the VM tests. tests/xen/guests.sh runs this in the lab's dom0.

  guests.py [--list] [--share] [--words=WORDS] [PATTERN...]

A domain's "process" is xl in the foreground, which waits for the domain's end; its console is the log that xenconsoled
writes; its statistics are those of the back ends in dom0's kernel.
"""
import fnmatch
import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "vm"), os.path.join(ROOT, "tools", "xen")]
XEN = os.environ.get("SIO_XEN", os.path.join(ROOT, "build", "xen"))
import archive  # noqa: E402
import run  # noqa: E402
import vm  # noqa: E402
from vm import Fail, check  # noqa: E402

MIB = 1 << 20
FIRMWARE = os.environ.get("SIO_FW_XEN", os.path.join(ROOT, "build", "selfio-fw-xen.elf"))
BIOS = "/usr/share/seabios/bios-256k.bin"
BACKENDS = "/sys/bus/xen-backend/devices"
POWEROFF, REBOOT, CRASH = 0, 1, 3  # as xl says it
# QEMU of Debian's Xen, unpacked, with its libraries for itself alone. (It wants a keymap even for no screen.)
QEMU = """#!/bin/sh
export LD_LIBRARY_PATH={q}/usr/lib/x86_64-linux-gnu:{q}/usr/lib/x86_64-linux-gnu/pulseaudio:$LD_LIBRARY_PATH
exec {q}/usr/libexec/xen-qemu-system-i386 -L /tmp/qemu.d -L /usr/share/qemu "$@"
"""
TESTS = {}


def test(name, cost=25, quick=True):
    def register(function):
        TESTS[name] = vm.Test(function, name, quick, cost)
        return function
    return register


def output(*argv, timeout=60):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, text=True, errors="replace").stdout


def tsc_khz():
    """For a kernel's command line: calibration by PIT and PM timer fails where each read of them takes 0.1 ms, and with
    several processors on the lab's one a clock that is reflected costs minutes."""
    return int(float(re.search(r"^cpu_mhz *: ([\d.]+)", output("xl", "info"), re.M)[1]) * 1000)


class Domain(vm.Machine):
    """A domain, from xl create to its end."""

    def __init__(self, context, config, label="", log=None):
        self.context, self.label, self.name = context, label, f"sio{len(context.machines)}"
        self.began = time.monotonic()
        self.changed = threading.Condition()
        self.position, self.stats_file, self.final, self.reasons = 0, None, None, []
        path = context.path(self.name + ".cfg")
        with open(path, "w") as f:
            f.write(f'name = "{self.name}"\n{config}')
        context.say(config)
        log = log or f"/var/log/xen/console/guest-{self.name}.log"
        os.makedirs(os.path.dirname(log), exist_ok=True)
        open(log, "wb").close()
        self.tail = subprocess.Popen(["tail", "-s", "0.3", "-f", log], stdout=subprocess.PIPE, bufsize=0,
                                     preexec_fn=vm.die_with_parent)
        self.process = subprocess.Popen(["xl", "create", "-F", path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                                        preexec_fn=vm.die_with_parent)
        self.out = self.console = vm.Stream(os.dup(self.tail.stdout.fileno()), context.log(label), self.changed)
        self.err = vm.Stream(os.dup(self.process.stdout.fileno()), context.log(label + ".xl"), self.changed)
        self.tail.stdout.close()
        self.process.stdout.close()
        context.machines.append(self)
        self.moving = False
        threading.Thread(target=self.watch, args=[self.process], daemon=True).start()

    def watch(self, process):
        """What the tests see as the end of the console: some time after xl's end, all is there."""
        process.wait()
        if self.moving:
            return
        self.final = self.backends()
        time.sleep(1)
        self.tail.terminate()

    def save_and_restore(self):
        """From then on it is another domain of the same name."""
        path = self.context.path("saved")
        self.moving = True
        began = time.monotonic()
        self.context.shell("xl", "save", self.name, path, timeout=200)
        self.context.note(f"{os.path.getsize(path) >> 20} MiB saved in {time.monotonic() - began:.0f} s")
        self.process.wait(60)
        self.process = subprocess.Popen(["xl", "restore", "-F", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0, preexec_fn=vm.die_with_parent)
        self.err = vm.Stream(os.dup(self.process.stdout.fileno()), self.context.log(self.label + ".xl2"), self.changed)
        self.process.stdout.close()
        with self.changed:
            check(self.changed.wait_for(lambda: b"Waiting for domain" in self.err.data or self.err.ended, 120)
                  and not self.err.ended, f"xl does not restore the domain: {self.xl()}")
        self.moving = False
        threading.Thread(target=self.watch, args=[self.process], daemon=True).start()

    def xl(self):
        return bytes(self.err.data).decode(errors="replace")

    def domid(self):
        out = output("xl", "domid", self.name).strip()
        return int(out) if out.isdigit() else None

    def backends(self):
        """One entry for each disk of the firmware's, in order."""
        found, domid = [], self.domid()
        for vdev in (768, 832, 5632, 5696):
            where = f"{BACKENDS}/vbd-{domid}-{vdev}/statistics/"
            if os.path.isdir(where):
                v = {n: int(open(where + n).read()) for n in os.listdir(where)}
                found.append({"reads": v["rd_req"], "writes": v["wr_req"], "flushes": v["f_req"],
                              "bytes_read": v["rd_sect"] * 512, "bytes_written": v["wr_sect"] * 512,
                              "errors": 0})
        return found

    def stats(self):
        return {"disks": self.final if self.final is not None else self.backends()}

    def wait(self, timeout=60):
        """0: the guest has powered itself off."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f"the domain is still there after another {timeout:.0f} s") from None
        for s in (self.out, self.err):
            s.thread.join(10)
        reasons = re.findall(r"has shut down, reason code (\d+)", self.xl())
        output("xl", "destroy", self.name)
        self.reasons = [int(r) for r in reasons]
        self.seconds = time.monotonic() - self.began
        return self.reasons[-1] if reasons else self.process.returncode or 1

    def messages(self):
        return [s for s in bytes(self.out.data).decode(errors="replace").splitlines()
                if s.startswith("selfio: ") and "private memory are left" not in s]

    def diagnose(self):
        with open(self.context.log(self.label + ".stuck"), "w") as f:
            f.write(self.xl() + output("xl", "list", "-v") + output("xl", "vcpu-list"))
            output("xl", "debug-keys", "q")
            f.write(output("xl", "dmesg"))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.domid() is not None:
            output("xl", "destroy", self.name)
        self.tail.kill()


class Context(vm.Context):
    words = ""  # for every firmware

    def boot(self, program="", args=(), disks=(), arch="amd64", smp=1, mem="256M", append="", label="", more=(),
             extra=(), on_reboot="preserve", words="", vifs=()):
        """As on KVM. extra: further disks of the domain's, as xl has them, and vifs; words: for the firmware."""
        line = self.line("ttyS0,115200", program, args, disks,
                         f"tsc_early_khz={tsc_khz()} {'tsc=reliable ' if smp > 1 else ''}{append}")
        boot = self.path(f"boot{len(self.machines)}")
        archive.write(boot, BIOS, vm.guest_file("vmlinuz-" + ("686" if arch == "i386" else "amd64"), "tests/run.sh"),
                      os.path.join(XEN, f"test-{arch}.cpio"), line.strip())
        disk = [f"format=raw,vdev=hd{'abcd'[i]},access=rw,target={d}" for i, d in enumerate(disks)] + list(extra)
        return self.start(boot, disk, smp, int(mem.rstrip("M")), label, on_reboot, words, vifs)

    @staticmethod
    def line(console, program, args, disks, append):
        line = f"console={console} quiet panic=-1 sio.disks={len(disks)}"
        if program:
            line += f" sio.test={program}"
        if args:
            line += " sio.args=" + ",".join(str(a) for a in args)
        return f"{line} {append}".strip()

    def plain(self, kind, line, disk, label, more=(), log=None):
        """A domain that has nothing of ours."""
        return Domain(self, "\n".join([
            f'type = "{kind}"', f'kernel = "{vm.guest_file("vmlinuz-amd64", "tests/run.sh")}"',
            f'ramdisk = "{os.path.join(XEN, "test-amd64.cpio")}"', f'cmdline = "{line}"', "memory = 256", "vcpus = 1",
            'tsc_mode = "native"', 'on_poweroff = "preserve"', 'on_crash = "preserve"', 'on_reboot = "preserve"',
            "disk = [ " + ", ".join(f'"format=raw,vdev={v},access=rw,target={d}"' for v, d in disk) + " ]",
            *more]) + "\n", label, log)

    def boot_qemu(self, program, args, disks, label="", append=""):
        """The guest with QEMU in dom0 for its devices."""
        where = os.environ.get("SIO_XEN_QEMU", "")
        if not os.path.isdir(where):
            raise vm.Skip("QEMU for Xen is not there (tools/xen/fetch.sh --qemu)")
        os.makedirs("/tmp/qemu.d/keymaps", exist_ok=True)
        with open("/tmp/qemu.d/keymaps/en-us", "w") as f:
            f.write("map 0x409\n")
        with open("/tmp/qemu", "w") as f:
            f.write(QEMU.format(q=where))
        os.chmod("/tmp/qemu", 0o755)
        log = "/tmp/qemu-guest.log"
        line = self.line("ttyS0,115200", program, args, disks,
                         f"xen_emul_unplug=never tsc_early_khz={tsc_khz()} {append}".strip())
        return self.plain("hvm", line, [(f"hd{'abcd'[i]}", d) for i, d in enumerate(disks)], label, [
            'device_model_version = "qemu-xen"', 'device_model_override = "/tmp/qemu"', 'vga = "none"', "vnc = 0",
            "nographic = 1", f'serial = "file:{log}"'], log)

    def start(self, boot, disk, smp=1, mem=256, label="", on_reboot="preserve", words="", vifs=()):
        return Domain(self, "\n".join([
            'type = "pvh"', f'kernel = "{FIRMWARE}"', f'ramdisk = "{boot}"', f'cmdline = "{self.words} {words}"',
            f"memory = {mem}", f"vcpus = {smp}",
            'tsc_mode = "native"',  # without it TSC reads exit, and QEMU's emulation reports them wrongly
            'on_poweroff = "preserve"', 'on_crash = "preserve"', f'on_reboot = "{on_reboot}"',
            "disk = [ " + ", ".join(f'"{d}"' for d in disk) + " ]",
            "vif = [ " + ", ".join(f'"{v}"' for v in vifs) + " ]"]) + "\n", label)


def bodies(name):
    """A module of the VM tests, for what its tests are made of."""
    return importlib.import_module(name)


def smoke(name, cost=25, arch="amd64", mode="dma", smp=1, size=8 * MIB):
    @test(name, cost)
    def boot(t):
        _, init = bodies("test_boot").smoke(t, mode, size, arch=arch, smp=smp)
        check(int(init[4]) == smp, f"{init[4].decode()} processors in the guest, not {smp}")
        check(init[3] == {"amd64": b"x86_64", "i386": b"i686"}[arch], f"the guest is {init[3]}")


smoke("boot-amd64-dma")
smoke("boot-amd64-pio", mode="pio", size=2 * MIB)
smoke("boot-i386-dma", arch="i386")
smoke("boot-i386-pio", arch="i386", mode="pio", size=2 * MIB)
smoke("boot-amd64-smp2", smp=2, cost=40)
smoke("boot-amd64-smp4", smp=4, cost=55)
smoke("boot-i386-smp4", arch="i386", smp=4, cost=40)


@test("reboot", cost=130)
def reboot(t):
    """The guest reboots itself twice: xl starts it anew (on_reboot=restart), and its disk is as it left it."""
    disk = t.image("disk.img", MIB, fill=False)
    m = t.boot("reboots", [3], [disk], smp=2, on_reboot="restart")
    for n in (1, 2, 3):
        m.expect(r"SIO-INIT: up [\d.]+s, Linux \S+ \S+, 2 cpus", 150)
        m.expect(rf"SIO-REBOOTS {n} of 3", 60)
    m.expect(r"SIO-TEST reboots: PASS", 60)
    m.finish()
    check(m.reasons == [REBOOT, REBOOT, POWEROFF], f"xl saw the domain end for the reasons {m.reasons}")
    with open(disk, "rb") as f:
        data = f.read()
    want = b"3".ljust(512, b"\0") + b"".join(b"%d\n" % n * 256 for n in (1, 2, 3))
    check(data == want.ljust(MIB, b"\0"), "the disk is not what three boots wrote")


@test("shutdown", cost=45)
def shutdown(t):
    """xl reboot and xl shutdown press the power button of a guest that knows nothing of Xen; it then powers itself off."""
    m = t.boot("button", on_reboot="restart")
    for what in ("reboot", "shutdown"):
        m.expect(r"SIO-BUTTON: ready", 150)
        t.shell("xl", what, m.name, timeout=60)
        m.expect(r"SIO-TEST button: PASS", 60)
    m.finish()
    check(m.reasons == [REBOOT, POWEROFF], f"xl saw the domain end for the reasons {m.reasons}")


@test("disk-mix", cost=400, quick=False)
def disk_mix(t):
    """20,000 random reads, writes and flushes on four disks; images and model must be equal."""
    bodies("test_disk").diskmix(t, 20000, 4, 32, 7, limit=600)


@test("disk-mix-i386", cost=500, quick=False)
def disk_mix_i386(t):
    """The same by an i386 guest with two processors."""
    bodies("test_disk").diskmix(t, 20000, 4, 32, 7, limit=900, arch="i386", smp=2)


@test("disk-mix-short", cost=35)
def disk_mix_short(t):
    bodies("test_disk").diskmix(t, 1500, 4, 16, 11)


@test("disk-mix-pio", cost=25)
def disk_mix_pio(t):
    bodies("test_disk").diskmix(t, 200, 2, 4, 17, options=["--max", 16384], append="libata.dma=0")


@test("disk-fs-i386", cost=30)
def disk_fs_i386(t):
    """An i386 guest makes a file system, writes, remounts, compares; it is checked from outside."""
    bodies("test_disk").disk_fs_i386(t)


@test("own-blkfront", cost=25)
def own_blkfront(t):
    """A guest that knows Xen: its own xen-blkfront on one disk, the firmware's on another, both busy at once."""
    images = [t.image(f"disk{i}", 16 * MIB, fill=False) for i in range(2)]
    mix = ["--seed", 23, "--ops", 1000]
    m = t.boot("blkfront", ["/dev/sda", *mix], images[:1], append="xen_emul_unplug=unnecessary", words="xen",
               extra=[f"format=raw,vdev=xvda,access=rw,target={images[1]}"])
    m.expect(r"diskmix: 1000 operations on 2 disks in (\d+) ms, 0 errors", 300)
    m.expect(r"SIO-TEST blkfront: PASS", 30)
    m.finish()
    compare(t, images, mix)
    check(m.stats()["disks"][0]["writes"], "the firmware's disk was not used")


def compare(t, images, mix):
    """The images with those that diskmix says they are to be."""
    models = [t.image(f"model{i}", os.path.getsize(image), fill=False) for i, image in enumerate(images)]
    t.shell(bodies("test_disk").host_program("diskmix"), *mix, "--model", *models, timeout=300)
    for image, model in zip(images, models):
        check(vm.sha256(image) == vm.sha256(model), f"{image} and its model differ")


@test("save-restore", cost=145)
def save_restore(t):
    """A guest that knows nothing of Xen is saved and restored, twice, amid the random mix on two disks."""
    images = [t.image(f"disk{i}", 16 * MIB, fill=False) for i in range(2)]
    mix = ["--seed", 29, "--ops", 4000]
    m = t.boot("mix", [2, *mix], images, smp=2, mem="128M")
    m.expect(r"SIO-INIT: 2 disks", 150)
    for _ in range(2):
        time.sleep(3)
        check(not m.seen(r"diskmix: \d+ operations"), "the mix is through already")
        m.save_and_restore()
    m.expect(r"diskmix: 4000 operations on 2 disks in (\d+) ms, 0 errors", 400)
    m.expect(r"SIO-TEST mix: PASS", 30)
    m.finish()
    compare(t, images, mix)


@test("plain-pvh", cost=20)
def plain_pvh(t):
    """Linux in a PVH domain without the firmware, its own blkfront: as on any Xen."""
    image = t.image("disk", 16 * MIB, fill=False)
    mix = ["--seed", 31, "--ops", 500]
    m = t.plain("pvh", t.line("hvc0", "blkfront", ["-", *mix], [], ""), [("xvda", image)], "")
    m.expect(r"diskmix: 500 operations on 1 disks in (\d+) ms, 0 errors", 200)
    m.expect(r"SIO-TEST blkfront: PASS", 30)
    m.finish()
    compare(t, [image], mix)


@test("plain-qemu", cost=100)
def plain_qemu(t):
    """Linux in an HVM domain, with QEMU in dom0 for its IDE disk: likewise."""
    image = t.image("disk", 16 * MIB, fill=False)
    mix = ["--seed", 37, "--ops", 200]
    m = t.boot_qemu("mix", [1, *mix], [image])
    m.expect(r"diskmix: 200 operations on 1 disks in (\d+) ms, 0 errors", 300)
    m.expect(r"SIO-TEST mix: PASS", 30)
    m.finish()
    compare(t, [image], mix)


def bridge(t, dhcp=True):
    """Dom0's end of a vif: a bridge, in the place of a TAP interface."""
    net = bodies("test_net")

    class Bridge(net.Tap):
        def __init__(self):
            self.t, self.n = t, next(net.NUMBER)
            self.name, self.subnet = f"sio{self.n}", f"10.77.{self.n}"
            self.server = f"{self.subnet}.1"
            t.shell("ip", "link", "add", self.name, "type", "bridge")
            t.at_end(t.shell, "ip", "link", "del", self.name)
            with open(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6", "w") as f:
                f.write("1")
            self.ip("addr", "add", f"{self.server}/24", "dev", self.name)
            self.up()
            if dhcp:
                self.serve()

        def vif(self, mac):
            return f"mac={mac},bridge={self.name}"

    return Bridge()


MAC = "52:54:00:aa:00:07"


def net_end(t, m, timeout=300, errors=False):
    m.expect(r"SIO-TEST net: PASS", timeout)
    m.finish(errors=errors)
    bodies("test_net").speeds(t, m)


def net_basic(t, driver, card, mib):
    """DHCP, ping, datagrams, and streams each way with their checksums."""
    br = bridge(t)
    m = t.boot("net", [driver, "dhcp", "ping", "echo:100:1472", f"down:{mib}", f"up:{mib}"], vifs=[br.vif(MAC)],
               words=f"net0={card}")
    m.expect("SIO-CARD eth0 " + MAC, 240, what="the card with its address")
    net_end(t, m, 300 if mib <= 16 else 3000)


def register_net():
    for driver, card, *sizes in (("e1000", "e1000", 16, 64, 256), ("8139cp", "rtl8139", 16, 64, 256),
                                 ("8139too", "rtl8139c", 2, 16, 64), ("ne2k-pci", "ne2k_pci", 1, 4, 16)):
        for name, mib in zip(("", "-more", "-all"), sizes):
            quick = not name and driver in ("e1000", "8139cp")
            test(f"net-{driver}{name}", cost=60 + 2 * sizes.index(mib) * mib, quick=quick)(
                lambda t, d=driver, c=card, n=mib: net_basic(t, d, c, n))


register_net()


@test("net-i386", cost=60, quick=False)
def net_i386(t):
    br = bridge(t)
    net_end(t, t.boot("net", ["e1000", "dhcp", "ping"], arch="i386", vifs=[br.vif(MAC)], words="net0=e1000"))


@test("net-two", cost=70, quick=False)
def net_two(t):
    """Two cards at once, the second of the kind that xl takes where none is named; large frames on the first."""
    a, b = bridge(t), bridge(t)
    a.ip("link", "set", a.name, "mtu", "9000")
    m = t.boot("net", ["e1000+8139cp", "dhcp", "ping", "both:8", "other", "both:8"], smp=2,
               vifs=[a.vif(MAC), b.vif("52:54:00:aa:00:08")], words="net0=e1000")
    net_end(t, m)
    check(m.seen(r"SIO-CARD eth0 52:54:00:aa:00:07 e1000") and m.seen(r"SIO-CARD eth1 52:54:00:aa:00:08 8139cp"),
          "not these two drivers")


@test("net-own-netfront", cost=75)
def net_own_netfront(t):
    """A guest that knows Xen: its own xen-netfront on one vif, an emulated card on another, its blkfront besides."""
    a, b = bridge(t), bridge(t)
    m = t.boot("net", ["e1000+xen-netfront", "dhcp", "ping", "both:8", "other", "both:8"], smp=2,
               append="xen_emul_unplug=unnecessary", vifs=[a.vif(MAC), b.vif("52:54:00:aa:00:08")],
               words="xen net0=e1000 net1=pv")
    net_end(t, m)
    check(m.seen(r"SIO-CARD eth0 52:54:00:aa:00:07 e1000") and m.seen(r"SIO-CARD eth1 52:54:00:aa:00:08 vif"),
          "not these two drivers")


def vif_bytes(m):
    folder = f"/sys/class/net/vif{output('xl', 'domid', m.name).strip()}.0/statistics"
    return sum(int(output("cat", f"{folder}/{d}_bytes")) for d in ("rx", "tx"))


@test("net-save-restore", cost=120, quick=False)
def net_save_restore(t):
    """Saved and restored, twice, in the middle of a stream: not a byte is missing."""
    br = bridge(t)
    m = t.boot("net", ["e1000", "dhcp", "ping", "down:32", "up:32"], vifs=[br.vif(MAC)], words="net0=e1000",
               mem="128M")
    for step in ("down", "up"):
        m.expect(f"SIO-STEP {step}:", 300)
        start, deadline = vif_bytes(m), time.monotonic() + 60
        while vif_bytes(m) < start + MIB and time.monotonic() < deadline:
            time.sleep(0.05)
        check(not m.seen(f"SIO-NET {step} "), "the stream is through already")
        m.save_and_restore()
    net_end(t, m)


@test("net-detach", cost=50)
def net_detach(t):
    """The vif is taken away and another one given: the card's link goes and comes."""
    br = bridge(t)
    m = t.boot("net", ["e1000", "dhcp", "ping", "link", "down:4", "up:4"], vifs=[br.vif(MAC)], words="net0=e1000")
    m.expect("SIO-LINK\r", 240)
    t.shell("xl", "network-detach", m.name, "0")
    m.expect("SIO-LINK-DOWN", 30)
    t.shell("xl", "network-attach", m.name, *br.vif(MAC).split(","))
    net_end(t, m, errors=True)
    check(any("the link is down" in s for s in m.messages()), "nothing was said of the link")


def leftovers():
    """What domains leave behind if they leave anything: all free memory in KiB, xenstore, back ends, loop devices,
    grants that somebody holds."""
    output("xl", "dmesg", "-c")
    output("xl", "debug-keys", "m")
    output("xl", "debug-keys", "g")
    log = output("xl", "dmesg", "-c")
    return {"free KiB": sum(int(n) for n in re.findall(r"heap\[\d+\]: (\d+)kB free", log)),
            "xenstore": sorted(output("xenstore-ls", "-f").splitlines()),
            "back ends": sorted(os.listdir(BACKENDS)),
            "loop devices": output("losetup", "-a"),
            "interfaces": sorted(os.listdir("/sys/class/net")),
            "grants": re.findall(r"\[0x[0-9a-f]+\] +\d+ 0x.*", log),
            "domains": re.findall(r"grant-table for remote d\d+", log)}


def settled():
    """What there is when nothing goes any more: a domain's last memory comes back some time after it has gone."""
    last, deadline = leftovers(), time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = leftovers()
        if now == last:
            return now
        last = now
    raise Fail(f"what domains leave behind does not settle: {last}")


@test("create-destroy-50", cost=250, quick=False)
def create_destroy(t):
    """50 domains whose firmware has connected two disks and a network and whose BIOS has read one; nothing of them stays."""
    create_and_destroy(t, 50, 1)


@test("create-destroy-10", cost=130)
def create_destroy_short(t):
    """The same with two processors: but for what Xen keeps of every such domain (docs/xen.md)."""
    create_and_destroy(t, 10, 2)


WARM_UP = 5  # domains: the first three or four leave some pages with Xen and dom0, which the next ones use
SCHED_UNIT = 304  # bytes that Xen 4.17 keeps of a domain with more than one vCPU; it allocates them in pages


def create_and_destroy(t, times, smp):
    disks, br = [t.image(f"d{i}", 4 * MIB) for i in range(2)], bridge(t, dhcp=False)
    disk = [f"format=raw,vdev=hd{'ab'[i]},access=rw,target={d}" for i, d in enumerate(disks)]
    for n in range(times + WARM_UP):
        if n == WARM_UP:
            before = settled()
        m = t.start(BIOS, disk, smp=smp, label="last", vifs=[br.vif(MAC)])
        m.expect(r"Booting from Hard Disk", 60)
        check(len(m.backends()) == 2, "the back ends are not connected")
        output("xl", "destroy", m.name)
        m.wait()
    after = settled()
    lost = before["free KiB"] - after["free KiB"]
    allowed = (SCHED_UNIT * times // 4096 + 4) * 4 if smp > 1 else 0  # the pool grows by pages
    check(lost <= allowed, f"{times} domains have kept {lost} KiB of {before['free KiB']}, {allowed} at most are Xen's")
    for what in before:
        check(what == "free KiB" or before[what] == after[what],
              f"{what} before and after {times} domains: {before[what]} {after[what]}")
    t.note(f"{lost} KiB less free after {times} domains, {len(before['xenstore'])} entries in xenstore, "
           f"{len(before['grants'])} grants in use")


def claim(logs, name):
    """Two labs can share the tests: whoever makes a test's mark has it."""
    try:
        os.mkdir(os.path.join(logs, name + ".taken"))
    except FileExistsError:
        return False
    return True


def main():
    args = sys.argv[1:]
    if "--list" in args:
        for t in TESTS.values():
            print(f"{t.name:28s} {t.cost:4d} s{'' if t.quick else '  only by name'}")
        return 0
    output("xl", "dmesg", "-c")
    names = [a for a in args if not a.startswith("--")]
    tests = [t for t in TESTS.values()
             if any(fnmatch.fnmatch(t.name, a) for a in names) or not names and t.quick]
    tests.sort(key=lambda t: -t.cost)  # so that two labs end at about the same time
    logs = os.path.join(os.environ["LAB_OUT"], "xen")
    if "--share" not in args:
        shutil.rmtree(logs, ignore_errors=True)
    os.makedirs(logs, exist_ok=True)
    vm.Context = Context
    Context.words = "".join(a[8:] for a in args if a.startswith("--words="))
    report = run.Report()
    for t in tests:
        if claim(logs, t.name):
            run.run_one(t, "/scratch/xen-guests", logs, report, False)
    bad = re.findall(r"^.*(?:Assertion|BUG|FATAL|WARNING|Xen WARN).*$", output("xl", "dmesg"), re.M)
    if bad:
        print(f"FAIL Xen's log: {bad[0]}")
        report.count["FAIL"] += 1
    c = report.count
    print(f"{c['PASS']} passed, {c['FAIL']} failed, {c['SKIP']} skipped")
    return 1 if c["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
