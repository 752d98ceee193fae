# SPDX-License-Identifier: BSD-2-Clause
"""fw_cfg (QEMU, docs/specs/fw_cfg), keyboard controller, ways to reset."""
import struct
import uuid

from cases import case
from qtest import check, equal

CTL, DATA, DMA = 0x510, 0x511, 0x514
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16
AT, TO = 0x20000, 0x30000


def item(m, key, n):
    m.outw(CTL, key)
    return bytes(m.inb(DATA) for _ in range(n))


def dma(m, control, length, to):
    """A DMA transfer; the control word afterwards."""
    m.write(AT, struct.pack(">IIQ", control, length, to))
    m.outl(DMA, 0)
    m.outl(DMA + 4, int.from_bytes(struct.pack(">I", AT), "little"))
    m.until("the transfer to end", lambda: m.read(AT, 4) in (bytes(4), b"\0\0\0\1"))
    return struct.unpack(">I", m.read(AT, 4))[0]


def directory(m):
    data = item(m, 0x19, 4)
    count = struct.unpack(">I", data)[0]
    for _ in range(count):
        size, key, _, name = struct.unpack(">IHH56s", bytes(m.inb(DATA) for _ in range(64)))
        yield name.rstrip(b"\0").decode(), key, size


@case("fwcfg-items")
def items(c):
    """Signature, features, and what the command line says."""
    guid = uuid.UUID("4600cb32-38ec-4b2f-8acb-81c6ea54f2d8")
    with c.machine("-m", "64M", "-smp", "3", "-uuid", str(guid), "-boot", "menu=on") as m:
        equal(item(m, 0, 4), b"QEMU", "signature")
        equal(item(m, 1, 4)[0] & 3, 3, "features: traditional and DMA")
        equal(item(m, 2, 16), guid.bytes, "UUID")
        equal(item(m, 3, 8), struct.pack("<Q", 64 << 20), "RAM size")
        equal(item(m, 5, 2), struct.pack("<H", 3), "processors")
        equal(item(m, 0x0e, 2), struct.pack("<H", 1), "boot menu")
        equal(item(m, 0, 6), b"QEMU\0\0", "signature and what is behind it")
        equal(item(m, 0x3ff0, 4), bytes(4), "an item that is not there")


@case("fwcfg-files")
def files(c):
    """The directory is sorted by name, and has what a BIOS needs."""
    with c.machine() as m:
        names = list(directory(m))
        equal(sorted(n for n, _, _ in names), [n for n, _, _ in names], "order")
        for want in ("etc/acpi/rsdp", "etc/acpi/tables", "etc/table-loader", "etc/e820"):
            check(any(n == want for n, _, _ in names), f"{want} is missing")
        equal(len({k for _, k, _ in names}), len(names), "keys")
        for name, key, size in names:
            if name == "etc/acpi/rsdp":
                check(size >= 20, "length of the RSDP")
                equal(item(m, key, 8), b"RSD PTR ", "RSDP")


@case("fwcfg-dma")
def fwcfg_dma(c):
    """Select, read, skip; zeros behind an item's end; what can't be done is an error."""
    with c.machine() as m:
        equal(m.inl(DMA).to_bytes(4, "little") + m.inl(DMA + 4).to_bytes(4, "little"), b"QEMU CFG",
              "DMA signature")
        m.write(TO, b"\xee" * 16)
        equal(dma(m, SELECT | READ, 4, TO), 0, "select and read")
        equal(m.read(TO, 5), b"QEMU\xee", "signature")
        equal(dma(m, SELECT | SKIP, 2, 0), 0, "select and skip")
        equal(dma(m, READ, 4, TO), 0, "read on")
        equal(m.read(TO, 5), b"MU\0\0\xee", "rest and zeros")
        equal(dma(m, 0x19 << 16 | SELECT | READ, 4, TO), 0, "directory")
        equal(struct.unpack(">I", m.read(TO, 4))[0], len(list(directory(m))), "files")
        equal(dma(m, SELECT | WRITE, 4, TO), ERROR, "a write to the signature")


