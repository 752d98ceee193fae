# SPDX-License-Identifier: BSD-2-Clause
"""8259A pair (data sheet 231468) with ELCR, 8254 (231164) with port 61h, 82093AA's registers."""
import struct

from cases import case
from qtest import check, equal

MASTER, SLAVE = 0x20, 0xa0
IOAPIC = 0xfec00000
MS = 1000000


class Pics:
    """Both initialised as a BIOS does. Requests: 0 from the PIT, 1 and 12 from the keyboard controller, 8 from
    the clock. Poll mode stands in for a processor's acknowledge cycles."""

    def __init__(self, c, icw4=1):
        self.m = c.machine()
        self.m.outb(0x43, 0x30)  # OUT of the PIT low
        self.init(MASTER, 0x08, 4, icw4)
        self.init(SLAVE, 0x70, 2, icw4)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.m.close()

    def init(self, port, base, icw3, icw4):
        self.m.outb(port, 0x11)
        for v in (base, icw3, icw4):
            self.m.outb(port + 1, v)

    def irr(self, port=MASTER):
        self.m.outb(port, 0x0a)
        return self.m.inb(port)

    def isr(self, port=MASTER):
        self.m.outb(port, 0x0b)
        return self.m.inb(port)

    def poll(self, port=MASTER):
        self.m.outb(port, 0x0c)
        return self.m.inb(port)

    def eoi(self, port=MASTER):
        self.m.outb(port, 0x20)

    def timer(self):
        """An edge of interrupt 0: the control word takes OUT low, another one high."""
        self.m.outb(0x43, 0x30)
        self.m.outb(0x40, 1)
        self.m.outb(0x40, 0)
        self.m.step(20 * MS)
        self.m.until("interrupt 0", lambda: self.irr() & 1 or self.isr() & 1)

    def key(self):
        """An edge of interrupt 1: the byte of an echo."""
        self.m.outb(0x64, 0x60)
        self.m.outb(0x60, 0x45)
        self.m.outb(0x60, 0xee)
        self.m.until("the byte", lambda: self.m.inb(0x64) & 1)
        equal(self.m.inb(0x60), 0xee, "echo")

    def clock(self):
        """An edge of interrupt 8: the periodic interrupt, once."""
        for reg, v in ((0x0a, 0x26), (0x0b, 0x42)):
            self.m.outb(0x70, reg)
            self.m.outb(0x71, v)
        self.m.step(20 * MS)
        self.m.until("interrupt 8", lambda: self.irr(SLAVE) & 1 or self.isr(SLAVE) & 1)
        self.m.outb(0x70, 0x0b)
        self.m.outb(0x71, 0x02)
        self.m.outb(0x70, 0x0c)
        self.m.inb(0x71)


@case("pic-registers")
def registers(c):
    """Masks are what was written, ICW1 clears them; nothing is requested or in service."""
    with Pics(c) as p:
        for port in (MASTER, SLAVE):
            for v in (0x55, 0xaa):
                p.m.outb(port + 1, v)
                equal(p.m.inb(port + 1), v, "IMR")
            p.m.outb(port, 0x11)
            for v in (0x20, 4 if port == MASTER else 2, 1):
                p.m.outb(port + 1, v)
            equal(p.m.inb(port + 1), 0, "IMR after the ICWs")
            equal(p.isr(port), 0, "ISR")
        equal(p.irr(SLAVE), 0, "IRR")


@case("pic-elcr")
def elcr(c):
    """Interrupts 0, 1, 2, 8 and 13 have no level; reset makes all edge-triggered."""
    with Pics(c) as p:
        p.m.outb(0x4d0, 0xff)
        p.m.outb(0x4d1, 0xff)
        equal((p.m.inb(0x4d0), p.m.inb(0x4d1)), (0xf8, 0xde), "ELCR")
        p.m.outb(0xcf9, 6)
        p.m.expect_reset()
        equal((p.m.inb(0x4d0), p.m.inb(0x4d1)), (0, 0), "ELCR after a reset")


