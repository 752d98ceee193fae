#!/bin/sh
# lat DEVICE N M MB: readlat twice, with N random reads and with M (what M - N more reads cost can be told apart
# from what a run costs), then MB MiB in a row, read and written. For bench/.
/tests/readlat --count "$2" --seed 5 "$1" && /tests/readlat --count "$3" --seed 6 "$1" &&
	/tests/readlat --seq read --mb "$4" "$1" && /tests/readlat --seq write --mb "$4" "$1"
