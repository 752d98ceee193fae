#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In dom0: runs the test domain once for each name and says what came of it. See run.sh.
#   dom0.sh KERNEL NAME=EXPECTED...      EXPECTED: end (says END), crash (one line of reflection's)
set -u
kernel=$1
shift

say() { printf '%s\n' "$*"; }
free_memory() { xl info 2>/dev/null | sed -n 's/^free_memory *: //p'; }

xl dmesg -c >/dev/null 2>&1
mem=
for test in "$@"; do
	name=${test%%=*} expected=${test#*=}
	cat >/tmp/domain.cfg <<-CFG
	name = "sio"
	type = "pvh"
	kernel = "$kernel"
	cmdline = "$name"
	memory = 32
	vcpus = 2
	tsc_mode = "native"
	on_crash = "destroy"
	on_reboot = "destroy"
	CFG
	# (xl dies now and then in the lab, of signals: under emulation, not with what we do)
	for _ in 1 2 3; do
		! timeout 60 xl create -q /tmp/domain.cfg >/tmp/xl.log 2>&1 || break
		sed 's/^/    xl: /' /tmp/xl.log
		xl destroy sio 2>/dev/null
	done
	for ((end = SECONDS + 40; SECONDS < end;)); do
		xl domid sio >/dev/null 2>&1 || break
		sleep 0.1
	done
	late=
	if xl domid sio >/dev/null 2>&1; then
		late=", still there after 40 s"
		xl destroy sio
	fi
	log=$(xl dmesg -c | sed 's/^(XEN) //' | grep -vE '^HVM ?d?[0-9v]* (save|restore)')
	lines=$(grep -c 'reflection: ' <<<"$log")
	grep -E '^\(d[0-9]+\) (PASS|FAIL|SKIP|TIME|   )' <<<"$log" | sed 's/^([^)]*) //'
	ok=yes
	case $expected in
	end) grep -q '^(d[0-9]*) END' <<<"$log" && [ "$lines" = 0 ] || ok=no ;;
	crash) ! grep -q '^(d[0-9]*) \(END\|FAIL\)' <<<"$log" && [ "$lines" = 1 ] || ok=no ;;
	esac
	! grep -qE 'Assertion|BUG|FATAL|panic|WARNING' <<<"$log" || ok=no
	if [ $ok = yes ] && [ -z "$late" ]; then
		say "PASS domain $name: $expected$(sed -n 's/.*reflection: /: /p' <<<"$log")"
	else
		say "FAIL domain $name: not '$expected'$late"
		sed 's/^/    /' <<<"$log"
	fi
	[ -n "$mem" ] || mem=$(free_memory)
done

# What a domain leaves behind goes when its last reference does.
for ((i = 0; i < 50; i++)); do
	[ "$(free_memory)" != "$mem" ] || break
	sleep 0.2
done
if [ "$(free_memory)" = "$mem" ]; then
	say "PASS no memory lost by $# domains"
else
	say "FAIL free memory was $mem MiB after the first domain, is $(free_memory) now"
fi
