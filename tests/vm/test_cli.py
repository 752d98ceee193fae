# SPDX-License-Identifier: BSD-2-Clause
"""Bad input to the command line: one clear line, status 2, nothing created and nothing changed."""
import json
import os
import re
import stat
import struct
import subprocess

import vm
from vm import Fail, Skip, check, guest_file, test

MIB = 1 << 20
FIRMWARE = os.path.join(os.path.dirname(vm.SELFIO), "selfio-fw.elf")
NOBODY = 65534


def snapshot(folder):
    """Everything in a folder: names, sizes, times, contents."""
    found = {}
    for base, dirs, files in os.walk(folder):
        for name in dirs:
            found[os.path.join(base, name)] = "folder"
        for name in files:
            path = os.path.join(base, name)
            s = os.lstat(path)
            found[path] = (s.st_size, s.st_mtime_ns, s.st_mode,
                           vm.sha256(path) if stat.S_ISREG(s.st_mode) else "")
    return found


class Cases:
    def __init__(self, t):
        self.t, self.wrong, self.count = t, [], 0

    def one(self, name, args, says, command="run", prefix=(), user=None, status=2):
        """Runs it; what is wrong is kept, so that all cases are tried."""
        t = self.t
        before = snapshot(t.dir)
        argv = [*prefix, vm.SELFIO, *([command] if command else []), *[str(a) for a in args]]
        kwargs = {"user": user, "group": user, "extra_groups": []} if user else {}
        self.count += 1
        try:
            r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, cwd=t.dir,
                               **kwargs)
        except subprocess.TimeoutExpired as e:
            self.wrong.append(f"{name}: it runs (still after 30 s)")
            t.say(f"{name}: {' '.join(argv)}\n  {e.stderr}")
            return
        err = r.stderr.decode(errors="replace")
        t.say(f"{name}: {' '.join(argv)}\n  status {r.returncode}: {err.rstrip()}")
        problem = []
        if r.returncode != status:
            problem.append(f"status {r.returncode}, not {status}")
        lines = err.splitlines()
        if len(lines) != 1:
            problem.append(f"{len(lines)} lines on standard error, not 1")
        if not re.search(says, err, re.IGNORECASE):
            problem.append(f"the message does not have /{says}/: {lines[:1]}")
        if r.stdout:
            problem.append("something on standard output")
        after = snapshot(t.dir)
        if after != before:
            changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
            problem.append(f"created or changed: {[os.path.relpath(c, t.dir) for c in changed]}")
        if problem:
            self.wrong.append(f"{name}: {'; '.join(problem)}")

    def done(self):
        self.t.note(f"{self.count} cases")
        for w in self.wrong:
            self.t.say("WRONG " + w)
        if self.wrong:
            more = f" (and {len(self.wrong) - 1} more: see the .steps log)" if len(self.wrong) > 1 else ""
            raise Fail(self.wrong[0] + more)


@test("cli-options", quick=True, cost=5)
def cli_options(t):
    c = Cases(t)
    disk = t.image("disk.img", MIB)
    ok = ["--disk", disk]
    c.one("unknown command", [], "frobnicate", command="frobnicate")
    c.one("unknown option", [*ok, "--frobnicate"], "--frobnicate")
    c.one("unknown short option", [*ok, "-z"], "-z")
    c.one("nothing to boot", [], "nothing to boot")
    c.one("a stray argument", [*ok, "stray"], "stray")
    for o in ("--disk", "--mem", "--smp", "--bios", "--kernel", "--append", "--console", "--stats",
              "--on-panic", "--firmware", "--net", "--boot", "--place", "--fast"):
        c.one(o + " without a value", [*([] if o == "--disk" else ok), o], o)
    for v in ("", "0", "abc", "12Q", "-5M", "512MB", "1T", "99999999999999999999", "18446744073709551615G",
              "1000K", "5000", "300G", "512 M", "1.5G"):
        if v == "1000K":
            continue  # a whole number of pages: accepted
        c.one(f"--mem '{v}'", [*ok, "--mem", v], "--mem")
    for v in ("", "0", "9", "-1", "x", "2x", "4294967297", "1.5"):
        c.one(f"--smp '{v}'", [*ok, "--smp", v], "--smp")
    for v in ("", "halt", "resett"):
        c.one(f"--on-panic '{v}'", [*ok, "--on-panic", v], "--on-panic")
    for v in ("", "slirp", "user,model=ne3000", "user,mac=1:2", "user,mac=01:00:00:00:00:01",
              "tap,ifname=", "stream:", "stream:x,vhost=on", "tap,vhost=on,pcap=x", "user,,"):
        c.one(f"--net '{v}'", [*ok, "--net", v], "--net")
    c.one("nine cards", [*ok, *["--net", "stream:x"] * 9], "at most 8")
    c.one("three ISA cards", [*ok, *["--net", "stream:x,model=ne2k_isa"] * 3], "at most 2")
    c.one("cards without the bridge that routes their interrupts",
          [*ok, "--net", "stream:x", "--place", "net=ioemu"], "net.*pci")
    for v in ("", "cd", "nett"):
        c.one(f"--boot '{v}'", [*ok, "--boot", v], "--boot")
    c.one("--boot net without a card", [*ok, "--boot", "net"], "--net")
    for v in ("", "file", "tty", "file:"):
        c.one(f"--console '{v}'", [*ok, "--console", v], "console")
    c.one("five disks", ok * 5, "at most 4|5|in use|lock")
    c.one("--disk ''", ["--disk", ""], "--disk")
    c.one("unknown disk option", ["--disk", disk + ",rw"], "rw")
    c.one("serial too long", ["--disk", disk + ",serial=" + "x" * 21], "serial")
    c.one("model too long", ["--disk", disk + ",model=" + "x" * 41], "model")
    c.one("model not ASCII", ["--disk", disk + ",model=\u00e9"], "ASCII")
    c.one("bad inject", ["--disk", disk + ",inject=eio@x+1"], "inject")
    c.one("--append without --kernel", [*ok, "--append", "quiet"], "--kernel")
    c.one("--initrd without --kernel", [*ok, "--initrd", disk], "--kernel")
    c.one("check with an argument", ["--frob"], "--frob|no argument", command="check")
    c.done()


