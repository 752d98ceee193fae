# SPDX-License-Identifier: BSD-2-Clause
"""PIIX3 IDE with disks (ATA/ATAPI-6; SFF-8038i 1.0; data sheet 290550)."""
import struct

from cases import case
from qtest import check, equal

BSY, DRDY, DF, DRQ, ERR = 0x80, 0x40, 0x20, 0x08, 0x01
UNC, IDNF, ABRT = 0x40, 0x10, 0x04
DATA, FEATURE, COUNT, LBAL, LBAM, LBAH, DEVICE, COMMAND = range(8)
SRST, NIEN, HOB = 4, 2, 0x80
START, TO_MEMORY = 1, 8
BM_ACTIVE, BM_ERROR, BM_INTR = 1, 2, 4
BM = 0xc000
PRDT, BUFFER = 0x10000, 0x40000
EOT = 0x80000000


def pattern(n, seed=1):
    """n sectors, no two alike."""
    out = bytearray()
    for i in range(n):
        out += struct.pack("<II", seed, i) + bytes((i * 7 + k * 3 + seed) & 0xff for k in range(504))
    return bytes(out)


class Ide:
    """A machine with up to four disks, and its primary or secondary channel."""

    def __init__(self, c, *images, channel=0, device="", drive=""):
        args = []
        for i, path in enumerate(images):
            if path:
                args += ["-drive", f"file={path},if=none,id=d{i},format=raw{drive}", "-device",
                         f"ide-hd,drive=d{i},bus=ide.{i // 2},unit={i % 2}{device}"]
        self.m = m = c.machine(*args)
        self.base, self.control, self.line = ((0x1f0, 0x3f6, 14), (0x170, 0x376, 15))[channel]
        self.bm = BM + channel * 8
        m.intercept()
        m.cfg_write(1, 1, 0x20, BM | 1)
        m.cfg_write(1, 1, 4, 5, 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.m.close()

    def get(self, reg):
        return self.m.inb(self.base + reg)

    def put(self, reg, v):
        self.m.outb(self.base + reg, v)

    def alt(self):
        return self.m.inb(self.control)

    def idle(self):
        """Waits until the drive is not busy; its status, interrupt left alone."""
        self.m.until("BSY to go", lambda: not self.alt() & BSY)
        return self.alt()

    def command(self, cmd, lba=0, count=1, unit=0, feature=0):
        self.idle()
        self.put(DEVICE, 0xe0 | unit << 4 | lba >> 24 & 15)
        self.put(FEATURE, feature)
        self.put(COUNT, count & 0xff)
        for reg, shift in ((LBAL, 0), (LBAM, 8), (LBAH, 16)):
            self.put(reg, lba >> shift & 0xff)
        self.put(COMMAND, cmd)

    def command_ext(self, cmd, lba, count, unit=0):
        self.idle()
        self.put(DEVICE, 0xe0 | unit << 4)
        self.put(COUNT, count >> 8)
        self.put(COUNT, count & 0xff)
        for reg, shift in ((LBAL, 0), (LBAM, 8), (LBAH, 16)):
            self.put(reg, lba >> shift + 24 & 0xff)
            self.put(reg, lba >> shift & 0xff)
        self.put(COMMAND, cmd)

    def status(self):
        """Takes the interrupt."""
        s = self.get(COMMAND)
        check(not self.m.irq(self.line), "the interrupt stays after the status was read")
        return s

    def words_in(self, n=256):
        return b"".join(struct.pack("<H", self.m.inw(self.base)) for _ in range(n))

    def words_out(self, data):
        for (w,) in struct.iter_unpack("<H", data):
            self.m.outw(self.base, w)

    def finished(self, bad=0):
        """The interrupt at a command's end; checks that it went well (or as bad says) and returns the error."""
        self.m.expect_irq(self.line)
        s = self.status()
        equal(s & (BSY | DF | DRQ | ERR), ERR if bad else 0, "status at the end")
        return self.get(FEATURE)

    def prdt(self, *entries, end=True):
        """entries: (address, length) each."""
        table = b"".join(struct.pack("<II", a, n & 0xffff) for a, n in entries)
        if end:
            table = table[:-4] + struct.pack("<I", entries[-1][1] & 0xffff | EOT)
        self.m.write(PRDT, table)
        self.m.outl(self.bm + 4, PRDT)
        equal(self.m.inl(self.bm + 4), PRDT, "descriptor table pointer")
        self.m.outb(self.bm + 2, BM_ERROR | BM_INTR)

    def start(self, to_memory):
        direction = TO_MEMORY if to_memory else 0
        self.m.outb(self.bm, direction)
        self.m.outb(self.bm, direction | START)

    def bm_status(self):
        return self.m.inb(self.bm + 2) & (BM_ACTIVE | BM_ERROR | BM_INTR)

    def stop(self):
        self.m.outb(self.bm, 0)

    def dma(self, cmd, lba, count, *entries, **kw):
        """A whole transfer; the bus master's status at its end, with the drive's interrupt taken."""
        self.prdt(*entries)
        if cmd in (0x25, 0x35):
            self.command_ext(cmd, lba, count, **kw)
        else:
            self.command(cmd, lba, count, **kw)
        self.start(cmd in (0xc8, 0x25))
        self.m.expect_irq(self.line)
        s = self.bm_status()
        equal(self.status() & (BSY | DF | DRQ | ERR), 0, "status at the end")
        self.stop()
        return s


def text(words, first, last):
    return b"".join(struct.pack(">H", w) for w in words[first:last + 1]).decode()


@case("ide-identify")
def identify(c):
    """IDENTIFY DEVICE: strings, capacity, capabilities; the protocol of PIO data in."""
    image = c.image(size=64 << 20)
    with Ide(c, image, device=",serial=selfio-qtest-1,model=A disk of tests") as d:
        d.command(0xec)
        d.m.expect_irq(14)
        equal(d.alt() & (BSY | DRDY | DRQ | ERR), DRDY | DRQ, "status with data waiting")
        check(d.m.irq(14), "the alternate status took the interrupt")
        d.status()
        data = d.words_in()
        equal(d.alt() & (BSY | DRDY | DRQ | ERR), DRDY, "status afterwards")
        w = struct.unpack("<256H", data)
        equal(w[0] & 0x8000, 0, "an ATA device")
        equal(text(w, 10, 19), f"{'selfio-qtest-1':20}", "serial number")
        equal(text(w, 27, 46), f"{'A disk of tests':40}", "model")
        equal(w[49] & 0x0300, 0x0300, "LBA and DMA")
        equal(w[60] | w[61] << 16, (64 << 20) // 512, "sectors")
        equal(w[83] & 0xe400, 0x6400, "word 83: valid, 48-bit addresses, FLUSH CACHE EXT")
        equal(sum(x << i * 16 for i, x in enumerate(w[100:104])), (64 << 20) // 512, "sectors, 48 bits")
        equal(w[88] & 0x1f, 0x1f, "Ultra DMA modes 0 to 4")
        if w[255] & 0xff == 0xa5:
            equal(sum(data) & 0xff, 0, "checksum")


@case("ide-pio-read")
def pio_read(c):
    """READ SECTOR(S): each sector with an interrupt, no interrupt after the last."""
    data = pattern(40)
    with Ide(c, c.image(data)) as d:
        d.command(0x20, lba=5, count=3)
        for i in range(3):
            d.m.expect_irq(14)
            equal(d.status() & (BSY | DRQ | ERR), DRQ, f"status before sector {i}")
            equal(d.words_in(), data[(5 + i) * 512:(6 + i) * 512], f"sector {i}")
        equal(d.idle() & (BSY | DRQ | ERR), 0, "status at the end")
        check(not d.m.irq(14), "an interrupt after the last sector")
        d.command(0x20, lba=39)
        d.m.expect_irq(14)
        equal(struct.pack("<128I", *(d.m.inl(0x1f0) for _ in range(128))), data[39 * 512:],
              "the last sector in double words")


@case("ide-pio-write")
def pio_write(c):
    """WRITE SECTOR(S): no interrupt before the first sector, one after each."""
    image = c.image(size=1 << 20)
    data = pattern(3)
    with Ide(c, image) as d:
        d.command(0x30, lba=7, count=3)
        equal(d.idle() & (BSY | DRQ | ERR), DRQ, "status before the first sector")
        check(not d.m.irq(14), "an interrupt before the first sector")
        for i in range(3):
            d.words_out(data[i * 512:i * 512 + 512])
            d.m.expect_irq(14)
            equal(d.status() & (BSY | DRQ | ERR), DRQ if i < 2 else 0, f"status after sector {i}")
        d.command(0xe7)
        d.finished()
        with open(image, "rb") as f:
            equal(f.read(6 << 10), bytes(7 * 512) + data + bytes(1024), "the image")


@case("ide-multiple")
def multiple(c):
    """SET MULTIPLE MODE 4, READ and WRITE MULTIPLE of 6 sectors: blocks of 4 and 2."""
    data = pattern(16)
    image = c.image(data)
    with Ide(c, image) as d:
        d.command(0xc6, count=4)
        d.finished()
        d.command(0xc4, lba=2, count=6)
        for n, at in ((4, 2), (2, 6)):
            d.m.expect_irq(14)
            d.status()
            equal(d.words_in(n * 256), data[at * 512:(at + n) * 512], f"block of {n}")
        check(not d.m.irq(14), "an interrupt after the last block")
        new = pattern(6, 9)
        d.command(0xc5, lba=2, count=6)
        for n, at in ((4, 0), (2, 4)):
            equal(d.idle() & DRQ, DRQ, "DRQ")
            d.words_out(new[at * 512:(at + n) * 512])
            d.m.expect_irq(14)
            d.status()
        d.command(0xe7)
        d.finished()
        with open(image, "rb") as f:
            equal(f.read(), data[:1024] + new + data[8 * 512:], "the image")
        d.command(0xc6, count=3)
        equal(d.finished(bad=ERR) & ABRT, ABRT, "error of a block of 3")


@case("ide-dma")
def dma(c):
    """WRITE DMA and READ DMA of the whole count of 8 bits, one descriptor after another of 64 KiB."""
    image = c.image(size=1 << 20)
    data = pattern(256)
    with Ide(c, image) as d:
        d.m.write(BUFFER, data)
        regions = ((BUFFER, 65536), (BUFFER + 65536, 65536))
        equal(d.dma(0xca, 100, 0, *regions), BM_INTR, "bus master after the write")
        d.command(0xe7)
        d.finished()
        with open(image, "rb") as f:
            equal(f.read()[100 * 512:356 * 512], data, "the image")
        d.m.write(BUFFER, bytes(len(data)))
        equal(d.dma(0xc8, 100, 0, *regions), BM_INTR, "bus master after the read")
        equal(d.m.read(BUFFER, len(data) + 1), data + b"\0", "memory")


@case("ide-dma-pieces")
def dma_pieces(c):
    """Descriptors of any even length, across sectors, out of order in memory."""
    image = c.image(pattern(64))
    lengths = [2, 510, 600, 424, 1022, 2, 1536] + [2] * 256 + [510, 2, 512]
    regions, at = [], BUFFER
    for n in lengths:
        regions.insert(len(regions) // 2, (at, n))
        at += n + 6
    with Ide(c, image) as d:
        total = sum(n for _, n in regions)
        equal(total % 512, 0, "the case itself: whole sectors")
        equal(d.dma(0xc8, 3, total // 512, *regions), BM_INTR, "bus master")
        equal(b"".join(d.m.read(a, n) for a, n in regions), pattern(64)[3 * 512:3 * 512 + total], "memory")
        for a, n in regions:
            equal(d.m.read(a + n, 6), bytes(6), "memory between regions")
            d.m.write(a, d.m.read(a, n)[::-1])
        equal(d.dma(0xca, 3, total // 512, *regions), BM_INTR, "bus master")
        want = b"".join(d.m.read(a, n) for a, n in regions)
        d.command(0xe7)
        d.finished()
        with open(image, "rb") as f:
            equal(f.read()[3 * 512:3 * 512 + total], want, "the image")


@case("ide-dma-short")
def dma_short(c):
    """Descriptors for less than the count: the bus master stops without interrupt or error."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        for size in (1024, 2, 512 + 2):
            d.prdt((BUFFER, size))
            d.command(0xc8, count=4)
            d.start(True)
            d.m.until("the bus master to stop", lambda: not d.bm_status() & BM_ACTIVE)
            equal(d.bm_status(), 0, f"bus master after {size} bytes")
            equal(d.alt() & (DF | ERR), 0, "status")
            check(not d.m.irq(14), "an interrupt")
            d.stop()
            reset_channel(d)
        equal(d.dma(0xc8, 1, 2, (BUFFER, 1024)), BM_INTR, "a good transfer afterwards")
        equal(d.m.read(BUFFER, 1024), data[512:1536], "memory")


@case("ide-dma-short-data")
def dma_short_data(c):
    """What the table has room for is moved before the bus master stops."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.prdt((BUFFER, 1024))
        d.command(0xc8, count=4)
        d.start(True)
        d.m.until("the bus master to stop", lambda: not d.bm_status() & BM_ACTIVE)
        equal(d.m.read(BUFFER, 1536), data[:1024] + bytes(512), "memory")


@case("ide-dma-long")
def dma_long(c):
    """Descriptors for more than the count: an interrupt, and the bus master stays active."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        equal(d.dma(0xc8, 0, 1, (BUFFER, 2048)), BM_ACTIVE | BM_INTR, "bus master, one region")
        equal(d.bm_status() & BM_ACTIVE, 0, "active after it was stopped")
        equal(d.dma(0xc8, 1, 1, (BUFFER, 512), (BUFFER + 512, 512)), BM_ACTIVE | BM_INTR,
              "bus master, a region too much")
        equal(d.m.read(BUFFER, 1024), data[512:1024] + bytes(512), "memory")


@case("ide-dma-order")
def dma_order(c):
    """The bus master may be started before the command, or long after."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.prdt((BUFFER, 1024))
        d.command(0xc8, lba=2, count=2)
        d.m.step(1000000000)
        equal(d.bm_status(), 0, "bus master before its start")
        check(not d.m.irq(14), "an interrupt before the start")
        d.start(True)
        d.m.expect_irq(14)
        equal(d.m.read(BUFFER, 1024), data[1024:2048], "memory")
        d.status()
        d.stop()
        d.prdt((BUFFER, 512))
        d.start(True)
        equal(d.bm_status(), BM_ACTIVE, "bus master without a command")
        d.command(0xc8, lba=7, count=1)
        d.m.expect_irq(14)
        equal(d.m.read(BUFFER, 512), data[7 * 512:], "memory, started first")
        d.status()
        d.stop()


@case("ide-dma-retry")
def dma_retry(c):
    """Stopped before the drive gave data, the bus master starts over with a new table."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.prdt((BUFFER, 1024))
        d.start(True)
        d.stop()
        d.prdt((BUFFER + 4096, 1024))
        d.command(0xc8, lba=4, count=2)
        d.start(True)
        d.m.expect_irq(14)
        equal(d.bm_status(), BM_INTR, "bus master")
        equal(d.m.read(BUFFER + 4096, 1024), data[4 * 512:6 * 512], "new place")
        equal(d.m.read(BUFFER, 1024), bytes(1024), "old place")


@case("ide-bm-bits")
def bm_bits(c):
    """Bus master status: capable bits can be written, interrupt and error are cleared by 1s."""
    with Ide(c, c.image(pattern(8))) as d:
        d.m.outb(d.bm + 2, 0x60)
        equal(d.m.inb(d.bm + 2), 0x60, "drives capable of DMA")
        d.dma(0xc8, 0, 1, (BUFFER, 512))
        equal(d.bm_status(), BM_INTR, "status after a transfer")
        d.m.outb(d.bm + 2, 0)
        equal(d.bm_status(), BM_INTR, "0s clear nothing")
        d.m.outb(d.bm + 2, BM_INTR)
        equal(d.bm_status(), 0, "a 1 clears")
        d.m.outl(d.bm + 4, 0xffffffff)
        equal(d.m.inl(d.bm + 4), 0xfffffffc, "table pointer: bits 1:0")
        d.m.outb(d.bm, 0xff & ~START)
        equal(d.m.inb(d.bm) & 9, TO_MEMORY, "command register")


@case("ide-bm-error")
def bm_error(c):
    """A table, or a region, where no memory is: the error bit, and a master abort."""
    with Ide(c, c.image(pattern(8))) as d:
        for where in ("table", "region"):
            d.prdt((BUFFER if where == "table" else 0xe0000000, 512))
            if where == "table":
                d.m.outl(d.bm + 4, 0xe0000000)
            d.command(0xc8)
            d.start(True)
            d.m.until("the bus master to stop", lambda: not d.bm_status() & BM_ACTIVE, limit=2)
            equal(d.bm_status() & BM_ERROR, BM_ERROR, f"no {where}: bus master")
            equal(d.m.cfg_read(1, 1, 6, 2) & 0x2000, 0x2000, "PCI status: master abort")
            d.m.cfg_write(1, 1, 6, 0x2000, 2)
            equal(d.m.cfg_read(1, 1, 6, 2) & 0x2000, 0, "cleared by a 1")
            d.stop()
            reset_channel(d)
        equal(d.dma(0xc8, 0, 1, (BUFFER, 512)), BM_INTR, "a good transfer afterwards")


@case("ide-no-master")
def no_master(c):
    """Without the PCI bus master bit nothing is moved; with it the transfer goes on."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.m.cfg_write(1, 1, 4, 1, 2)
        d.prdt((BUFFER, 512))
        d.command(0xc8)
        d.start(True)
        d.m.step(1000000)
        equal(d.m.read(BUFFER, 512), bytes(512), "memory")
        check(not d.m.irq(14), "an interrupt")
        d.m.cfg_write(1, 1, 4, 5, 2)
        d.m.expect_irq(14)
        equal(d.m.read(BUFFER, 512), data[:512], "memory afterwards")


@case("ide-flush")
def flush(c):
    """FLUSH CACHE and FLUSH CACHE EXT end with an interrupt."""
    with Ide(c, c.image(pattern(8))) as d:
        for cmd in (0xe7, 0xea):
            d.command(cmd)
            d.finished()
            equal(d.alt() & (BSY | DRDY | DRQ | ERR), DRDY, f"status after {cmd:#x}")


@case("ide-nien")
def nien(c):
    """nIEN keeps INTRQ down, and all else goes on."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.m.outb(0x3f6, NIEN)
        d.command(0x20, lba=3)
        equal(d.idle() & (BSY | DRQ), DRQ, "status")
        check(not d.m.irq(14), "an interrupt with nIEN set")
        equal(d.words_in(), data[3 * 512:4 * 512], "data")
        d.get(COMMAND)
        d.m.outb(0x3f6, 0)
        check(not d.m.irq(14), "an interrupt whose status was read")
        d.command(0xe7)
        d.finished()


@case("ide-nien-pending")
def nien_pending(c):
    """An interrupt that came while nIEN was set is still pending when it is cleared (ATA-6, 5.2.9)."""
    with Ide(c, c.image(pattern(8))) as d:
        d.m.outb(0x3f6, NIEN)
        d.command(0xe7)
        d.idle()
        d.m.step(1000)
        check(not d.m.irq(14), "an interrupt with nIEN set")
        d.m.outb(0x3f6, 0)
        check(d.m.irq(14), "no interrupt with nIEN cleared")
        d.status()


@case("ide-lba48")
def lba48(c):
    """READ and WRITE (DMA) EXT beyond 128 GiB; HOB shows the high bytes."""
    image = c.image(size=160 << 30)
    far = 0x12345678
    data = pattern(4)
    with Ide(c, image) as d:
        d.m.write(BUFFER, data)
        equal(d.dma(0x35, far, 4, (BUFFER, 2048)), BM_INTR, "WRITE DMA EXT")
        d.command_ext(0xea, 0, 0)
        d.finished()
        with open(image, "rb") as f:
            f.seek(far * 512)
            equal(f.read(2048), data, "the image")
        d.command_ext(0x24, far + 1, 1)
        d.m.expect_irq(14)
        d.status()
        equal(d.words_in(), data[512:1024], "READ SECTOR(S) EXT")
        d.put(COUNT, 0xab)
        d.put(COUNT, 0xcd)
        d.put(LBAL, 0x12)
        d.put(LBAL, 0x34)
        equal((d.get(COUNT), d.get(LBAL)), (0xcd, 0x34), "low bytes")
        d.m.outb(0x3f6, HOB)
        equal((d.get(COUNT), d.get(LBAL)), (0xab, 0x12), "high bytes")
        d.m.outb(0x3f6, 0)
        d.command_ext(0x27, 0, 0)
        d.finished()
        low = d.get(LBAL) | d.get(LBAM) << 8 | d.get(LBAH) << 16
        d.m.outb(0x3f6, HOB)
        high = d.get(LBAL) | d.get(LBAM) << 8 | d.get(LBAH) << 16
        equal(high << 24 | low, (160 << 30) // 512 - 1, "READ NATIVE MAX ADDRESS EXT")


def signature(d):
    return [d.get(r) for r in (COUNT, LBAL, LBAM, LBAH)]


def reset_channel(d):
    d.m.outb(d.control, SRST)
    d.m.outb(d.control, 0)
    d.idle()
    d.put(DEVICE, 0xe0)
    d.get(COMMAND)


@case("ide-diagnostic")
def diagnostic(c):
    """EXECUTE DEVICE DIAGNOSTIC: code 1, signatures of ATA devices, device 0 selected."""
    with Ide(c, c.image(pattern(8)), c.image(pattern(8, 2), name="slave")) as d:
        d.put(DEVICE, 0xf0)
        d.put(COMMAND, 0x90)
        d.m.expect_irq(14)
        equal(d.status() & (BSY | ERR), 0, "status")
        equal(d.get(FEATURE), 1, "diagnostic code")
        equal(signature(d), [1, 1, 0, 0], "signature of device 0")
        equal(d.get(DEVICE) & 0x10, 0, "device selected")
        d.put(DEVICE, 0x10)
        equal(signature(d), [1, 1, 0, 0], "signature of device 1")


@case("ide-srst")
def srst(c):
    """A software reset in the middle of a command: the signature."""
    with Ide(c, c.image(pattern(8))) as d:
        d.command(0x20, lba=3, count=4)
        d.m.expect_irq(14)
        d.status()
        d.m.outb(0x3f6, SRST)
        d.m.outb(0x3f6, 0)
        equal(d.idle() & (BSY | DRQ | ERR), 0, "status afterwards")
        equal(d.get(FEATURE), 1, "diagnostic code")
        equal(signature(d), [1, 1, 0, 0], "signature")


@case("ide-srst-line")
def srst_line(c):
    """A software reset takes INTRQ away and ends without it (ATA-6, 9.2)."""
    with Ide(c, c.image(pattern(8))) as d:
        d.command(0x20, lba=3, count=4)
        d.m.expect_irq(14)
        d.m.outb(0x3f6, SRST)
        check(not d.m.irq(14), "an interrupt while SRST is set")
        d.m.outb(0x3f6, 0)
        d.idle()
        check(not d.m.irq(14), "an interrupt at the end of the reset")


@case("ide-srst-busy")
def srst_busy(c):
    """Busy as long as SRST is set (ATA-6, 9.2)."""
    with Ide(c, c.image(pattern(8))) as d:
        d.m.outb(0x3f6, SRST)
        d.m.step(1000000)
        equal(d.alt() & BSY, BSY, "status while SRST is set")
        d.m.outb(0x3f6, 0)
        equal(d.idle() & BSY, 0, "status afterwards")


@case("ide-specify")
def specify(c):
    """INITIALIZE DEVICE PARAMETERS changes the current translation, which CHS addresses use."""
    data = pattern(1024)
    with Ide(c, c.image(data)) as d:
        d.idle()
        d.put(DEVICE, 0xa0 | 3)
        d.put(COUNT, 17)
        d.put(COMMAND, 0x91)
        d.finished()
        d.command(0xec)
        d.m.expect_irq(14)
        d.status()
        w = struct.unpack("<256H", d.words_in())
        equal((w[55], w[56]), (4, 17), "current heads, sectors")
        d.put(DEVICE, 0xa0 | 2)
        d.put(COUNT, 1)
        d.put(LBAL, 5)
        d.put(LBAM, 3)
        d.put(LBAH, 0)
        d.put(COMMAND, 0x20)
        d.m.expect_irq(14)
        d.status()
        at = (3 * 4 + 2) * 17 + 5 - 1
        equal(d.words_in(), data[at * 512:at * 512 + 512], "cylinder 3, head 2, sector 5")


@case("ide-errors")
def errors(c):
    """An unknown command, and addresses beyond the end."""
    with Ide(c, c.image(pattern(8))) as d:
        d.command(0xff)
        equal(d.finished(bad=ERR) & ABRT, ABRT, "error of command FFh")
        d.command(0x20, lba=8)
        check(d.finished(bad=ERR) & (IDNF | ABRT), "no error bit for sector 8 of 8")
        d.prdt((BUFFER, 1024))
        d.command(0xc8, lba=7, count=2)
        d.start(True)
        check(d.finished(bad=ERR) & (IDNF | ABRT), "no error bit for a range across the end")
        equal(d.m.read(BUFFER, 512), bytes(512), "memory")
        d.stop()
        d.command(0xef, feature=0xee)
        equal(d.finished(bad=ERR) & ABRT, ABRT, "error of an unknown feature")


@case("ide-absent")
def absent(c):
    """No device 1: its status is 0 and it takes no command."""
    with Ide(c, c.image(pattern(8))) as d:
        d.put(DEVICE, 0xf0)
        equal(d.alt(), 0, "status of a device 1 that is not there")
        d.put(COMMAND, 0xec)
        d.m.step(1000)
        equal(d.alt(), 0, "status after a command to it")
        check(not d.m.irq(14), "an interrupt of device 1")
        d.put(DEVICE, 0xe0)
        equal(d.alt() & (BSY | DRDY), DRDY, "device 0 again")


@case("ide-absent-channel")
def absent_channel(c):
    """A channel without drives takes no command."""
    with Ide(c, c.image(pattern(8))) as d:
        d.m.outb(0x177, 0xe7)
        d.m.step(1000)
        equal(d.m.inb(0x376) & (BSY | DRQ), 0, "status of the secondary channel")
        check(not d.m.irq(15), "an interrupt of the secondary channel")


@case("ide-trim")
def trim(c):
    """DATA SET MANAGEMENT with TRIM: ranges of 48 bits LBA and 16 bits count; one beyond the end is an error."""
    data = pattern(64)
    image = c.image(data)
    with Ide(c, image) as d:
        def ranges(*r):
            d.m.write(BUFFER, struct.pack(f"<{len(r)}Q", *(n << 48 | lba for lba, n in r)).ljust(512, b"\0"))
        ranges((0, 2), (6, 8))
        equal(d.dma(0x06, 0, 1, (BUFFER, 512), feature=1), BM_INTR, "bus master")
        ranges((10, 1), (63, 2))
        d.prdt((BUFFER, 512))
        d.command(0x06, feature=1)
        d.start(False)
        equal(d.finished(bad=ERR) & ABRT, ABRT, "error of a range beyond the end")
        d.stop()
        d.dma(0xc8, 2, 4, (BUFFER, 2048))
        equal(d.m.read(BUFFER, 2048), data[2 * 512:6 * 512], "sectors between the ranges")
        d.dma(0xc8, 14, 50, (BUFFER, 50 * 512))
        equal(d.m.read(BUFFER, 50 * 512), data[14 * 512:], "sectors behind the ranges")


@case("ide-blockdev")
def blockdev(c):
    """-blockdev nodes as disks of one channel; without unit= the second is device 1."""
    images = [c.image(pattern(8, i + 1), name=f"disk{i}") for i in range(2)]
    args = []
    for i, path in enumerate(images):
        args += ["-blockdev", f"driver=file,node-name=n{i},filename={path}", "-device",
                 f"ide-hd,drive=n{i},bus=ide.0"]
    with c.machine(*args) as m:
        for unit in (0, 1):
            m.outb(0x1f6, 0xe0 | unit << 4)
            m.outb(0x1f2, 1)
            for reg in (0x1f3, 0x1f4, 0x1f5):
                m.outb(reg, 0)
            m.outb(0x1f7, 0x20)
            m.until("DRQ", lambda: m.inb(0x3f6) & (BSY | DRQ) == DRQ)
            equal(b"".join(struct.pack("<H", m.inw(0x1f0)) for _ in range(256)), pattern(8, unit + 1)[:512],
                  f"device {unit}")


@case("ide-two")
def two(c):
    """Four disks: each selected, on both channels, with the channel's own interrupt."""
    images = [c.image(pattern(8, i + 1), name=f"disk{i}") for i in range(4)]
    for channel in (0, 1):
        with Ide(c, *images, channel=channel) as d:
            for unit in (0, 1):
                d.dma(0xc8, 1, 1, (BUFFER, 512), unit=unit)
                equal(d.m.read(BUFFER, 512), pattern(8, channel * 2 + unit + 1)[512:1024],
                      f"channel {channel}, device {unit}")
            equal(d.m.edges[-1][0], d.line, "interrupt line")


@case("ide-power")
def power(c):
    """STANDBY, IDLE and CHECK POWER MODE; SET FEATURES takes a transfer mode."""
    with Ide(c, c.image(pattern(8))) as d:
        # QEMU forgets a mode that is set before the first IDENTIFY DEVICE, which no driver does.
        for feature, count in ((0xaa, 0), (3, 0x42), (3, 0x22)):
            d.command(0xef, count=count, feature=feature)
            d.finished()
            d.command(0xec)
            d.m.expect_irq(14)
            d.status()
            w = struct.unpack("<256H", d.words_in())
            if count == 0x42:
                equal((w[63] >> 8, w[88] >> 8), (0, 4), "Ultra DMA mode 2 selected")
            if count == 0x22:
                equal((w[63] >> 8, w[88] >> 8), (4, 0), "multi-word DMA mode 2 selected")
        for cmd in (0xe0, 0xe1):
            d.command(cmd)
            d.finished()
        d.command(0xe5)
        d.finished()
        check(d.get(COUNT) in (0x00, 0x80, 0xff), "CHECK POWER MODE")


@case("ide-reset")
def machine_reset(c):
    """A reset of the machine: the signature, PCI registers; the disk keeps its data."""
    data = pattern(8)
    with Ide(c, c.image(data)) as d:
        d.command(0x20, lba=1)
        d.m.expect_irq(14)
        d.m.execute("system_reset")
        d.m.expect_reset(guest=False)
        equal(d.idle() & (BSY | DRQ | ERR), 0, "status")
        equal(signature(d), [1, 1, 0, 0], "signature")
        equal(d.m.cfg_read(1, 1, 4, 2), 0, "PCI command register")
        equal(d.m.inb(BM + 2), 0xff, "bus master region")
        d.m.cfg_write(1, 1, 0x20, BM | 1)
        d.m.cfg_write(1, 1, 4, 5, 2)
        equal(d.dma(0xc8, 1, 1, (BUFFER, 512)), BM_INTR, "a transfer afterwards")
        equal(d.m.read(BUFFER, 512), data[512:1024], "memory")


@case("ide-reset-line")
def reset_line(c):
    """A reset of the machine takes INTRQ away."""
    with Ide(c, c.image(pattern(8))) as d:
        d.command(0x20, lba=1)
        d.m.expect_irq(14)
        d.m.execute("system_reset")
        d.m.expect_reset(guest=False)
        check(not d.m.irq(14), "the interrupt stays")


@case("ide-snapshot")
def snapshot(c):
    """snapshot=on: what is written is read again, and is not in the image."""
    image = c.image(pattern(8))
    with Ide(c, image, drive=",snapshot=on") as d:
        d.m.write(BUFFER, pattern(1, 77))
        d.dma(0xca, 2, 1, (BUFFER, 512))
        d.command(0xe7)
        d.finished()
        d.m.write(BUFFER, bytes(512))
        d.dma(0xc8, 2, 1, (BUFFER, 512))
        equal(d.m.read(BUFFER, 512), pattern(1, 77), "read again")
    with open(image, "rb") as f:
        equal(f.read(), pattern(8), "the image")


@case("ide-null")
def null(c):
    """A disk of zeros, without a file."""
    with c.machine("-drive", "driver=null-co,size=1M,read-zeroes=on,if=none,id=n", "-device",
                   "ide-hd,drive=n,bus=ide.0,unit=0") as m:
        m.intercept()
        m.outb(0x1f6, 0xe0)
        m.outb(0x1f7, 0xf8)
        m.expect_irq(14)
        equal([m.inb(0x1f0 + r) for r in (3, 4, 5)], [0xff, 0x07, 0], "READ NATIVE MAX ADDRESS")
        m.outb(0x1f2, 1)
        m.outb(0x1f7, 0x20)
        m.until("DRQ", lambda: m.inb(0x3f6) & (BSY | DRQ) == DRQ)
        equal([m.inw(0x1f0) for _ in range(256)], [0] * 256, "data")


@case("ide-read-only", only="QEMU refuses read-only images for ide-hd")
def read_only(c):
    """A disk that can't be written aborts writes and says so for reads not."""
    image = c.image(pattern(8))
    with Ide(c, image, drive=",readonly=on") as d:
        d.command(0x30)
        equal(d.finished(bad=ERR) & ABRT, ABRT, "error of WRITE SECTOR(S)")
        d.dma(0xc8, 0, 1, (BUFFER, 512))
        equal(d.m.read(BUFFER, 512), pattern(8)[:512], "READ DMA")