@case("fwcfg-dma-error")
def fwcfg_dma_error(c):
    """A transfer to where no memory is: the error bit."""
    with c.machine() as m:
        equal(dma(m, SELECT | READ, 4, 0xe0000000), ERROR, "control word")


def ps2(m, v=None, command=None):
    """Sends a command or data; the next byte."""
    if command is not None:
        m.outb(0x64, command)
    if v is not None:
        m.outb(0x60, v)
    m.until("a byte of the keyboard controller", lambda: m.inb(0x64) & 1)
    return m.inb(0x60)


@case("i8042-self-test")
def self_test(c):
    """Controller, interface and keyboard are well."""
    with c.machine() as m:
        equal(ps2(m, command=0xaa), 0x55, "self test")
        equal(m.inb(0x64) & 0x04, 0x04, "system flag")
        equal(ps2(m, command=0xab), 0x00, "interface test")
        equal(m.inb(0x64) & 1, 0, "output buffer")
        m.outb(0x64, 0x60)
        m.outb(0x60, 0x44)
        equal(ps2(m, command=0x20), 0x44, "command byte")
        equal(ps2(m, v=0xff), 0xfa, "keyboard: acknowledge of a reset")
        equal(ps2(m), 0xaa, "keyboard: self test")
        equal(ps2(m, v=0xee), 0xee, "keyboard: echo")
        equal(ps2(m, v=0xf2), 0xfa, "keyboard: acknowledge of identify")


@case("i8042-irq")
def kbd_irq(c):
    """Interrupt 1 while a byte waits and the command byte allows."""
    with c.machine() as m:
        m.intercept()
        m.outb(0x64, 0x60)
        m.outb(0x60, 0x44)
        m.outb(0x60, 0xf4)
        m.until("the byte", lambda: m.inb(0x64) & 1)
        check(not m.irq(1), "an interrupt that is not enabled")
        equal(m.inb(0x60), 0xfa, "acknowledge")
        m.outb(0x64, 0x60)
        m.outb(0x60, 0x45)
        m.outb(0x60, 0xf4)
        m.expect_irq(1)
        equal(m.inb(0x60), 0xfa, "acknowledge")
        check(not m.irq(1), "the interrupt stays")


def is_reset(m, go):
    """Does it reset the machine? The ISA bridge's PIRQRCA tells, and the event."""
    m.cfg_write(1, 0, 0x60, 0x0b, 1)
    m.write(0x50000, b"kept")
    go()
    m.expect_reset(guest=True)
    equal(m.cfg_read(1, 0, 0x60, 1), 0x80, "PIRQRCA")
    equal(m.read(0x50000, 4), b"kept", "RAM")


@case("reset-cf9")
def cf9(c):
    """Reset control register: RCPU from 0 to 1."""
    with c.machine() as m:
        m.outb(0xcf9, 2)
        equal(m.event("RESET", 0.2), None, "SRST alone")
        is_reset(m, lambda: m.outb(0xcf9, 6))
        is_reset(m, lambda: (m.outb(0xcf9, 0), m.outb(0xcf9, 4)))


@case("reset-92")
def port92(c):
    """System control port A: bit 0 from 0 to 1."""
    with c.machine() as m:
        m.outb(0x92, 2)
        equal(m.inb(0x92), 2, "A20 bit")
        is_reset(m, lambda: m.outb(0x92, 1))
        is_reset(m, lambda: m.outb(0x92, 3))


@case("reset-i8042")
def kbd_reset(c):
    """The keyboard controller's pulse of its output port, bit 0."""
    with c.machine() as m:
        is_reset(m, lambda: m.outb(0x64, 0xfe))


@case("reset-no-reboot")
def no_reboot(c):
    """-no-reboot: a reset by the guest ends the run."""
    with c.machine("-no-reboot") as m:
        m.outb(0xcf9, 6)
        e = m.event("SHUTDOWN")
        check(e, "no SHUTDOWN event")
        equal(e["data"], {"guest": True, "reason": "guest-reset"}, "event")
        m.until("the end of the program", lambda: m.process.poll() is not None)
