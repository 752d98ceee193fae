# shellcheck shell=sh
# The lab's first process once in the host's root. Runs the command with its streams on virtio-serial
# ports (1 control, 2 stdin, 3 stdout, 4 stderr), reports its status, and waits to be switched off.
lab=/run/lab
bb=$lab/busybox
. $lab/config

hostname=$($bb hostname)
[ "$hostname" != "(none)" ] || $bb hostname lab
$bb ip link set lo up 2>/dev/null
$bb sysctl -q -w vm.overcommit_memory=1 fs.nr_open=1048576 2>/dev/null
# shellcheck disable=SC3045  # busybox has it
ulimit -n 65536 2>/dev/null

# The command writes into pipes and not into the ports, which cannot be opened twice (/dev/stdout).
# The end mark tells the host that all output has come through.
$bb mkfifo $lab/in $lab/out $lab/err
relay_out() {
	$bb cat $lab/"$1" &
	echo $! >$lab/"$1".pid
	wait $!
	printf '\000%s' "$LAB_END"
}
relay_out out >/dev/vport0p3 &
out=$!
relay_out err >/dev/vport0p4 &
err=$!
$bb cat /dev/vport0p2 >$lab/in 2>/dev/null &

echo ready >/dev/vport0p1
$bb setsid /bin/sh $lab/command <$lab/in >$lab/out 2>$lab/err
status=$?

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