@test("cli-files", quick=True, cost=5)
def cli_files(t):
    c = Cases(t)
    disk, other = t.image("disk.img", MIB), t.image("other.img", MIB)
    ok = ["--disk", disk]
    missing = t.path("missing")
    empty, odd = t.image("empty", 0), t.image("odd", 1000)
    os.mkdir(t.path("folder"))
    os.mkfifo(t.path("fifo"))
    os.symlink("nowhere", t.path("dangling"))
    c.one("missing image", ["--disk", missing], "missing.*no such file")
    c.one("dangling link", ["--disk", t.path("dangling")], "dangling")
    c.one("empty image", ["--disk", empty], "empty")
    c.one("odd size", ["--disk", odd], "odd.*(512|sector)")
    c.one("a folder as image", ["--disk", t.path("folder")], "folder")
    c.one("a pipe as image", ["--disk", t.path("fifo")], "fifo")
    c.one("a character device as image", ["--disk", "/dev/null"], "/dev/null")
    c.one("the second image is missing", [*ok, "--disk", missing], "missing.*no such file")
    c.one("one image twice", [*ok, *ok], "disk.img.*(lock|use)")
    c.one("one image twice, once read-only", [*ok, "--disk", disk + ",ro"], "disk.img.*(lock|use)")
    for option in ("--bios", "--kernel", "--firmware"):
        c.one(f"{option} missing", [*ok, option, missing], "missing.*no such file")
        c.one(f"{option} is a folder", [*ok, option, t.path("folder")], "folder")
        c.one(f"{option} is empty", [*ok, option, empty], "empty")
    c.one("BIOS of an odd size", [*ok, "--bios", odd], "odd")
    big = t.image("big", 32 * MIB, fill=False)
    c.one("BIOS too large", [*ok, "--bios", big], "big")
    c.one("kernel is none", ["--kernel", disk], "disk.img")
    kernel = guest_file("vmlinuz-amd64", "tests/run.sh makes it")
    c.one("initrd missing", ["--kernel", kernel, "--initrd", missing], "missing.*no such file")
    c.one("console in a folder that is not there", [*ok, "--console", "file:" + t.path("no/x")], "no/x")
    c.one("statistics in a folder that is not there", [*ok, "--stats", t.path("no/stats")], "no/stats")
    c.one("statistics onto a folder", [*ok, "--stats", t.path("folder")], "folder")
    c.one("kernel and initrd larger than memory", ["--kernel", kernel, "--initrd", big, "--mem", "16M"],
          "memory|--mem|RAM|room|fit")
    del other
    c.done()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


