#!/bin/sh
# button: ends well when the ACPI power button is pressed, within 120 s. init then powers off.
pressed() {
	read -r n _ </sys/firmware/acpi/interrupts/ff_pwr_btn
	[ "$n" -gt 0 ]
}
modprobe button 2>/dev/null # (or it is built in)
grep -q ' enabled' /sys/firmware/acpi/interrupts/ff_pwr_btn || exit 1
echo "SIO-BUTTON: ready"
n=0
until pressed; do
	[ $n -lt 1200 ] || exit 1
	sleep 0.1
	n=$((n + 1))
done
