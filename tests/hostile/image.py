#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a firmware image (include/sio/config.h) of 32-bit code that is linked where images go.

image.py RAW OUT
"""
import struct
import sys

ABI_VERSION = 4


def note(version=ABI_VERSION):
    return struct.pack('<III8sI', 7, 4, 1, b'selfio', version)


def image(code, notes=None, entry=0, vaddr=0, memsz=None, phnum=2, filesz=None):
    """An ELF64 file with a segment of code and a note; arguments make it a bad one."""
    notes = note() if notes is None else notes
    at = 64 + 2 * 56
    header = struct.pack('<16sHHIQQQIHHHHHH', b'\x7fELF\x02\x01\x01', 3, 62, 1, entry, 64, 0, 0, 64, 56,
                         phnum, 0, 0, 0)
    load = struct.pack('<IIQQQQQQ', 1, 7, at + len(notes), vaddr, vaddr,
                       len(code) if filesz is None else filesz,
                       len(code) if memsz is None else memsz, 4096)
    ph_note = struct.pack('<IIQQQQQQ', 4, 4, at, 0, 0, len(notes), len(notes), 4)
    return header + load + ph_note + notes + code


if __name__ == '__main__':
    with open(sys.argv[1], 'rb') as f:
        raw = f.read()
    with open(sys.argv[2], 'wb') as f:
        f.write(image(raw))
