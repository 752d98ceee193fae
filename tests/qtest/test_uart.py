# SPDX-License-Identifier: BSD-2-Clause
"""PC16550D at 3F8h with the interrupt on 4, by its data sheet of June 1995."""
from cases import case
from qtest import check, equal

COM = 0x3f8
RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
DTR, RTS, OUT1, OUT2, LOOP = 1, 2, 4, 8, 16


class Uart:
    def __init__(self, c, serial=False):
        self.m = c.machine(serial=True, frozen=True) if serial else c.machine("-serial", "null")
        self.m.intercept()
        self.put(LCR, 0x83)
        self.put(0, 12)  # 9600 baud
        self.put(1, 0)
        self.put(LCR, 0x03)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.m.close()

    def get(self, reg):
        return self.m.inb(COM + reg)

    def put(self, reg, v):
        self.m.outb(COM + reg, v)


@case("uart-registers")
def registers(c):
    """Scratch, divisor latch behind DLAB, bits that read 0."""
    with Uart(c) as u:
        for v in (0x55, 0xaa):
            u.put(SCR, v)
            equal(u.get(SCR), v, "SCR")
        u.put(LCR, 0x83)
        equal((u.get(0), u.get(1)), (12, 0), "divisor latch")
        u.put(1, 0x12)
        u.put(LCR, 0x03)
        u.put(IER, 0xff)
        equal(u.get(IER), 0x0f, "IER")
        u.put(IER, 0)
        u.put(LCR, 0x83)
        equal(u.get(1), 0x12, "high byte of the divisor")
        u.put(LCR, 0x1b)
        equal(u.get(LCR), 0x1b, "LCR")
        equal(u.get(LSR), 0x60, "LSR of an idle port")
        u.put(MCR, 0xff)
        equal(u.get(MCR) & 0xe0, 0, "bits 7:5 of MCR")


@case("uart-loop")
def loop(c):
    """Loopback: bytes come back, and modem outputs are modem inputs."""
    with Uart(c) as u:
        u.put(MCR, LOOP)
        for b in (0x00, 0x5a, 0xff):
            u.put(RBR, b)
            u.m.until("DR", lambda: u.get(LSR) & 1)
            equal(u.get(RBR), b, "byte")
            equal(u.get(LSR) & 1, 0, "DR afterwards")
        for out, inp in ((RTS, 0x10), (DTR, 0x20), (OUT1, 0x40), (OUT2, 0x80)):
            u.put(MCR, LOOP | out)
            equal(u.get(MSR) & 0xf0, inp, f"MSR for MCR bit {out:#x}")


@case("uart-thre")
def thre(c):
    """The transmitter's interrupt: at once when enabled, gone when IIR has told."""
    with Uart(c) as u:
        u.put(MCR, OUT2)
        u.put(IER, 2)
        check(u.m.irq(4), "no interrupt")
        equal(u.get(IIR) & 0x0f, 2, "IIR")
        check(not u.m.irq(4), "it stays after IIR was read")
        equal(u.get(IIR) & 0x0f, 1, "IIR again")
        u.put(RBR, 0x41)
        u.m.until("the interrupt after a byte", lambda: u.m.irq(4))
        u.put(IER, 0)
        check(not u.m.irq(4), "it stays after it was disabled")


@case("uart-out2")
def out2(c):
    """OUT2 gates the interrupt on a PC."""
    with Uart(c) as u:
        u.put(MCR, 0)
        u.put(IER, 2)
        check(not u.m.irq(4), "an interrupt without OUT2")
        u.put(MCR, OUT2)
        check(u.m.irq(4), "no interrupt with OUT2")


@case("uart-line")
def line(c):
    """Bytes go out to the far end and come in with an interrupt."""
    with Uart(c, serial=True) as u:
        for b in b"hello\n":
            u.put(RBR, b)
        equal(u.m.com.line(), "hello", "sent")
        u.put(MCR, OUT2 | RTS | DTR)
        u.put(IER, 1)
        u.m.com.send(b"xy")
        u.m.expect_irq(4)
        equal(u.get(IIR) & 0x0f, 4, "IIR")
        equal(u.get(RBR), ord("x"), "first byte")
        u.m.until("the second byte", lambda: u.get(LSR) & 1)
        equal(u.get(RBR), ord("y"), "second byte")
        check(not u.m.irq(4), "the interrupt stays")


@case("uart-fifo")
def fifo(c):
    """FIFO trigger level and time-out of four characters' time."""
    with Uart(c, serial=True) as u:
        equal(u.get(IIR) & 0xc0, 0, "IIR without FIFOs")
        u.put(IIR, 0x41)  # on, trigger at 4
        equal(u.get(IIR) & 0xc0, 0xc0, "IIR with FIFOs")
        u.put(MCR, OUT2 | RTS | DTR)
        u.put(IER, 1)
        u.m.com.send(b"abc")
        u.m.until("DR", lambda: u.get(LSR) & 1)
        check(not u.m.irq(4), "an interrupt below the trigger level")
        u.m.step(100000000)
        check(u.m.irq(4), "no time-out")
        equal(u.get(IIR) & 0x0f, 0x0c, "IIR of a time-out")
        u.m.until("a, b and c", lambda: bytes(u.get(RBR) for _ in range(3)) == b"abc")
        check(not u.m.irq(4), "the interrupt stays")
        u.m.com.send(b"defg")
        u.m.expect_irq(4)
        u.m.until("the trigger level", lambda: u.get(IIR) & 0x0f == 4)
        equal(bytes(u.get(RBR) for _ in range(4)), b"defg", "bytes")


@case("uart-overrun")
def overrun(c):
    """Loopback with full FIFO: OE, told once; the FIFO keeps the first 16."""
    with Uart(c) as u:
        u.put(IIR, 0x07)
        u.put(MCR, LOOP)
        for i in range(17):
            u.put(RBR, i)
        equal(u.get(LSR) & 3, 3, "LSR: DR and OE")
        equal(u.get(LSR) & 2, 0, "OE again")
        equal([u.get(RBR) for _ in range(16)], list(range(16)), "bytes")
        equal(u.get(LSR) & 1, 0, "DR at the end")
        u.put(RBR, 1)
        u.put(IIR, 0x03)
        equal(u.get(LSR) & 1, 0, "DR after the FIFO was cleared")
