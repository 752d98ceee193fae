#!/bin/bash
# The demo: an unmodified Debian boots from an IDE disk whose controller is emulated by firmware in the
# guest's own domain, writes a file, powers off; then the disk image is checked from outside.
#
#   tools/demo.sh             (./dev demo) on this machine's KVM if it is good, otherwise in the lab
#   tools/demo.sh --xen       (./dev xen demo) as a Xen domain, in the lab
#   tools/demo.sh --in-lab, --in-dom0    the parts that run inside the labs
#
# SELFIO names another program to run in place of build/selfio.
set -euo pipefail

PATH=$PATH:/sbin:/usr/sbin
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$top/tools/lib.sh"
selfio=${SELFIO:-$top/build/selfio}
dir=$top/build/demo
limit=240

# run_selfio DISK STATS: one run, with nothing to type on the console.
run_selfio() {
	echo "\$ selfio run --smp 2 --mem 512M --disk $1 --no-reboot --stats $2"
	timeout -k 5 $limit "$selfio" run --smp 2 --mem 512M --disk "$1" --no-reboot --stats "$2" \
		</dev/null
}

if [ "${1:-}" = --in-lab ]; then
	[ -n "${LAB_IMAGES:-}" ] || die "--in-lab is for ./dev lab --image DISK tools/demo.sh --in-lab"
	run_selfio "${LAB_IMAGES%% *}" "$LAB_OUT/demo-stats.json"
	exit
fi
if [ "${1:-}" = --in-dom0 ]; then
	exec "$top/tools/xen/domain.sh" --timeout $((limit * 2)) "${LAB_IMAGES%% *}"
