# SPDX-License-Identifier: BSD-2-Clause
"""How a run ends: by force, by a signal, by the guest; and that flushed data is there afterwards."""
import os
import pty
import random
import re
import secrets
import signal
import socket
import subprocess
import termios
import time
import tty

import vm
from test_disk import host_program
from vm import Fail, check, test

MIB = 1 << 20
ROUNDS = int(os.environ.get("SIO_KILL_ROUNDS", "20"))


def flushlog(t, disk, label="", suffix="", **kwargs):
    seed = secrets.randbits(40)
    m = t.boot("flushlog", ["--seed", seed, "--slots", 400, "/dev/sda"], [disk + suffix], label=label,
               **kwargs)
    m.expect(r"FLUSHLOG START seed=%d " % seed, 150)
    return m


def check_log(t, m, disk, least):
    log = t.path("console" + m.label)
    with open(log, "wb") as f:
        f.write(bytes(m.out.data))
    r = t.shell(host_program("flushlog"), "--check", log, disk, "--min", least)
    return int(re.search(r"flushlog: (\d+) records acknowledged", r.stdout)[1])


def kill_round(t, disk, n, acked, suffix):
    m = flushlog(t, disk, label=f"{n}", suffix=suffix)
    for _ in range(random.randint(1, 3)):
        m.expect(r"ACK \d+ [0-9a-f]{4}", 60)
    time.sleep(random.uniform(0, 0.4))
    m.process.kill()
    m.wait(30)
    acked.append(check_log(t, m, disk, 1))
    for name in (t.log(m.label), t.log(m.label + ".stderr")):
        if os.path.exists(name):
            os.unlink(name)  # rounds that went well leave no logs


def kill_rounds(t, rounds, suffix=""):
    disk = t.image("disk.img", 8 * MIB, fill=False)
    acked = []
    for n in range(rounds):
        kill_round(t, disk, n + 1, acked, suffix)
    t.note(f"{rounds} rounds, {sum(acked)} acknowledged records, none lost")


@test("kill-9", cost=250)
def kill_9(t):
    """SIGKILL while the guest writes and flushes: all that it was told is flushed is in the image."""
    kill_rounds(t, ROUNDS)


@test("kill-9-direct", cost=40)
def kill_9_direct(t):
    kill_rounds(t, 3, ",direct")


@test("kill-9-short", quick=True, cost=30)
def kill_9_short(t):
    kill_rounds(t, 2)


def stopped_by(t, number):
    disk = t.image("disk.img", 8 * MIB, fill=False)
    m = flushlog(t, disk)
    for _ in range(5):
        m.expect(r"ACK \d+ [0-9a-f]{4}", 60)
    began = time.monotonic()
    m.signal(number)
    m.finish(timeout=20)
    t.note(f"{time.monotonic() - began:.2f} s to stop")
    check(any("stopping the domain" in s for s in m.messages()), "no word about the signal")
    check_log(t, m, disk, 5)


@test("stop-sigterm", quick=True)
def stop_sigterm(t):
    """SIGTERM: a clean end, status 0, flushed data in the image, statistics written."""
    stopped_by(t, signal.SIGTERM)


@test("stop-sigint")
def stop_sigint(t):
    stopped_by(t, signal.SIGINT)


@test("stop-ctrl-a-x")
def stop_ctrl_a_x(t):
    """Ctrl-A x at a terminal quits, and the terminal is as it was."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    args = [*vm.kernel_args("amd64"), "--append", "console=ttyS0,115200 quiet sio.hold", "--mem", "256M"]
    stats = t.path("stats.json")
    t.say("$ selfio run ... on a terminal")
    p = subprocess.Popen([vm.SELFIO, "run", *args, "--stats", stats], stdin=slave, stdout=slave,
                         stderr=subprocess.PIPE, preexec_fn=vm.die_with_parent)
    text = b""
    try:
        os.set_blocking(master, False)
        deadline = time.monotonic() + 150
        while b"SIO-INIT: 0 disks" not in text:
            check(p.poll() is None, f"ended early, status {p.poll()}")
            check(time.monotonic() < deadline, "no guest on the terminal")
            time.sleep(0.1)
            try:
                text += os.read(master, 65536)
            except BlockingIOError:
                pass
        during = termios.tcgetattr(slave)
        check(not during[3] & termios.ICANON and not during[3] & termios.ECHO, "the terminal is not raw")
        os.write(master, b"\x01x")
        try:
            status = p.wait(20)
        except subprocess.TimeoutExpired:
            raise Fail("Ctrl-A x does not end it") from None
        check(status == 0, f"status {status}")
        check(termios.tcgetattr(slave) == before, "the terminal's settings were not restored")
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        with open(t.log(), "wb") as f:
            f.write(text)
        os.close(master)
        os.close(slave)


@test("powerdown", quick=True)
def powerdown(t):
    """The control socket's powerdown is the ACPI power button, upon which the guest powers itself off."""
    m = t.boot("button")
    m.expect(r"SIO-BUTTON: ready", 150)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{os.environ.get('XDG_RUNTIME_DIR', '/run')}/selfio/{m.process.pid}.sock")
        s.sendall(b'{"cmd": "powerdown"}\n')
        check(s.recv(100) == b'{"ok": true}\n', "not accepted")
    m.expect(r"SIO-TEST button: PASS", 30)
    m.finish()


