#!/bin/sh
# lat DEVICE N M: two runs of readlat, with N reads and with M; what M - N more reads cost can be told
# apart from what a run costs. For bench/.
/tests/readlat --count "$2" --seed 5 "$1" && /tests/readlat --count "$3" --seed 6 "$1"
