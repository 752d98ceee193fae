#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Conformance: the same small guest programs in each home of the models, with each fast path.

run.py [--build DIR] [--all] [--variant NAME=[PROGRAM] [ARGUMENT...]]... [--reference ...] [--list] [PATTERN...]

A program (guest/NAME.c) is a BIOS image that drives one device to its edges and prints lines:
    NAME: VALUE                 what the specification leaves open
    CHECK NAME: VALUE, not VALUE
                                what breaks the specification
It passes in a variant if it ends by itself, without a CHECK, and its output and what it wrote to the disks
are, byte for byte, those of the first variant. A variant is `selfio run` with more arguments, or another
program's command line; with --reference only the CHECKs are judged, and differences shown. QEMU can be one:
    run.py --reference 'qemu=qemu-system-i386 -accel tcg'

Without /dev/kvm: SKIP (77). The last line is "N passed, N failed, N skipped".
"""
import argparse
import array
import concurrent.futures
import fcntl
import fnmatch
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120.0  # seconds for one run

# name: numbers of vCPUs
PROGRAMS = {
    'ide-pio': (1,),
    'ide-dma': (1,),
    'ide-order': (1, 2, 4),
    'posted': (1,),
    'pm': (1,),
    'rtc': (1,),
    'pci': (1,),
    'fwcfg': (1,),
    'i8042': (1,),
    'reset': (1, 2),
    'uart': (1,),
    'smp': (1, 2, 4),
    'net-e1000': (1,),
    'net-rtl8139': (1,),
    'net-rtl8139c': (1,),
    'net-ne2k': (1,),
    'net-ne2k-isa': (1,),
}

# Programs that have a card: a wire whose other end nobody takes.
CARDS = {'net-e1000': 'e1000', 'net-rtl8139': 'rtl8139', 'net-rtl8139c': 'rtl8139c', 'net-ne2k': 'ne2k_pci',
         'net-ne2k-isa': 'ne2k_isa'}
MAC = '52:54:00:00:00:07'

# The first is what the others are compared with.
VARIANTS = {
    'plain': '--fast none',
    'firmware': '',
    'ioemu': '--place all=ioemu --fast all',
    'inproc': 'selfio-inproc --fast all',
}
# With --all: each fast path alone and all together, homes that are slow where KVM is slow.
MORE_VARIANTS = {
    **{'only-' + kind: '--fast ' + kind for kind in ('posted', 'kick', 'shadow', 'clock', 'readthrough', 'doorbell',
                                              'fifo')},
    'all': '--fast all',
    'mixed': '--place ide=ioemu,uart=stubdom,rtc=ioemu',
    'stubdom': '--place all=stubdom --fast all',
    'irqchip': '--irqchip firmware',
}

# As in guest/ide.h: sectors.
DISKS = (20197, (1 << 28) + 100, 4096)
PATTERN, PATTERN_END, SECTOR = 2048, 64, 512


def pattern(disk, lba, n):
    first = [(s * 0x9e3779b1 + disk * 0x85ebca6b) & 0xffffffff for s in range(lba, lba + n)]
    steps = [i * 0xc2b2ae35 & 0xffffffff for i in range(SECTOR // 4)]
    return array.array('I', [(f + s) & 0xffffffff for f in first for s in steps]).tobytes()


class Disks:
    """Sparse images with the pattern at both ends."""
    def __init__(self):
        self.parts = [((0, pattern(d, 0, PATTERN)), (n - PATTERN_END, pattern(d, n - PATTERN_END, PATTERN_END)))
                      for d, n in enumerate(DISKS)]

    def make(self, folder):
        paths = []
        for d, n in enumerate(DISKS):
            paths.append(os.path.join(folder, 'disk%d' % d))
            with open(paths[-1], 'wb') as f:
                f.truncate(n * SECTOR)
                for lba, data in self.parts[d]:
                    f.seek(lba * SECTOR)
                    f.write(data)
        return paths

    def digest(self, path, d):
        h = hashlib.sha256()
        with open(path, 'rb') as f:
            if os.fstat(f.fileno()).st_size != DISKS[d] * SECTOR:
                return 'another size'
            for lba, data in self.parts[d]:
                f.seek(lba * SECTOR)
                h.update(f.read(len(data)))
        return h.hexdigest()


def command(variant, rom, smp, disks, out, selfio):
    args = shlex.split(variant)
    program = args.pop(0) if args and not args[0].startswith('-') else None
    if program and '/' not in program and os.path.exists(os.path.join(os.path.dirname(selfio), program)):
        program = os.path.join(os.path.dirname(selfio), program)
    if program and os.path.basename(program).startswith('qemu-system'):
        cmd = [program, '-M', 'pc', '-display', 'none', '-nodefaults', '-m', '64', '-smp', str(smp), '-bios', rom,
               '-serial', 'file:' + out]
        for i, d in enumerate(disks):
            cmd += ['-drive', 'if=none,id=d%d,format=raw,file=%s' % (i, d),
                    '-device', 'ide-hd,drive=d%d,bus=ide.%d,unit=%d,serial=SIO%05d' % (i, i // 2, i % 2, i + 1)]
        return cmd + args
    cmd = [program or selfio, 'run', '--bios', rom, '--mem', '64M', '--smp', str(smp), '--console', 'file:' + out]
    for d in disks:
        cmd += ['--disk', d]
    model = CARDS.get(os.path.basename(rom).removesuffix('.rom'))
    if model:
        cmd += ['--net', 'stream:%s.wire,model=%s,mac=%s' % (out, model, MAC)]
    return cmd + args


class Run:
    def __init__(self, status, text, err, seconds):
        self.status, self.text, self.err, self.seconds = status, text, err, seconds
        end = re.search(r'^END: checks: ([0-9a-f]+)$', text, re.M)
        self.checks = int(end.group(1), 16) if end else 0

    def wrong(self):
        """What is wrong with it, taken alone."""
        bad = [] if self.status == 0 else ['status %s' % self.status]
        bad += re.findall(r'^(?:CHECK|FATAL) .*$', self.text, re.M)
        if not bad and not self.checks:
            bad.append('no end, or nothing was checked')
        if bad and self.err:
            bad += ['  ' + e for e in self.err.splitlines()[-8:]]
        return bad


def run_one(name, smp, variant, spec, opt, disks):
    rom = os.path.join(opt.build, 'tests', 'conform', name + '.rom')
    base = os.path.join(opt.out, '%s@%d.%s' % (name, smp, variant))
    for end in ('.txt', '.err'):
        if os.path.exists(base + end):
            os.unlink(base + end)
    with tempfile.TemporaryDirectory(prefix='selfio-conform-') as work:
        paths = disks.make(work)
        serial = os.path.join(work, 'serial')
        start = time.monotonic()
        with open(base + '.err', 'wb') as err:
            p = subprocess.Popen(command(spec, rom, smp, paths, serial, opt.selfio), stdin=subprocess.DEVNULL,
                                 stdout=err, stderr=err)
            try:
                status = p.wait(LIMIT)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
                status = 'none after %.0f s' % LIMIT
        seconds = time.monotonic() - start
        text = ''
        if os.path.exists(serial):
            with open(serial, encoding='ascii', errors='backslashreplace') as f:
                text = f.read()
        text += ''.join('disk%d: %s\n' % (i, disks.digest(path, i)) for i, path in enumerate(paths))
    with open(base + '.txt', 'w') as f:
        f.write(text)
    with open(base + '.err', encoding='utf-8', errors='backslashreplace') as f:
        return Run(status, text, f.read(), seconds)


def differences(a, b, most=10):
    a, b = a.split('\n'), b.split('\n')
    out = ['line %d: %r, not %r' % (i + 1, y, x) for i, (x, y) in enumerate(zip(a, b)) if x != y]
    if len(a) != len(b):
        out.append('%d lines, not %d' % (len(b), len(a)))
    return out[:most] + (['...'] if len(out) > most else [])


def named(text):
    name, eq, spec = text.partition('=')
    if not eq or not re.fullmatch(r'[\w.+-]+', name):
        raise argparse.ArgumentTypeError('give NAME=ARGUMENTS')
    return name, spec


def kvm_usable():
    try:
        with open('/dev/kvm', 'rb+', buffering=0) as f:
            return fcntl.ioctl(f, 0xae00, 0) == 12
    except OSError:
        return False


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--build', default=os.path.join(HERE, '..', '..', 'build'))
    p.add_argument('--selfio', help='the program (in the build folder)')
    p.add_argument('--variant', type=named, action='append', default=[])
    p.add_argument('--reference', type=named, action='append', default=[])
    p.add_argument('--out', help='folder for the outputs (conform in the build folder)')
    p.add_argument('--jobs', type=int, default=2)
    p.add_argument('--all', action='store_true', help='all variants that have a name')
    p.add_argument('--list', action='store_true', help='names of programs and variants')
    p.add_argument('pattern', nargs='*', default=['*'])
    opt = p.parse_args()
    variants = dict(opt.variant) or ({**VARIANTS, **MORE_VARIANTS} if opt.all else VARIANTS)
    references = dict(opt.reference)
    tests = [(name, smp) for name, smps in PROGRAMS.items() for smp in smps
             if any(fnmatch.fnmatch('%s@%d' % (name, smp), pat) or fnmatch.fnmatch(name, pat)
                    for pat in opt.pattern)]
    if opt.list:
        for name, smp in tests:
            print('%s@%d' % (name, smp))
        for name, spec in {**variants, **references}.items():
            print('variant %s: %s' % (name, spec or '(none)'))
        return 0
    opt.build = os.path.abspath(opt.build)
    opt.selfio = opt.selfio or os.path.join(opt.build, 'selfio')
    opt.out = opt.out or os.path.join(opt.build, 'conform')
    os.makedirs(opt.out, exist_ok=True)
    if not kvm_usable():
        print('SKIP: no use of /dev/kvm\n0 passed, 0 failed, %d skipped' % (len(tests) * len(variants)))
        return 77
    disks = Disks()
    passed = failed = 0
    first = next(iter(variants))
    with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
        runs = {(t, v): pool.submit(run_one, *t, v, spec, opt, disks)
                for t in tests for v, spec in {**variants, **references}.items()}
        for (t, v), future in runs.items():
            r, want = future.result(), runs[t, first].result()
            wrong = r.wrong()
            if v not in references and r.text != want.text:
                wrong += ['not as in variant %s:' % first] + differences(want.text, r.text)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print('%-4s %s@%d %s: %d checks, %.1f s' % ('FAIL' if wrong else 'ok', *t, v, r.checks, r.seconds))
            if v in references:
                wrong += ['differs: ' + d for d in differences(want.text, r.text)]
            print(''.join('     %s\n' % w for w in wrong), end='', flush=True)
    print('%d passed, %d failed, 0 skipped' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
