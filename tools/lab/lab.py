#!/usr/bin/python3
"""The lab: runs a command on a Linux kernel with kvm-amd, inside QEMU's software emulation.

See docs/lab.md. Called by "./dev lab". Only Python's standard library is used.
"""
import argparse
import ctypes
import hashlib
import lzma
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LAB = os.path.join(ROOT, "build", "lab")
GUESTS = os.path.join(ROOT, "build", "guests")

QEMU = os.environ.get("SELFIO_QEMU", "qemu-system-x86_64")
QEMU_OLDEST = (8, 2)
CPU = "max,la57=off"
MSIZE = 512000
SCRATCH_BYTES = 8 << 30
TIMED_OUT, LAB_FAILED = 124, 125
POKE_S = 0.5

# Loaded at boot, with what they depend on. Others can be had by modprobe in the lab.
MODULES = ["virtio_pci", "virtio_console", "virtio_blk", "9pnet_virtio", "9p", "overlay", "ext4",
           "kvm", "kvm-amd", "tun", "vhost_net", "loop", "dm-mod"]
XEN_MODULES = MODULES[:7] + ["loop", "xen-evtchn", "xen-privcmd", "xen-gntdev", "xen-gntalloc", "xenfs",
                             "xen-blkback", "xen-netback", "bridge"]
MODULE_OPTIONS = {"kvm-amd": "nested=0"}

# No mitigations (they cost emulated instructions and protect nothing here), no watchdogs (a busy
# host would set them off), and a kernel that ends QEMU when it panics.
CMDLINE = ("console=ttyS0 panic=-1 mitigations=off nokaslr no5lvl nowatchdog rcupdate.rcu_expedited=1 "
           "tsc=reliable random.trust_cpu=on cryptomgr.notests audit=0 "
           "rdinit=/init")

# Without XSAVE: with it, programs in dom0 died now and then once a domain had run, on an unpatched Xen too.
XEN_CPU = CPU + ",xsave=off"
XEN_CMDLINE = ("console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_mem=1536M,max:1536M "
               "dom0_max_vcpus=1")


class LabError(Exception):
    """The lab itself failed (not the command): status 125."""


def say(text):
    print("selfio lab: " + text, file=sys.stderr, flush=True)


# --- the kernel and the initramfs -------------------------------------------------------------

def check_qemu():
    try:
        out = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as e:
        raise LabError(f"cannot run {QEMU} ({e}); ./dev setup installs it") from None
    m = re.search(r"version (\d+)\.(\d+)", out)
    if not m or (int(m[1]), int(m[2])) < QEMU_OLDEST:
        raise LabError(f"{out.splitlines()[0]} is too old: nested guests need QEMU "
                       f"{QEMU_OLDEST[0]}.{QEMU_OLDEST[1]} or newer (Debian 12: bookworm-backports, "
                       "./dev setup takes it from there)")


def fetch_kernel():
    """Returns (bzImage, folder of modules, release), downloaded and unpacked when first asked for."""
    vmlinuz = os.path.join(GUESTS, "vmlinuz-amd64")
    modules = os.path.join(GUESTS, "modules-amd64")
    if not (os.path.exists(vmlinuz) and os.path.isdir(modules)):
        say("fetching Debian's kernel package (first run only)")
        fetch = os.path.join(ROOT, "tools", "guests", "fetch.sh")
        r = subprocess.run([fetch, "linux-amd64"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
        if r.returncode or not os.path.exists(vmlinuz):
            raise LabError(f"{fetch} linux-amd64 could not get the kernel (status {r.returncode})")
    modules = os.path.realpath(modules)
    return os.path.realpath(vmlinuz), modules, os.path.basename(modules)


def unpack_kernel(bzimage):
    """The ELF vmlinux of a bzImage: booted through its PVH entry, it need not unpack itself under
    emulation. None when it is packed in a way not known here (then the bzImage is booted)."""
    with open(bzimage, "rb") as f:
        image = f.read()
    if image[0x202:0x206] != b"HdrS":
        return None
    setup_sects = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sects + 1) * 512 + offset:][:length]
    if payload[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        r = subprocess.run(["zstd", "-dcq"], input=payload, capture_output=True)
        return r.stdout if r.stdout[:4] == b"\x7fELF" else None
    return None


def has_pvh(config):
    try:
        with open(config) as f:
            return "CONFIG_PVH=y\n" in f.read()
    except OSError:
        return False


class Cpio:
    """Writes a cpio archive of the kernel's "newc" kind."""

    def __init__(self):
        self.parts, self.size, self.ino = [], 0, 0

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        name = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0)
        head = b"070701" + b"".join(b"%08x" % v for v in fields) + name
        for part in (head, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))
            self.size += len(self.parts[-1])

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def done(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts) + b"\0" * (-self.size % 512)