@test("cli-firmware", quick=True, cost=5)
def cli_firmware(t):
    """A firmware image that is none, damaged, or of another ABI version."""
    if not os.path.exists(FIRMWARE):
        raise Skip(f"{FIRMWARE} is not there")
    c = Cases(t)
    disk = t.image("disk.img", MIB)
    with open(FIRMWARE, "rb") as f:
        good = f.read()

    def case(name, data, says=r"firmware.*"):
        path = write(t.path("fw.elf"), data)
        c.one(name, ["--disk", disk, "--firmware", path], says)

    def patched(at, data):
        return good[:at] + data + good[at + len(data):]

    phoff, = struct.unpack_from("<Q", good, 32)
    phnum, = struct.unpack_from("<H", good, 56)
    loads = [phoff + 56 * i for i in range(phnum)
             if struct.unpack_from("<I", good, phoff + 56 * i)[0] == 1]
    note = next((phoff + 56 * i for i in range(phnum)
                 if struct.unpack_from("<I", good, phoff + 56 * i)[0] == 4), None)
    case("text", b"hello\n" * 100)
    case("half an ELF header", good[:40])
    case("cut in half", good[:len(good) // 2])
    case("32-bit ELF", patched(4, b"\1"))
    case("another machine's ELF", patched(18, struct.pack("<H", 183)))
    case("too many program headers", patched(56, struct.pack("<H", 65535)))
    case("program headers outside", patched(32, struct.pack("<Q", 1 << 60)))
    case("entry point outside", patched(24, struct.pack("<Q", 1 << 40)))
    case("segment outside the file", patched(loads[0] + 8, struct.pack("<Q", (1 << 64) - 4096)))
    case("segment outside memory", patched(loads[0] + 16, struct.pack("<Q", (1 << 64) - 4096)))
    case("segment too large", patched(loads[-1] + 40, struct.pack("<Q", 1 << 33)))
    check(note is not None, "the firmware has no note with its ABI version")
    case("no ABI note", patched(note, struct.pack("<I", 0x6474e551)), "version")
    at, size = struct.unpack_from("<Q", good, note + 8)[0], struct.unpack_from("<Q", good, note + 32)[0]
    case("another ABI version", patched(at + size - 4, struct.pack("<I", 9999)), "version.*9999|9999.*version")
    c.done()


@test("cli-permissions", cost=5)
def cli_permissions(t):
    """Images that may not be read or written, as a user who is not root."""
    if os.getuid() != 0:
        raise Skip("needs root, to become another user")
    c = Cases(t)
    os.chmod(t.dir, 0o755)
    ours = t.image("ours.img", MIB)
    os.chmod(ours, 0o644)
    secret = t.image("secret.img", MIB)
    os.chmod(secret, 0o600)
    theirs = t.image("theirs.img", MIB)
    os.chown(theirs, NOBODY, NOBODY)
    try:
        subprocess.run([vm.SELFIO, "--version"], user=NOBODY, group=NOBODY, extra_groups=[], check=True,
                       capture_output=True, cwd=t.dir)
    except (OSError, subprocess.CalledProcessError):
        raise Skip(f"{vm.SELFIO} cannot be run by another user") from None
    c.one("an image that may only be read", ["--disk", ours], r"ours.img.*(\bro\b|read-only|permi(tted|ssion))",
          user=NOBODY)
    c.one("an image that may not be read", ["--disk", secret], r"secret.img.*permi(tted|ssion)", user=NOBODY)
    c.one("/dev/kvm not allowed", ["--disk", theirs], r"/dev/kvm.*permi(tted|ssion)", user=NOBODY)
    c.one("an image on a read-only file system", ["--disk", ours], r"ours.img.*(\bro\b|read-only)",
          prefix=["unshare", "-m", "sh", "-c",
                  f'mount --bind {t.dir} {t.dir} && mount -o remount,bind,ro {t.dir} && exec "$@"', "sh"])
    c.done()


@test("cli-no-kvm", quick=True, cost=5)
def cli_no_kvm(t):
    """No /dev/kvm, or something else in its place."""
    if os.getuid() != 0:
        raise Skip("needs root, for a /dev of its own")
    c = Cases(t)
    disk = t.image("disk.img", MIB)
    c.one("no /dev/kvm", ["--disk", disk], r"/dev/kvm.*no such file",
          prefix=["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"])
    c.one("/dev/kvm is something else", ["--disk", disk], r"KVM",
          prefix=["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$@"', "sh"])
    r = t.shell("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh", vm.SELFIO,
                "check", ok=(1,))
    check("/dev/kvm" in r.stdout and "modprobe" in r.stdout, "selfio check does not say what to do")
    c.done()


@test("cli-locked", cost=15)
def cli_locked(t):
    """An image in use: no second run may write it; several may read it."""
    disk, shared = t.image("disk.img", MIB), t.image("shared.img", MIB)
    m = t.boot(disks=[disk, shared + ",ro"], append="sio.hold")
    m.expect(r"SIO-INIT: 2 disks", 150)
    c = Cases(t)
    c.one("in use", ["--disk", disk], r"disk.img.*(lock|use)")
    c.one("in use, read-only", ["--disk", disk + ",ro"], r"disk.img.*(lock|use)")
    c.one("read by another", ["--disk", shared], r"shared.img.*(lock|use)")
    again = t.boot(disks=[shared + ",ro"], label="second")
    again.expect(r"SIO-INIT: 1 disks", 150)
    again.finish()
    m.signal(15)
    m.finish()
    c.done()
    after = t.boot(disks=[disk], label="after")
    after.expect(r"SIO-INIT: 1 disks", 150)
    after.finish()


@test("cli-check", quick=True, cost=5)
def cli_check(t):
    """`selfio check` likes the KVM that these tests run on."""
    r = t.shell(vm.SELFIO, "check")
    check("This KVM is good" in r.stdout, r.stdout)
    try:
        j = json.loads(t.shell(vm.SELFIO, "check", "--json").stdout)
    except ValueError as e:
        raise Fail(f"--json: {e}") from None
    check(j["good"] is True and j["loop_ns"] > 0 and j["capabilities"]["IRQCHIP"] > 0, f"--json: {j}")
    t.note(f"privileged loop {j['loop_ns']} ns")
    for option in ("--help", "--version"):
        check(t.shell(vm.SELFIO, option).stdout.strip(), option + " says nothing")
