#!/bin/sh
# Network test: net DRIVER[+DRIVER] STEP...  With two cards eth0 is the first one, and steps act on it.
#   dhcp          eth0 gets an address, and the server's (S) is where it came from; eth1 too
#   ping          the server answers, with the smallest and the largest packets
#   echo:N:MAX    N datagrams and back;   up:MIB, down:MIB   streams;   rr:S, flood:SIZE:S   figures
#   link          waits for the carrier to go and to come back (ne2k-pci knows of none: for answers to do so)
#   reload:N      the module is unloaded and loaded again, N times;   ifdown:N   down and up under load
#   bridge        eth0 and eth1 become ports of a bridge, until the console has a line
#   other         what follows goes to eth1's server
#   jumbo:MTU     larger frames;   wait   until the console has a line
#   soak          does what the console says, a word a line: go (mixed traffic from here on), down, reload,
#                 calm (an end to it), count (frames, as the interface has them), move (some of each), end
drivers=$1
shift
port=7001
bad=0

fail() {
	echo "net: $*"
	bad=1
}

trouble='reset adapter|transmit timed out|NETDEV WATCHDOG|Tx Unit Hang|Resetting|nobody cared|disabling IRQ'
trouble="$trouble|WARNING|Oops:|BUG:|bogus packet|timeout waiting|Tx error|Rx error|mismatched read|PCI error|bad gso"
look() {
	dmesg | grep -iE "$trouble" >/tmp/trouble && {
		cat /tmp/trouble
		fail "trouble in the kernel's log $1"
		dmesg -c >/dev/null
	}
}

cat >/tmp/udhcpc.sh <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
echo "$serverid" >/tmp/server.$interface
[ "$router" ] && ip route replace default via $router
exit 0
END
chmod 755 /tmp/udhcpc.sh

load() {
	for d in $(echo "$drivers" | tr + ' '); do
		modprobe "$d" || fail "cannot load $d"
	done
	n=0
	while [ ! -e /sys/class/net/eth0 ] && [ $n -lt 50 ]; do
		sleep 0.1
		n=$((n + 1))
	done
}

unload() {
	for d in $(echo "$drivers" | tr + ' '); do
		rmmod "$d" || fail "cannot unload $d"
	done
}

carrier() { # IF WANTED: within 15 s
	n=0
	while [ "$(cat /sys/class/net/$1/carrier 2>/dev/null)" != "$2" ]; do
		[ $n -lt 150 ] || {
			dmesg | tail -n 5
			fail "$1: carrier is not $2"
			return
		}
		sleep 0.1
		n=$((n + 1))
	done
}

answer() { # WANTED: 1 or 0, within 60 s; for drivers that know no carrier
	n=0
	while
		got=0
		ping -c 1 -W 1 $server >/dev/null && got=1
		[ $got != "$1" ]
	do
		[ $n -lt 60 ] || {
			fail "$n pings, and answers: $got"
			return
		}
		sleep 0.2
		n=$((n + 1))
	done
}

counts() {
	read -r rx </sys/class/net/eth0/statistics/rx_packets
	read -r tx </sys/class/net/eth0/statistics/tx_packets
	echo "SIO-COUNT $rx $tx"
}

# In the background, as long as /tmp/go is there: one kind of traffic again and again, and some of it fails.
traffic() {
	while [ -e /tmp/go ]; do
		timeout 15 /tests/nettool "$@" >/dev/null 2>&1
		sleep 0.3
	done
}

calm() {
	rm -f /tmp/go
	killall nettool 2>/dev/null
	wait
}

dhcp() { # IF
	ip link set $1 up || fail "$1 cannot be brought up"
	carrier $1 1
	udhcpc -i $1 -n -q -f -t 10 -T 2 -s /tmp/udhcpc.sh >/tmp/dhcp.log 2>&1 || {
		cat /tmp/dhcp.log
		fail "$1: no address by DHCP"
	}
	server=$(cat /tmp/server.$1 2>/dev/null)
	echo "SIO-NET $1 $(cat /sys/class/net/$1/address) $(ip -4 -o addr show dev $1 | awk '{ print $4 }') server $server"
}

tool() {
	/tests/nettool "$@" || fail "nettool $*"
}

load
for i in /sys/class/net/eth*; do
	[ -e $i ] || fail "no card was found"
	echo "SIO-CARD ${i##*/} $(cat $i/address) $(basename "$(readlink $i/device/driver)") $(readlink $i/device)"
