// Ways in which real switches and machines lose a group, for a LAN of namespaces.
internal import Linux

extension NamespaceLAN {
    /// Where multicast gets lost on its way to one station.
    package enum Obstacle: Sendable {
        /// The station's own packet filter drops what comes in for groups of sessions.
        case packetFilter
        /// The switch sends no multicast to the station's port.
        case switchPort
        /// Something in between drops the UDP ports below 998, whatever the group.
        case portFilter
    }

    /// Puts `obstacle` in the way to station `index` (from 0).
    package func obstruct(_ index: Int, _ obstacle: Obstacle) throws {
        let group = "ip daddr 239.192.0.0/14"
        switch obstacle {
        case .packetFilter:
            try netdev(stations[index], device: "eth0", rules: "\(group) drop; ip6 daddr ff15::/16 drop")
        case .switchPort: try setPort(index, "mcast_flood off")
        case .portFilter:
            // Dropped where the host's frames come into the switch, so that no station sees them.
            try netdev(bridge, device: "p0", rules: "\(group) udp dport < 998 drop")
        }
    }

    /// Takes `obstacle` away again.
    package func clear(_ index: Int, _ obstacle: Obstacle) throws {
        switch obstacle {
        case .packetFilter: try delete(stations[index])
        case .switchPort: try setPort(index, "mcast_flood on")
        case .portFilter: try delete(bridge)
        }
    }

    /// Lets neither multicast nor broadcast of IP pass from the host and from station `index`, nor any IPv6: as if a
    /// router were between them.
    package func passUnicastOnly(_ index: Int) throws {
        try netdev(
            bridge, device: "p0", "p\(index + 1)",
            rules: "meta protocol ip6 drop; ip daddr 224.0.0.0/4 drop; "
                + "ether daddr ff:ff:ff:ff:ff:ff meta protocol ip drop")
    }

    /// Lets the switch look at membership reports and forget each after `membership` hundredths of a second, without
    /// anybody who asks for them: it counts as its own querier, but one whose next question is hours away.
    package func snoopWithoutQuerier(membership: Int) throws {
        // In two steps: becoming a querier takes the response interval that is set by then, and floods until then.
        try run(
            "ip", "-n", bridge, "link", "set", "br0", "type", "bridge", "mcast_startup_query_count", "0",
            "mcast_query_response_interval", "10", "mcast_query_interval", "1000000",
            "mcast_membership_interval", "\(membership)")
        try run(
            "ip", "-n", bridge, "link", "set", "br0", "type", "bridge", "mcast_snooping", "1",
            "mcast_querier", "1")
    }

    /// Lets station `index` no longer say anything by IGMP, as when a switch does not take its reports.
    package func withholdReports(_ index: Int) throws {
        try run(
            "ip", "netns", "exec", stations[index], "nft", "-f", "-",
            input: """
                table ip withheld {
                    chain out {
                        type filter hook output priority 0; policy accept;
                        ip protocol igmp counter drop
                    }
                }
                """)
    }

    /// Gives station `index` a second interface on the switch, the route to the host by it, and a strict reverse path
    /// filter: what the host sends to eth0 is dropped, but what it sends to the station's addresses is not.
    package func leadBackBySecondInterface(_ index: Int) throws {
        let name = stations[index]
        let number = 11 + index
        try run(
            "sh", "-ec",
            """
            ip -n \(bridge) link add q\(index) type veth peer name eth1 netns \(name)
            ip -n \(name) link set eth1 address 02:00:00:00:01:\(number) up
            ip -n \(bridge) link set q\(index) master br0 up
            ip -n \(name) addr add 10.77.1.\(number)/24 dev eth1
            ip -n \(name) route add \(hostAddress)/32 dev eth1
            ip netns exec \(name) sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter'
            ip -n \(host) neigh replace 10.77.0.\(number) lladdr 02:00:00:00:01:\(number) dev eth0 nud permanent
            """)
    }

    /// Gives station `index` a second interface on the same network, with the route to the host still by eth0, and a
    /// strict reverse path filter: what everybody gets, it drops at eth1.
    package func addSecondInterface(_ index: Int) throws {
        let name = stations[index]
        // Each interface answers for its own address only, so that the host finds the station at eth0.
        try run(
            "sh", "-ec",
            """
            ip -n \(bridge) link add q\(index) type veth peer name eth1 netns \(name)
            ip netns exec \(name) sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore'
            ip -n \(name) addr add 10.77.0.\(111 + index)/24 brd 10.77.0.255 dev eth1 noprefixroute
            ip -n \(name) link set eth1 up
            ip -n \(bridge) link set q\(index) master br0 up
            ip netns exec \(name) sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter'
            """)
    }

    /// Packets that the reverse path filter of station `index` has dropped so far.
    package func reversePathDrops(_ index: Int) throws -> UInt64 {
        try thread(on: stations[index]) { ReversePathFilter.drops() ?? 0 }.join()
    }

    private func setPort(_ index: Int, _ words: String) throws {
        let words = words.split(separator: " ").map { String($0) }
        try run(["bridge", "-n", bridge, "link", "set", "dev", "p\(index + 1)"] + words)
    }

    private func netdev(_ namespace: String, device: String..., rules: String) throws {
        let lines = rules.split(separator: ";").map { "            \($0)" }.joined(separator: "\n")
        let devices = device.map { "\"\($0)\"" }.joined(separator: ", ")
        try run(
            "ip", "netns", "exec", namespace, "nft", "-f", "-",
            input: """
                table netdev obstacle {
                    chain in {
                        type filter hook ingress devices = { \(devices) } priority 0; policy accept;
                \(lines)
                    }
                }
                """)
    }

    private func delete(_ namespace: String) throws {
        try run("ip", "netns", "exec", namespace, "nft", "delete", "table", "netdev", "obstacle")
    }
}
