# SPDX-License-Identifier: BSD-2-Clause
"""A machine driven over QEMU's qtest protocol, with QMP beside it."""
import base64
import json
import os
import select
import socket
import subprocess
import tempfile
import time

LIMIT_S = 20  # for anything to happen


class Fail(Exception):
    """A case found something else than it should have."""


def check(good, what):
    if not good:
        raise Fail(what)


def equal(got, want, what):
    def text(v):
        if isinstance(v, int) and not isinstance(v, bool):
            return f"{v:#x}"
        return repr(v) if len(repr(v)) < 200 else repr(v)[:200] + "..."
    if got != want:
        raise Fail(f"{what}: {text(got)} instead of {text(want)}")


class Skip(Exception):
    """A case can't run on this program."""


class Stream:
    """A connected socket, line by line, with time limits."""

    def __init__(self, sock):
        self.sock, self.data, self.ended = sock, b"", False

    def fill(self, timeout):
        """Waits for input; False: none came."""
        if self.ended or not select.select([self.sock], [], [], max(timeout, 0))[0]:
            return False
        try:
            got = self.sock.recv(1 << 20)
        except ConnectionError:
            got = b""
        self.data += got
        self.ended = not got
        return bool(got)

    def line(self, timeout=LIMIT_S):
        end = time.monotonic() + timeout
        while b"\n" not in self.data:
            if not self.fill(end - time.monotonic()):
                return None
        line, self.data = self.data.split(b"\n", 1)
        return line.decode()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Fail(f"the program is gone: {e}") from e


SLEEP_MAX_S = 6
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp back to hlt


