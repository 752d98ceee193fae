# SPDX-License-Identifier: BSD-2-Clause
"""Network cards: Debian's drivers on each, over a TAP interface with a DHCP server and nettool behind it."""
import itertools
import os
import re
import subprocess

import vm
from vm import Skip, check, guest_file, test

NUMBER = itertools.count(10)
# Of each card: its driver, MiB each way in the quick test and in the full one.
CARDS = {
    "e1000": ("e1000", 32, 256),
    "rtl8139": ("8139cp", 16, 256),
    "rtl8139c": ("8139too", 16, 256),
    "ne2k_pci": ("ne2k-pci", 2, 16),
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
        self.background(guest_file("bin/nettool", "tests/run.sh builds it"), "server", "7001")


def card(tap, model, more=""):
    return ["--net", f"tap,ifname={tap.name},model={model}{more}"]


def run(t, model, steps, cards=None, more=(), **kwargs):
    """Boots with these cards and steps; the machine, with its drivers loaded and its steps going on."""
    driver = CARDS[model][0] if isinstance(model, str) else "+".join(dict.fromkeys(CARDS[m][0] for m in model))
    args = [driver, *steps]
    return t.boot("net", args, more=[*cards, *more], **kwargs)


def end(t, m, timeout=300, errors=False):
    m.expect(r"SIO-TEST net: PASS", timeout)
    m.finish(errors=errors)
    for s in m.stats()["nets"]:
        check(s["rx_drops"] == 0 or errors, f"{s['rx_drops']} frames were dropped on their way in")
    s = m.stats()
    exits = sum(s["guest_exits"][k] for k in ("pio_read", "pio_write", "mmio_read", "mmio_write"))
    t.note(f"{exits / max(1, sum(n['tx_frames'] + n['rx_frames'] for n in s['nets'])):.1f} exits a frame")
    for what, speed in re.findall(rb"SIO-NET (up|down) .*?(\d+) KiB/s", m.out.data):
        t.note(f"{what.decode()} {int(speed) / 1024:.1f} MiB/s")
    return m


def basic(t, model, mib, place=(), **kwargs):
    tap = Tap(t)
    mac = "52:54:00:aa:00:07"
    m = run(t, model, ["dhcp", "ping", "echo:200:1472", f"down:{mib}", f"up:{mib}"],
            card(tap, model, f",mac={mac}"), more=place, **kwargs)
    m.expect("SIO-CARD eth0 " + mac, what="the card with its address")
    end(t, m, 1500)
    s = m.stats()["nets"][0]
    check(s["tx_bytes"] > mib << 20 and s["rx_bytes"] > mib << 20, f"the PV network saw {s}")


def register():
    for model, (driver, quick, full) in CARDS.items():
        test(f"net-{driver}", quick=True, cost=60)(lambda t, m=model, n=quick: basic(t, m, n))
        test(f"net-{driver}-256", cost=400)(lambda t, m=model, n=full: basic(t, m, n))
        test(f"net-{driver}-life", cost=90)(lambda t, m=model: life(t, m))


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


@test("net-bridge", quick=True, cost=90)
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
    basic(t, "e1000", 4)


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
