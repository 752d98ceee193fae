# SPDX-License-Identifier: BSD-2-Clause
"""The protocol itself, QMP, the command line."""
import random
import socket
import subprocess

from cases import case
from qtest import Fail, Stream, check, equal


@case("proto-memory")
def memory(c):
    """Accesses of each size, and blocks in both notations, see the same memory."""
    with c.machine() as m:
        equal(m.request("endianness"), "little", "endianness")
        m.request("writeq 0x10000 0x1122334455667788")
        equal(int(m.request("readb 0x10000"), 16), 0x88, "readb")
        equal(int(m.request("readw 0x10001"), 16), 0x6677, "readw")
        equal(int(m.request("readl 0x10004"), 16), 0x11223344, "readl")
        equal(int(m.request("readq 0x10000"), 16), 0x1122334455667788, "readq")
        equal(m.read(0x10000, 8), bytes.fromhex("8877665544332211"), "b64read")
        equal(m.request("read 0x10000 0x8"), "0x8877665544332211", "read")
        m.request("write 0x10002 0x3 0xaabbcc")
        m.request("writew 0x10006 0xbeef")
        equal(m.read(0x10000, 9), bytes.fromhex("8877aabbcc33efbe00"), "after write")
        m.request("memset 0x10001 0x4 0x5a")
        equal(m.read(0x10000, 6), bytes.fromhex("885a5a5a5a33"), "after memset")
        block = bytes(i * 7 & 0xff for i in range(100001))
        m.write(0x20001, block)
        equal(m.read(0x20001, len(block)), block, "a long block")


@case("proto-memory-high")
def memory_high(c):
    """RAM goes on at 4 GiB when it does not fit below."""
    with c.machine("-m", "4G") as m:
        m.write(0x100000000, b"first above")
        m.write(0x100000, b"first below")
        equal(m.read(0x100000000, 11), b"first above", "at 4 GiB")
        equal(m.read(0x100000, 11), b"first below", "at 1 MiB")


@case("proto-clock", exact=True)
def clock(c):
    """Time goes on by steps, up to a time, or to the next timer."""
    with c.machine("-rtc", "clock=vm") as m:
        equal(m.step(1000), 1000, "clock_step 1000")
        equal(int(m.request("clock_set 5000")), 5000, "clock_set 5000")
        m.outb(0x70, 0x0b)
        m.outb(0x71, 0x12)  # 24 h, update-ended interrupt
        m.intercept()
        m.step()
        while not m.irq(8):
            check(m.step() <= 1000000000, "the first second is over without an interrupt")


@case("proto-fail", only="QEMU takes assertion failures for answers")
def fail(c):
    """What makes no sense is answered with FAIL."""
    with c.machine() as m:
        for line in ("nonsense", "inb", "inb 0x60 1", "inb zero", "inb 0x10000", "readl 0xfffffffffffffffe",
                     "read 0x1000 0", "read 0x1000 0x100000000", "write 0x1000 1 12", "write 0x1000 1 0x1234",
                     "write 0x1000 1 0x1", "b64write 0x1000 4 AAAA", "b64write 0x1000 3 A*AA", "memset 0 1",
                     "clock_step -1", "clock_set 0xffffffffffffffff", "irq_intercept_in nowhere",
                     "irq_intercept_out ioapic", "outb 1 2 3 4 5 6 7 8"):
            try:
                m.request(line)
            except Fail as e:
                check(": FAIL " in str(e), f"{line}: {e}")
                continue
            raise Fail(f"{line}: was answered with OK")
        equal(m.request("endianness"), "little", "afterwards")


@case("proto-stdio", only="QEMU goes on after the end of its input")
def stdio(c):
    """Requests may come on standard input."""
    r = subprocess.run([c.program, "-qtest", "stdio", "-qtest-log", "none"], capture_output=True, text=True,
                       input="outl 0xcf8 0x80000000\ninl 0xcfc\n", check=False, timeout=20)
    equal((r.stdout, r.stderr, r.returncode), ("OK\nOK 0x12378086\n", "", 0), "the run")


@case("bios", only="QEMU has PAM, and write-protected memory below 1 MiB")
def bios(c):
    """-bios: read-only below 4 GiB; a copy below 1 MiB is RAM until a reset brings it back."""
    data = bytes((i >> 8 ^ i) & 0xff for i in range(256 << 10))
    with c.machine("-bios", c.image(data, name="bios")) as m:
        equal(m.read(0xfffc0000, 0x40000), data, "below 4 GiB")
        equal(m.read(0xdfff0, 0x20010), bytes(16) + data[0x20000:], "below 1 MiB")
        for at in (0xfffffff0, 0xffff0):
            m.write(at, b"overwritten")
        equal(m.read(0xfffffff0, 16), data[-16:], "below 4 GiB after a write")
        equal(m.read(0xffff0, 11), b"overwritten", "below 1 MiB after a write")
        m.execute("system_reset")
        m.expect_reset(guest=False)
        equal(m.read(0xffff0, 16), data[-16:], "below 1 MiB after a reset")
        equal(m.read(0xffffffff, 2)[:1], data[-1:], "across 4 GiB")


