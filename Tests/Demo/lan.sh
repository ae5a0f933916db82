# The LAN: a bridge in a namespace of its own, the server and the machines behind it.
# shellcheck shell=bash

SERVER_ADDRESS=10.77.0.1
QUEUE=8mb                      # what the server's link may hold back before it drops
BURST=32kb

make_lan() {
    local machine rate=${DEMO_RATE:-1gbit}
    quiet ip netns add "$NAME-sw"
    quiet ip -n "$NAME-sw" link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0
    quiet ip -n "$NAME-sw" link set br0 up
    add_host srv "$SERVER_ADDRESS"
    for machine in "${MACHINES[@]}"; do add_host "m$machine" "10.77.0.$((10 + machine))"; done
    # With these the counters would take a train of datagrams for one, and the overhead would look too small.
    quiet ip netns exec "$NAME-srv" ethtool -K eth0 tso off gso off tx-udp-segmentation off
    if [ "$rate" != 0 ]; then
        quiet tc -n "$NAME-srv" qdisc add dev eth0 root tbf rate "$rate" burst "$BURST" limit "$QUEUE"
    fi
    say "$NAME-srv ($SERVER_ADDRESS) and $NAME-m1, -m2, -m3; the server's link: $(link_speed "$rate")"
}

link_speed() { if [ "$1" = 0 ]; then echo "as fast as it goes"; else echo "$1"; fi; }

# add_host HOST ADDRESS: a namespace whose eth0 is plugged into the bridge.
add_host() {
    local namespace=$NAME-$1 port=$1
    quiet ip netns add "$namespace"
    quiet ip -n "$NAME-sw" link add "$port" type veth peer name eth0 netns "$namespace"
    quiet ip -n "$namespace" link set lo up
    quiet ip -n "$namespace" address add "$2/24" broadcast 10.77.0.255 dev eth0
    quiet ip -n "$namespace" link set eth0 up
    quiet ip -n "$namespace" route add default dev eth0
    quiet ip -n "$NAME-sw" link set "$port" master br0 up
}

# sent bytes|packets: what the server has put on its link so far.
sent() { ip -n "$NAME-srv" -s -j link show eth0 | jq ".[0].stats64.tx.$1"; }
