# SPDX-License-Identifier: BSD-2-Clause
"""Network cards: Debian's drivers on each, over a TAP interface with a DHCP server and nettool behind it."""
import http.server
import itertools
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import vm
from vm import Skip, check, guest_file, test

NUMBER = itertools.count(10)
# Of each card: its driver, MiB each way in the quick test and in the full one.
CARDS = {
    "e1000": ("e1000", 32, 256),
    "rtl8139": ("8139cp", 16, 256),
    "rtl8139c": ("8139too", 16, 256),
    "ne2k_pci": ("ne2k-pci", 2, 16),
    "virtio": ("virtio_pci+virtio_net", 32, 256),
}


class Tap:
    """A TAP interface with address 10.77.N.1, a DHCP server on it, and nettool's server."""

    def __init__(self, t, dhcp=True, mtu=1500):
        self.t, self.n = t, next(NUMBER)
        self.name, self.subnet = f"sio{self.n}", f"10.77.{self.n}"
        self.server = f"{self.subnet}.1"
        if os.geteuid():
            raise Skip("only root makes TAP interfaces; the lab does")
        if not os.path.exists("/dev/net/tun"):
            raise Skip("there is no /dev/net/tun")
        t.shell("ip", "tuntap", "add", "dev", self.name, "mode", "tap", "vnet_hdr")
        t.at_end(t.shell, "ip", "link", "del", self.name)
        with open(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6", "w") as f:
            f.write("1")
        self.ip("link", "set", self.name, "mtu", str(mtu))
        self.ip("addr", "add", f"{self.server}/24", "dev", self.name)
        self.up()
        if dhcp:
            self.serve()

    def ip(self, *args):
        return self.t.shell("ip", *args)

    def up(self):
        self.ip("link", "set", self.name, "up")

    def down(self):
        self.ip("link", "set", self.name, "down")

    def background(self, *argv):
        with open(self.t.log(f".{os.path.basename(argv[0])}-{self.n}"), "w") as f:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f,
                                 stderr=subprocess.STDOUT, preexec_fn=vm.die_with_parent)
        self.t.at_end(p.wait, 10)
        self.t.at_end(p.terminate)
        return p

    def serve(self, extra=""):
        conf = self.t.path(f"udhcpd-{self.n}.conf")
        with open(conf, "w") as f:
            f.write(f"start {self.subnet}.20\nend {self.subnet}.60\ninterface {self.name}\nmax_leases 30\n"
                    f"lease_file {conf}.leases\npidfile {conf}.pid\noption subnet 255.255.255.0\n"
                    f"opt router {self.server}\n{extra}")
        with open(conf + ".leases", "w"):
            pass
        self.background(guest_file("busybox-amd64", "tests/run.sh fetches it"), "udhcpd", "-f", conf)
        self.background(guest_file("bin/nettool", "tests/run.sh builds it"), "server", "7001", self.server)


def card(tap, model, more=""):
    return ["--net", f"tap,ifname={tap.name},model={model}{more}"]


def run(t, model, steps, cards=None, more=(), **kwargs):
    """Boots with these cards and steps; the machine, with its drivers loaded and its steps going on."""
    driver = CARDS[model][0] if isinstance(model, str) else "+".join(dict.fromkeys(CARDS[m][0] for m in model))
    args = [driver, *steps]
    return t.boot("net", args, more=[*cards, *more], **kwargs)


def speeds(t, m):
    for what, speed in dict(re.findall(rb"SIO-NET (up|down) .*?(\d+) KiB/s", m.out.data)).items():  # the last ones
        t.note(f"{what.decode()} {int(speed) / 1024:.1f} MiB/s")


def end(t, m, timeout=300, errors=False):
    m.expect(r"SIO-TEST net: PASS", timeout)
    m.finish(errors=errors)
    for s in m.stats()["nets"]:
        check(s["rx_drops"] == 0 or errors, f"{s['rx_drops']} frames were dropped on their way in")
    s = m.stats()
    exits = sum(s["guest_exits"][k] for k in ("pio_read", "pio_write", "mmio_read", "mmio_write"))
    t.note(f"{exits / max(1, sum(n['tx_frames'] + n['rx_frames'] for n in s['nets'])):.1f} exits a frame")
    speeds(t, m)
    return m