done
for step in "$@"; do
	a=${step#*:}
	b=${a#*:}
	a=${a%%:*}
	echo "SIO-STEP $step"
	case $step in
	dhcp)
		dhcp eth0
		[ ! -e /sys/class/net/eth1 ] || { s=$server; dhcp eth1; server=$s; }
		;;
	ping)
		ping -c 3 -s 1 -W 5 $server >/dev/null || fail "no answer to small packets"
		ping -c 3 -s 1472 -W 5 $server >/dev/null || fail "no answer to large packets"
		;;
	echo:*) tool echo $server $port $a $b ;;
	up:*) tool up $server $port $a ;;
	down:*) tool down $server $port $a ;;
	rr:*) tool rr $server $port $a ;;
	flood:*) tool flood $server $port $a $b ;;
	both:*)
		/tests/nettool up $server $port $a &
		tool down $server $port $a
		wait $! || fail "up beside down"
		;;
	link)
		echo "SIO-LINK"
		wait=carrier\ eth0
		[ $drivers != ne2k-pci ] || wait=answer
		$wait 0
		echo "SIO-LINK-DOWN"
		$wait 1
		sleep 1
		tool rr $server $port 1
		;;
	reload:*)
		for _ in $(seq "$a"); do
			unload
			load
			dhcp eth0
		done
		ping -c 2 -W 5 $server >/dev/null || fail "no answer after reloading"
		;;
	ifdown:*)
		for _ in $(seq "$a"); do
			/tests/nettool flood $server $port 1400 3 >/dev/null 2>&1 &
			/tests/nettool down $server $port 64 >/dev/null 2>&1 &
			sleep 1
			ip link set eth0 down || fail "eth0 cannot be brought down"
			sleep 0.3
			killall nettool
			wait
			dhcp eth0
		done
		ping -c 2 -W 5 $server >/dev/null || fail "no answer after ifdown"
		;;
	bridge)
		modprobe bridge || fail "no bridge"
		ip addr flush dev eth0
		ip addr flush dev eth1
		brctl addbr br0
		for i in eth0 eth1; do
			brctl addif br0 $i
			ip link set $i up
		done
		ip link set br0 up
		sleep 2
		echo "SIO-BRIDGE"
		read -r _
		;;
	other)
		server=$(cat /tmp/server.eth1)
		ping -c 2 -W 5 $server >/dev/null || fail "no answer through eth1"
		;;
	jumbo:*)
		ip link set eth0 mtu $a || fail "no MTU of $a"
		carrier eth0 1
		ping -c 3 -s $((a - 28)) -W 5 $server >/dev/null || fail "no answer to jumbo frames"
		;;
	soak)
		word=
		while [ "$word" != end ]; do
			echo "SIO-SOAK"
			read -r word
			case $word in
			go)
				: >/tmp/go
				/tests/nettool tso eth0 1
				traffic down $server $port 2 &
				traffic up $server $port 1 &
				traffic echo $server $port 50 1472 &
				traffic flood $server $port 200 1 &
				;;
			down)
				ip link set eth0 down || fail "eth0 cannot be brought down"
				ip link set eth0 up || fail "eth0 cannot be brought up"
				;;
			reload)
				unload
				load
				dhcp eth0
				;;
			calm)
				calm
				carrier eth0 1
				answer 1
				# Linux's e1000 resets itself if frames wait when the link goes, on any hardware.
				trouble=${trouble#reset adapter|}
				look "in the storm"
				/tests/nettool tso eth0 0 # or one frame out is counted as many
				;;
			count) counts ;;
			move)
				/tests/nettool down $server $port 1 &
				/tests/nettool up $server $port 1 &
				tool echo $server $port 100 1472
				wait
				;;
			esac
		done
		calm
		;;
	wait)
		echo "SIO-WAIT"
		read -r _
		;;
	*) fail "what is $step?" ;;
	esac
	look "after $step"
done
grep -E 'eth|CPU' /proc/interrupts
for i in eth0 eth1; do
	[ -e /sys/class/net/$i ] || continue
	echo "SIO-IF $i $(cd /sys/class/net/$i/statistics && for f in rx_packets rx_errors rx_dropped tx_packets tx_errors tx_dropped; do echo "$f=$(cat $f)"; done | tr '\n' ' ')"
	for f in rx_errors tx_errors rx_crc_errors rx_length_errors; do
		[ "$(cat /sys/class/net/$i/statistics/$f)" = 0 ] || fail "$i: $f is $(cat /sys/class/net/$i/statistics/$f)"
	done
done
exit $bad
