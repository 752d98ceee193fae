#!/bin/sh
# Prints each disk's size in sectors and model, in order.
for d in /sys/block/sd?; do
	echo "SIO-DISK ${d##*/} $(cat $d/size) [$(cat $d/device/model)]"
done
