# SPDX-License-Identifier: BSD-2-Clause
"""MC146818A, by its data sheet, at ports 70h and 71h with the interrupt on 8."""
from cases import case
from qtest import check, equal

S = 1000000000
A, B, C, D, CENTURY = 10, 11, 12, 13, 0x32
SET, PIE, AIE, UIE, DM, H24 = 0x80, 0x40, 0x20, 0x10, 4, 2


class Rtc:
    def __init__(self, c, base="2024-02-28T23:59:57"):
        self.m = c.machine("-rtc", f"base={base},clock=vm", frozen=True)
        self.m.intercept()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.m.close()

    def get(self, reg):
        self.m.outb(0x70, reg)
        return self.m.inb(0x71)

    def put(self, reg, v):
        self.m.outb(0x70, reg)
        self.m.outb(0x71, v)

    def time(self):
        """Century to seconds, as the registers have them."""
        return [self.get(r) for r in (CENTURY, 9, 8, 7, 4, 2, 0)]


@case("rtc-time")
def time(c):
    """The time at the start, a leap day at midnight, 1 March."""
    with Rtc(c) as r:
        equal(r.get(B) & (SET | DM | H24), H24, "register B")
        equal(r.get(D), 0x80, "register D")
        equal(r.time(), [0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x57], "start")
        equal(r.get(6), 4, "28 February 2024 is a Wednesday")
        r.m.step(3 * S)
        equal(r.time(), [0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00], "midnight")


@case("rtc-day")
def day(c):
    """From 29 February to 1 March in one step."""
    with Rtc(c, "2024-02-29T00:00:00") as r:
        r.m.step(86400 * S)
        equal(r.time(), [0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00], "a day later")


