# SPDX-License-Identifier: BSD-2-Clause
"""Linux guests: kernels booted directly, on each architecture, in each mode of the disk."""
import re

from vm import Fail, check, sha256, test

MIB = 1 << 20


def smoke(t, mode, size, **kwargs):
    """Boots, reads the whole disk in the wanted mode, powers off."""
    disk = t.image("disk.img", size)
    want = sha256(disk)
    if mode == "pio":
        kwargs["append"] = "libata.dma=0 " + kwargs.get("append", "")
    m = t.boot("smoke", [mode, want], [disk], **kwargs)
    init = m.expect(r"SIO-INIT: up ([\d.]+)s, Linux (\S+) (\S+), (\d+) cpus")
    m.expect(r"SIO-INIT: 1 disks", what="the guest to find its disk")
    xfer = m.expect(r"SIO-MODE \S+ (XFER_\w+)\s")
    m.expect(r"SIO-TEST smoke: PASS", 300)
    m.finish()
    check(sha256(disk) == want, "the image has changed though the guest only read")
    s = m.stats()["disks"][0]
    check(s["bytes_read"] >= size, f"the PV disk saw {s['bytes_read']} of {size} bytes")
    check(s["errors"] == 0, f"the PV disk had {s['errors']} errors")
    t.note(f"{init[2].decode()} {init[3].decode()}, {init[4].decode()} cpus, {xfer[1].decode()}")
    return m, init


@test("boot-amd64-dma", quick=True)
def boot_amd64_dma(t):
    smoke(t, "dma", 16 * MIB)


@test("boot-amd64-pio", quick=True, cost=30)
def boot_amd64_pio(t):
    smoke(t, "pio", 4 * MIB)


@test("boot-i386-dma")
def boot_i386_dma(t):
    _, init = smoke(t, "dma", 16 * MIB, arch="i386")
    check(init[3] == b"i686", f"not an i386 kernel: {init[3]}")


@test("boot-i386-pio", cost=30)
def boot_i386_pio(t):
    smoke(t, "pio", 4 * MIB, arch="i386")


@test("boot-smp4", cost=35)
def boot_smp4(t):
    _, init = smoke(t, "dma", 16 * MIB, smp=4)
    check(init[4] == b"4", f"{init[4].decode()} processors in the guest, not 4")


@test("boot-i386-smp2")
def boot_i386_smp2(t):
    _, init = smoke(t, "dma", 4 * MIB, smp=2, arch="i386")
    check(init[4] == b"2", f"{init[4].decode()} processors in the guest, not 2")


@test("boot-highmem", cost=30)
def boot_highmem(t):
    """RAM above 4 GiB: the guest sees it all, and its disk works."""
    m, _ = smoke(t, "dma", 16 * MIB, mem="5G")
    got = m.seen(r"SIO-MEM (\d+) kB")
    check(got, "the guest did not tell its memory")
    check(int(got[1]) > 4.7 * 1024 * 1024, f"the guest has {int(got[1]) >> 10} MiB of 5120")
    t.note(f"{int(got[1]) >> 10} MiB")


@test("boot-smallmem")
def boot_smallmem(t):
    """Little memory: the tables and the loader still fit."""
    smoke(t, "dma", MIB, mem="96M", arch="i386")


@test("boot-read-only", cost=15)
def boot_read_only(t):
    """A read-only disk: the guest cannot write, is told so, and the image stays as it is."""
    disk = t.image("disk.img", 4 * MIB)
    before = sha256(disk)
    m = t.boot("rodisk", disks=[disk + ",ro"])
    m.expect(r"SIO-TEST rodisk: PASS", 200)
    m.finish(errors=True)
    check(sha256(disk) == before, "the guest changed a read-only image")


@test("boot-identity", cost=15)
def boot_identity(t):
    """Model, serial number and size are what the command line says; four disks keep their order."""
    sizes = [MIB, 2 * MIB, 3 * MIB, 4 * MIB]
    disks = [t.image(f"d{i}", n, fill=False) for i, n in enumerate(sizes)]
    disks[1] += ",serial=ABC-123,model=Some other disk"
    m = t.boot("identity", disks=disks)
    m.expect(r"SIO-TEST identity: PASS", 200)
    m.finish()
    got = sorted(re.findall(rb"SIO-DISK (\S+) (\d+) \[(.*?)\]", m.out.data))
    check([g[0] for g in got] == [b"0:0:0:0", b"0:0:1:0", b"1:0:0:0", b"1:0:1:0"], f"places: {got}")
    check([int(g[1]) for g in got] == [n // 512 for n in sizes], f"sizes in sectors: {got}")
    if b"Some other disk" not in got[1][2]:
        raise Fail(f"the second disk's model is {got[1][2]}")


def placed(name, places, **kwargs):
    @test(f"boot-{name}", cost=30)
    def boot_placed(t):
        smoke(t, "dma", 8 * MIB, smp=2, more=["--place", places])


for NAME, PLACES in (("ioemu", "all=ioemu"), ("stubdom", "all=stubdom"),
                     ("split", "ide=ioemu,uart=stubdom,rtc=ioemu")):
    placed(NAME, PLACES)


# Interrupt controllers and the PIT in the firmware; KVM keeps the local APICs.
OWN = ["--irqchip", "firmware"]


@test("boot-irqchip", quick=True, cost=40)
def boot_irqchip(t):
    """Through the IOAPIC, whose level-triggered pin for the SCI waits for EOIs."""
    smoke(t, "dma", 8 * MIB, smp=2, more=OWN)


@test("boot-irqchip-pic", cost=40)
def boot_irqchip_pic(t):
    """Without an APIC: the 8259s, and the PIT for a clock."""
    smoke(t, "pio", MIB, append="nolapic noapic tsc=unstable", more=OWN)


@test("boot-irqchip-i386", cost=40)
def boot_irqchip_i386(t):
    """The 8259s with the local APIC's timer."""
    smoke(t, "dma", 8 * MIB, arch="i386", append="noapic", more=OWN)
