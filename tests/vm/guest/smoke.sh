#!/bin/sh
# Boot smoke test: smoke [dma|pio|any] [SHA256 of /dev/sda]
# Fails if libata had trouble, if the disks are not in the expected mode, or if the first disk does not
# read back as expected.  Prints "SIO-SHA256 sda HEX", for the host to compare.
mode=${1:-any}
want=$2
bad=0

fail() {
	echo "smoke: $*"
	bad=1
}

dmesg | grep -iE '\bata[0-9]|ata_piix|\bsd[a-z]|scsi' | head -n 60

trouble='exception Emask|failed command|(hard|soft) resetting|revalidation failed|lost interrupt'
trouble="$trouble|qc timeout|I/O error|Buffer I/O|limiting speed|failed to IDENTIFY|SRST failed"
trouble="$trouble|nobody cared|disabling IRQ|speed down"
dmesg | grep -iE "$trouble" >/tmp/trouble && {
	cat /tmp/trouble
	fail "trouble in the kernel's log"
}

echo "SIO-MEM $(awk '/^MemTotal/ { print $2, $3 }' /proc/meminfo)"
[ -b /dev/sda ] || fail "no /dev/sda"
# libata's own word on each disk's mode (XFER_UDMA_5, XFER_PIO_4 ...); the log has it only at errors
disks=0
for d in /sys/class/ata_device/dev*; do
	[ "$(cat $d/class 2>/dev/null)" = ata ] || continue
	disks=$((disks + 1))
	xfer=$(cat $d/xfer_mode)
	echo "SIO-MODE ${d##*/} $xfer"
	case $mode:$xfer in
	dma:*UDMA*|dma:*MW_DMA*|pio:*PIO*|any:*) ;;
	*) fail "${d##*/} is in mode $xfer, not $mode" ;;
	esac
done
[ $disks -gt 0 ] || fail "libata has no disk"

sum=$(dd if=/dev/sda bs=1M 2>/dev/null | sha256sum | cut -c 1-64)
echo "SIO-SHA256 sda $sum"
[ -z "$want" ] || [ "$want" = "$sum" ] || fail "/dev/sda reads as $sum, not $want"

dmesg | grep -iE "$trouble" >/tmp/trouble && fail "trouble in the kernel's log after reading"
grep -E 'ata_piix|timer|ttyS0|acpi' /proc/interrupts
exit $bad
