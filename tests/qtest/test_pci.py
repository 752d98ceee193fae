# SPDX-License-Identifier: BSD-2-Clause
"""PCI configuration space of the 440FX board (PCI 2.1; data sheets 290549, 290550, 290562)."""
from cases import case
from qtest import equal, check

IDE_BAR = 0x20


@case("pci-ids")
def ids(c):
    """Vendor, device and class of each function; nothing elsewhere."""
    with c.machine() as m:
        for dev, fn, what, klass in ((0, 0, 0x12378086, 0x0600), (1, 0, 0x70008086, 0x0601),
                                     (1, 1, 0x70108086, 0x0101), (1, 3, 0x71138086, 0x0680)):
            equal(m.cfg_read(dev, fn, 0), what, f"00:{dev:02x}.{fn}")
            equal(m.cfg_read(dev, fn, 0x0a, 2), klass, f"class of 00:{dev:02x}.{fn}")
            m.cfg_write(dev, fn, 0, 0xa5a5a5a5)
            equal(m.cfg_read(dev, fn, 0), what, "after a write of the ids")
        equal(m.cfg_read(1, 0, 0x0e, 1) & 0x80, 0x80, "multi-function bit of 00:01.0")
        for dev, fn in ((1, 4), (2, 0), (31, 7)):
            equal(m.cfg_read(dev, fn, 0), 0xffffffff, f"00:{dev:02x}.{fn}, which is not there")


@case("pci-access")
def access(c):
    """Bytes and words at CFCh to CFFh, the enable bit, and a byte at CF8h that is no address."""
    with c.machine() as m:
        equal([m.cfg_read(0, 0, i, 1) for i in range(4)], [0x86, 0x80, 0x37, 0x12], "bytes")
        equal([m.cfg_read(0, 0, i, 2) for i in (0, 2)], [0x8086, 0x1237], "words")
        m.cfg_address(0, 0, 0x3c)
        equal(m.inl(0xcf8), 0x8000003c, "address register")
        m.outl(0xcf8, 0x0000)
        equal(m.inl(0xcfc), 0xffffffff, "data with the enable bit off")
        m.cfg_write(1, 1, 0x40, 0xa3, 1)
        m.cfg_write(1, 1, 0x41, 0x80, 1)
        equal(m.cfg_read(1, 1, 0x40, 2), 0x80a3, "IDETIM after two byte writes")


@case("pci-bar")
def bar(c):
    """Sizing of the IDE function's BAR, and its region comes and goes with the I/O enable bit."""
    with c.machine() as m:
        m.cfg_write(1, 1, IDE_BAR, 0xffffffff)
        equal(m.cfg_read(1, 1, IDE_BAR) & 0xffff, 0xfff1, "all ones written")
        equal([m.cfg_read(1, 1, 0x10 + i * 4) for i in range(4)], [0] * 4, "BARs 0 to 3 (legacy ports)")
        m.cfg_write(1, 1, IDE_BAR, 0xc001)
        equal(m.cfg_read(1, 1, IDE_BAR), 0xc001, "an address written")
        equal(m.inl(0xc004), 0xffffffff, "region with I/O off")
        m.cfg_write(1, 1, 4, 1, 2)
        m.outl(0xc004, 0x12345678)
        equal(m.inl(0xc004), 0x12345678, "descriptor table pointer")
        m.cfg_write(1, 1, IDE_BAR, 0xd001)
        equal((m.inl(0xc004), m.inl(0xd004)), (0xffffffff, 0x12345678), "old and new place after a move")
        m.cfg_write(1, 1, 4, 0, 2)
        equal(m.inl(0xd004), 0xffffffff, "region with I/O off again")


@case("pci-bar-zero")
def bar_zero(c):
    """A BAR of 0 was not assigned yet: the DMA controllers' ports stay theirs."""
    with c.machine() as m:
        m.cfg_write(1, 1, 4, 1, 2)
        m.cfg_write(1, 1, IDE_BAR, 0)
        m.cfg_write(1, 1, IDE_BAR, 0xc001)
        equal(m.inb(0xc000), 0, "bus master command register")


@case("pci-pirq")
def pirq(c):
    """PIRQ route control: 80h after a reset, and the bits that can be written."""
    with c.machine() as m:
        equal(m.cfg_read(1, 0, 0x60), 0x80808080, "PIRQRCA-D")
        m.cfg_write(1, 0, 0x60, 0x0b0a0905)
        equal(m.cfg_read(1, 0, 0x60), 0x0b0a0905, "PIRQRCA-D as written")
        m.execute("system_reset")
        m.expect_reset(guest=False)
        equal(m.cfg_read(1, 0, 0x60), 0x80808080, "PIRQRCA-D after a reset")
        check(m.cfg_read(1, 1, IDE_BAR) & 1, "space bit of an I/O BAR")