def basic(t, model, mib, place=(), timeout=300, **kwargs):
    tap = Tap(t)
    mac = "52:54:00:aa:00:07"
    m = run(t, model, ["dhcp", "ping", "echo:200:1472", f"down:{mib}", f"up:{mib}"],
            card(tap, model, f",mac={mac}"), more=place, **kwargs)
    m.expect("SIO-CARD eth0 " + mac, what="the card with its address")
    end(t, m, timeout)
    s = m.stats()["nets"][0]
    check(s["tx_bytes"] > mib << 20 and s["rx_bytes"] > mib << 20, f"the PV network saw {s}")


def register():
    for model, (drivers, quick, full) in CARDS.items():
        driver = drivers.split("+")[-1]
        test(f"net-{driver}", quick=driver in ("e1000", "8139cp"), cost=60)(lambda t, m=model, n=quick: basic(t, m, n))
        test(f"net-{driver}-{full}", cost=400)(lambda t, m=model, n=full: basic(t, m, n, timeout=3000))
        test(f"net-{driver}-life", cost=90)(lambda t, m=model: life(t, m))
        test(f"net-soak-{driver}", cost=150)(lambda t, m=model: soak(t, m))


def life(t, model):
    """Link down and up, the module unloaded and loaded again, the interface taken down under load."""
    tap = Tap(t)
    m = run(t, model, ["dhcp", "link", "reload:3", "ifdown:3", "down:1", "up:1"], card(tap, model))
    m.expect("SIO-LINK\r")
    tap.down()
    m.expect("SIO-LINK-DOWN")
    tap.up()
    end(t, m, 600, errors=True)
    check(not vm.TROUBLE.search(m.out.data), "trouble in the guest's log")
    check(m.stats()["nets"][0]["link_losses"] == 1, "the link was lost not once")
    said = "\n".join(m.messages())
    check(re.search(rf"{tap.name} is down, and so is the link: ip link set {tap.name} up\n.*{tap.name} is up", said),
          f"what was said of the link: {said}")


class Flaps(threading.Thread):
    """Takes a TAP interface down for a moment, now and then, until hold(); go() resumes."""

    def __init__(self, t, tap, rng):
        super().__init__(daemon=True)
        self.tap, self.rng, self.count = tap, rng, 0
        self.lock, self.on, self.over = threading.Lock(), False, threading.Event()
        t.at_end(self.over.set)

    def run(self):
        while not self.over.wait(self.rng.uniform(2, 6)):
            with self.lock:
                if self.on:
                    self.tap.down()
                    time.sleep(self.rng.uniform(0.05, 1.5))
                    self.tap.up()
                    self.count += 1

    def go(self, on):
        with self.lock:
            self.on = on