def read_module(path):
    if path.endswith(".xz"):
        with lzma.open(path) as f:
            return f.read()
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def module_key(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def order_modules(names, dep_file, builtin_file):
    """The modules to load, as paths in the order in which they can be loaded."""
    deps, path_of = {}, {}
    with open(dep_file) as f:
        for line in f:
            path, _, needs = line.partition(":")
            deps[path] = needs.split()
            path_of[module_key(path)] = path
    with open(builtin_file) as f:
        builtin = {module_key(line.strip()) for line in f}
    order = []

    def want(path):
        for need in reversed(deps[path]):
            want(need)
        if path not in order:
            order.append(path)

    for name in names:
        key = name.replace("-", "_")
        if key in path_of:
            want(path_of[key])
        elif key not in builtin:
            raise LabError(f"the kernel package has no module {name}")
    if "crc32c_generic" in path_of:  # asked for by ext4 at run time
        want(path_of["crc32c_generic"])
    return order


def prepare(names):
    """Makes (or finds) the kernel to boot, the modules' index and the initramfs, kept in build/lab."""
    bzimage, modules, release = fetch_kernel()
    with open(os.path.join(HERE, "init.sh"), "rb") as f:
        init = f.read()
    parts = repr((1, init, release, modules, names, MODULE_OPTIONS))  # 1: counts changes made here
    key = hashlib.sha256(parts.encode()).hexdigest()[:16]
    home = os.path.join(LAB, "kernel-" + key)
    kernel, initrd, mods = (os.path.join(home, n) for n in ("vmlinux", "initramfs", "modules"))
    if os.path.isdir(home):
        return kernel, initrd, mods, release
    busybox = next((b for b in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(b)), None)
    if not busybox:
        raise LabError("no /bin/busybox; ./dev setup installs busybox-static")

    work = tempfile.mkdtemp(prefix=".new.", dir=LAB)
    try:
        # depmod wants .../lib/modules/RELEASE; the modules themselves stay where they were unpacked.
        tree = os.path.join(work, "tree", "lib", "modules", release)
        os.makedirs(tree)
        for name in ("kernel", "modules.builtin", "modules.builtin.modinfo", "modules.order"):
            if os.path.exists(os.path.join(modules, name)):
                os.symlink(os.path.join(modules, name), os.path.join(tree, name))
        depmod = shutil.which("depmod", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if not depmod:
            raise LabError("no depmod; ./dev setup installs kmod")
        r = subprocess.run([depmod, "-b", os.path.join(work, "tree"), release],
                           capture_output=True, text=True)
        if r.returncode or not os.path.getsize(os.path.join(tree, "modules.dep")):
            raise LabError(f"depmod failed: {r.stderr.strip()}")
        os.rename(os.path.join(work, "tree", "lib", "modules"), os.path.join(work, "modules"))
        shutil.rmtree(os.path.join(work, "tree"))

        cpio = Cpio()
        for d in ("bin", "dev", "proc", "sys", "modules", "lab"):
            cpio.folder(d)
        cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
        cpio.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
        with open(busybox, "rb") as f:
            cpio.file("bin/busybox", f.read())
        cpio.file("init", init)
        listing = []
        for path in order_modules(names, os.path.join(work, "modules", release, "modules.dep"),
                                  os.path.join(modules, "modules.builtin")):
            name = module_key(path) + ".ko"
            cpio.file("modules/" + name, read_module(os.path.join(modules, path)), 0o644)
            options = {k.replace("-", "_"): v for k, v in MODULE_OPTIONS.items()}
            listing.append(f"{name} {options.get(module_key(path), '')}".rstrip())
        cpio.file("modules/list", ("\n".join(listing) + "\n").encode(), 0o644)
        with open(os.path.join(work, "initramfs"), "wb") as f:
            f.write(cpio.done())

        vmlinux = None
        if has_pvh(os.path.join(os.path.dirname(bzimage), "config-" + release)):
            vmlinux = unpack_kernel(bzimage)
        if vmlinux:
            with open(os.path.join(work, "vmlinux"), "wb") as f:
                f.write(vmlinux)
        else:
            shutil.copy(bzimage, os.path.join(work, "vmlinux"))
        os.chmod(work, 0o755)
        for name in os.listdir(LAB):  # made from older sources; an hour, as runs may still use them
            old = os.path.join(LAB, name)
            if name.startswith("kernel-") and os.path.getmtime(old) < time.time() - 3600:
                shutil.rmtree(old, ignore_errors=True)
        try:
            os.rename(work, home)
        except OSError:
            if not os.path.isdir(home):  # else another run was first with the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kernel, initrd, mods, release


# --- one run ------------------------------------------------------------------------------------

def make_scratch(path):
    with open(path, "wb") as f:
        f.truncate(SCRATCH_BYTES)
    mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not mkfs:
        raise LabError("no mkfs.ext4; ./dev setup installs e2fsprogs")
    r = subprocess.run([mkfs, "-q", "-F", "-L", "scratch", "-O", "^has_journal",
                        "-E", "nodiscard,lazy_itable_init=1", path], capture_output=True, text=True)
    if r.returncode:
        raise LabError(f"mkfs.ext4 for the scratch disk failed: {r.stderr.strip()}")


def command_script(argv, images):
    env = {
        "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"),
        "SELFIO_LAB": "1", "LAB_OUT": "/lab-out", "TMPDIR": "/tmp",
        "LAB_IMAGES": images,
    }
    for name, value in os.environ.items():
        if name.startswith(("SELFIO", "SIO_")) and name not in env:
            env[name] = value
    cwd = os.getcwd()
    return ("unset OLDPWD SHLVL\n"
            + "".join(f"export {k}={shlex.quote(v)}\n" for k, v in env.items())
            + f"cd {shlex.quote(cwd)} || exit 125\n"
            + "exec " + " ".join(shlex.quote(a) for a in argv) + "\n")


def die_with_parent():
    """In the child: be killed when the lab's process is, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Run:
    def __init__(self, args):
        self.args = args
        self.qemu = None
        self.folder = None
        self.status = None           # the command's, or why there is none
        self.problem = None
        self.ready_at = None
        self.changed = threading.Condition()
        self.ended = {"out": False, "err": False}
        self.end_mark = secrets.token_hex(16)
        self.console = None

    def update(self, **fields):
        with self.changed:
            for name, value in fields.items():
                setattr(self, name, value)
            self.changed.notify_all()

    # Threads, one for each stream. They end when QEMU closes its side.

    def relay_control(self, sock):
        with sock.makefile("r", errors="replace") as f:
            for line in f:
                word, _, rest = line.strip().partition(" ")
                if word == "ready":
                    self.update(ready_at=time.monotonic())
                elif word == "exit":
                    self.update(status=int(rest) & 255)
                elif word == "fail":
                    self.update(problem=rest)

    def poke(self, sock):
        """An interrupt now and then: a processor may have lost one, and have nothing else to wake it (docs/lab.md)."""
        try:
            while True:
                time.sleep(POKE_S)
                sock.send(b"\n")
        except OSError:
            pass

    def relay_output(self, sock, name, fd):
        mark = b"\0" + self.end_mark.encode()
        held = b""
        try:
            while True:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                held += data
                done = held.endswith(mark)
                if done:
                    write_all(fd, held[:-len(mark)])
                    break
                if not data:
                    write_all(fd, held)
                    break
                keep = next((n for n in range(min(len(held), len(mark)), 0, -1)
                             if mark.startswith(held[-n:])), 0)
                write_all(fd, held[:len(held) - keep])
                held = held[len(held) - keep:]
        except OSError:  # whoever read our output has gone: end as a program in a pipe does
            self.update(status=128 + signal.SIGPIPE, ended={"out": True, "err": True})
            return
        with self.changed:
            self.ended[name] = True
            self.changed.notify_all()

    def relay_input(self, pipe):
        try:
            foreground = not os.isatty(0) or os.tcgetpgrp(0) == os.getpgrp()
            while foreground:
                data = os.read(0, 65536)
                if not data:
                    break
                write_all(pipe, data)
        except OSError:
            pass
        os.close(pipe)

    def start(self, kernel, initrd, modules):
        a = self.args
        self.folder = tempfile.mkdtemp(prefix="run.", dir=LAB)
        scratch = os.path.join(self.folder, "scratch.raw")
        make_scratch(scratch)
        self.console = os.path.join(self.folder, "console.log")

        shares = [os.path.abspath(s) for s in a.share]
        for path in shares + a.image + [ROOT]:
            if ":" in path or "," in path:
                raise LabError(f"a path with ':' or ',' in it cannot be passed to the lab: {path}")
        images = " ".join(f"/dev/vd{chr(ord('b') + i)}" for i in range(len(a.image)))
        # In QEMU, XRSTOR on any processor writes processor 0's flags without a lock, where VMRUN keeps its own
        # (docs/lab.md): with more than one, processor 0 is a spare one, on which no guest runs.
        spare = a.smp > 1 and not a.xen
        config = {
            "LAB_MSIZE": MSIZE, "LAB_MODULES": modules, "LAB_END": self.end_mark,
            "LAB_SHARES": "".join(f":{p}:share{i}" for i, p in enumerate(shares)),
            "LAB_IMAGES": images, "LAB_CPUS": f"1-{a.smp}" if spare else "",
        }
        cpio = Cpio()
        cpio.file("lab/config", "".join(f"{k}={shlex.quote(str(v))}\n"
                                        for k, v in config.items()).encode())
        cpio.file("lab/command", command_script(a.command, images).encode())
        with open(os.path.join(HERE, "stage2.sh"), "rb") as f:
            cpio.file("lab/stage2.sh", f.read())
        run_initrd = os.path.join(self.folder, "initramfs")
        shutil.copy(initrd, run_initrd)
        with open(run_initrd, "ab") as f:
            f.write(cpio.done())

        pairs = {name: socket.socketpair() for name in ("ctl", "out", "err", "poke")}
        cmd = [QEMU, "-name", "selfio-lab", "-nodefaults", "-no-user-config", "-display", "none",
               "-no-reboot", "-machine", os.environ.get("SELFIO_LAB_MACHINE", "q35") + ",usb=off",
               "-accel", os.environ.get("SELFIO_LAB_ACCEL", "tcg,thread=multi"),
               "-cpu", os.environ.get("SELFIO_LAB_CPU", XEN_CPU if a.xen else CPU),
               "-smp", str(a.smp + spare), "-m", a.mem,
               *self.boot(kernel, run_initrd),
               "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
               "-device", "virtio-serial-pci,max_ports=6"]
        # Input goes through QEMU's stdin, a pipe: at a socket's end QEMU drops what it has not read.
        cmd += ["-chardev", "stdio,id=in,signal=off"]
        for name, pair in pairs.items():
            cmd += ["-chardev", f"socket,id={name},fd={pair[1].fileno()}"]
        for nr, name in enumerate(("ctl", "in", "out", "err", "poke"), 1):
            cmd += ["-device", f"virtserialport,chardev={name},nr={nr},name=lab.{name}"]
        os.makedirs(os.path.join(LAB, "out"), exist_ok=True)
        cmd += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
                "-virtfs", f"local,path={LAB}/out,mount_tag=out,security_model=none,multidevs=remap"]
        for i, path in enumerate(shares):
            cmd += ["-virtfs", f"local,path={path},mount_tag=share{i},security_model=none,multidevs=remap"]
        cmd += ["-drive", f"if=none,id=scratch,file={scratch},format=raw,cache=unsafe,discard=unmap",
                "-device", "virtio-blk-pci,drive=scratch"]
        for i, path in enumerate(a.image):
            cmd += ["-drive", f"if=none,id=image{i},file={os.path.abspath(path)},format=raw,"
                    "cache=writeback,discard=unmap", "-device", f"virtio-blk-pci,drive=image{i}"]
        if a.verbose:
            say(" ".join(shlex.quote(c) for c in cmd))
        self.errors = open(os.path.join(self.folder, "qemu.err"), "w+b")
        self.qemu = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=self.errors,
                                     stderr=self.errors, pass_fds=[p[1].fileno() for p in pairs.values()],
                                     start_new_session=True, preexec_fn=die_with_parent)
        for pair in pairs.values():
            pair[1].close()
        # (the relay has a descriptor of its own, to close when our input ends)
        for target, *rest in ((self.relay_control, pairs["ctl"][0]),
                              (self.relay_output, pairs["out"][0], "out", 1),
                              (self.relay_output, pairs["err"][0], "err", 2),
                              (self.poke, pairs["poke"][0]),
                              (self.relay_input, os.dup(self.qemu.stdin.fileno()))):
            threading.Thread(target=target, args=rest, daemon=True).start()
        self.qemu.stdin.close()

        def watch():
            self.qemu.wait()
            self.update()

        threading.Thread(target=watch, daemon=True).start()

    def boot(self, kernel, initrd):
        """QEMU's options for what it boots: Linux, or Xen with Linux as its dom0."""
        append = " ".join([CMDLINE, "loglevel=7" if self.args.verbose else "quiet",
                           os.environ.get("SELFIO_LAB_APPEND", "")]).strip()
        if not self.args.xen:
            return ["-kernel", kernel, "-initrd", initrd, "-append", append]
        append = append.replace("console=ttyS0", "console=hvc0")
        if "," in kernel + append + initrd:  # a comma begins the next multiboot module
            raise LabError(f"no comma may be in: {kernel} {append} {initrd}")
        return ["-kernel", self.args.xen, "-initrd", f"{kernel} {append},{initrd}",
                "-append", XEN_CMDLINE + " " + os.environ.get("SELFIO_LAB_XEN_APPEND", "")]

    def wait(self, deadline):
        """The status to end with: the command's, 124, or LabError."""
        with self.changed:
            while True:
                if self.problem:
                    raise LabError(self.problem + self.console_tail())
                if self.status is not None and all(self.ended.values()):
                    return self.status
                if self.qemu.poll() is not None and self.status is None:
                    self.errors.seek(0)
                    text = self.errors.read().decode(errors="replace").strip()
                    raise LabError(f"QEMU ended (status {self.qemu.returncode}) before the command did"
                                   + (f": {text}" if text else "") + self.console_tail())
                left = deadline - time.monotonic()
                if left <= 0:
                    say(f"time limit of {self.args.timeout:g} s reached"
                        + ("" if self.ready_at else ", while the lab was still booting"))
                    return TIMED_OUT
                self.changed.wait(min(left, 1))

    def console_tail(self):
        try:
            with open(self.console, errors="replace") as f:
                lines = f.read().splitlines()[-8:]
        except (OSError, TypeError):
            return ""
        return "\nlast lines of the kernel's console:\n  " + "\n  ".join(lines) if lines else ""

    def stop(self):
        if self.qemu and self.qemu.poll() is None:
            self.qemu.terminate()
            try:
                self.qemu.wait(10)
            except subprocess.TimeoutExpired:
                self.qemu.kill()
                self.qemu.wait()
        if self.folder:
            if self.console and os.path.exists(self.console):
                os.replace(self.console, os.path.join(LAB, "last-console.log"))
            shutil.rmtree(self.folder, ignore_errors=True)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def sweep():
    """Removes what runs left behind that were killed hard (their scratch disks take space)."""
    for name in os.listdir(LAB):
        path = os.path.join(LAB, name)
        if name.startswith("run.") and os.path.isdir(path):
            try:
                with open(os.path.join(path, "pid")) as f:
                    os.kill(int(f.read()), 0)
            except ProcessLookupError:
                shutil.rmtree(path, ignore_errors=True)
            except (OSError, ValueError):
                pass


def parse(argv):
    p = argparse.ArgumentParser(
        prog="./dev lab", usage="./dev lab [OPTIONS] COMMAND [ARGUMENT...]",
        description="Runs COMMAND on a Linux kernel with kvm-amd inside QEMU's software emulation. The "
        "host's files are seen read-only under an overlay in memory: what is written is gone at the end, "
        "except in $LAB_OUT (build/lab/out on the host) and in --share folders. A scratch disk (ext4, "
        "8 GiB) is at /scratch. Exit status: the command's; 124 at the time limit; 125 when the lab "
        "itself failed.", epilog="See docs/lab.md.")
    p.add_argument("--smp", type=int, default=2, metavar="N", help="processors for the command (default 2)")
    p.add_argument("--mem", default="4096M", metavar="M", help="memory, as QEMU's -m (default 4096M)")
    p.add_argument("--timeout", type=float, default=600, metavar="S",
                   help="time limit in seconds, with the boot (default 600)")
    p.add_argument("--share", action="append", default=[], metavar="DIR",
                   help="a folder that the command may write to, at the same path (repeatable)")
    p.add_argument("--image", action="append", default=[], metavar="FILE",
                   help="a raw image as a further disk, /dev/vdb, /dev/vdc ... (repeatable)")
    p.add_argument("--xen", metavar="FILE",
                   help="boot this Xen, and Linux as its dom0 (tools/xen/lab.sh does)")
    p.add_argument("--verbose", action="store_true",
                   help="print QEMU's command line and times; full kernel log on the console")
    p.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    args = p.parse_args(argv)
    if args.command[:1] == ["--"]:
        args.command = args.command[1:]
    if not args.command:
        p.error("no COMMAND given")
    if not 1 <= args.smp <= 63:
        p.error(f"--smp {args.smp}: between 1 and 63 processors")
    if not re.fullmatch(r"\d+[MG]?", args.mem):
        p.error(f"--mem {args.mem}: a number of MiB, or with M or G")
    if args.timeout <= 0:
        p.error(f"--timeout {args.timeout:g}: more than 0 seconds")
    for path in args.share:
        if not os.path.isdir(path):
            p.error(f"--share {path}: no such folder")
    for path in args.image:
        if not os.path.exists(path):
            p.error(f"--image {path}: no such file")
    return args


class Interrupted(Exception):
    pass


def main(argv):
    args = parse(argv)
    began = time.monotonic()

    def interrupted(number, _frame):
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    run = Run(args)
    try:
        os.makedirs(LAB, exist_ok=True)
        check_qemu()
        sweep()
        kernel, initrd, modules, _ = prepare(XEN_MODULES if args.xen else MODULES)
        run.start(kernel, initrd, modules)
        with open(os.path.join(run.folder, "pid"), "w") as f:
            f.write(str(os.getpid()))
        status = run.wait(began + args.timeout)
        if args.verbose and run.ready_at:
            say(f"{run.ready_at - began:.1f} s to the command, {time.monotonic() - began:.1f} s in all")
    except LabError as e:
        say(str(e))
        status = LAB_FAILED
    except Interrupted as e:
        status = 128 + e.args[0]
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        run.stop()
        if args.verbose:
            try:
                with open(os.path.join(LAB, "last-console.log"), errors="replace") as f:
                    sys.stderr.write(f.read())
            except OSError:
                pass
    sys.stdout.flush()
    os._exit(status)  # the relay of stdin may be blocked in a read


if __name__ == "__main__":
    main(sys.argv[1:])
