# SPDX-License-Identifier: BSD-2-Clause
"""Runs selfio for a test: its console, its disks, its statistics, its end.

Works on the machine that has KVM: inside the lab, or on the host itself. Standard library only. A test is
a function with @test before it that takes a Context; it returns when all is well and raises Fail or Skip.
"""
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
SELFIO = os.environ.get("SELFIO", os.path.join(BUILD, "selfio"))
GUESTS = os.environ.get("SIO_GUESTS", os.path.join(BUILD, "guests"))
IN_LAB = "SELFIO_LAB" in os.environ
SECTOR = 512

# Guests that say so have failed: no need to wait for the time limit.
BAD_SIGNS = (r"Kernel panic - not syncing", r"SIO-TEST \S+ *: FAIL", r"SIO-INIT: cannot load",
             r"SIO-INIT: no /tests/")
# What a kernel prints when a disk or an interrupt does not do what it should.
TROUBLE = re.compile(rb"exception Emask|failed command|(hard|soft) resetting|lost interrupt|qc timeout|"
                     rb"I/O error|limiting speed|failed to IDENTIFY|SRST failed|nobody cared|"
                     rb"soft lockup|rcu.*stall|blocked for more than|Oops|BUG:")


class Fail(Exception):
    """What should hold does not."""


class Skip(Exception):
    """The test cannot run here; says why."""


class Test:
    def __init__(self, function, name, quick, cost):
        self.function, self.name, self.quick, self.cost = function, name, quick, cost


TESTS = {}


def test(name, quick=False, cost=20):
    """Registers a test. quick: part of --quick; cost: about how many seconds it takes in the lab."""
    def register(function):
        assert name not in TESTS, name
        TESTS[name] = Test(function, name, quick, cost)
        return function
    return register


def check(condition, why):
    if not condition:
        raise Fail(why)


def guest_file(name, how):
    """A file of build/guests; without it the test is skipped."""
    path = os.path.join(GUESTS, name)
    if not os.path.exists(path):
        raise Skip(f"{path} is not there ({how})")
    return path


def kernel_args(arch):
    """The options that boot a kernel with the test initramfs."""
    how = "tests/run.sh makes it"
    return ["--kernel", guest_file("vmlinuz-" + ("686" if arch == "i386" else "amd64"), how),
            "--initrd", guest_file(f"test-{arch}.cpio", how)]


