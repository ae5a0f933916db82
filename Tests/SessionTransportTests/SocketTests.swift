// The sockets of target Linux on a LAN of namespaces.
import Linux
import TestSupport
import Testing

@Suite struct SocketTests {
    @Test func addressesAreReadAndWritten() throws {
        for text in ["10.77.0.1", "239.192.255.1", "fe80::1", "ff15::3:1", "::1", "2001:db8::ff00:42:8329"] {
            let address = try #require(IPAddress(text))
            #expect(address.description == text)
            #expect(IPAddress(bytes: address.bytes) == address)
        }
        for text in ["", "10.77.0", "10.77.0.256", "fe80::1%eth0", "localhost", "1.2.3.4.5"] {
            #expect(IPAddress(text) == nil)
        }
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
        #expect(IPAddress("239.192.0.1")?.isMulticast == true)
        #expect(IPAddress("10.0.0.1")?.isMulticast == false)
        #expect(IPAddress("ff15::1")?.isMulticast == true)
        #expect(IPAddress("fe80::1")?.isLinkLocal == true)
        #expect(IPAddress("fec0::1")?.isLinkLocal == false)
    }

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6])
    func multicastReachesMembersOnly(_ family: NamespaceLAN.Family) throws {
        let lan = try NamespaceLAN(stations: 2, family: family)
        let version: IPAddress.Family = family == .ipv4 ? .v4 : .v6
        let group = try #require(IPAddress(family == .ipv4 ? "239.192.7.7" : "ff15::77"))
        let other = try #require(IPAddress(family == .ipv4 ? "239.192.7.8" : "ff15::78"))
        let receivers = try lan.stations.enumerated().map { index, station in
            try lan.thread(on: station) {
                let interface = try #require(try NetworkInterface.usable().first)
                #expect(interface.name == "eth0")
                #expect(interface.mac.count == 6)
                // What a veth says of its speed is not true.
                #expect(interface.linkSpeed == nil)
                let socket = try UDPSocket(version)
                try socket.shareAddress()
                try socket.bind(to: SocketAddress(.any(version), port: 5007))
                try socket.join(index == 0 ? group : other, interface: interface.index)
                try socket.join(index == 0 ? group : other, interface: interface.index)
                return (socket, interface)
            }.join()
        }
        let sender = try lan.thread(on: lan.host) { () -> IPAddress in
            let interface = try #require(try NetworkInterface.usable().first)
            let socket = try UDPSocket(version)
            try socket.bind(to: SocketAddress(.any(version), port: 0))
            try socket.setMulticast(interface: interface.index, ttl: 16)
            #expect(try socket.send([1, 2, 3], to: interface.reaching(group, port: 5007)) == .bytes(3))
            let tooLong = [UInt8](repeating: 0, count: 1500)
            #expect(throws: SystemError.self) {
                try socket.send(tooLong, to: interface.reaching(group, port: 5007))
            }
            return try #require(interface.preferredAddress(version))
        }.join()
        #expect(sender == IPAddress(lan.hostAddress))

        let poller = try Poller()
        for (index, receiver) in receivers.enumerated() {
            try poller.add(receiver.0.number, token: UInt64(index), .readable)
        }
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + 5_000_000_000, into: &events)
        #expect(events.map(\.token) == [0])
        var bytes = [UInt8](repeating: 0, count: 16)
        let arrival = try #require(try receive(receivers[0].0, &bytes))
        #expect(arrival.count == 3)
        #expect(arrival.from.address == sender)
        #expect(arrival.interface == receivers[0].1.index)
        #expect(!arrival.isTruncated)
        #expect(try receive(receivers[0].0, &bytes) == nil)
        #expect(try receive(receivers[1].0, &bytes) == nil)
    }

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6])
    func switchUnderstandsMembershipReports(_ family: NamespaceLAN.Family) throws {
        let lan = try NamespaceLAN(stations: 1, family: family)
        try lan.snoop()
        let group = try #require(IPAddress(family == .ipv4 ? "239.192.9.9" : "ff15::99"))
        #expect(try !lan.groupTable().contains("grp \(group) "))
        try lan.thread(on: lan.stations[0]) {
            let interface = try #require(try NetworkInterface.usable().first)
            try MembershipReport.send(group, interface: interface.index)
        }.join()
        try waitUntil { (try? lan.groupTable().contains("port p1 grp \(group) ")) ?? false }
    }

    @Test func broadcastAndRouteReachTheHost() throws {
        let lan = try NamespaceLAN(stations: 1)
        let host = try #require(IPAddress(lan.hostAddress))
        let listener = try lan.thread(on: lan.host) {
            let socket = try UDPSocket(.v4)
            try socket.bind(to: SocketAddress(.any(.v4), port: 5008))
            return socket
        }.join()
        try lan.thread(on: lan.stations[0]) {
            let interface = try #require(try NetworkInterface.toward(SocketAddress(host, port: 1)))
            #expect(interface.name == "eth0")
            #expect(interface.addresses.first?.broadcast == IPAddress("10.77.0.255"))
            let far = try #require(IPAddress("192.0.2.1"))
            #expect(try NetworkInterface.toward(SocketAddress(far, port: 1)) == nil)
            let socket = try UDPSocket(.v4)
            #expect(try socket.send([7], to: interface.reaching(.broadcast, port: 5008)) == .bytes(1))
        }.join()
        let poller = try Poller()
        try poller.add(listener.number, token: 1, .readable)
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + 5_000_000_000, into: &events)
        #expect(events.count == 1)
    }

    @Test func connectionsCarryBytesAndEnd() throws {
        let any = try #require(IPAddress("127.0.0.1"))
        let listener = try TCPListener(on: SocketAddress(any, port: 0))
        #expect(try listener.accept() == nil)
        let client = try TCPConnection(connectingTo: try listener.localAddress())
        let poller = try Poller()
        try poller.add(listener.number, token: 1, .readable)
        var events: [Poller.Event] = []
        try poller.wait(until: nil, into: &events)
        let server = try #require(try listener.accept())
        #expect(client.connectError() == nil)
        #expect(try server.peer == client.localAddress())
        let sent = unsafe try [UInt8](repeating: 9, count: 100).withUnsafeBytes { unsafe try client.send($0) }
        #expect(sent == .bytes(100))
        client.finishSending()
        var buffer = [UInt8](repeating: 0, count: 200)
        let first = unsafe try buffer.withUnsafeMutableBytes { unsafe try server.receive(into: $0) }
        #expect(first == .bytes(100))
        let second = unsafe try buffer.withUnsafeMutableBytes { unsafe try server.receive(into: $0) }
        #expect(second == .closed)
        let third = unsafe try buffer.withUnsafeMutableBytes { unsafe try client.receive(into: $0) }
        #expect(third == .wouldBlock)
    }

    @Test func refusedConnectionNamesThePeer() throws {
        let any = try #require(IPAddress("127.0.0.1"))
        let port = try TCPListener(on: SocketAddress(any, port: 0)).localAddress().port
        let client = try TCPConnection(connectingTo: SocketAddress(any, port: port))
        let poller = try Poller()
        try poller.add(client.number, token: 1, .writable)
        var events: [Poller.Event] = []
        try poller.wait(until: nil, into: &events)
        #expect(
            client.connectError()?.description == "cannot connect to 127.0.0.1:\(port): Connection refused")
    }

    @Test func wakeupEndsAWait() throws {
        let poller = try Poller()
        let wakeup = try Wakeup()
        try poller.add(wakeup.number, token: 3, .readable)
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + 1_000_000, into: &events)
        #expect(events.isEmpty)
        let thread = Thread("waker") { wakeup.signal() }
        try poller.wait(until: nil, into: &events)
        #expect(events.first?.token == 3)
        try thread.join()
        wakeup.clear()
        try poller.wait(until: MonotonicClock.now(), into: &events)
        #expect(events.isEmpty)
    }

    private func receive(_ socket: UDPSocket, _ bytes: inout [UInt8]) throws -> Arrival? {
        unsafe try bytes.withUnsafeMutableBytes { unsafe try socket.receive(into: $0) }
    }
}