@case("rtc-formats")
def formats(c):
    """Binary and BCD, 24 and 12 hours."""
    with Rtc(c, "2019-12-31T21:34:56") as r:
        r.put(B, H24 | DM)
        equal(r.time(), [20, 19, 12, 31, 21, 34, 56], "binary, 24 hours")
        r.put(B, DM)
        equal(r.get(4), 0x80 | 9, "binary, 12 hours, evening")
        r.put(B, 0)
        equal(r.get(4), 0x89, "BCD, 12 hours, evening")
    for hour, want in ((0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (23, 0x91)):
        with Rtc(c, f"2019-12-31T{hour:02}:00:00") as r:
            r.put(B, 0)
            equal(r.get(4), want, f"BCD, 12 hours, {hour} o'clock")


@case("rtc-set")
def set_time(c):
    """SET stops the clock; what is written counts on from when it is let go."""
    with Rtc(c) as r:
        r.put(B, SET | H24)
        for reg, v in ((CENTURY, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x58)):
            r.put(reg, v)
        r.m.step(3 * S)
        equal(r.time(), [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58], "while SET is on")
        r.put(B, H24)
        r.m.step(2 * S)
        equal(r.time(), [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00], "2 s later")


@case("rtc-alarm")
def alarm(c):
    """The alarm interrupts once, at its time, and reading register C ends that."""
    with Rtc(c, "2024-05-05T10:00:00") as r:
        for reg, v in ((5, 0x10), (3, 0x00), (1, 0x04)):
            r.put(reg, v)
        r.get(C)
        r.put(B, H24 | AIE)
        r.m.step(3 * S + S // 2)
        check(not r.m.irq(8), "the alarm came early")
        r.m.step(S)
        check(r.m.irq(8), "no alarm interrupt")
        equal(r.get(C) & 0xa0, 0xa0, "register C: IRQF and AF")
        check(not r.m.irq(8), "the interrupt stays after register C was read")
        equal(r.get(C), 0, "register C read again")
        r.m.step(2 * S)
        check(not r.m.irq(8), "a second alarm")


@case("rtc-alarm-daily")
def alarm_daily(c):
    """The alarm comes every day, and not every hour or minute."""
    with Rtc(c, "2024-05-05T10:00:00") as r:
        for reg, v in ((5, 0x10), (3, 0x00), (1, 0x04)):
            r.put(reg, v)
        r.put(B, H24 | AIE)
        r.m.step(5 * S)
        check(r.m.irq(8), "no alarm")
        r.get(C)
        for hour in range(23):
            r.m.step(3600 * S)
            check(not r.m.irq(8), f"an alarm {hour + 1} h later")
        r.m.step(3600 * S)
        check(r.m.irq(8), "no alarm a day later")


@case("rtc-alarm-any")
def alarm_any(c):
    """Don't-care codes in all three bytes: every second."""
    with Rtc(c) as r:
        for reg in (1, 3, 5):
            r.put(reg, 0xc0)
        r.get(C)
        r.put(B, H24 | AIE)
        for i in range(3):
            r.m.step(S)
            check(r.m.irq(8), f"no interrupt in second {i}")
            equal(r.get(C) & 0xa0, 0xa0, "register C: IRQF and AF")


@case("rtc-update")
def update(c):
    """The update-ended interrupt, once a second; the flag comes without its enable too."""
    with Rtc(c) as r:
        r.get(C)
        r.m.step(S)
        equal(r.get(C) & 0x90, 0x10, "register C without UIE")
        check(not r.m.irq(8), "an interrupt without UIE")
        r.put(B, H24 | UIE)
        for i in range(3):
            r.m.step(S)
            check(r.m.irq(8), f"no interrupt in second {i}")
            equal(r.get(C) & 0x90, 0x90, "register C: IRQF and UF")
            check(not r.m.irq(8), "it stays")


@case("rtc-periodic", exact=True)
def periodic(c):
    """Rate 6 is 1,024 Hz: as many interrupts as fit."""
    with Rtc(c) as r:
        r.put(A, 0x26)
        r.get(C)
        r.put(B, H24 | PIE)
        n = 0
        for _ in range(200):
            r.m.step(S // 2048)
            if r.m.irq(8):
                n += 1
                equal(r.get(C) & 0xc0, 0xc0, "register C: IRQF and PF")
        check(99 <= n <= 101, f"{n} interrupts in 200 half periods")
        r.put(A, 0x20)
        r.get(C)
        r.m.step(S // 2)
        check(not r.m.irq(8), "an interrupt with rate 0")


@case("rtc-uip", exact=True)
def uip(c):
    """UIP is up at least 244 us before the second, and down well before and at once after."""
    with Rtc(c) as r:
        r.m.step(S // 2)
        equal(r.get(A) & 0x80, 0, "UIP in mid-second")
        r.m.step(S // 2 - 100000)
        equal(r.get(A) & 0x80, 0x80, "UIP 100 us before the second")
        equal(r.get(0), 0x57, "seconds before")
        r.m.step(200000)
        equal(r.get(A) & 0x80, 0, "UIP 100 us after the second")
        equal(r.get(0), 0x58, "seconds after")


@case("rtc-divider", exact=True)
def divider(c):
    """The divider held in reset stops the clock; the first update comes half a second after it is let go."""
    with Rtc(c) as r:
        r.m.step(S // 4)
        r.put(A, 0x76)
        r.m.step(10 * S)
        equal(r.get(0), 0x57, "seconds while it is held")
        r.put(A, 0x26)
        r.m.step(S // 2 - 1000000)
        equal(r.get(0), 0x57, "just before half a second")
        r.m.step(2000000)
        equal(r.get(0), 0x58, "just after half a second")


@case("rtc-memory")
def memory(c):
    """Memory and time are on a battery, interrupt enables are not."""
    with Rtc(c) as r:
        for i in range(0x60, 0x80):
            r.put(i, i ^ 0x5a)
        r.put(B, H24 | PIE | AIE)
        r.m.step(2 * S)
        r.m.execute("system_reset")
        r.m.expect_reset(guest=False)
        for i in range(0x60, 0x80):
            equal(r.get(i), i ^ 0x5a, f"byte {i:#x}")
        equal(r.get(0), 0x59, "seconds")
        equal(r.get(B) & (PIE | AIE | UIE), 0, "interrupt enables after a reset")
