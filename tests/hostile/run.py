#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Hostile firmware images against selfio, built with ASan and UBSan.

run.py SELFIO IMAGE-DIRECTORY [PATTERN...]

Each image has to come to the expected end within the time limit, with a clear message, and without a
word from a sanitizer. Needs /dev/kvm, of any kind: SKIP (77) without.
"""
import concurrent.futures
import fcntl
import fnmatch
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import image  # noqa: E402

LIMIT = 15.0  # seconds
STUCK_LIMIT = 90.0  # 5 s of a processor's time, on a machine that may be busy
SURVIVED = 42  # hostile.c
STDERR_MAX = 64 * 1024

STUCK = r'firmware fault in context \d+: no answer for 5 s'
MISBEHAVES = r'(img|console).*: the firmware\'s driver misbehaves \(.*\)'

# name: exit statuses, what standard error must say
CASES = {
    'start_bad_hypercall': ({1}, r'fault in context 0: hypercall 99 does not exist'),
    'start_other_port': ({1}, r'write of port 0080, not a hypercall'),
    'start_port_read': ({1}, r'read of port 0510, not a hypercall'),
    'start_byte_hypercall': ({1}, r'write of port 0510, not a hypercall'),
    # Some KVMs hand a string over in one piece, some item by item.
    'start_string_hypercall': ({1}, r'write of port 0510, not a hypercall|hypercall 0 does not exist'),
    'start_hlt': ({1}, r'KVM exit 5 '),
    'start_triple_fault': ({1}, r'KVM exit 8 '),
    'start_mmio_outside': ({1}, r'write at fa000000'),
    'start_mmio_no_window': ({1}, r'write at f801f000'),
    'start_run_nothing': ({1}, r'firmware fault in context 0'),
    'start_write_blob': ({1}, r'write at 100000000'),
    'start_vcpu_waits': ({1}, r'WAIT in the wrong context'),
    'io_returns': ({1}, r'RETURN in the wrong context'),
    'req_n_ops': ({1}, r'4294967295 operations in a slot'),
    'req_op_code': ({1}, r'operation 77 does not exist'),
    'req_map_ports': ({1}, r'MAP of ports fff0, 100'),
    'req_map_ports_wrap': ({1}, r'MAP of ports 10, fffffffffffffffb'),
    'req_map_wrap': ({1}, r'MAP of memory'),
    'req_map_many': ({1}, r'more than \d+ memory ranges'),
    'req_map_space': ({1}, r'MAP in space 7'),
    'req_map_kind': ({1}, r'MAP of kind 9'),
    'req_map_model': ({1}, r'MAP of kind 0 for model 200'),
    'req_model_number': ({1}, r'MODEL 9999'),
    'req_model_name': ({1}, r'hypercall 98 does not exist'),
    'req_fast_ports_end': ({1}, r'MAP of kind 1, fffe, 4, 0: a range that is none'),
    'req_fast_ports_beyond': ({1}, r'MAP of kind 2, 10010, 1, 0: a range that is none'),
    'req_fast_ports_wrap': ({1}, r'MAP of kind 1, f+, 2, 0: a range that is none'),
    'req_fast_empty': ({1}, r'MAP of kind 1, 100, 0, 0: a range that is none'),
    'req_fast_huge': ({1}, r'MAP of kind 1, 0, f+, 0: a range that is none'),
    'req_fast_unclaimed': ({1}, r'MAP of kind 1, 100, 4, 0: not claimed'),
    'req_fast_unclaimed_memory': ({1}, r'MAP of kind 1, e01ffff8, 10, 0: not claimed'),
    'req_fast_size': ({1}, r'MAP of kind 2, 100, 3, 0: no access has this size'),
    'req_fast_wide_port': ({1}, r'MAP of kind 3, 100, 8, \w+: no access has this size'),
    'req_fast_shadow': ({1}, r'MAP of kind 2, 100, 1, 20: a shadow entry'),
    'req_fast_clock': ({1}, r'MAP of kind 3, 100, 4, \w+: a clock'),
    'req_fast_doorbell': ({1}, r'MAP of kind 4, 100, 1, 1000000000: a doorbell'),
    'req_fast_filter': ({1}, r'MAP of kind 1, e0000000, 4, \w+: a filter on memory'),
    'req_fast_many': ({1}, r'MAP of kind 1, 10e0, 1, 0: too many fast ranges'),
    'req_notify_window': ({1}, r'NOTIFY of window 99'),
    'req_rom_ram': ({1}, r'MAP of kind 5, 1fff000, 1000, 0: not in the hole'),
    'req_rom_bios': ({1}, r'MAP of kind 5, fffff000, 1000, 0: not in the hole'),
    'req_rom_apic': ({1}, r'MAP of kind 5, fee00000, 1000, 0: not in the hole'),
    'req_rom_part': ({1}, r'MAP of kind 5, e0000008, 1000, 0: not whole pages'),
    'req_rom_outside': ({1}, r'MAP of kind 5, e0000000, 2000, \w+: not whole pages of private memory'),
    'req_rom_outside_wrap': ({1}, r'MAP of kind 5, e0000000, 1000, \w+: not whole pages of private memory'),
    'req_rom_twice': ({1}, r'MAP of kind 5, e0001000, 1000, 0: over another one'),
    'req_fast_storm': ({SURVIVED}, None),
    'req_unmap_others': ({SURVIVED}, None),
    'req_shadow_noise': ({SURVIVED}, None),
    'req_forward_kind': ({1}, r'FORWARD of kind 4'),
    'req_forward_size': ({1}, r'FORWARD of kind 5, size 8'),
    'req_forward_addr': ({1}, r'FORWARD of kind 5, size 4'),
    'req_forward_place': ({1}, r'FORWARD of kind 5, size 4, place 4294967295'),
    'req_forward_self': ({SURVIVED}, None),
    'req_irq_doorbells': ({SURVIVED}, None),
    'req_irq_port': ({1}, r'write of port 0549, not a hypercall'),
    'req_ops_flood': ({SURVIVED}, None),
    'req_irq_gsi': ({1}, r'IRQ 1000'),
    'req_irq_level': ({1}, r'IRQ 3, level 2'),
    'req_vector': ({1}, r'VECTOR 32'),
    'req_levels': ({1}, r'LEVELS 0'),
    'req_odd_but_fine': ({SURVIVED}, None),
    'req_text_len': ({SURVIVED}, r'firmware: '),
    'req_panic': ({1}, r'firmware panic in context 0: .*hostile'),
    'req_log_flood': ({SURVIVED}, r'firmware: flood'),
    'start_spin': ({1}, STUCK),
    'start_yield': ({1}, STUCK),
    'req_spin': ({1}, STUCK),
    'req_yield': ({1}, STUCK),
    'req_flush': ({1}, STUCK),
    'req_log': ({1}, STUCK),
    'io_spin': ({1}, STUCK),
    'req_reset_spin': ({1}, STUCK),
    'req_window_sizes': ({SURVIVED}, None),
    'req_queue_outside': ({SURVIVED}, MISBEHAVES),
    'req_queue_size': ({SURVIVED}, MISBEHAVES),
    'req_descriptors': ({SURVIVED}, MISBEHAVES),
    'req_requests': ({SURVIVED}, None),
    'req_dma_slot': ({1}, r'4294967295 operations in a slot'),
    'req_in_flight': ({SURVIVED}, None),
    'req_console': ({SURVIVED}, None),
    # An instruction that some KVMs can't emulate.
    'req_window_wide': ({1, SURVIVED}, None),
}
# These go on until someone stops them, which has to work.
STOPPED = {
    'req_reset_storm': ({0}, r'Terminated: stopping the domain'),
    'io_timer_storm': ({0}, r'Terminated: stopping the domain'),
}
# With --on-panic=reset: starts over, but not for ever.
RESTARTED = {
    'req_panic': ({1}, r'its firmware failed 6 times within a minute'),
    'req_n_ops': ({1}, r'its firmware failed 6 times within a minute'),
}
# Files that no loader may take.
CODE = b'\xf4' * 64
FILES = {
    'file_empty': (b'', r'firmware'),
    'file_text': (b'#!/bin/sh\n' * 100, r'not a 64-bit x86 ELF image'),
    'file_header_only': (image.image(CODE)[:64], r'not a 64-bit x86 ELF image'),
    'file_no_note': (image.image(CODE, notes=b'\0' * 24), r'ABI version 0'),
    'file_newer_abi': (image.image(CODE, notes=image.note(0x7fffffff)), r'ABI version 2147483647'),
    'file_short_note': (image.image(CODE, notes=image.note()[:20]), r'ABI version 0'),
    'file_huge': (image.image(CODE, memsz=1 << 40), r'does not fit'),
    'file_below': (image.image(CODE, vaddr=(1 << 64) - 4096), r'does not fit'),
    'file_beyond': (image.image(CODE, filesz=1 << 30, memsz=1 << 30), r'does not fit'),
    'file_more_than_memory': (image.image(CODE, memsz=1), r'does not fit'),
    'file_entry': (image.image(CODE, entry=1 << 32), r'entry point'),
    'file_entry_wraps': (image.image(CODE, entry=(1 << 64) - 1), r'entry point'),
    'file_headers_outside': (image.image(CODE, phnum=65535), r'not a 64-bit x86 ELF image'),
}


def run(selfio, job, path, work, limit, stop_after=None, more=()):
    """Exit status (None: too late), standard error, seconds."""
    disk = os.path.join(work, job + '.img')
    kernel = os.path.join(work, job + '.kernel')
    with open(disk, 'wb') as f:
        f.write(b'\xff' * (1 << 20))
    with open(kernel, 'wb') as f:
        f.write(b'\0' * 0x202 + b'HdrS' + b'\0' * 8192)
    err = os.path.join(work, job + '.err')
    env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0:abort_on_error=0:exitcode=99',
               UBSAN_OPTIONS='print_stacktrace=1:exitcode=99')
    start = time.monotonic()
    with open(err, 'wb') as f:
        p = subprocess.Popen([selfio, 'run', '--mem', '32M', '--smp', '2', '--firmware', path, '--kernel',
                              kernel, '--disk', disk, '--console', 'null', '--fast', 'all,irq', *more],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=f, env=env)
        try:
            if stop_after:
                try:
                    p.wait(stop_after)
                except subprocess.TimeoutExpired:
                    p.send_signal(signal.SIGTERM)
            status = p.wait(limit)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            status = None
    with open(err, 'rb') as f:
        return status, f.read(4 * STDERR_MAX), time.monotonic() - start


def judge(result, statuses, pattern):
    """What is wrong, or None."""
    status, err, seconds = result
    text = err.decode('utf-8', 'replace')
    if 'Sanitizer' in text or 'runtime error' in text:
        return 'a sanitizer reports:\n' + text[-6000:]
    if status is None:
        return 'no end after %.0f s:\n%s' % (seconds, text[-1500:])
    if status not in statuses:
        return 'status %d, not %s:\n%s' % (status, sorted(statuses), text[-1500:])
    if pattern and not re.search(pattern, text):
        return 'no message like %r:\n%s' % (pattern, text[-1500:])
    if any(b != 10 and not 32 <= b < 127 for b in err):
        return 'control characters reach the terminal: %r' % text[-500:]
    if len(err) > STDERR_MAX:
        return 'a flood of %d bytes or more' % len(err)
    return None


def no_kvm():
    """Why there is none, or None."""
    try:
        with open('/dev/kvm', 'rb+', buffering=0) as f:
            if fcntl.ioctl(f, 0xae00, 0) != 12:
                return 'another KVM API'
    except OSError as e:
        return str(e)
    return None


def main():
    selfio, images = sys.argv[1], sys.argv[2]
    patterns = sys.argv[3:] or ['*']
    why = no_kvm()
    if why:
        print('SKIP: no use of /dev/kvm: %s' % why)
        return 77
    jobs = {}
    with tempfile.TemporaryDirectory(prefix='selfio-hostile-') as work:
        for name, (statuses, pattern) in {**CASES, **STOPPED}.items():
            jobs[name] = (os.path.join(images, name + '.elf'), statuses, pattern,
                          2.0 if name in STOPPED else None, ())
        for name, (statuses, pattern) in RESTARTED.items():
            jobs[name + '+reset'] = (os.path.join(images, name + '.elf'), statuses, pattern, None,
                                     ('--on-panic', 'reset'))
        for name, (data, pattern) in FILES.items():
            path = os.path.join(work, name + '.elf')
            with open(path, 'wb') as f:
                f.write(data)
            jobs[name] = (path, {2}, pattern, None, ())
        chosen = [n for n in jobs if any(fnmatch.fnmatch(n, p) for p in patterns)]
        failed = 0
        # Those that have to be noticed as stuck take 5 s each: first, and side by side.
        chosen.sort(key=lambda n: jobs[n][2] != STUCK)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            futures = {n: pool.submit(run, selfio, n, jobs[n][0], work,
                                      STUCK_LIMIT if jobs[n][2] == STUCK else LIMIT, *jobs[n][3:]) for n in chosen}
            for name in chosen:
                result = futures[name].result()
                wrong = judge(result, jobs[name][1], jobs[name][2])
                print('%s %-24s %.1f s%s' % ('FAIL' if wrong else 'ok  ', name, result[2],
                                             ': ' + wrong if wrong else ''), flush=True)
                failed += wrong is not None
    print('%d images, %d failed' % (len(chosen), failed))
    return 1 if failed or not chosen else 0


if __name__ == '__main__':
    sys.exit(main())