def soak(t, model):
    """SELFIO_SOAK seconds (60) of mixed traffic in both directions, while the link is lost at random moments and
    the interface taken down or its module reloaded. In between the storm abates: then what the guest counts is
    what the interface counts, frame by frame, and the process has neither more memory nor more descriptors."""
    rng = random.Random(os.environ.get("SELFIO_SOAK_SEED", "1"))
    tap = Tap(t)
    m = run(t, model, ["dhcp", "ping", "soak"], card(tap, model))
    flaps = Flaps(t, tap, rng)
    flaps.start()

    def size():
        with open(f"/proc/{m.process.pid}/status") as f:
            kib = int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])
        return kib, len(os.listdir(f"/proc/{m.process.pid}/fd"))

    def say(word):
        m.expect(r"SIO-SOAK\r", 120, what=f"the guest's next turn (before {word})")
        t.say(f"{time.monotonic() - began:.0f} s: {word}; {flaps.count} flaps, {size()}")
        m.send(word + "\n")

    def interface():
        with open(f"/sys/class/net/{tap.name}/statistics/tx_packets") as f, \
             open(f"/sys/class/net/{tap.name}/statistics/rx_packets") as g:
            return int(f.read()), int(g.read())

    def counts():
        """Frames received and sent as the guest has them, and the interface at that moment."""
        for _ in range(20):
            time.sleep(3)  # the server may still send to someone who has gone
            before = interface()
            say("count")
            got = m.expect(r"SIO-COUNT (\d+) (\d+)\r", 60)
            if interface() == before:
                return int(got[1]), int(got[2]), *before
        raise vm.Fail("it doesn't get quiet")

    began, storm, events, sizes = time.monotonic(), 0, 0, []
    seconds = float(os.environ.get("SELFIO_SOAK", "60"))
    while not sizes or time.monotonic() - storm < seconds:
        say("go")
        storm = storm or time.monotonic()
        flaps.go(True)
        for _ in range(rng.randint(1, 3)):
            time.sleep(rng.uniform(3, 8))
            say(rng.choice(["down", "down", "reload"]))
            events += 1
        time.sleep(2)
        flaps.go(False)
        say("calm")
        a = counts()
        say("move")
        b = counts()
        moved = [y - x for x, y in zip(a, b)]
        check(moved[0] == moved[2], f"the guest received {moved[0]} frames of {moved[2]}")
        check(moved[1] == moved[3], f"of {moved[1]} frames that the guest sent {moved[3]} came out")
        check(min(moved) > 800, f"next to nothing moved: {moved}")
        sizes.append(size())
    say("end")
    end(t, m, 120, errors=True)
    check(not vm.TROUBLE.search(m.out.data), "trouble in the guest's log")
    check(m.stats()["nets"][0]["rx_drops"] == 0, f"{m.stats()['nets'][0]}")
    check(max(s[0] for s in sizes) <= sizes[0][0] + 512, f"memory grows: {sizes}")
    check(max(s[1] for s in sizes) <= sizes[0][1], f"descriptors are left open: {sizes}")
    t.note(f"{flaps.count} flaps, {events} resets, {len(sizes)} calms, {sizes[-1][0]} KiB")


register()


@test("net-i386", cost=60)
def net_i386(t):
    """Scripts only: DHCP and ping, by the other architecture's driver."""
    tap = Tap(t)
    end(t, run(t, "e1000", ["dhcp", "ping"], card(tap, "e1000"), arch="i386"))


@test("net-two", cost=60)
def net_two(t):
    """Two cards at once, of different kinds, each with its own network."""
    a, b = Tap(t), Tap(t)
    m = run(t, ["e1000", "rtl8139"], ["dhcp", "ping", "both:8"], [*card(a, "e1000"), *card(b, "rtl8139")],
            smp=2)
    end(t, m)
    check(len(set(re.findall(rb"SIO-NET eth\d (\S+)", m.out.data))) == 2, "the cards have one address")


@test("net-beside", cost=60)
def net_beside(t):
    """The guest's own PV driver beside an emulated card, each with its own network."""
    a, b = Tap(t), Tap(t)
    m = run(t, ["virtio", "e1000"], ["dhcp", "ping", "both:16"], [*card(a, "virtio"), *card(b, "e1000")], smp=2)
    end(t, m)
    check(m.seen(r"SIO-CARD eth0 \S+ virtio_net") and m.seen(r"SIO-CARD eth1 \S+ e1000"), "not these two drivers")


@test("net-eight", cost=60)
def net_eight(t):
    """Eight cards: memory, slots and interrupts suffice."""
    taps = [Tap(t, dhcp=i < 2) for i in range(8)]
    m = run(t, "e1000", ["dhcp", "ping", "down:2"], [a for tap in taps for a in card(tap, "e1000")])
    end(t, m)
    check(len(re.findall(rb"SIO-CARD eth\d", m.out.data)) == 8, "not eight cards")


