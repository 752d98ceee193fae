# shellcheck shell=dash
# The lab's first process once in the host's root. Runs the command with its streams on virtio-serial
# ports (1 control, 2 stdin, 3 stdout, 4 stderr; 5: see below), reports its status, and waits to be switched off.
lab=/run/lab
bb=$lab/busybox
. $lab/config

hostname=$($bb hostname)
[ "$hostname" != "(none)" ] || $bb hostname lab
$bb ip link set lo up 2>/dev/null
$bb sysctl -q -w vm.overcommit_memory=1 fs.nr_open=1048576 2>/dev/null
# shellcheck disable=SC3045  # busybox has it
ulimit -n 65536 2>/dev/null

# The command's streams are pipes and not the ports, which cannot be opened twice (/dev/stdout).
# Both ends are opened here, through a third that is open for both so that no open waits.
$bb mkfifo $lab/in $lab/out $lab/err
exec 7<>$lab/out
exec 3<$lab/out 5>$lab/out
exec 7<>$lab/err
exec 4<$lab/err 6>$lab/err
exec 7<>$lab/in
exec 8<$lab/in 9>$lab/in
exec 7>&-

# relay PORT NAME: the pipe on stdin to a port. The end mark tells the host that all has come through.
relay() {
	exec 7<&0 >/dev/vport0p"$1" 3<&- 4<&- 5>&- 6>&- 8<&- 9>&-
	$bb cat <&7 7<&- &
	echo $! >$lab/"$2".pid
	wait $! # not "cat; printf": what is left running may keep the pipe open, and cat be killed
	printf '\000%s' "$LAB_END"
}
relay 3 out <&3 &
out=$!
relay 4 err <&4 &
err=$!
$bb cat </dev/vport0p2 >&9 2>/dev/null 3<&- 4<&- 5>&- 6>&- 8<&- 9>&- &
exec 3<&- 4<&- 9>&-
$bb cat </dev/vport0p5 >/dev/null 2>&1 5>&- 6>&- 8<&- & # interrupts are all that is wanted of it (lab.py)

echo ready >/dev/vport0p1
# shellcheck disable=SC2086  # two words or none
$bb setsid ${LAB_CPUS:+$bb taskset -c $LAB_CPUS} /bin/sh $lab/command <&8 >&5 2>&6 5>&- 6>&- 8<&-
status=$?
exec 5>&- 6>&- 8<&-

# What the command left running may hold its output open: two seconds, then no more is relayed.
{
	$bb sleep 2
	read -r a <$lab/out.pid
	read -r b <$lab/err.pid
	kill "$a" "$b"
} 2>/dev/null &
wait $out $err
if [ -n "$LAB_IMAGES" ]; then
	$bb sync
else
	$bb sync -f /lab-out 2>/dev/null
fi
echo "exit $status" >/dev/vport0p1
while :; do $bb sleep 60; done