class Machine:
    """One run of a program.  Use it in a with statement.

    Debian's QEMU was built without -accel qtest.  There a BIOS that only halts takes the place of no
    processor, and time is real: a step is a sleep.  A frozen machine's clock stands still between steps, which
    are a few ms too long (exact is False).
    """

    def __init__(self, program, args=(), serial=False, frozen=False, folder=None, exact=True):
        self.exact, self.frozen = exact, frozen and not exact
        self.folder = tempfile.TemporaryDirectory(prefix="qtest", dir=folder)
        self.levels, self.edges, self.events, self.streams = {}, [], [], []
        self.ids = 0
        listeners = [self._listen(n) for n in ("qtest", "qmp") + (("com",) if serial else ())]
        self.log = open(self.folder.name + "/stderr", "w+", encoding="utf-8")
        command = [program, "-qtest", "unix:" + self.folder.name + "/qtest", "-qtest-log", "/dev/null",
                   "-chardev", f"socket,path={self.folder.name}/qmp,id=char0",
                   "-mon", "chardev=char0,mode=control", "-display", "none", "-audio", "none",
                   "-machine", "pc", "-nodefaults"]
        if serial:
            command += ["-chardev", f"socket,path={self.folder.name}/com,id=com1",
                        "-serial", "chardev:com1"]
        command += args
        if exact:
            command += ["-accel", "qtest"]
        else:
            with open(self.folder.name + "/halt", "wb") as f:
                f.write(bytes(65520) + HALT.ljust(16, b"\0"))
            command += ["-accel", "tcg", "-bios", self.folder.name + "/halt"] + ["-S"] * self.frozen
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command,
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        # QEMU connects in an order of its own.
        try:
            self.streams = self._accept(listeners)
            self.proto, self.qmp, self.com = (self.streams + [None])[:3]
            self.greeting = self._qmp_next()
            self.execute("qmp_capabilities")
        except Fail:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listen(self, name):
        s = socket.socket(socket.AF_UNIX)
        s.bind(self.folder.name + "/" + name)
        s.listen(1)
        return s

    def _accept(self, listeners):
        streams = [None] * len(listeners)
        end = time.monotonic() + LIMIT_S
        while None in streams:
            for s in select.select(listeners, [], [], 0.1)[0]:
                streams[listeners.index(s)] = Stream(s.accept()[0])
            if self.process.poll() is not None:
                raise Fail(f"ended at once with status {self.process.returncode}: {self.stderr()}")
            if time.monotonic() > end:
                raise Fail("does not connect")
        for s in listeners:
            s.close()
        return streams

    def stderr(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().strip()

    def close(self):
        """The end of the qtest socket ends selfio-qtest; QEMU is told.  A sanitizer's words are a failure."""
        selfio = "selfio" in os.path.basename(self.process.args[0])
        for s in self.streams:
            s.sock.close()
        if not selfio:
            self.process.terminate()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            selfio = True
        words = self.stderr()
        self.log.close()
        self.folder.cleanup()
        if selfio and self.process.returncode:
            raise Fail(f"ended with status {self.process.returncode}: {words}")

    # The qtest protocol

    def _irq(self, line):
        words = line.split()
        if words[0] != "IRQ":
            return False
        level, n = words[1] == "raise", int(words[2])
        self.levels[n] = level
        self.edges.append((n, level))
        return True

    def request(self, text):
        """Sends a line; returns what comes back behind OK."""
        self.proto.send(text.encode() + b"\n")
        while True:
            line = self.proto.line()
            if line is None:
                raise Fail(f"no answer to {text[:60]}: {self.stderr()}")
            if self._irq(line):
                continue
            status, _, rest = line.partition(" ")
            if status != "OK":
                raise Fail(f"{text[:60]}: {line}")
            return rest

    def inb(self, port):
        return int(self.request(f"inb {port:#x}"), 16)

    def inw(self, port):
        return int(self.request(f"inw {port:#x}"), 16)

    def inl(self, port):
        return int(self.request(f"inl {port:#x}"), 16)

    def outb(self, port, v):
        self.request(f"outb {port:#x} {v:#x}")

    def outw(self, port, v):
        self.request(f"outw {port:#x} {v:#x}")

    def outl(self, port, v):
        self.request(f"outl {port:#x} {v:#x}")

    def read(self, addr, n):
        return base64.b64decode(self.request(f"b64read {addr:#x} {n:#x}"))

    def write(self, addr, data):
        self.request(f"b64write {addr:#x} {len(data):#x} {base64.b64encode(data).decode()}")

    def step(self, ns=None):
        """Lets time go on; to the next timer without ns."""
        if self.exact:
            return int(self.request("clock_step" if ns is None else f"clock_step {ns}"))
        if ns is None or ns > SLEEP_MAX_S * 1000000000:
            raise Skip("this QEMU has no -accel qtest: its clock can't be set")
        if self.frozen:
            self.execute("cont")
        time.sleep(ns / 1e9)
        if self.frozen:
            self.execute("stop")
        return None

    def intercept(self):
        self.request("irq_intercept_in ioapic")

    def irq(self, n):
        """The line's level.  A request makes sure that what was under way has come."""
        self.request("endianness")
        return self.levels.get(n, False)

    def until(self, what, test, limit=LIMIT_S):
        """Waits for what QEMU does in threads of its own."""
        end = time.monotonic() + limit
        while not test():
            if time.monotonic() > end:
                raise Fail(f"never: {what}")
            time.sleep(0.002)

    def expect_irq(self, n):
        self.until(f"interrupt {n}", lambda: self.irq(n))

    # QMP

    def _qmp_next(self, timeout=LIMIT_S):
        line = self.qmp.line(timeout)
        return None if line is None else json.loads(line)

    def execute(self, name, **arguments):
        """The whole answer, an error too."""
        self.ids += 1
        command = {"execute": name, "id": self.ids}
        if arguments:
            command["arguments"] = arguments
        self.qmp.send(json.dumps(command).encode())
        while True:
            answer = self._qmp_next()
            if answer is None:
                raise Fail(f"no answer to {name}")
            if "event" in answer:
                self.events.append(answer)
                continue
            equal(answer.get("id"), self.ids, f"id of the answer to {name}")
            return answer

    def event(self, name, timeout=LIMIT_S):
        """The next event of that name, others forgotten; None: it does not come."""
        end = time.monotonic() + timeout
        while True:
            while self.events:
                e = self.events.pop(0)
                if e["event"] == name:
                    return e
            e = self._qmp_next(end - time.monotonic())
            if e is None:
                return None
            self.events.append(e)

    def expect_reset(self, guest=True):
        e = self.event("RESET")
        check(e, "no RESET event")
        equal(e["data"]["guest"], guest, "guest of the RESET event")

    # PCI configuration mechanism 1

    def cfg_address(self, dev, fn, off):
        self.outl(0xcf8, 0x80000000 | dev << 11 | fn << 8 | (off & 0xfc))

    def cfg_read(self, dev, fn, off, size=4):
        self.cfg_address(dev, fn, off)
        return {1: self.inb, 2: self.inw, 4: self.inl}[size](0xcfc + (off & 3))

    def cfg_write(self, dev, fn, off, v, size=4):
        self.cfg_address(dev, fn, off)
        {1: self.outb, 2: self.outw, 4: self.outl}[size](0xcfc + (off & 3), v)
