#!/bin/sh
# Prints each disk's place, size in sectors and model.
for d in /sys/class/scsi_device/*/device; do
	at=${d%/device}
	echo "SIO-DISK ${at##*/} $(cat "$d"/block/sd*/size) [$(cat "$d"/model)]"
done