@case("pic-edge")
def edge(c):
    """A request is there once for an edge, and in service until its end."""
    with Pics(c) as p:
        p.m.outb(MASTER + 1, 0xff)
        p.key()
        equal(p.irr() & 2, 2, "IRR")
        equal(p.poll(), 0, "poll of a masked request")
        p.m.outb(MASTER + 1, 0xfd)
        equal(p.poll(), 0x81, "poll")
        equal((p.irr() & 2, p.isr()), (0, 2), "IRR and ISR")
        equal(p.poll(), 0, "poll, again")
        p.key()
        equal(p.poll(), 0, "poll while it is in service")
        p.eoi()
        equal(p.isr(), 0, "ISR after EOI")
        equal(p.poll(), 0x81, "the second one")
        p.m.outb(MASTER, 0x60)
        equal(p.isr(), 2, "ISR after the EOI of another")
        p.m.outb(MASTER, 0x61)
        equal(p.isr(), 0, "ISR after its own")


@case("pic-nested")
def nested(c):
    """A higher one is served within a lower one, and not the other way round."""
    with Pics(c) as p:
        p.m.outb(MASTER + 1, 0xfc)
        p.key()
        equal(p.poll(), 0x81, "the keyboard")
        p.timer()
        equal(p.poll(), 0x80, "the timer")
        equal(p.isr(), 3, "ISR")
        p.key()
        p.eoi()
        equal((p.isr(), p.poll()), (2, 0), "the timer's end")
        p.eoi()
        equal(p.poll(), 0x81, "the keyboard, again")


@case("pic-rotate")
def rotate(c):
    """Set priority, rotation at the end."""
    with Pics(c) as p:
        p.m.outb(MASTER + 1, 0xfc)
        p.m.outb(MASTER, 0xc0)  # 0 is the lowest
        p.timer()
        p.key()
        equal(p.poll(), 0x81, "the higher one")
        p.m.outb(MASTER, 0xa0)  # now 1 is
        p.key()
        equal(p.poll(), 0x80, "the other")
        p.m.outb(MASTER, 0xe0)
        equal(p.isr(), 0, "ISR")
        p.timer()
        equal(p.poll(), 0x81, "1, as 0 is the lowest again")


@case("pic-auto-eoi")
def auto_eoi(c):
    """With AEOI nothing is ever in service."""
    with Pics(c, icw4=3) as p:
        p.m.outb(MASTER + 1, 0xfd)
        for _ in range(2):
            p.key()
            equal(p.poll(), 0x81, "poll")
            equal((p.isr(), p.irr() & 2), (0, 0), "ISR and IRR")


@case("pic-special-mask")
def special_mask(c):
    """What is masked in service does not lock out lower ones."""
    with Pics(c) as p:
        p.m.outb(MASTER + 1, 0xfc)
        p.timer()
        equal(p.poll(), 0x80, "the timer")
        p.key()
        p.m.outb(MASTER + 1, 0xfd)
        equal(p.poll(), 0, "masked in service, mode off")
        p.m.outb(MASTER, 0x68)
        equal(p.poll(), 0x81, "mode on")
        equal(p.isr(), 3, "ISR")
        p.m.outb(MASTER, 0x48)


@case("pic-cascade")
def cascade(c):
    """The clock comes through the slave and the master's input 2."""
    with Pics(c) as p:
        p.m.outb(SLAVE + 1, 0xfe)
        p.m.outb(MASTER + 1, 0xf9)
        p.clock()
        equal((p.irr(SLAVE) & 1, p.irr() & 4), (1, 4), "IRR of both")
        p.key()
        equal(p.poll(), 0x81, "1 goes first")
        p.eoi()
        equal(p.poll(), 0x82, "the slave")
        equal(p.poll(SLAVE), 0x80, "its input")
        equal((p.isr(SLAVE), p.isr()), (1, 4), "ISR of both")
        p.eoi(SLAVE)
        p.eoi()
        equal((p.isr(SLAVE), p.isr(), p.poll()), (0, 0, 0), "after the ends")


@case("pic-cascade-masked")
def cascade_masked(c):
    """A slave that takes its request back takes the master's with it."""
    with Pics(c) as p:
        p.m.outb(SLAVE + 1, 0xfe)
        p.clock()
        equal(p.irr() & 4, 4, "IRR")
        p.m.outb(SLAVE + 1, 0xff)
        equal(p.irr() & 4, 0, "IRR, masked at the slave")


