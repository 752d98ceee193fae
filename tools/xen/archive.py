#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a Xen domain with selfio's firmware boots: archive.py OUT BIOS [KERNEL INITRD COMMAND-LINE]

The archive is the domain's ramdisk= (firmware/xen/xen_home.h has its form): a BIOS image and a Linux kernel, for
the BIOS to boot in place of a disk.
"""
import struct
import sys

PAGE = 4096
BIOS, KERNEL, INITRD, CMDLINE = range(4)


def write(out, bios, kernel=None, initrd=None, cmdline=""):
    parts = [(kind, open(path, "rb").read()) for kind, path in ((BIOS, bios), (KERNEL, kernel), (INITRD, initrd))
             if path]
    if cmdline:
        parts.append((CMDLINE, cmdline.encode()))
    head, at = struct.pack("<8sII", b"SIOXBOOT", len(parts), 0), PAGE
    for kind, data in parts:
        head += struct.pack("<IIQQ", kind, 0, at, len(data))
        at += -(-len(data) // PAGE) * PAGE
    with open(out, "wb") as f:
        f.write(head.ljust(PAGE, b"\0"))
        for _, data in parts:
            f.write(data + b"\0" * (-len(data) % PAGE))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 6):
        sys.exit(__doc__)
    write(*sys.argv[1:])
