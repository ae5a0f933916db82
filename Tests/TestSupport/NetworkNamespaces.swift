// A private LAN for tests: machines as network namespaces behind a bridge, with loss where a test wants it.
//
//        host        station 1     station 2   …
//      10.77.0.1    10.77.0.11    10.77.0.12          (or fd77::1, fd77::11, fd77::12)
//        eth0          eth0          eth0
//         |             |             |
//      ===+=============+=============+=====  br0, in a namespace of its own
//
// Nothing is made outside these namespaces; their names carry this process's id and a number.
package import Linux
internal import Synchronization

/// A switch with one host and some stations; removed when the value goes away.
///
/// Needs root, iproute2, nftables and ethtool. What a killed test process left behind is removed by the next one.
package final class NamespaceLAN: Sendable {
    /// Which addresses the machines have: a LAN has one family only, so that a test proves what it says.
    package enum Family: Sendable {
        case ipv4, ipv6
        /// IPv6 with the addresses that machines give themselves.
        case linkLocal
    }

    private static let counter = Atomic<Int>(0)

    /// Name of the host's namespace.
    package let host: String
    /// Names of the stations' namespaces.
    package let stations: [String]
    /// The host's address on the LAN, as text.
    package let hostAddress: String
    /// Name of the switch's namespace.
    let bridge: String

    /// Makes the LAN with `stations` (1 to 50) stations.
    package init(stations count: Int, family: Family = .ipv4) throws {
        let number = NamespaceLAN.counter.add(1, ordering: .relaxed).newValue
        let prefix = "imgtest-\(MachineIdentity.processID)-\(number)-"
        host = prefix + "host"
        stations = (1...count).map { prefix + "s\($0)" }
        bridge = prefix + "switch"
        hostAddress =
            switch family {
            case .ipv4: "10.77.0.1"
            case .ipv6: "fd77::1"
            case .linkLocal: "fe80::1"
            }
        var script = """
            for name in $(ip netns list | sed -n 's/^\\(imgtest-[0-9]*-[^ ]*\\).*/\\1/p'); do
                pid=${name#imgtest-}; [ -d "/proc/${pid%%-*}" ] || ip netns del "$name" || true
            done
            ip netns add \(bridge)
            ip -n \(bridge) link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0
            ip -n \(bridge) link set br0 up

            """
        for (index, name) in ([host] + stations).enumerated() {
            let number = index == 0 ? 1 : 10 + index
            script += """
                ip netns add \(name)
                ip -n \(bridge) link add p\(index) type veth peer name eth0 netns \(name)
                ip -n \(name) link set lo up

                """
            switch family {
            case .ipv4:
                script += """
                    ip netns exec \(name) sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'
                    ip -n \(name) addr add 10.77.0.\(number)/24 brd 10.77.0.255 dev eth0

                    """
            case .ipv6, .linkLocal:
                // Addresses are usable at once only without duplicate address detection.
                let network = family == .ipv6 ? "fd77" : "fe80"
                script += """
                    ip netns exec \(name) sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad'
                    ip -n \(name) link set eth0 addrgenmode none
                    ip -n \(name) addr add \(network)::\(number)/64 dev eth0 nodad

                    """
            }
            script += """
                ip -n \(name) link set eth0 txqueuelen 1000 up
                ip -n \(bridge) link set p\(index) master br0 up

                """
        }
        // The host sends no trains: nftables would drop a train as one packet.
        script += "ip netns exec \(host) ethtool -K eth0 tso off gso off tx-udp-segmentation off\n"
        do {
            try run("sh", "-ec", script)
        } catch {
            remove()
            throw error
        }
    }

    deinit { remove() }

    /// Lets the host send trains (GSO), which the LAN is made without.
    package func allowTrains() throws {
        try run(
            "ip", "netns", "exec", host, "ethtool", "-K", "eth0", "tso", "on", "gso", "on",
            "tx-udp-segmentation",
            "on")
    }

    /// Puts a queue in front of the host's interface: the words of `tc qdisc`.
    package func limitHost(_ discipline: String) throws {
        try run("sh", "-ec", "tc -n \(host) qdisc replace dev eth0 root \(discipline)")
    }

    /// Makes every station lose `percent` of the UDP datagrams that arrive, each by its own dice.
    package func setLoss(percent: Double) throws {
        let millionths = Int(percent * 10_000)
        for station in stations {
            try run(
                "ip", "netns", "exec", station, "nft", "-f", "-",
                input: """
                    table netdev loss {
                        chain in {
                            type filter hook ingress device "eth0" priority 0; policy accept;
                            meta l4proto udp numgen random mod 1000000 < \(millionths) counter drop
                        }
                    }
                    """)
        }
    }

    /// Makes every station lose all multicast and broadcast that arrives, as a badly set-up switch does.
    package func blockMulticast() throws {
        for station in stations {
            try run(
                "ip", "netns", "exec", station, "nft", "-f", "-",
                input: """
                    table netdev blocked {
                        chain in {
                            type filter hook ingress device "eth0" priority 0; policy accept;
                            meta l4proto udp meta pkttype { multicast, broadcast } counter drop
                        }
                    }
                    """)
        }
    }

    /// Makes the switch look at membership reports, as managed switches do.
    package func snoop() throws {
        try run("ip", "-n", bridge, "link", "set", "br0", "type", "bridge", "mcast_snooping", "1")
    }

    /// The switch's table of groups and the ports where it has seen members, as text.
    package func groupTable() throws -> String { try run("bridge", "-n", bridge, "mdb", "show") }

    /// Datagrams dropped at `station` by `setLoss` or `blockMulticast` so far.
    package func droppedDatagrams(at station: String) throws -> Int {
        let text = try run("ip", "netns", "exec", station, "nft", "list", "ruleset")
        guard let range = text.firstRange(of: "counter packets ") else { return 0 }
        return Int(text[range.upperBound...].prefix { $0.isNumber }) ?? 0
    }

    /// Runs `body` on a new thread inside namespace `machine`: sockets that this thread makes are on the LAN.
    ///
    /// Threads that `body` starts are inside as well.
    package func thread<Value: Sendable>(
        on machine: String, _ body: @escaping @Sendable () throws -> Value
    ) -> Thread<Value> {
        Thread("on-lan") {
            try NetworkNamespace.enter(machine)
            return try body()
        }
    }

    /// The words that run a program inside namespace `machine`, to be put before its own.
    package func command(on machine: String) -> [String] { ["ip", "netns", "exec", machine] }

    private func remove() {
        let names = ([host] + stations + [bridge]).joined(separator: " ")
        // A namespace lives on while a process is in it, and its veth with it: the veths go first.
        let script = """
            for link in $(ip -n \(bridge) -o link show type veth | sed 's/^[0-9]*: \\([^@]*\\)@.*/\\1/'); do
                ip -n \(bridge) link del "$link"
            done
            for name in \(names); do ip netns del "$name"; done
            """
        _ = try? runAnyway(["sh", "-c", script])
    }
}