@case("pic-level")
def level(c):
    """A level-triggered request lasts as long as its line: that of the SCI."""
    with Pics(c) as p:
        p.m.outb(0x4d1, 0x02)
        p.m.outb(SLAVE + 1, 0xfd)
        p.m.cfg_write(1, 3, 0x40, 0x601)
        p.m.cfg_write(1, 3, 0x80, 1, 1)
        p.m.outw(0x604, 1)
        p.m.outw(0x602, 0)
        p.m.outw(0x600, 0xffff)
        equal(p.irr(SLAVE) & 2, 0, "IRR without")
        p.m.step(2400 * MS)  # the timer's top bit changes
        equal(p.m.inw(0x600) & 1, 1, "TMROF_STS")
        p.m.outw(0x602, 1)
        equal(p.irr(SLAVE) & 2, 2, "IRR")
        equal(p.poll(SLAVE), 0x81, "poll")
        equal(p.irr(SLAVE) & 2, 2, "IRR in service")
        p.eoi(SLAVE)
        equal(p.poll(SLAVE), 0x81, "poll, again")
        p.m.outw(0x602, 0)
        p.eoi(SLAVE)
        equal((p.irr(SLAVE) & 2, p.poll(SLAVE)), (0, 0), "after its end")


def word(m, port):
    low = m.inb(port)
    return low | m.inb(port) << 8


def program(m, n, cw, count):
    m.outb(0x43, n << 6 | 0x30 | cw)
    m.outb(0x40 + n, count & 0xff)
    m.outb(0x40 + n, count >> 8)


@case("pit-status")
def pit_status(c):
    """Read-back gives what was programmed; status comes before the count."""
    with c.machine(frozen=True) as m:
        for n in range(3):
            for mode in range(6):
                program(m, n, mode << 1, 0x8000)
                m.step(1000)
                m.outb(0x43, 0xe0 | 2 << n)
                equal(m.inb(0x40 + n) & 0x3f, 0x30 | mode << 1, "RW, mode, BCD")
        program(m, 1, 4, 0x4000)
        m.step(1000)
        m.outb(0x43, 0xc4)
        equal(m.inb(0x41) & 0x3f, 0x34, "status")
        check(0 < word(m, 0x41) <= 0x4000, "count")


@case("pit-bytes")
def pit_bytes(c):
    """One byte of the count, written and read."""
    with c.machine(frozen=True) as m:
        m.outb(0x43, 0xa4)
        m.outb(0x42, 0x90)
        m.step(1000)
        check(0 < m.inb(0x42) <= 0x90, "high byte alone")
        m.outb(0x43, 0x94)
        m.outb(0x42, 0xff)
        m.step(1000)
        m.outb(0x43, 0x80)
        low = m.inb(0x42)
        check(1 <= low <= 0xff, "low byte alone")


@case("pit-latch")
def pit_latch(c):
    """A latched count stays until it is read, whatever is latched after it."""
    with c.machine(frozen=True) as m:
        program(m, 0, 4, 0)
        m.step(MS)
        m.outb(0x43, 0x00)
        m.step(5 * MS)
        m.outb(0x43, 0x00)
        m.step(5 * MS)
        first = word(m, 0x40)
        second = word(m, 0x40)
        check((first - second) & 0xffff > 11000, f"{first:#x}, then {second:#x}")


@case("pit-latch-exact", exact=True)
def pit_latch_exact(c):
    """Counts at given times."""
    with c.machine() as m:
        program(m, 0, 4, 10000)
        m.step(4191700)  # 5000 clocks and the one that loads
        m.outb(0x43, 0x00)
        equal(word(m, 0x40), 5000, "half a period")
        m.step(8381000)
        m.outb(0x43, 0x00)
        equal(word(m, 0x40), 5000, "one period more")


@case("pit-mode-0")
def pit_mode_0(c):
    """OUT is low from the control word on, and high after the count, once."""
    with Pics(c) as p:
        p.m.outb(MASTER + 1, 0xff)
        program(p.m, 0, 0, 60000)
        p.m.outb(0x43, 0xe2)
        equal(p.m.inb(0x40) & 0x80, 0, "OUT")
        equal(p.irr() & 1, 0, "IRR")
        p.m.step(60 * MS)
        p.m.until("interrupt 0", lambda: p.irr() & 1)
        p.m.outb(0x43, 0xe2)
        equal(p.m.inb(0x40) & 0x80, 0x80, "OUT")
        p.m.outb(MASTER + 1, 0xfe)
        equal(p.poll(), 0x80, "poll")
        p.eoi()
        p.m.step(60 * MS)
        equal(p.poll(), 0, "poll, later")


@case("pit-rate", exact=True)
def pit_rate(c):
    """Modes 2 and 3 interrupt once a period."""
    with c.machine() as m:
        for mode in (2, 3):
            program(m, 0, mode << 1, 11932)  # 100 Hz
            m.intercept()
            m.edges.clear()
            m.step(1005 * MS)
            m.request("endianness")
            rises = sum(1 for n, up in m.edges if n == 0 and up)
            equal(rises, 100, f"interrupts in a second, mode {mode}")