@test("net-jumbo", cost=60)
def net_jumbo(t):
    tap = Tap(t, mtu=9000)
    end(t, run(t, "e1000", ["dhcp", "jumbo:9000", "down:16", "up:16"], card(tap, "e1000")))


@test("net-bridge", cost=90)
def net_bridge(t):
    """Two domains joined by a wire; the first is a bridge, whose cards receive what is not for them, and
    the second gets its address and its data through it."""
    tap, wire = Tap(t), t.path("wire")
    a = run(t, ["e1000", "rtl8139"], ["bridge"],
            [*card(tap, "e1000"), "--net", f"stream:{wire},model=rtl8139"], label="a")
    a.expect("SIO-BRIDGE", 200)
    b = run(t, "rtl8139", ["dhcp", "ping", "echo:100:1472", "down:4", "up:4"],
            ["--net", f"stream:{wire},connect,model=rtl8139"], label="b")
    b.expect(r"SIO-TEST net: PASS", 300)
    b.finish()
    a.send("\n")
    a.expect(r"SIO-TEST net: PASS", 60)
    a.finish()
    t.note(f"{a.stats()['nets'][1]['rx_frames']} frames over the wire")


@test("net-ioemu", cost=60)
def net_ioemu(t):
    basic(t, "e1000", 4, ["--place", "net=ioemu,pci=ioemu,ide=ioemu,pm=ioemu"])


@test("net-stubdom", cost=60)
def net_stubdom(t):
    basic(t, "rtl8139", 4, ["--place", "all=stubdom"])


@test("net-inproc", cost=60)
def net_inproc(t):
    basic(t, "e1000", 4, selfio=os.path.join(os.path.dirname(vm.SELFIO), "selfio-inproc"))


@test("net-vhost", cost=60)
def net_vhost(t):
    if not os.path.exists("/dev/vhost-net"):
        raise Skip("there is no /dev/vhost-net")
    tap = Tap(t)
    m = run(t, "e1000", ["dhcp", "ping", "down:8", "up:8"], card(tap, "e1000", ",vhost=on"))
    m.expect(r"SIO-TEST net: PASS", 300)
    m.finish()
    check(m.stats()["nets"][0]["vhost"], "the kernel did not move the frames")


@test("net-reboot", cost=60)
def net_reboot(t):
    """A reset in mid-transfer, twice: the cards come up again, and frames go on."""
    tap = Tap(t)
    m = run(t, "e1000", ["dhcp", "flood:1000:2"], card(tap, "e1000"), append="sio.reboot")
    for _ in range(3):
        m.expect(r"SIO-TEST net: PASS", 300)
    m.signal(15)
    m.finish()


def children(pid, name):
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/stat") as f:
                head, _, rest = f.read().rpartition(")")
        except OSError:
            continue
        if head.partition("(")[2].startswith(name) and int(rest.split()[1]) == pid:
            found.append(int(p))
    return found