@case("proto-noise", only="QEMU has assertions that a tester can reach")
def noise(c):
    """Whatever a tester writes to whichever port, each request has its answer."""
    r = random.Random(4711)
    ports = [*range(0x1f0, 0x1f8), 0x3f6, *range(0x170, 0x178), 0x376, *range(0xc000, 0xc010), 0x70, 0x71, 0x60,
             0x64, 0x92, 0xb2, *range(0x3f8, 0x400), 0xcf8, 0xcf9, *range(0xcfc, 0xd00), 0x510, 0x511, 0x514, 0x518,
             *range(0x600, 0x610), 0xafe0, 0xafe2]
    commands = (0x20, 0x30, 0x25, 0x35, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xec, 0x90, 0xef, 0xb0)
    lines = ["outl 0xcf8 0x80000920", "outl 0xcfc 0xc001", "outl 0xcf8 0x80000904", "outw 0xcfc 5"]
    for _ in range(30000):
        size = r.choice("bbbwl")
        port = r.choice(ports) if r.random() < 0.95 else r.randrange(65536)
        value = r.randrange(1 << {"b": 8, "w": 16, "l": 32}[size])
        if port & ~0x80 == 0x177 and r.random() < 0.9:
            size, value = "b", r.choice(commands)
        if r.random() < 0.03:
            lines.append(f"clock_step {r.randrange(1 << r.randrange(33))}")
        elif r.random() < 0.1:
            lines.append(f"writel {r.randrange(1 << 27) & ~3} {r.randrange(1 << 32)}")
        elif r.random() < 0.3:
            lines.append(f"in{size} {port}")
        else:
            lines.append(f"out{size} {port} {value}")
    run = subprocess.run([c.program, "-qtest", "stdio", "-qtest-log", "none", "-no-shutdown", "-hda",
                          c.image(size=1 << 20), "-drive", "file=null-co://,index=2"], capture_output=True, text=True,
                         input="\n".join(lines) + "\n", check=False, timeout=100)
    equal((run.stderr, run.returncode), ("", 0), "the run")
    equal([x for x in run.stdout.splitlines() if not x.startswith("OK")], [], "answers that are not OK")
    equal(len(run.stdout.splitlines()), len(lines), "answers")


@case("absent-ports", only="QEMU has DMA controllers, and more serial ports")
def absent(c):
    """Nothing answers for what is not there, nor for the local APIC, which is the hypervisor's."""
    with c.machine() as m:
        for port in (0x00, 0x22, 0x43, 0x44, 0x62, 0xa2, 0x4d2, 0x2f8, 0x402):
            equal(m.inb(port), 0xff, f"port {port:#x}")
            m.outb(port, 0)
        equal(int(m.request("readl 0xfec00100"), 16), 0xffffffff, "beside the IOAPIC")
        equal(int(m.request("readl 0xfee00030"), 16), 0xffffffff, "local APIC")


@case("qmp")
def qmp(c):
    """Greeting, status, stop and cont with their events, and errors."""
    with c.machine() as m:
        check("version" in m.greeting["QMP"], "no version in the greeting")
        check("qemu" in m.execute("query-version")["return"], "query-version")
        equal(m.execute("query-status")["return"]["status"], "running", "status at the start")
        equal(m.execute("stop")["return"], {}, "stop")
        check(m.event("STOP"), "no STOP event")
        equal(m.execute("query-status")["return"]["running"], False, "running after stop")
        m.execute("stop")
        equal(m.execute("cont")["return"], {}, "cont")
        equal([e["event"] for e in m.events], ["RESUME"], "events of a second stop and of cont")
        m.execute("system_reset")
        m.expect_reset(guest=False)
        for name in ("no-such-command", "qmp_capabilities"):
            equal(m.execute(name)["error"]["class"], "CommandNotFound", name)
        m.qmp.send(b'{"execute": "query-')
        m.qmp.send(b'status", "arguments": {"a\\"}": [1, "]"]}, "id": {"x": [null]}}')
        equal(m.qmp.line() is not None, True, "an answer to a command in two pieces")
        m.execute("quit")
        check(m.event("SHUTDOWN"), "no SHUTDOWN event")
        m.until("the end of the program", lambda: m.process.poll() is not None)
        equal(m.process.returncode, 0, "status")


