#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turns a binary into C: blob.py aml|rom NAME INPUT OUTPUT.c

aml: as it is. rom: an option ROM, padded to blocks of 512 bytes, with its length byte and the
checksums of the PnP header and of the whole filled in (Plug and Play BIOS 1.0A, section 3).
"""
import sys


def finish_rom(data):
    rom = bytearray(data)
    rom += bytes(-len(rom) % 512)
    if rom[0:2] != b'\x55\xaa' or len(rom) > 2048:
        sys.exit('blob.py: not an option ROM of at most 2 KiB')
    rom[2] = len(rom) // 512
    pnp = int.from_bytes(rom[0x1a:0x1c], 'little')
    header = rom[pnp:pnp + rom[pnp + 5] * 16]
    if header[0:4] != b'$PnP' or header[9] or rom[-1]:
        sys.exit('blob.py: no PnP header, or no room for a checksum')
    rom[pnp + 9] = -sum(header) & 0xff
    rom[-1] = -sum(rom) & 0xff
    return bytes(rom)


def main():
    kind, name, src, dst = sys.argv[1:]
    with open(src, 'rb') as f:
        data = f.read()
    if kind == 'rom':
        data = finish_rom(data)
    with open(dst, 'w') as f:
        f.write('#include "boards/pc_blobs.h"\n\n')
        f.write(f'const unsigned char {name}[] = {{\n')
        for i in range(0, len(data), 16):
            f.write('\t' + ' '.join(f'0x{b:02x},' for b in data[i:i + 16]) + '\n')
        f.write(f'}};\nconst unsigned {name}_len = sizeof({name});\n')


main()