@case("pit-port-61")
def pit_port_61(c):
    """The gate and OUT of counter 2, and the refresh bit that toggles."""
    with c.machine() as m:
        m.outb(0x61, 1)
        program(m, 2, 0, 20000)
        m.step(30 * MS)
        m.until("OUT", lambda: m.inb(0x61) & 0x20)
        equal(m.inb(0x61) & 0x0f, 1, "gate")
        m.outb(0x61, 3)
        equal(m.inb(0x61) & 0x0f, 3, "gate and speaker")
        seen = set()

        def toggles():
            seen.add(m.inb(0x61) & 0x10)
            m.step(10000)
            return len(seen) == 2
        m.until("the refresh bit to toggle", toggles)


@case("pit-gate-mode-0")
def pit_gate(c):
    """A gate that goes low stops the count where it is."""
    with c.machine(frozen=True) as m:
        m.outb(0x61, 1)
        program(m, 2, 0, 0)
        m.step(10 * MS)
        m.outb(0x61, 0)
        m.outb(0x43, 0x80)
        first = word(m, 0x42)
        m.step(10 * MS)
        m.outb(0x43, 0x80)
        equal(word(m, 0x42), first, "count while stopped")
        m.outb(0x61, 1)
        m.step(10 * MS)
        m.outb(0x43, 0x80)
        check(word(m, 0x42) < first, "count goes on")
        m.outb(0x61, 0)
        program(m, 2, 0, 20000)
        m.step(30 * MS)
        equal(m.inb(0x61) & 0x20, 0, "OUT")


@case("pit-bcd", exact=True)
def pit_bcd(c):
    """Four decimal digits."""
    with c.machine() as m:
        program(m, 0, 5, 0x1000)
        m.step(420000)
        m.outb(0x43, 0x00)
        equal(word(m, 0x40), 0x0500, "after half of 1000")


def io_get(m, reg):
    m.write(IOAPIC, struct.pack("<I", reg))
    return struct.unpack("<I", m.read(IOAPIC + 0x10, 4))[0]


def io_put(m, reg, v):
    m.write(IOAPIC, struct.pack("<I", reg))
    m.write(IOAPIC + 0x10, struct.pack("<I", v))


@case("ioapic-registers")
def ioapic_registers(c):
    """24 entries, all masked; bits that are the chip's can't be written."""
    with c.machine() as m:
        equal(io_get(m, 1) >> 16 & 0xff, 23, "last entry")
        io_put(m, 0, 0xffffffff)
        equal(io_get(m, 0), 0x0f000000, "IOAPICID")
        io_put(m, 0, 0)
        for pin in range(24):
            equal(io_get(m, 0x10 + 2 * pin), 0x10000, f"entry {pin}")
        io_put(m, 0x10 + 2 * 9, 0xfffff)
        io_put(m, 0x11 + 2 * 9, 0xff000000)
        equal(io_get(m, 0x10 + 2 * 9) & 0x1ffff, 0x1afff, "entry 9")
        equal(io_get(m, 0x11 + 2 * 9) >> 24, 0xff, "destination")
        m.outb(0xcf9, 6)
        m.expect_reset()
        equal(io_get(m, 0x10 + 2 * 9), 0x10000, "entry 9 after a reset")


@case("ioapic-remote-irr")
def ioapic_remote_irr(c):
    """A level-triggered message is under way until its end; an edge-triggered entry has none under way."""
    with c.machine() as m:
        m.cfg_write(1, 3, 0x40, 0x601)
        m.cfg_write(1, 3, 0x80, 1, 1)
        m.outw(0x604, 1)
        m.step(2400 * MS)
        io_put(m, 0x10 + 2 * 9, 0x80ef)
        equal(io_get(m, 0x10 + 2 * 9) & 0x4000, 0, "remote IRR before")
        m.outw(0x602, 1)
        equal(io_get(m, 0x10 + 2 * 9) & 0x4000, 0x4000, "remote IRR")
        io_put(m, 0x10 + 2 * 9, 0x180ef)
        equal(io_get(m, 0x10 + 2 * 9) & 0x4000, 0x4000, "remote IRR, masked")
        io_put(m, 0x10 + 2 * 9, 0x100ef)
        equal(io_get(m, 0x10 + 2 * 9) & 0x4000, 0, "remote IRR, edge-triggered")