def sha256(path, start=0, length=None):
    """Of a file or a part of it, in bytes."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        f.seek(start)
        while length is None or length > 0:
            data = f.read(1 << 20 if length is None else min(length, 1 << 20))
            if not data:
                break
            h.update(data)
            if length is not None:
                length -= len(data)
    return h.hexdigest()


def readable(data):
    """Console output as lines of text, without cursor movements."""
    data = re.sub(rb"\x1b\[[0-9;]*H", b"\n", data)
    data = re.sub(rb"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[78c]", b"", data)
    lines = [s.rstrip() for s in data.replace(b"\r", b"\n").decode(errors="replace").split("\n")]
    return [s for s in lines if s.strip(" |+-")]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Stream:
    """Bytes as they come, kept and logged."""

    def __init__(self, fd, log, changed):
        self.fd, self.log, self.changed = fd, log, changed
        self.data, self.ended = bytearray(), False
        self.thread = threading.Thread(target=self.pump, daemon=True)
        self.thread.start()

    def pump(self):
        with open(self.log, "ab", buffering=0) as f:
            while True:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # a pseudo-terminal's other end has gone
                    data = b""
                if data:
                    f.write(data)
                with self.changed:
                    self.data += data
                    self.ended = not data
                    self.changed.notify_all()
                if not data:
                    break
                time.sleep(0.02)  # more at once: the host has few processors, the guests need them
        os.close(self.fd)


class Machine:
    """One run of selfio."""

    def __init__(self, context, args, label="", stdin_open=True, command=None,
                 selfio=SELFIO):
        self.context, self.label = context, label
        self.began = time.monotonic()
        self.changed = threading.Condition()
        self.position, self.last_seen = 0, self.began
        self.stats_file = None
        if command is None:
            command = [selfio, "run"]
            self.stats_file = context.log(label + ".stats")
            args = [*args, "--stats", self.stats_file]
        self.command = [*command, *args]
        context.say("$ " + " ".join(self.command))
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE if stdin_open else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, preexec_fn=die_with_parent)
        self.out = Stream(os.dup(self.process.stdout.fileno()), context.log(label), self.changed)
        self.err = Stream(os.dup(self.process.stderr.fileno()), context.log(label + ".stderr"),
                          self.changed)
        self.process.stdout.close()
        self.process.stderr.close()
        self.console = self.out
        context.machines.append(self)

    def send(self, text):
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)

    def expect(self, pattern, timeout=120, bad=BAD_SIGNS, what=None):
        """Waits until the console's output, from where the last match ended, has the pattern."""
        compiled = re.compile(pattern.encode())
        signs = re.compile("|".join(bad).encode()) if bad else None
        deadline = time.monotonic() + timeout
        what = what or repr(pattern)
        looked = self.position
        with self.changed:
            while True:
                start = max(self.position, looked - 4096)
                m = compiled.search(self.console.data, start)
                b = signs.search(self.console.data, start) if signs else None
                if m and not (b and b.start() < m.start()):
                    self.position = m.end()
                    self.last_seen = time.monotonic()
                    return m
                if b:
                    raise Fail(f"'{b.group().decode()}' while waiting for {what}")
                looked = len(self.console.data)
                if self.console.ended:
                    status = self.wait(10)
                    raise Fail(f"selfio ended (status {status}) without {what}")
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.changed.wait(min(left, 1))
        self.diagnose()
        raise Fail(f"no {what} in {timeout:.0f} s")

    def seen(self, pattern):
        with self.changed:
            return re.search(pattern.encode() if isinstance(pattern, str) else pattern, self.console.data)

    def wait(self, timeout=60):
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.diagnose()
            raise Fail(f"selfio is still running after another {timeout:.0f} s") from None
        for s in (self.out, self.err):
            s.thread.join(5)
        self.seconds = time.monotonic() - self.began
        return status

    def finish(self, status=0, timeout=60, errors=False):
        """Waits for the end; checks the status, that nothing odd was said, and the statistics."""
        got = self.wait(timeout)
        check(got == status, f"exit status {got}, not {status}")
        if not errors:
            m = TROUBLE.search(self.out.data)
            if m:
                line = next((s for s in readable(bytes(self.out.data))
                             if TROUBLE.search(s.encode())), "")
                raise Fail(f"trouble in the guest: {line}")
            odd = [s for s in self.messages() if "stopping the domain" not in s]
            check(not odd, f"unexpected message: {odd[:1]}")
        if status == 0 and self.stats_file:
            check_stats(self.stats())
        return got

    def messages(self):
        return bytes(self.err.data).decode(errors="replace").splitlines()

    def stats(self):
        try:
            with open(self.stats_file) as f:
                return json.load(f)
        except (OSError, ValueError) as e:
            raise Fail(f"statistics: {e}") from None

    def signal(self, number):
        self.process.send_signal(number)

    def diagnose(self):
        """Where a run is that does not go on: its threads, and in the lab KVM's events of a second."""
        pid, text = self.process.pid, []

        def read(path, limit=None):
            try:
                with open(path, errors="replace") as f:
                    return f.read(limit)
            except OSError as e:
                return f"({e.strerror})"

        def times():
            return {tid: sum(int(x) for x in read(f"/proc/{pid}/task/{tid}/stat").rpartition(")")[2].split()[11:13])
                    for tid in os.listdir(f"/proc/{pid}/task")}

        def trace(value):
            for path in ("events/kvm/enable", "tracing_on"):
                with open("/sys/kernel/tracing/" + path, "w") as f:
                    f.write(value)

        try:
            before = times()
            if IN_LAB:
                trace("1")
            time.sleep(1)
            if IN_LAB:
                trace("0")
            after = times()
            for tid in sorted(after, key=int):
                base = f"/proc/{pid}/task/{tid}/"
                text.append(f"thread {tid}: {after[tid] - before.get(tid, 0)} ticks in the last second, "
                            f"wchan {read(base + 'wchan')}, syscall {read(base + 'syscall').strip()}\n"
                            f"{read(base + 'stack')}")
            text.append(read("/proc/loadavg"))
            if IN_LAB:
                text.append(read("/sys/kernel/tracing/trace", 200000))
                with open("/sys/kernel/tracing/trace", "w"):
                    pass  # empties it
        except (OSError, ValueError, IndexError) as e:
            text.append(f"no more: {e}")
        with open(self.context.log(self.label + ".stuck"), "w") as f:
            f.write("\n".join(text))

    def kill(self):
        """Ends what is left of a test that failed; with its statistics, if it still can."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def check_stats(s):
    """The shape of the statistics, and that their parts agree."""
    for key in ("version", "wall_ns", "vcpus", "resets", "guest_exits", "companion_exits", "models",
                "cpu_ns", "disks", "memory"):
        check(key in s, f"statistics without {key}")
    check(set(s["cpu_ns"]) == {"guest", "companion", "host"}, f"cpu_ns: {s['cpu_ns']}")
    check(s["models"], "no model has a request counted")
    for name, m in s["models"].items():
        for key in ("requests", "bytes", "median_ns", "p99_ns", "total_ns"):
            check(m.get(key, -1) >= 0, f"model {name}: {key} is {m.get(key)}")
        check(m["requests"] == 0 and m["shadowed"] > 0 or 0 < m["median_ns"] <= m["p99_ns"] * 1.001,
              f"model {name}: {m}")
    reflected = sum(m["requests"] for m in s["models"].values())
    exits = sum(s["guest_exits"][k] for k in ("pio_read", "pio_write", "mmio_read", "mmio_write"))
    check(reflected <= exits, f"{reflected} requests reflected, but {exits} exits")
    check(s["companion_exits"] >= reflected, "fewer companion exits than requests")
    check(s["wall_ns"] > 0 and s["vcpus"] >= 1, "no time or no vCPU")
    for d in s["disks"]:
        for key in ("reads", "writes", "flushes", "bytes_read", "bytes_written", "errors"):
            check(d.get(key, -1) >= 0, f"disk: {key} is {d.get(key)}")


class Context:
    """What a test has: a folder for its disks, a place for its logs, machines that end with it."""

    def __init__(self, name, work, logs):
        self.name, self.work, self.logs = name, work, logs
        self.dir = os.path.join(work, name)
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.machines, self.cleanups, self.notes = [], [], []
        for old in os.listdir(logs):
            if old == f"{name}.log" or re.match(re.escape(name) + r"(\.|--).*log$", old):
                os.unlink(os.path.join(logs, old))

    def path(self, name):
        return os.path.join(self.dir, name)

    def log(self, label=""):
        sep = "" if not label or label.startswith(".") else "--"
        return os.path.join(self.logs, f"{self.name}{sep}{label}.log")

    def say(self, text):
        with open(self.log(".steps"), "a") as f:
            f.write(text + "\n")

    def note(self, text):
        """A figure for the line that reports the test."""
        self.notes.append(text)

    def at_end(self, function, *args):
        self.cleanups.append((function, args))

    def image(self, name, size, fill=True, seed=1):
        """A raw image: of reproducible random bytes, or a hole."""
        path = self.path(name)
        with open(path, "wb") as f:
            if fill:
                f.write(random.Random(f"{self.name}/{name}/{seed}").randbytes(size))
            else:
                f.truncate(size)
        return path

    def copy(self, source, name="disk.img"):
        path = self.path(name)
        subprocess.run(["cp", "--sparse=always", source, path], check=True)
        return path

    def run(self, *args, label="", **kwargs):
        return Machine(self, [str(a) for a in args], label=label, **kwargs)

    def boot(self, program="", args=(), disks=(), arch="amd64", smp=1, mem="256M", append="", label="",
             more=(), **kwargs):
        """A Linux guest from the test initramfs that runs one program of /tests."""
        line = f"console=ttyS0,115200 quiet panic=-1 sio.disks={len(disks)}"
        if program:
            line += f" sio.test={program}"
        if args:
            line += " sio.args=" + ",".join(str(a) for a in args)
        if append:
            line += " " + append
        options = [*kernel_args(arch), "--append", line, "--mem", mem, "--smp", str(smp)]
        for d in disks:
            options += ["--disk", d]
        if "sio.reboot" not in append and "--no-reboot" not in more:
            options.append("--no-reboot")
        return self.run(*options, *more, label=label, **kwargs)

    def shell(self, *argv, ok=(0,), timeout=120):
        """A command of the host; its output."""
        r = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=timeout, text=True, errors="replace",
                           env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
        self.say(f"$ {' '.join(str(a) for a in argv)}  [status {r.returncode}]\n{r.stdout}".rstrip())
        if r.returncode not in ok:
            raise Fail(f"{os.path.basename(str(argv[0]))} ended with status {r.returncode}: "
                       f"{(r.stdout.strip().splitlines() or [''])[-1]}")
        return r

    def finish(self):
        for m in self.machines:
            m.kill()
        for function, args in reversed(self.cleanups):
            try:
                function(*args)
            except Exception as e:  # the verdict stands
                self.say(f"clean-up: {e}")
        shutil.rmtree(self.dir, ignore_errors=True)

    def tail(self, lines=25):
        """The end of the last machine's logs, for a failure's report."""
        out = []
        for m in self.machines[-1:]:
            text = readable(bytes(m.err.data))[-lines:]
            if text:
                out += ["-- standard error:"] + text
            text = readable(bytes(m.console.data))[-lines:]
            out += ["-- console:"] + (text or ["(nothing)"])
        return out