@case("qmp-paused")
def paused(c):
    """-S: not running until cont."""
    with c.machine("-S") as m:
        equal(m.execute("query-status")["return"],
              {"status": "prelaunch", "running": False}, "status at the start")
        m.execute("cont")
        equal(m.execute("query-status")["return"]["status"], "running", "status after cont")


@case("qmp-garbage", only="a parser's answers to nonsense are its own")
def garbage(c):
    """What is no JSON object is an error, and the next command is served."""
    with c.machine() as m:
        m.qmp.send(b'x{"execute": 5}{}{"execute": "a b"} {"id": 2, "execute"')
        for _ in range(4):
            line = m.qmp.line()
            check(line and "GenericError" in line, f"{line}")
        m.qmp.send(b': "query-status"}')
        check('"id": 2' in (m.qmp.line() or ""), "no answer afterwards")


@case("cli-errors", only="its own messages")
def cli(c):
    """A wrong option: one line that names it, status 1."""
    image = c.image(size=1 << 20)
    odd = c.image(size=1000, name="odd")
    for args, word in (
            (["-foo"], "-foo"), (["-machine", "q35"], "q35"), (["-accel", "tcg"], "tcg"), (["-M", "pc,accel=kvm"], "kvm"),
            (["-m", "12x"], "12x"), (["-m", "0"], "-m"), (["-m", "1G,slots=2"], "slots"),
            (["-smp", "0"], "-smp"), (["-smp", "2,threads=2"], "threads"), (["-uuid", "12"], "-uuid"),
            (["-vga", "std"], "-vga"), (["-display", "gtk"], "gtk"), (["-net", "user"], "-net"),
            (["-rtc", "clock=host"], "clock=host"), (["-rtc", "base=soon"], "soon"),
            (["-boot", "order=d"], "-boot"), (["-bios", "/nowhere"], "/nowhere"),
            (["-serial", "vc"], "vc"), (["-serial", "chardev:x"], "id=x"),
            (["-drive", "file=/nowhere"], "/nowhere"), (["-drive", f"file={odd}"], "512"),
            (["-drive", f"file={image},if=scsi"], "scsi"), (["-drive", f"file={image},format=qcow2"], "qcow2"),
            (["-drive", f"file={image},media=cdrom"], "cdrom"), (["-drive", f"file={image},index=4"], "4"),
            (["-drive", "file=blkdebug::x"], "blkdebug"), (["-drive", f"file={image},bps=1"], "bps"),
            (["-drive", f"file={image},if=none,id=abc"], "abc"), (["-drive", "if=ide"], "file="),
            (["-drive", f"file={image}", "-hda", image], "ide.0, unit 0"),
            (["-drive", f"file={image}", "-hdb", image], "in use"),
            (["-device", "e1000"], "e1000"), (["-device", "ide-cd"], "not there yet"),
            (["-device", "ide-hd,drive=zzz"], "zzz"),
            (["-blockdev", f"driver=qcow2,node-name=a,filename={image}"], "qcow2"),
            (["-blockdev", f"driver=file,filename={image}"], "node-name"), (["-global", "a.b=c"], "a.b"),
            (["-mon", "chardev=zz,mode=control"], "zz"), (["-hda"], "value"), (["disk.img"], "disk.img")):
        r = subprocess.run([c.program, "-qtest", "unix:/nowhere/at/all", "-qtest-log", "none"] + args,
                           capture_output=True, text=True, check=False, timeout=20,
                           stdin=subprocess.DEVNULL)
        equal(r.returncode, 1, f"status of {args}")
        check(r.stderr.count("\n") == 1 and word in r.stderr and r.stderr.startswith("selfio-qtest: "),
              f"{args}: {r.stderr}")
    r = subprocess.run([c.program], capture_output=True, text=True, check=False, timeout=20)
    check(r.returncode == 1 and "-qtest" in r.stderr, f"no option at all: {r.stderr}")
    r = subprocess.run([c.program, "--help"], capture_output=True, text=True, check=False, timeout=20)
    check(r.returncode == 0 and r.stdout.startswith("usage:"), "--help")


@case("cli-end", only="QEMU goes on when the tester is gone")
def end(c):
    """The end of the qtest socket is the program's."""
    with c.machine() as m:
        m.proto.sock.shutdown(socket.SHUT_RDWR)
        m.until("the end of the program", lambda: m.process.poll() is not None)
        equal(m.process.returncode, 0, "status")
        check(isinstance(m.proto, Stream), "stream")
