#!/usr/bin/env python3
"""Pieces of guest images, made without root, mounts or loop devices.

  image.py modules MODULES_DIR NAME...       load order of the modules, one path a line
  image.py cpio OUT SPEC                     a newc archive from a list of entries (see cpio())
  image.py moddir MODULES_DIR DEST NAME...   copy modules and what they need, with a modules.dep
  image.py disk OUT BOOT CORE PARTITION      an MBR disk: GRUB, one Linux partition at 1 MiB

A module name that starts with '?' may be missing (built in, or gone in that kernel).
"""
import lzma
import os
import re
import struct
import sys

SECTOR = 512
PART_START = 2048  # sectors; GRUB's core image lies in front of it
MTIME = 1700000000  # fixed, so that the same inputs give the same bytes


def die(msg):
    sys.exit("image.py: " + msg)


def module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")


def module_bytes(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".ko"):
        return data
    die("%s: cannot unpack this kind of module" % path)


def module_index(moddir):
    index = {}
    for folder, _, files in os.walk(os.path.realpath(moddir)):
        for f in files:
            if re.search(r"\.ko(\.\w+)?$", f):
                index[module_name(f)] = os.path.join(folder, f)
    if not index:
        die("%s: no modules there" % moddir)
    return index


def module_depends(path):
    m = re.search(rb"\0depends=([^\0]*)\0", module_bytes(path))
    names = m.group(1).decode() if m else ""
    return [n.replace("-", "_") for n in names.split(",") if n]


def resolve(moddir, names):
    """Load order: [(path, [paths of all that it needs])]."""
    index, done, order = module_index(moddir), {}, []

    def visit(name):
        if name in done:
            return done[name]
        path = index[name]
        needs = []
        for d in module_depends(path):
            for p in visit(d) + [index[d]]:
                if p not in needs:
                    needs.append(p)
        done[name] = needs
        order.append((path, needs))
        return needs

    for n in names:
        optional, n = n.startswith("?"), n.lstrip("?").replace("-", "_")
        if n in index:
            visit(n)
        elif not optional:
            die("no module %s in %s" % (n, moddir))
    return order


def cpio(out, spec):
    """SPEC lines: dir PATH | file PATH MODE SOURCE | module PATH SOURCE | link PATH TARGET |
    node PATH MODE MAJOR MINOR."""
    ino = 0

    def entry(f, name, mode, data=b"", rdev=(0, 0), nlink=1):
        nonlocal ino
        ino += 1
        name = name.lstrip("/").encode() + b"\0"
        f.write(b"070701" + b"".join(b"%08X" % v for v in (
            ino, mode, 0, 0, nlink, MTIME, len(data), 0, 0, rdev[0], rdev[1], len(name), 0)))
        f.write(name + b"\0" * (-(110 + len(name)) % 4))
        f.write(data + b"\0" * (-len(data) % 4))

    seen = set()
    tmp = out + ".new"
    with open(tmp, "wb") as f, open(spec) as lines:
        def parents(path):
            parts = path.strip("/").split("/")[:-1]
            for i in range(1, len(parts) + 1):
                p = "/".join(parts[:i])
                if p not in seen:
                    seen.add(p)
                    entry(f, p, 0o040755, nlink=2)

        for line in lines:
            w = line.split()
            if not w:
                continue
            kind, path = w[0], w[1].strip("/")
            parents(path)
            if path in seen:
                continue
            seen.add(path)
            if kind == "dir":
                entry(f, path, 0o040755, nlink=2)
            elif kind == "file":
                with open(w[3], "rb") as src:
                    entry(f, path, 0o100000 | int(w[2], 8), src.read())
            elif kind == "module":
                entry(f, path, 0o100644, module_bytes(w[2]))
            elif kind == "link":
                entry(f, path, 0o120777, w[2].encode())
            elif kind == "node":
                entry(f, path, 0o020000 | int(w[2], 8), rdev=(int(w[3]), int(w[4])))
            else:
                die("%s: what is '%s'?" % (spec, line.strip()))
        entry(f, "TRAILER!!!", 0)
        f.write(b"\0" * (-f.tell() % SECTOR))
    os.rename(tmp, out)


def moddir_copy(moddir, dest, names):
    """As /lib/modules/VERSION: modules, modules.dep (all needs listed, as modprobe wants)."""
    root = os.path.realpath(moddir)
    lines = []

    def rel(path):
        return re.sub(r"\.ko(\.\w+)?$", ".ko", os.path.relpath(path, root))

    for path, needs in resolve(moddir, names):
        to = os.path.join(dest, rel(path))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "wb") as f:
            f.write(module_bytes(path))
        lines.append("%s: %s" % (rel(path), " ".join(rel(n) for n in reversed(needs))))
    with open(os.path.join(dest, "modules.dep"), "w") as f:
        f.write("".join(line.rstrip() + "\n" for line in lines))
    for extra in ("modules.builtin", "modules.order"):
        src = os.path.join(root, extra)
        if os.path.exists(src):
            with open(src, "rb") as f, open(os.path.join(dest, extra), "wb") as g:
                g.write(f.read())


def disk(out, boot_img, core_img, part_img):
    """boot.img as built looks for the core image in sector 1, and grub-mkimage has written the core
    image's length into its first sector for a contiguous copy at sector 2: nothing to patch."""
    with open(boot_img, "rb") as f:
        boot = f.read()
    with open(core_img, "rb") as f:
        core = f.read()
    if len(boot) != SECTOR or struct.unpack_from("<Q", boot, 0x5c)[0] != 1:
        die("%s is not GRUB's boot.img" % boot_img)
    start, count = struct.unpack_from("<QH", core, SECTOR - 12)
    if start != 2 or count != (len(core) - 1) // SECTOR:
        die("%s: unexpected block list (%d, %d)" % (core_img, start, count))
    if SECTOR + len(core) > PART_START * SECTOR:
        die("%s does not fit in front of the partition" % core_img)
    sectors = os.path.getsize(part_img) // SECTOR

    def chs(lba):
        c, r = divmod(lba, 255 * 63)
        h, s = divmod(r, 63)
        if c > 1023:
            c, h, s = 1023, 254, 62
        return bytes((h, (s + 1) | (c >> 2 & 0xc0), c & 0xff))

    mbr = bytearray(boot)
    struct.pack_into("<I", mbr, 440, 0x0f105e1f)
    mbr[446:510] = bytes(64)
    mbr[446:462] = (b"\x80" + chs(PART_START) + b"\x83" + chs(PART_START + sectors - 1) +
                    struct.pack("<II", PART_START, sectors))
    mbr[510:512] = b"\x55\xaa"

    tmp = out + ".new"
    with open(tmp, "wb") as f, open(part_img, "rb") as p:
        f.write(mbr + core)
        f.seek(PART_START * SECTOR)
        while True:
            block = p.read(1 << 20)
            if not block:
                break
            if block.count(0) == len(block):
                f.seek(len(block), os.SEEK_CUR)  # keep holes
            else:
                f.write(block)
        f.truncate((PART_START + sectors) * SECTOR)
    os.rename(tmp, out)


def main(a):
    if len(a) >= 3 and a[0] == "modules":
        for path, _ in resolve(a[1], a[2:]):
            print(path)
    elif len(a) == 3 and a[0] == "cpio":
        cpio(a[1], a[2])
    elif len(a) >= 4 and a[0] == "moddir":
        moddir_copy(a[1], a[2], a[3:])
    elif len(a) == 5 and a[0] == "disk":
        disk(*a[1:])
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
