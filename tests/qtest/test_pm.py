# SPDX-License-Identifier: BSD-2-Clause
"""PIIX4 power management (data sheet 290562, chapter 7; ACPI 4)."""
from cases import case
from qtest import check, equal

PM = 0x600
S = 1000000000
TMROF, SCI_EN, SUS_EN = 1, 1, 0x2000
HZ = 3579545


def start(c, *args, frozen=True):
    m = c.machine(*args, frozen=frozen)
    m.intercept()
    m.cfg_write(1, 3, 0x40, PM | 1)
    m.cfg_write(1, 3, 0x80, 1, 1)
    return m


@case("pm-timer")
def timer(c):
    """24 bits at 3.579545 MHz."""
    with start(c) as m:
        first = m.inl(PM + 8)
        m.step(S)
        second = m.inl(PM + 8)
        late = 2 if m.exact else HZ  # sleeps are too long, now and then much
        check((second - first - HZ + 1) % (1 << 24) <= late, f"{second - first} ticks in a second")
        m.step(4 * S)
        third = m.inl(PM + 8)
        check((third - first - HZ * 5 + 1) % (1 << 24) <= late * 2, "after 5 s, which is a wrap")
        check(third < 1 << 24, "more than 24 bits")
        m.outl(PM + 8, 0)
        equal(m.inl(PM + 8), third, "the timer after a write")


@case("pm-place")
def place(c):
    """PMBASE counts while PMIOSE is set."""
    with start(c) as m:
        m.outw(PM + 2, 0x0100)
        m.cfg_write(1, 3, 0x40, 0xb001)
        equal(m.inw(PM + 2), 0xffff, "old place")
        equal(m.inw(0xb002), 0x0100, "new place")
        m.cfg_write(1, 3, 0x80, 0, 1)
        equal(m.inw(0xb002), 0xffff, "with PMIOSE off")


@case("pm-sci")
def sci(c):
    """The timer's overflow raises SCI on 9 while ACPI is on; a written 1 takes it away."""
    with start(c) as m:
        equal(m.inw(PM + 4) & SCI_EN, 0, "SCI_EN at the start")
        m.outb(0xb2, 0xf1)
        equal(m.inw(PM + 4) & SCI_EN, SCI_EN, "SCI_EN after ACPI was enabled")
        m.outw(PM, TMROF)
        m.outw(PM + 2, TMROF)
        check(not m.irq(9), "SCI before the overflow")
        m.step(S * (1 << 23) // HZ - S // 2)
        check(not m.irq(9), "SCI just before the overflow")
        m.step(S)
        check(m.irq(9), "no SCI")
        equal(m.inw(PM) & TMROF, TMROF, "TMROF_STS")
        m.outw(PM, 0)
        check(m.irq(9), "a 0 took it away")
        m.outw(PM, TMROF)
        check(not m.irq(9), "a 1 did not take it away")
        m.step(S * (1 << 23) // HZ)
        check(m.irq(9), "no SCI at the next overflow")
        m.outw(PM + 2, 0)
        check(not m.irq(9), "SCI with its enable off")


@case("pm-off")
def off(c):
    """Soft off: SUS_EN with type 0 ends the run."""
    with start(c) as m:
        m.outw(PM + 4, SUS_EN)
        e = m.event("SHUTDOWN")
        check(e, "no SHUTDOWN event")
        equal(e["data"], {"guest": True, "reason": "guest-shutdown"}, "event")
        m.until("the end of the program", lambda: m.process.poll() is not None)
        equal(m.process.returncode, 0, "status")


@case("pm-off-stays")
def off_stays(c):
    """-no-shutdown: it only stops."""
    with start(c, "-no-shutdown", frozen=False) as m:
        m.outw(PM + 4, SUS_EN)
        check(m.event("SHUTDOWN"), "no SHUTDOWN event")
        check(m.event("STOP"), "no STOP event")
        equal(m.execute("query-status")["return"]["running"], False, "running")