@test("net-user", cost=90)
def net_user(t):
    """passt: the guest has the host's address; when passt is killed the link goes and comes back."""
    name = f"sio{next(NUMBER)}"
    if os.geteuid():
        raise Skip("only root makes the interface that it needs; the lab does")
    t.shell("ip", "link", "add", name, "type", "dummy")
    t.at_end(t.shell, "ip", "link", "del", name)
    t.shell("ip", "addr", "add", "10.78.0.2/24", "dev", name)
    t.shell("ip", "link", "set", name, "up")
    t.shell("ip", "route", "add", "default", "via", "10.78.0.1", "dev", name)
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 65535")
    server = subprocess.Popen([guest_file("bin/nettool", "tests/run.sh builds it"), "server", "7001", "127.0.0.1"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              preexec_fn=vm.die_with_parent)
    t.at_end(server.wait, 10)
    t.at_end(server.terminate)
    m = run(t, "e1000", ["dhcp", "down:4", "up:4", "link", "down:4"], ["--net", "user,model=e1000"])
    m.expect("SIO-LINK\r", 300)
    for pid in children(m.process.pid, "passt"):
        t.say(f"SIGKILL to {pid}")
        os.kill(pid, signal.SIGKILL)
    m.expect(r"SIO-TEST net: PASS", 300)
    m.finish(errors=True)
    check(any("passt" in s for s in m.messages()), "nothing was said of passt's end")
    check(m.stats()["nets"][0]["link_losses"] == 1, f"{m.stats()['nets'][0]}")


def serve_tftp(address, folder):
    """RFC 1350 and 2347 to 2349, reading only."""
    main = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    main.bind((address, 69))

    def send(peer, name, options):
        with open(os.path.join(folder, os.path.basename(name)), "rb") as f:
            data = f.read()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
        s.settimeout(2)
        size = int(options.get("blksize", 512))
        packets = [struct.pack(">HH", 3, n + 1 & 0xffff) + data[n * size:(n + 1) * size]
                   for n in range(len(data) // size + 1)]
        if options:
            answer = {"blksize": str(size), "tsize": str(len(data))}
            packets.insert(0, struct.pack(">H", 6) + b"".join(
                f"{k}\0{answer[k]}\0".encode() for k in options if k in answer))
        for p in packets:
            want = struct.unpack(">H", p[2:4])[0] if p[1] == 3 else 0
            for _ in range(10):
                s.sendto(p, peer)
                try:
                    while True:
                        got = s.recv(600)
                        if got[:2] == b"\0\5":
                            return
                        if got[:2] == b"\0\4" and struct.unpack(">H", got[2:4])[0] == want:
                            break
                    break
                except socket.timeout:
                    pass

    def loop():
        while True:
            request, peer = main.recvfrom(600)
            if request[:2] == b"\0\1":
                words = [w.decode() for w in request[2:].split(b"\0")]
                options = {k.lower(): v for k, v in zip(words[2::2], words[3::2])}
                threading.Thread(target=send, args=(peer, words[0], options), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def pxe(t, model, small=False):
    """iPXE's option ROM: a script by TFTP, kernel and RAM disk by HTTP; the kernel's driver goes on. small: the
    kernel is memtest86+ (for the NE2000, where iPXE reads each word of a frame by an instruction of its own)."""
    tap = Tap(t, dhcp=False)
    folder = t.path("http")
    os.makedirs(folder)
    options = vm.kernel_args("amd64")
    for name, path in (("kernel", options[1]), ("initrd", options[3])):
        os.symlink(path, os.path.join(folder, name))
    line = (f"console=ttyS0,115200 quiet panic=-1 sio.disks=0 sio.test=net "
            f"sio.args={CARDS[model][0]},dhcp,ping,down:1")
    url = f"http://{tap.server}:8080"
    script = f"kernel {url}/kernel initrd=initrd {line}\ninitrd {url}/initrd\n"
    if small:
        os.symlink(guest_file("memtest-x64.bin", "tests/run.sh fetches it"), os.path.join(folder, "memtest"))
        script = f"kernel {url}/memtest console=ttyS0,115200\n"
    with open(os.path.join(folder, "boot.ipxe"), "w") as f:
        f.write(f"#!ipxe\n{script}boot\n")
    tap.serve(f"siaddr {tap.server}\nboot_file boot.ipxe\n")
    serve_tftp(tap.server, folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, form, *args):
            t.say("http: " + form % args)

    web = http.server.ThreadingHTTPServer((tap.server, 8080), Handler)
    t.at_end(web.server_close)
    t.at_end(web.shutdown)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    began = time.monotonic()
    m = t.run(*card(tap, model), "--boot", "net", "--mem", "256M")
    m.expect(r"Testing" if small else r"SIO-INIT: up", 250)
    t.note(f"{time.monotonic() - began:.0f} s to the kernel")
    if small:
        m.signal(15)
        m.finish()
    else:
        end(t, m)


def register_pxe():
    for model in ("e1000", "rtl8139", "ne2k_pci", "virtio"):
        test(f"net-pxe-{model}", cost=120)(lambda t, m=model: pxe(t, m, m == "ne2k_pci"))


register_pxe()