def reboots(t, method="", **kwargs):
    append = "sio.reboot" + (f" reboot={method}" if method else "")
    return t.boot(disks=[t.image("disk.img", MIB)], append=append, **kwargs)


@test("reboot", cost=40)
def reboot(t):
    """The guest reboots itself, twice: disks and processors are as after power-on."""
    m = reboots(t, smp=2)
    for _ in range(3):
        m.expect(r"SIO-INIT: up [\d.]+s, Linux \S+ \S+, 2 cpus", 150)
        m.expect(r"SIO-INIT: 1 disks", 60)
    m.signal(signal.SIGTERM)
    m.finish()
    check(m.stats()["resets"] >= 2, f"resets: {m.stats()['resets']}")


def one_reboot(t, method):
    m = reboots(t, method, more=["--no-reboot"])
    m.expect(r"SIO-INIT: 1 disks", 150)
    m.finish()


@test("reboot-keyboard", cost=15)
def reboot_keyboard(t):
    """Reset through the keyboard controller; --no-reboot makes it the end."""
    one_reboot(t, "k")


@test("reboot-pci", cost=15)
def reboot_pci(t):
    """Reset through port CF9h."""
    one_reboot(t, "p")


@test("reboot-triple-fault", cost=15)
def reboot_triple(t):
    one_reboot(t, "t")


@test("reboot-acpi", cost=15)
def reboot_acpi(t):
    one_reboot(t, "a")


@test("reboot-bios", cost=40)
def reboot_bios(t):
    """A reset in GRUB's time: the disk boots again."""
    disk = t.copy(vm.guest_file("demo.img", "tests/run.sh makes it"))
    m = t.run("--disk", disk, "--mem", "256M")
    for _ in range(2):
        m.expect(r"executed automatically", 60)
        m.send("c")
        m.expect(r"grub> ", 20)
        m.send("reboot\r")
    m.expect(r"executed automatically", 60)
    m.signal(signal.SIGTERM)
    m.finish()
    check(m.stats()["resets"] == 2, f"resets: {m.stats()['resets']}")


@test("console-file", cost=15)
def console_file(t):
    """The serial port to a file; standard input and output are left alone."""
    out = t.path("serial")
    m = t.boot("identity", disks=[t.image("disk.img", MIB)], more=["--console", "file:" + out])
    check(m.wait(150) == 0, "it failed")
    with open(out, "rb") as f:
        check(b"SIO-TEST identity: PASS" in f.read(), "the guest's output is not in the file")
    check(not m.out.data, "something was written on standard output")


@test("console-pty", cost=20)
def console_pty(t):
    """The serial port on a pseudo-terminal: output comes, input is heard."""
    m = t.boot(append="sio.shell", more=["--console", "pty"])
    deadline = time.monotonic() + 20
    where = None
    while not where:
        check(time.monotonic() < deadline and m.process.poll() is None, "no word about the terminal")
        where = re.search(rb"/dev/pts/\d+", m.err.data)
        time.sleep(0.1)
    fd = os.open(where[0].decode(), os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    m.console = vm.Stream(os.dup(fd), t.log("pty"), m.changed)
    m.expect(r"exit ends the run", 150)
    m.expect(r"# ", 30)
    os.write(fd, b"echo $((6 * 7)) is it\n")
    m.expect(r"42 is it", 30)
    os.write(fd, b"exit\n")
    check(m.wait(60) == 0, "it failed")
    os.close(fd)
