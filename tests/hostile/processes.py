#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Homes in processes of their own that attack selfio (built with ASan and UBSan), or are killed.

processes.py SELFIO BAD-IOEMU SELFIO-IOEMU FIRMWARE [PATTERN...]

Needs /dev/kvm, of any kind: SKIP (77) without. The guest is a ROM of a few instructions that writes to the
serial port for ever.
"""
import concurrent.futures
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import run  # noqa: E402

LIMIT = 60.0  # seconds
STUCK = r'ioemu fault in context 0: no answer for 5 s'

# how it attacks: what standard error must say; exit status 1
ATTACKS = {
    'start-exit': r'the ioemu process ended \(status 3\)|its process is gone',
    'start-die': r'the ioemu process was ended by signal 11|its process is gone',
    'start-never': STUCK,
    'start-leave': r'ioemu fault in context 0: hypercall 21845 does not exist',
    'start-turns': STUCK,
    'req-exit': r'the ioemu process ended \(status 3\)',
    'req-die': r'the ioemu process was ended by signal 11',
    'req-never': STUCK,
    'req-close': STUCK,
    'req-leave': r'hypercall 21845 does not exist',
    'req-fault': r'KVM exit \d+ in the stub domain',
    'req-window': r'ioemu fault in context 0: write at f7fffffc',
    'req-length': r'4294967295-byte access to a virtio window',
    'req-ops': r'4294967295 operations in a slot',
    'req-turn': STUCK,
    'req-turns': STUCK,
    'req-flush': STUCK,
    'req-wakes': STUCK,
    'req-noise': r'ioemu (fault|panic) in context \d',
    'req-panic': r'ioemu panic in context 0: \.\.\.',
}


def rom():
    """mov dx, 3f8h; again: mov al, 'a'; out dx, al; xor cx, cx; loop $; jmp again"""
    code = bytes.fromhex('baf803 b061 ee 31c9 e2fe ebf7')
    jump = bytes.fromhex('e90d00')  # at fff0h, to 0
    return code.ljust(0xfff0, b'\xf4') + jump.ljust(16, b'\xf4')


class Domain:
    """selfio run, with what is wanted in its folder as selfio-ioemu."""

    def __init__(self, work, name, selfio, ioemu, args, env=()):
        self.dir = os.path.join(work, name)
        os.mkdir(self.dir)
        exe = os.path.join(self.dir, 'selfio')
        shutil.copy(selfio, exe)
        os.symlink(os.path.abspath(ioemu), os.path.join(self.dir, 'selfio-ioemu'))
        with open(os.path.join(self.dir, 'rom'), 'wb') as f:
            f.write(rom())
        self.out = open(os.path.join(self.dir, 'out'), 'wb+')
        self.err = open(os.path.join(self.dir, 'err'), 'wb+')
        self.p = subprocess.Popen([exe, 'run', '--mem', '16M', '--bios', os.path.join(self.dir, 'rom'), *args],
                                  stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
                                  env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0:exitcode=99',
                                           UBSAN_OPTIONS='print_stacktrace=1:exitcode=99', **dict(env)))

    def written(self):
        return os.fstat(self.out.fileno()).st_size

    def said(self):
        return os.pread(self.err.fileno(), run.STDERR_MAX * 4, 0)

    def child(self):
        """The pid of its selfio-ioemu."""
        for task in os.listdir('/proc/%d/task' % self.p.pid):
            with open('/proc/%d/task/%s/children' % (self.p.pid, task)) as f:
                for pid in f.read().split():
                    return int(pid)
        return None

    def wait_for(self, what, limit=LIMIT):
        end = time.monotonic() + limit
        while time.monotonic() < end and self.p.poll() is None:
            if what():
                return True
            time.sleep(0.02)
        return what()

    def end(self, limit=LIMIT):
        """Exit status; None if there is none in time."""
        try:
            status = self.p.wait(limit)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            status = None
        self.out.close()
        return status


def attack(work, tools, how):
    d = Domain(work, how, tools['selfio'], tools['bad'], ['--place', 'all=ioemu', '--console', 'null',
                                                         '--firmware', tools['fw']], {'BAD_IOEMU': how}.items())
    status = d.end()
    return run.judge((status, d.said(), LIMIT), {1}, ATTACKS[how])


def start_guest(work, name, tools, policy):
    d = Domain(work, name, tools['selfio'], tools['ioemu'],
               ['--place', 'uart=ioemu', '--console', 'stdio', '--firmware', tools['fw'], '--on-panic', policy])
    return d, d.wait_for(lambda: d.written() > 3)


def kill_stop(work, tools):
    d, ran = start_guest(work, 'kill-stop', tools, 'stop')
    if not ran:
        d.p.kill()
        return 'the guest does not run:\n' + d.said().decode('utf-8', 'replace')
    os.kill(d.child(), signal.SIGKILL)
    status = d.end()
    return run.judge((status, d.said(), LIMIT), {1}, r'the ioemu process was ended by signal 9 \(Killed\)')


def kill_reset(work, tools):
    """The guest goes on; but a process that is killed again and again is not started for ever."""
    d, ran = start_guest(work, 'kill-reset', tools, 'reset')
    for n in range(6):
        before, old = d.written(), d.child()
        if not ran or old is None:
            d.p.kill()
            return 'after %d times the guest does not go on:\n%s' % (n, d.said().decode('utf-8', 'replace'))
        os.kill(old, signal.SIGKILL)
        ran = d.wait_for(lambda: d.written() > before + 3 and d.child() not in (None, old))
        text = d.said().decode('utf-8', 'replace')
        if n == 0 and 'its devices are reset in a fresh ioemu (--on-panic=reset)' not in text:
            d.p.kill()
            return 'no message:\n' + text
    status = d.end()
    return run.judge((status, d.said(), LIMIT), {1}, r'its ioemu failed 6 times within a minute')


def main():
    tools = dict(zip(('selfio', 'bad', 'ioemu', 'fw'), sys.argv[1:5]))
    patterns = sys.argv[5:] or ['*']
    why = run.no_kvm()
    if why:
        print('SKIP: no use of /dev/kvm: %s' % why)
        return 77
    jobs = {how: lambda work, t, how=how: attack(work, t, how) for how in ATTACKS}
    jobs.update({'kill-stop': kill_stop, 'kill-reset': kill_reset})
    chosen = [n for n in jobs if any(fnmatch.fnmatch(n, p) for p in patterns)]
    failed = 0
    with tempfile.TemporaryDirectory(prefix='selfio-hostile-') as work, \
            concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = {n: pool.submit(jobs[n], work, tools) for n in chosen}
        for name in chosen:
            wrong = futures[name].result()
            print('%s %s%s' % ('FAIL' if wrong else 'ok  ', name, ': ' + wrong if wrong else ''), flush=True)
            failed += wrong is not None
    print('%d processes, %d failed' % (len(chosen), failed))
    return 1 if failed or not chosen else 0


if __name__ == '__main__':
    sys.exit(main())
