# SPDX-License-Identifier: BSD-2-Clause
"""Booting from the disk as a PC does: SeaBIOS and GRUB, u-boot in place of SeaBIOS, memtest86+."""
import re
import time

from vm import check, guest_file, test

RUN_SH = "tests/run.sh makes it"
PART = 1 << 20  # where the image's partition starts


def fsck(t, disk):
    t.shell("e2fsck", "-fn", f"{disk}?offset={PART}")


def grub_debian(t, *more):
    disk = t.copy(guest_file("demo.img", RUN_SH))
    m = t.run("--disk", disk, "--smp", 2, "--mem", "512M", "--no-reboot", *more)
    m.expect(r"GNU GRUB +version", 60)
    m.expect(r"SIO-GRUB booting: demo")
    m.expect(r"SIO-BOOT: userland on ext4, up [\d.]+s, 2 cpus", 200)
    m.expect(r"SIO-MODE \S+ XFER_(UDMA|MW_DMA)", 10)
    said = m.expect(r"SIO-DEMO: SHA256 ([0-9a-f]{64})", 200)[1].decode()
    m.expect(r"SIO-DEMO: read back from the disk: the same", 100)
    m.expect(r"SIO-DEMO: done, powering off", 60)
    m.finish(timeout=90)
    fsck(t, disk)
    for name in ("demo.bin", "demo.bin.sha256"):
        t.shell("debugfs", "-R", f"dump /data/{name} {t.path(name)}", f"{disk}?offset={PART}")
    got = t.shell("sha256sum", t.path("demo.bin")).stdout[:64]
    with open(t.path("demo.bin.sha256")) as f:
        recorded = f.read()[:64]
    check(got == recorded == said, f"checksums: image {got}, recorded {recorded}, printed {said}")


@test("bios-grub-debian", quick=True, cost=60)
def bios_grub_debian(t):
    """The demo's flow: MBR, GRUB, Debian's kernel, a file written, power-off; then the image is checked."""
    grub_debian(t)


@test("bios-irqchip", cost=100)
def bios_irqchip(t):
    """The same, with interrupt controllers and the PIT, the BIOS's clock, in the firmware."""
    grub_debian(t, "--irqchip", "firmware")


@test("bios-grub-menu", cost=50)
def bios_grub_menu(t):
    """GRUB's menu is used over the serial port, and so is the shell of the system that it boots."""
    disk = t.copy(guest_file("demo.img", RUN_SH))
    m = t.run("--disk", disk, "--mem", "512M")
    m.expect(r"executed automatically", 60)
    m.send("\x1b[B")  # down: the count stops
    m.expect(r"\*Debian: the same, PIO", 20)
    m.send("\x1b[B")
    m.expect(r"\*Debian: shell", 20)
    m.send("\r")
    m.expect(r"SIO-GRUB booting: shell", 20)
    m.expect(r"SIO-BOOT: userland on ext4", 200)
    m.expect(r"# ", 30, what="a shell's prompt")
    m.send("echo $((6 * 7)) $(wc -c </boot/vmlinuz) bytes; sync\n")
    m.expect(r"42 \d{7,} bytes", 30)
    m.send("poweroff\n")
    m.finish(timeout=90)
    fsck(t, disk)


@test("bios-grub-hotkey-pio", cost=60)
def bios_grub_hotkey_pio(t):
    """The menu's hotkey for PIO mode: a root file system on a disk without DMA."""
    disk = t.copy(guest_file("demo.img", RUN_SH))
    m = t.run("--disk", disk, "--mem", "512M")
    m.expect(r"executed automatically", 60)
    m.send("p")
    m.expect(r"SIO-GRUB booting: PIO mode", 20)
    m.expect(r"SIO-BOOT: userland on ext4", 250)
    m.expect(r"SIO-MODE \S+ XFER_PIO", 10)
    m.expect(r"SIO-DEMO: writing", 10)
    m.signal(15)
    m.finish()


@test("bios-grub-nativedisk", cost=60)
def bios_grub_nativedisk(t):
    """GRUB's own PATA driver, which knows nothing of the BIOS, reads files of the disk."""
    disk = t.copy(guest_file("grubtest.img", RUN_SH))
    m = t.run("--disk", disk, "--mem", "128M", "--no-reboot")
    m.expect(r"SIO-GRUB nativedisk OK", 300, bad=[r"SIO-GRUB nativedisk FAILED[^\r\n]*", r"error: [^\r\n]*"])
    m.finish(timeout=30)


@test("bios-uboot", cost=25)
def bios_uboot(t):
    """u-boot's ROM in place of SeaBIOS: finds the disk and reads its partition table."""
    disk = t.copy(guest_file("demo.img", RUN_SH))
    m = t.run("--bios", guest_file("u-boot-x86.rom", RUN_SH), "--disk", disk, "--mem", "256M")
    m.expect(r"U-Boot 20\d\d", 60)
    m.expect(r"autoboot", 60)
    m.send(" ")
    m.expect(r"=> ", 60)
    m.send("ide reset\n")
    m.expect(r"Model: selfio", 60)
    m.expect(r"Type: Hard Disk", 10)
    m.expect(r"=> ", 30)
    m.send("ide part 0\n")
    m.expect(r"1\s+2048\s+262144\s", 30)
    m.expect(r"=> ", 30)
    m.send("ide read 0x1000000 0 8; md.w 0x10001fe 1\n")
    m.expect(r"010001fe: aa55", 30)
    m.signal(15)
    m.finish()


@test("bios-memtest", cost=60)
def bios_memtest(t):
    """memtest86+ starts from the disk and tests memory for 30 s without an error."""
    disk = t.copy(guest_file("memtest.img", RUN_SH))
    m = t.run("--disk", disk, "--mem", "64M")
    m.expect(r"SIO-GRUB booting: memtest86", 60)
    m.expect(r"Memtest86\+", 60)
    m.expect(r"Testing", 60)
    start = len(m.console.data)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        time.sleep(1)
        check(m.process.poll() is None, "selfio ended while memtest86+ ran")
        check(not m.seen(r"Errors:? +[1-9]"), "memtest86+ found errors")
    check(len(m.console.data) > start, "memtest86+ is silent: it has stopped")
    check(m.seen(r"Errors:? *\x1b?[^\n]{0,24}0"), "no 'Errors: 0' on the screen")
    passes = re.findall(rb"Pass:? +\S+", m.console.data)
    t.note(f"{len(m.console.data)} bytes of screen, {passes[-1].decode() if passes else 'no pass yet'}")
    m.signal(15)
    m.finish()