fi
xen=
[ "${1:-}" != --xen ] || { xen=yes dir=$top/build/xen-demo && shift; }
[ $# -eq 0 ] || die "usage: tools/demo.sh [--xen]"
[ -x "$selfio" ] || die "$selfio is not there: ./dev build"

headline() { printf '\n== %s\n' "$*"; }

# The serial port's output without GRUB's cursor movements, and without the menu's frame.
readable='
import re, sys
esc = re.compile(rb"\x1b\[[0-9;]*H|\x1b\[[0-9;?=]*[A-Za-z]|\x1b[78c]")
frame, last, rest = re.compile(rb"[\s+|-]*\Z"), None, b""

def show(line):
    global last
    line = line.rstrip()
    if frame.match(line) or line == last:
        return
    last = line
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()

while True:
    data = sys.stdin.buffer.raw.read(4096) if hasattr(sys.stdin.buffer, "raw") else b""
    if not data:
        break
    rest += data
    # An escape sequence may be cut at the end of what was read.
    cut = rest.rfind(b"\x1b")
    keep = rest[cut:] if cut >= 0 and len(rest) - cut < 12 and b"\n" not in rest[cut:] else b""
    text = rest[:len(rest) - len(keep)]
    text = esc.sub(lambda m: b"\n" if m.group().endswith(b"H") else b"", text)
    lines = text.replace(b"\r", b"\n").split(b"\n")
    rest = lines.pop() + keep
    for line in lines:
        show(line)
show(esc.sub(b"", rest))
'

report='
import json, sys
try:
    s = json.load(open(sys.argv[1]))
except (OSError, ValueError) as e:
    sys.exit("no accounting: %s" % e)

def flat(v):
    return ", ".join("%s %s" % (k, x) for k, x in v.items())

cpu = s.get("cpu_ns", {})
total = sum(cpu.values()) or 1
print("run time            %.1f s, %s vCPUs" % (s.get("wall_ns", 0) / 1e9, s.get("vcpus", "?")))
print("guest exits         %s" % flat(s.get("guest_exits", {})))
print("CPU time            " + ", ".join(
    "%s %.2f s (%.0f %%)" % (k, v / 1e9, 100 * v / total) for k, v in cpu.items()))
models = s.get("models", {})
if models:
    print("%-19s %9s %12s %10s %10s %9s" % ("emulated device", "requests", "bytes", "median", "p99",
                                        "in all"))
    for name, m in sorted(models.items(), key=lambda i: -i[1].get("total_ns", 0)):
        print("  %-17s %9d %12d %7.1f us %7.1f us %7.2f s" % (
            name, m.get("requests", 0), m.get("bytes", 0), m.get("median_ns", 0) / 1e3,
            m.get("p99_ns", 0) / 1e3, m.get("total_ns", 0) / 1e9))
for i, d in enumerate(s.get("disks", [])):
    print("PV disk %d           %s" % (i, flat(d)))
mem = s.get("memory", {})
if mem:
    print("memory              firmware %d KiB private (image %d KiB), host process %d KiB, guest %d MiB"
          % (mem.get("firmware_private", 0) >> 10, mem.get("firmware_image", 0) >> 10,
             mem.get("process_anon_kib", 0), mem.get("guest_ram", 0) >> 20))
'

mkdir -p "$dir"
headline "The disk: partition table, GRUB, Debian's kernel, a small userland on ext4"
image=$("$top/tools/guests/diskimage.sh" --kind demo)
# A copy, because the guest writes to it. The image has no file of the demo's on it yet.
cp --sparse=always "$image" "$dir/disk.img"
echo "${dir#"$top"/}/disk.img, a fresh copy of ${image#"$top"/}"

rm -f "$dir/stats.json" "$top/build/lab/out/demo-stats.json"
status=0
if [ -n "$xen" ]; then
	where="in a Xen domain, in the lab: patched Xen on an emulated AMD processor, so everything is slow"
	headline "Booting it $where (serial port below)"
	"$top/tools/xen/lab.sh" --timeout $((limit * 2 + 60)) --image "$dir/disk.img" \
		"$top/tools/demo.sh" --in-dom0 2>&1 |
		tee "$dir/console.log" | /usr/bin/python3 -c "$readable" || status=$?
	grep -q 'domain.sh: device models in dom0: 0' "$dir/console.log" || status=1
elif "$selfio" check >"$dir/check.out" 2>&1; then
	where="on this machine's KVM"
	headline "Booting it $where (serial port below)"
	run_selfio "$dir/disk.img" "$dir/stats.json" 2>&1 |
		tee "$dir/console.log" | /usr/bin/python3 -c "$readable" || status=$?
else
	where="in the lab: real KVM on an emulated AMD processor, so everything is slow"
	sed 's/^/  selfio check: /' "$dir/check.out"
	headline "Booting it $where (serial port below)"
	SELFIO_NO_SETUP=1 "$top/dev" lab --smp 2 --timeout $((limit + 40)) --image "$dir/disk.img" \
		"$top/tools/demo.sh" --in-lab 2>&1 |
		tee "$dir/console.log" | /usr/bin/python3 -c "$readable" || status=$?
	cp "$top/build/lab/out/demo-stats.json" "$dir/stats.json" 2>/dev/null || true
fi

bad=0
fail() {
	echo "FAILED: $*"
	bad=1
}

headline "The disk image afterwards, seen from outside (nothing is mounted)"
[ $status -eq 0 ] || fail "the run ended with status $status (124 is the time limit)"
part="$dir/disk.img?offset=1048576"
if e2fsck -fn "$part" >"$dir/e2fsck.out" 2>&1; then
	echo "e2fsck -fn: clean. $(tail -n 1 "$dir/e2fsck.out")"
else
	fail "e2fsck -fn finds faults:"
	cat "$dir/e2fsck.out"
fi
rm -f "$dir/demo.bin" "$dir/demo.sum"
debugfs -R "dump /data/demo.bin $dir/demo.bin" "$part" >"$dir/debugfs.out" 2>&1 || true
debugfs -R "dump /data/demo.bin.sha256 $dir/demo.sum" "$part" >>"$dir/debugfs.out" 2>&1 || true
size=$(stat -c %s "$dir/demo.bin" 2>/dev/null || echo 0)
want=$(cut -c 1-64 "$dir/demo.sum" 2>/dev/null || true)
have=$(sha256sum "$dir/demo.bin" 2>/dev/null | cut -c 1-64 || true)
said=$(sed -n 's/.*SIO-DEMO: SHA256 \([0-9a-f]\{64\}\).*/\1/p' "$dir/console.log" | tail -n 1)
echo "/data/demo.bin: $((size >> 20)) MiB"
echo "  SHA-256 that the guest printed:   ${said:-none}"
echo "  SHA-256 recorded on the disk:     ${want:-none}"
echo "  SHA-256 of the file in the image: ${have:-none}"
[ "$size" -ge $((32 << 20)) ] || fail "the file is shorter than 32 MiB"
if [ -z "$want" ] || [ "$want" != "$have" ] || [ "$want" != "$said" ]; then
	fail "the checksums are not one and the same"
fi
grep -q 'SIO-DEMO: read back from the disk: the same' "$dir/console.log" ||
	fail "the guest did not read its file back unchanged"
if grep -q 'SIO-DEMO: the kernel reported disk trouble' "$dir/console.log"; then
	fail "the guest's kernel reported trouble with the disk"
fi
rm -f "$dir/demo.bin"

[ -n "$xen" ] || headline "Exits and accounting"
[ -n "$xen" ] || /usr/bin/python3 -c "$report" "$dir/stats.json" || fail "there are no statistics of the run"

headline "What you have just seen"
if [ $bad -ne 0 ]; then
	echo "Not what it should be: see FAILED above, and ${dir#"$top"/}/console.log."
	exit 1
fi
if [ -n "$xen" ]; then
	cat <<-END
	SeaBIOS and GRUB started Debian's own kernel, unmodified, from an IDE disk, as a PVH domain of Xen without a
	device model. The hypervisor reflected each access into selfio's firmware in the domain itself, which reached
	the image through blkfront and dom0's blkback. The file system is clean, the file's checksum is right.
	END
	exit 0
fi
cat <<-END
SeaBIOS and GRUB started Debian's own kernel, unmodified, from an IDE disk, $where.
The IDE controller, and every other device but the interrupt controllers and the timer chip, was
emulated by selfio's firmware in a companion VM that belongs to the guest's own domain: when the
guest touched a port, the host only handed the request there and the answer back. The firmware
reached the image through a paravirtual disk. The guest wrote $((size >> 20)) MiB, flushed, read them back,
and powered off; the file system in the image is clean and the file's checksum is right.
"companion" above is the emulation's CPU time, spent in the domain; "host" is what was left to the host.
END
