#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The control socket and `selfio stat`, with a guest that loops over a few ports.

run.py SELFIO FIRMWARE [PATTERN...]

Without /dev/kvm: SKIP (77). The last line is "N passed, N failed, N skipped".
"""
import fcntl
import fnmatch
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SELFIO, FIRMWARE = (os.path.abspath(a) for a in sys.argv[1:3])
LIMIT = 60.0  # seconds for whatever is waited for


class Skip(Exception):
    pass


def check(ok, what):
    if not ok:
        raise AssertionError(what)


def rom(path):
    """Reads 1F7h and 300h (nobody's), writes and reads 3FFh, and so on for ever."""
    image = bytearray(b'\xff' * 65536)
    loop = bytes.fromhex('baf701 ec ba0003 ec baff03 ee ec'.replace(' ', ''))
    loop += b'\xeb' + struct.pack('b', -len(loop) - 2)
    image[0xff00:0xff00 + len(loop)] = loop
    image[0xfff0:0xfff5] = bytes.fromhex('ea00ff00f0')
    with open(path, 'wb') as f:
        f.write(image)


class Domain:
    def __init__(self, work, *args):
        self.work, self.label = work, '%d' % time.monotonic_ns()
        self.stats_file = os.path.join(work.path, self.label + '.json')
        self.err_file = os.path.join(work.path, self.label + '.err')
        with open(self.err_file, 'wb') as err:
            self.p = subprocess.Popen([SELFIO, 'run', '--bios', work.rom, '--mem', '4M', '--console', 'null',
                                       '--firmware', FIRMWARE, '--stats', self.stats_file, *args],
                                      stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=work.env)
        work.domains.append(self)
        name = args[args.index('--name') + 1] if '--name' in args else str(self.p.pid)
        self.path = os.path.join(work.sockets, name + '.sock')

    def wait_up(self):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            check(self.p.poll() is None, 'ended: ' + self.err())
            try:
                if self.ask({'cmd': 'stats'})['guest_exits']['pio_read'] > 0:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError('no answer: ' + self.err())

    def err(self):
        with open(self.err_file, encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait_err(self, pattern):
        end = time.monotonic() + LIMIT
        while not re.search(pattern, self.err()):
            check(self.p.poll() is None and time.monotonic() < end, 'no "%s" in: %s' % (pattern, self.err()))
            time.sleep(0.05)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(LIMIT)
        s.connect(self.path)
        return s

    def ask(self, what):
        with self.connect() as s:
            s.sendall(json.dumps(what).encode() + b'\n')
            return json.loads(line(s))

    def end(self, sig=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(sig)
        try:
            return self.p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise AssertionError('does not end: ' + self.err()) from None


def line(s):
    text = b''
    while not text.endswith(b'\n'):
        more = s.recv(65536)
        if not more:
            raise ConnectionError('closed after %r' % text[:100])
        text += more
    check(text.count(b'\n') == 1, 'more than a line')
    return text


class Work:
    """A folder with a runtime folder of its own, and what was started there."""
    def __init__(self, path):
        self.path, self.domains = path, []
        self.rom = os.path.join(path, 'loop.rom')
        rom(self.rom)
        self.run = os.path.join(path, 'run')
        os.mkdir(self.run, 0o700)
        self.sockets = os.path.join(self.run, 'selfio')
        # what is freed is to be seen as free
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.run, ASAN_OPTIONS='quarantine_size_mb=2')

    def up(self, *args):
        return Domain(self, *args).wait_up()

    def stat(self, *args):
        r = subprocess.run([SELFIO, 'stat', *args], env=self.env, timeout=LIMIT, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return r.returncode, r.stdout, r.stderr

    def close(self):
        for d in self.domains:
            if d.p.poll() is None:
                d.p.kill()
                d.p.wait()


# What an answer looks like: a type, [element], {name: ...}, or {str: every member}.
NUM = (int, float)
STATS = {
    'version': int, 'pid': int, 'name': str, 'wall_ns': int, 'tick_ns': NUM, 'vcpus': int, 'resets': int,
    'firmware_resets': int,
    'guest_exits': {k: int for k in ('pio_read', 'pio_write', 'mmio_read', 'mmio_write', 'signal', 'triple_fault', 'other',
                                     'unclaimed')},
    'companion_exits': int, 'io_context_runs': int, 'companion_mmio': int, 'companion_yields': int,
    'fast': {k: int for k in ('posted', 'batches', 'flushes', 'doorbells', 'kicks')},
    'models': {str: {'home': str, 'requests': int, 'bytes': int, 'median_ns': int, 'p99_ns': int,
                     'total_ns': int, 'shadowed': int, 'histogram': [[NUM]]}},
    'ranges': [{'space': str, 'base': int, 'len': int, 'models': [str], 'home': str, 'reads': int,
                'writes': int}],
    'cpu_ns': {'guest': int, 'companion': int, 'host': int}, 'companion_wall_ns': int,
    'disks': [{k: int for k in ('reads', 'writes', 'flushes', 'bytes_read', 'bytes_written', 'inline',
                                'async', 'copied', 'errors', 'in_flight')}],
    'nets': [{'vhost': bool, **{k: int for k in ('tx_frames', 'tx_bytes', 'tx_drops', 'rx_frames', 'rx_bytes',
                                                 'rx_drops', 'link_losses')}}],
    'memory': {k: int for k in ('guest_ram', 'firmware_private', 'firmware_image', 'process_anon_kib')},
}
LIVE = {
    'version': int, 'name': str, 'pid': int, 'uptime_s': NUM, 'interval_s': NUM, 'vcpus': int,
    'exits_per_s': {k: NUM for k in STATS['guest_exits']},
    'reflection': {'per_s': NUM, 'median_ns': int, 'p99_ns': int},
    'shadowed_per_s': NUM, 'posted_per_s': NUM, 'doorbells_per_s': NUM, 'companion_exits_per_s': NUM,
    'cpu_percent': {'guest': NUM, 'companion': NUM, 'host': NUM},
    'models': [{'model': str, 'home': str, 'per_s': NUM, 'bytes_per_s': NUM, 'median_ns': int, 'p99_ns': int,
                'shadowed_per_s': NUM}],
    'ranges': [{'space': str, 'base': int, 'len': int, 'models': str, 'home': str, 'reads_per_s': NUM,
                'writes_per_s': NUM}],
    'disks': [{'in_flight': NUM, **{k + '_per_s': NUM for k in ('reads', 'writes', 'flushes', 'bytes_read',
                                                                'bytes_written')}}],
}


def conforms(value, schema, where='answer'):
    if isinstance(schema, dict):
        check(isinstance(value, dict), '%s: %r' % (where, value))
        if str in schema:
            schema = {k: schema[str] for k in value}
        check(set(value) == set(schema), '%s has %s' % (where, sorted(set(value) ^ set(schema))))
        for k, v in value.items():
            conforms(v, schema[k], where + '.' + k)
    elif isinstance(schema, list):
        check(isinstance(value, list), '%s: %r' % (where, value))
        for i, v in enumerate(value):
            conforms(v, schema[0], '%s[%d]' % (where, i))
    else:
        check(isinstance(value, schema) and not isinstance(value, bool), '%s: %r' % (where, value))
        check(isinstance(value, str) or value >= 0, '%s: %r' % (where, value))


def test_stats(w):
    """Both ways to the counters give the same shape; they move, and agree with each other."""
    d = w.up('--name', 'one', '--smp', '2')
    a = d.ask({'cmd': 'stats'})
    time.sleep(0.5)
    b = d.ask({'cmd': 'stats'})
    for s in (a, b):
        conforms(s, STATS)
        for m in s['models'].values():
            check(sum(n for _, n in m['histogram']) == m['requests'], 'histogram of %r' % m)
        reads = sum(r['reads'] for r in s['ranges'])
        check(abs(reads - s['guest_exits']['pio_read']) <= 8, 'ranges: %d reads of %r' % (reads, s['guest_exits']))
    check(b['name'] == 'one' and b['pid'] == d.p.pid and b['vcpus'] == 2, 'who: %r' % b)
    check(b['wall_ns'] > a['wall_ns'] and b['guest_exits']['pio_read'] > a['guest_exits']['pio_read'],
          'nothing moves')
    for part in ('guest', 'companion', 'host'):
        check(b['cpu_ns'][part] >= a['cpu_ns'][part], 'cpu_ns.%s went back' % part)
    more = sum(b['cpu_ns'].values()) - sum(a['cpu_ns'].values())
    check(0 < more <= 1.2 * 3 * (b['wall_ns'] - a['wall_ns']), 'CPU time %d' % more)
    where = {r['base']: r for r in b['ranges']}
    check({0x1f0, 0x300, 0x3f8} <= set(where), 'ranges %r' % where)
    check(where[0x300]['models'] == [] and where[0x300]['home'] == '', 'nobody: %r' % where[0x300])
    check(where[0x1f0]['home'] == 'firmware' and where[0x1f0]['models'], 'IDE: %r' % where[0x1f0])
    check(d.end() == 0, d.err())
    with open(d.stats_file, encoding='utf-8') as f:
        s = json.load(f)
    conforms(s, STATS)
    check(s['guest_exits']['pio_read'] >= b['guest_exits']['pio_read'], 'the file is older than the answer')


def test_protocol(w):
    d = w.up()
    for bad in ('{}', '[]', '"stats"', '{"cmd":1}', '{"cmd":"stats"', '{"cmd":"stats"}}', '', 'null',
                '{"cmd":"no such"}', '{"cmd":"STATS"}', '[' * 500, '{"a":' * 100, '{"cmd":"sto\\u0070"}'):
        with d.connect() as s:
            s.sendall(bad.encode() + b'\n')
            r = json.loads(line(s))
            check(list(r) == ['error'] and isinstance(r['error'], str), '%s: %r' % (bad, r))
            s.sendall(b'{"x":[1,{"cmd":"stop"}],"cmd":"stats"}\r\n')
            conforms(json.loads(line(s)), STATS)
    with d.connect() as s:  # in pieces, then several at once
        for c in b'{"cmd": "nothing"}\n':
            s.sendall(bytes([c]))
        check('error' in json.loads(line(s)), 'no error')
        s.sendall(b'{"cmd":"a"}\n' * 5)
        got = b''
        while got.count(b'\n') < 5:
            got += s.recv(4096)
        check(got == got[:len(got) // 5] * 5, 'five answers: %r' % got)
    with d.connect() as s:  # who says no more still gets the answer
        s.sendall(b'{"cmd":"stats"}\n')
        s.shutdown(socket.SHUT_WR)
        conforms(json.loads(line(s)), STATS)
    check(d.end() == 0, d.err())


def alive(d, what):
    start = time.monotonic()
    a = b = d.ask({'cmd': 'stats'})
    check(time.monotonic() - start < 10, '%s: the answer came late' % what)
    while b['guest_exits']['pio_read'] <= a['guest_exits']['pio_read']:
        check(time.monotonic() - start < LIMIT, '%s: the guest stands still' % what)
        time.sleep(0.02)
        b = d.ask({'cmd': 'stats'})
    fds = len(os.listdir('/proc/%d/fd' % d.p.pid))
    check(fds < 120, '%s: %d descriptors' % (what, fds))
    with open('/proc/%d/status' % d.p.pid, encoding='ascii') as f:
        return int(re.search(r'RssAnon:\s*(\d+)', f.read()).group(1))


def control_cpu(d):
    """Seconds of the control thread, which is the first."""
    with open('/proc/%d/task/%d/schedstat' % (d.p.pid, d.p.pid), encoding='ascii') as f:
        return int(f.read().split()[0]) / 1e9


def test_hostile(w):
    d = w.up()
    rss = alive(d, 'before')
    with d.connect() as s:  # a line without an end
        s.sendall(b'x' * 1024)
        check('error' in json.loads(line(s)), 'no error')
        check(s.recv(1) == b'', 'not closed')
    for data in (bytes(range(256)) * 4096, b'\n' * 100000, b'\0' * 100000):
        with d.connect() as s:
            s.settimeout(1)
            try:
                s.sendall(data)
            except OSError:
                pass
    alive(d, 'garbage')
    half = [d.connect() for _ in range(40)]
    for s in half:
        try:
            s.sendall(b'{"cmd":')
        except OSError:
            pass
    alive(d, 'half lines')
    deaf = []
    for _ in range(16):
        s = d.connect()
        s.settimeout(0.2)
        try:
            while True:
                s.send(b'{"cmd":"stats"}\n' * 1000)
        except OSError:
            pass
        deaf.append(s)
    alive(d, 'peers that never read')
    start, cpu, answers = time.monotonic(), control_cpu(d), 0
    flood = [d.connect() for _ in range(4)]
    for s in flood:
        s.setblocking(False)
        s.send(b'{"cmd":"none"}\n' * 100)
    while time.monotonic() < start + 2:
        for s in flood:
            try:
                answers += s.recv(1 << 20).count(b'\n')
                s.send(b'{"cmd":"none"}\n' * 100)
            except OSError:
                pass
        time.sleep(0.001)
    took = time.monotonic() - start
    share = (control_cpu(d) - cpu) / took
    check(4 <= answers <= 4 * (took / 0.01 + 1), '%d answers in %.1f s' % (answers, took))
    check(share < 0.7, 'the control thread used %.0f %% of a processor' % (100 * share))
    alive(d, 'flood')
    many = []
    for _ in range(1000):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(d.path)
        except BlockingIOError:
            time.sleep(0.002)
        many.append(s)
    more = alive(d, '1000 connections')
    for s in half + deaf + flood + many:
        s.close()
    more = max(more, alive(d, 'after'))
    check(more < rss + 16384, 'anonymous memory went from %d to %d KiB' % (rss, more))
    check(d.end() == 0, d.err())


def test_permission(w):
    if os.geteuid() != 0:
        raise Skip('only root can be someone else')
    d = w.up('--name', 'mine')
    check(os.stat(w.sockets).st_mode & 0o777 == 0o700, 'mode of the folder')
    script = ('import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n'
              's = socket.socket(socket.AF_UNIX); s.settimeout(10)\n'
              'try:\n s.connect(sys.argv[1]); s.sendall(b\'{"cmd":"stop"}\\n\')\n print(len(s.recv(100)))\n'
              'except (PermissionError, ConnectionError) as e:\n print(type(e).__name__)\n')

    def other():
        return subprocess.run([sys.executable, '-c', script, d.path], stdout=subprocess.PIPE, text=True,
                              timeout=LIMIT, check=True).stdout.strip()
    check(other() == 'PermissionError', 'another user may look into the folder')
    for p in (w.path, w.run, w.sockets):  # then the socket itself has to say no
        os.chmod(p, 0o755)
    os.chmod(d.path, 0o777)
    got = other()
    check(got in ('0', 'ConnectionResetError', 'BrokenPipeError'), 'another user got %s' % got)
    os.chmod(w.sockets, 0o700)
    alive(d, 'after')
    os.chmod(w.sockets, 0o755)  # a folder that others may look into is not used
    d2 = Domain(w, '--name', 'two')
    d2.wait_err('warning: no control socket: .* must be ours')
    check(w.stat('--once')[0] == 1, 'stat uses it')
    os.chmod(w.sockets, 0o700)
    check(d2.end() == 0 and d.end() == 0, d.err())


def test_stale(w):
    d = w.up('--name', 'gone')
    d.end(signal.SIGKILL)
    check(os.path.exists(d.path), 'nothing stale to test')
    check(w.stat('--once')[0] == 1, 'a domain without a process')
    check(not os.path.exists(d.path), 'stat left the stale socket')
    d = w.up('--name', 'gone')
    d.end(signal.SIGKILL)
    d2 = w.up('--name', 'gone')
    check('warning' not in d2.err(), d2.err())
    d3 = Domain(w, '--name', 'gone')
    d3.wait_err('warning: no control socket: .* another domain')
    check(d3.end() == 0 and os.path.exists(d2.path), "the name's owner lost its socket")
    check(d2.ask({'cmd': 'stats'})['pid'] == d2.p.pid, 'another one answers')
    check(d2.end() == 0 and not os.path.exists(d2.path), 'the socket is left behind')


def test_commands(w):
    d = w.up()
    check(d.ask({'cmd': 'reset'}) == {'ok': True}, 'reset')
    end = time.monotonic() + LIMIT
    while d.ask({'cmd': 'stats'})['resets'] != 1:
        check(time.monotonic() < end, 'no reset: ' + d.err())
        time.sleep(0.05)
    check(d.ask({'cmd': 'powerdown'}) == {'ok': True}, 'powerdown')
    alive(d, 'after a reset and with the power button pressed')
    check(d.ask({'cmd': 'stop'}) == {'ok': True}, 'stop')
    check(d.p.wait(LIMIT) == 0, d.err())
    check(not os.path.exists(d.path), 'the socket is left behind')
    d = w.up('--no-reboot')
    check(d.ask({'cmd': 'reset'}) == {'ok': True} and d.p.wait(LIMIT) == 0, d.err())
    d = Domain(w, '--no-control')
    time.sleep(1)
    check(d.p.poll() is None and not os.listdir(w.sockets), 'a socket in spite of --no-control')
    check(d.end() == 0, d.err())


def test_stat(w):
    check(w.stat()[0] == 1 and w.stat('nobody')[0] == 1, 'nothing runs')
    for bad in (['--interval', '0'], ['--interval', 'x'], ['--interval', 'nan'], ['--count', '0'], ['--count', '-1'],
                ['--count'], ['--what'], ['a', 'b']):
        status, out, err = w.stat(*bad)
        check(status == 2 and not out and err.count('\n') == 1, '%r: %r' % (bad, (status, out, err)))
    check('--interval' in w.stat('--help')[1], 'no help')
    for bad in ('', '123', '.x', '-x', 'a/b', 'a b', 'x' * 65, 'a"b'):
        r = subprocess.run([SELFIO, 'run', '--bios', w.rom, '--name', bad], stderr=subprocess.PIPE, env=w.env,
                           timeout=LIMIT, check=False)
        check(r.returncode == 2, '--name %r' % bad)
    disk = os.path.join(w.path, 'disk')
    with open(disk, 'wb') as f:
        f.truncate(1 << 20)
    d = w.up('--name', 'alpha', '--disk', disk)
    for who in ([], ['alpha'], [str(d.p.pid)]):
        status, out, err = w.stat('--once', '--json', '--interval', '0.5', *who)
        check(status == 0 and out.count('\n') == 1 and not err, '%r' % ((status, out, err),))
        s = json.loads(out)
        conforms(s, LIVE)
        check(s['name'] == 'alpha' and 0.4 < s['interval_s'] < 5 and len(s['disks']) == 1, out)
        e = s['exits_per_s']
        check(e['pio_read'] > 0 and e['unclaimed'] > 0, out)
        # each round has reads of three ports and one write, which may be posted
        check(abs(e['pio_read'] / 3 / e['unclaimed'] - 1) < 0.1, out)
        check({0x1f0, 0x300, 0x3f8} <= {r['base'] for r in s['ranges']}, out)
        check(s['shadowed_per_s'] + s['reflection']['per_s'] > 0, out)
        if s['reflection']['per_s']:
            check(0 < s['reflection']['median_ns'] <= s['reflection']['p99_ns'], out)
    status, out, _ = w.stat('--count', '2', '--interval', '0.2')
    check(status == 0 and len(re.findall(r'^alpha: pid', out, re.M)) == 2 and '\033' not in out, out)
    check(re.search(r'^cpu .*guest [\d.]+%.*\nexits/s .*\nfast/s .*\nlatency .*\ndisk 0 ', out, re.M), out)
    check(re.search(r'^0300-0307 +- ', out, re.M) and re.search(r'^01f0-01f7 +firmware ', out, re.M), out)
    d2 = w.up('--name', 'beta')
    status, out, _ = w.stat()
    check(status == 0 and out.split() == ['NAME', 'PID', 'alpha', str(d.p.pid), 'beta', str(d2.p.pid)], out)
    p = subprocess.Popen([SELFIO, 'stat', 'beta', '--json', '--interval', '0.2'], env=w.env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        conforms(json.loads(p.stdout.readline()), LIVE)
        check(d2.end() == 0, d2.err())
        _, err = p.communicate(timeout=LIMIT)
        check(p.returncode == 0 and 'ended' in err, err)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    check(d.end() == 0, d.err())


def kvm_usable():
    try:
        with open('/dev/kvm', 'rb+', buffering=0) as f:
            return fcntl.ioctl(f, 0xae00, 0) == 12
    except OSError:
        return False


def main():
    patterns = sys.argv[3:] or ['*']
    tests = {n[5:]: f for n, f in globals().items() if n.startswith('test_')}
    tests = {n: f for n, f in tests.items() if any(fnmatch.fnmatch(n, p) for p in patterns)}
    if not kvm_usable():
        print('SKIP: no use of /dev/kvm\n0 passed, 0 failed, %d skipped' % len(tests))
        return 77
    passed = failed = skipped = 0
    for name, f in tests.items():
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='selfio-control-') as path:
            w = Work(path)
            try:
                f(w)
                passed += 1
                print('ok   %s, %.1f s' % (name, time.monotonic() - start), flush=True)
            except Skip as e:
                skipped += 1
                print('SKIP %s: %s' % (name, e), flush=True)
            except (AssertionError, OSError, ValueError, KeyError, subprocess.SubprocessError) as e:
                failed += 1
                print('FAIL %s: %s: %s' % (name, type(e).__name__, str(e)[:2000]), flush=True)
                for d in w.domains:
                    print('     ' + d.err()[-600:].replace('\n', '\n     '), flush=True)
            finally:
                w.close()
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
