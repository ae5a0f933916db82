// Trains of datagrams between two machines of a LAN of namespaces: cut apart and put together by the kernel.
import Blocks
import Glibc
import Linux
import SessionTransport
import TestSupport
import Testing

@Suite struct TrainTests {
    /// What the receiving socket gave: the datagrams, in which messages they came, and the last count of losses.
    struct Received: Sendable {
        var datagrams: [[UInt8]] = []
        var messages = 0
        var drops: UInt32 = 0
    }

    /// A LAN with a sender and a receiving socket that has joined the sender's group.
    struct Ends {
        let lan: NamespaceLAN
        let socket: UDPSocket
        let sender: TrainSender
        let receiver: UDPSocket

        init(
            _ family: NamespaceLAN.Family, segmenting: Bool = true, offload: Bool = true,
            receiveBuffer: Int = 8 << 20, accepting: Bool = true
        ) throws {
            let lan = try NamespaceLAN(stations: 1, family: family)
            // The LAN is made without trains; here they are the point.
            if offload { try lan.allowTrains() }
            let version: IPAddress.Family = family == .ipv4 ? .v4 : .v6
            let group = try #require(IPAddress(family == .ipv4 ? "239.192.7.9" : "ff15::79"))
            receiver = try lan.thread(on: lan.stations[0]) {
                let interface = try #require(try NetworkInterface.usable().first)
                let socket = try UDPSocket(version)
                if accepting { socket.acceptTrains() }
                socket.setBuffers(receive: receiveBuffer, send: 4096)
                try socket.bind(to: SocketAddress(.any(version), port: 5010))
                try socket.join(group, interface: interface.index)
                return socket
            }.join()
            (socket, sender) = try lan.thread(on: lan.host) {
                let interface = try #require(try NetworkInterface.usable().first)
                let socket = try UDPSocket(version)
                try socket.bind(to: SocketAddress(.any(version), port: 0))
                try socket.setMulticast(interface: interface.index, ttl: 16)
                try socket.reportFullQueues()
                let sender = TrainSender(
                    socket,
                    to: [
                        interface.reaching(group, port: 5009), interface.reaching(group, port: 5010),
                    ], segmenting: segmenting)
                return (socket, sender)
            }.join()
            self.lan = lan
            try awaitPath()
        }

        /// Waits until multicast arrives: on a busy machine the links of a new network come up when they can.
        private func awaitPath() throws {
            let poller = try Poller()
            try poller.add(receiver.number, token: 1, .readable)
            let inbox = TrainInbox()
            var events: [Poller.Event] = []
            var probes = Received()
            for _ in 0..<100 where probes.datagrams.isEmpty {
                try send(1)
                try poller.wait(until: MonotonicClock.now() + 100_000_000, into: &events)
                if !events.isEmpty { try drain(inbox, &probes) }
            }
            try #require(!probes.datagrams.isEmpty, "multicast does not arrive within ten seconds")
            // One that was late.
            try poller.wait(until: MonotonicClock.now() + 100_000_000, into: &events)
            if !events.isEmpty { try drain(inbox, &probes) }
        }

        /// Sends one train of datagrams of 1440 bytes to the second address, except for a last one of `tail`.
        func send(_ count: Int, tail: Int = 1440, from first: Int = 0) throws {
            let bytes = (first..<first + count).flatMap { TrainTests.datagram($0, 1440) }
            let train = Array(bytes[..<(bytes.count - 1440 + tail)])
            var sent = 0
            while sent < train.count {
                let rest = Array(train[sent...])
                let result = rest.withBytes { sender.send($0, segment: 1440, to: 1) }
                guard case .bytes(let more) = result else {
                    Issue.record("the kernel took \(sent) of \(train.count) bytes: \(result)")
                    return
                }
                sent += more
            }
        }

        /// Takes what comes until `count` datagrams are there, or nothing has come for 5 seconds.
        func receive(_ count: Int) throws -> Received {
            var found = Received()
            try receive(count, &found)
            return found
        }

        /// The same, added to what is `found` already.
        func receive(_ count: Int, _ found: inout Received) throws {
            let poller = try Poller()
            try poller.add(receiver.number, token: 1, .readable)
            let inbox = TrainInbox()
            var events: [Poller.Event] = []
            while found.datagrams.count < count {
                try poller.wait(until: MonotonicClock.now() + 5_000_000_000, into: &events)
                guard !events.isEmpty else { return }
                try drain(inbox, &found)
            }
        }

        func drain(_ inbox: TrainInbox, _ found: inout Received) throws {
            while case let messages = try inbox.receive(from: receiver), messages > 0 {
                for index in 0..<messages {
                    found.messages += 1
                    found.drops = inbox.drops(index) ?? found.drops
                    let segment = inbox.segment(index)
                    let parts = inbox.withBytes(index) { train in
                        stride(from: 0, to: train.byteCount, by: segment).map { start in
                            let end = min(start + segment, train.byteCount)
                            return unsafe train.extracting(start..<end).withUnsafeBytes { unsafe Array($0) }
                        }
                    }
                    found.datagrams += parts
                }
            }
        }
    }

    static func datagram(_ number: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0 &* 7 &+ $0 >> 8) }
    }

    private func expected(_ count: Int, tail: Int = 1440) -> [[UInt8]] {
        (0..<count).map { Array(TrainTests.datagram($0, 1440)[..<($0 == count - 1 ? tail : 1440)]) }
    }

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6], [true, false])
    func trainArrivesAsItsDatagrams(_ family: NamespaceLAN.Family, offload: Bool) throws {
        let ends = try Ends(family, offload: offload)
        // 45 are 64 800 bytes, the longest train there is.
        try ends.send(45, tail: 100)
        let found = try ends.receive(45)
        #expect(found.datagrams == expected(45, tail: 100))
        #expect(ends.sender.isSegmenting)
        // Where every device on the way takes trains, this one comes in one piece and is cut by its cmsg alone.
        if offload { #expect(found.messages == 1) }
    }

    @Test(arguments: [NamespaceLAN.Family.ipv4, .ipv6])
    func withoutSegmentationTheSameArrives(_ family: NamespaceLAN.Family) throws {
        let ends = try Ends(family, segmenting: false)
        try ends.send(45, tail: 1439)
        #expect(try ends.receive(45).datagrams == expected(45, tail: 1439))
        #expect(!ends.sender.isSegmenting)
    }

    @Test func receiverWithoutTrainsGetsSingles() throws {
        let ends = try Ends(.ipv4, accepting: false)
        try ends.send(45)
        let found = try ends.receive(45)
        #expect(found.datagrams == expected(45))
        #expect(found.messages == 45)
    }

    @Test func refusedSegmentationFallsBackOnce() throws {
        let ends = try Ends(.ipv4)
        // Without checksums the kernel refuses to cut trains apart, as it does where a device cannot make them.
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        #expect(unsafe setsockopt(ends.socket.number, SOL_SOCKET, SO_NO_CHECK, &on, size) == 0)
        #expect(ends.sender.isSegmenting)
        try ends.send(8)
        #expect(try ends.receive(8).datagrams == expected(8))
        #expect(!ends.sender.isSegmenting)
    }

    @Test func nothingIsFragmented() throws {
        let ends = try Ends(.ipv4)
        for datagrams in [1, 2] {
            let long = [UInt8](repeating: 1, count: 1600 * datagrams)
            let result = long.withBytes { ends.sender.send($0, segment: 1600, to: 1) }
            guard case .failed = result else {
                Issue.record("the kernel took datagrams longer than the interface's: \(result)")
                continue
            }
        }
        try ends.send(1)
        #expect(try ends.receive(1).datagrams == expected(1))
    }

    @Test func lossesOfAFullSocketAreCounted() throws {
        let ends = try Ends(.ipv4, segmenting: false, receiveBuffer: 64 << 10)
        for train in 0..<20 { try ends.send(40, from: train * 40) }
        var found = try ends.receive(1)
        let kept = found.datagrams.count
        #expect(kept > 0 && kept < 800)
        // The count comes with the next datagram that finds room; some of the 800 may still be on their way.
        var sent = 800
        let deadline = MonotonicClock.now() + 20_000_000_000
        while sent == 800 || Int(found.drops) + found.datagrams.count < sent, MonotonicClock.now() < deadline
        {
            try ends.send(1)
            sent += 1
            try ends.receive(found.datagrams.count + 1, &found)
        }
        #expect(found.drops > 0)
        #expect(Int(found.drops) + found.datagrams.count == sent)
    }

    @Test func fullSocketIsWaitedFor() throws {
        let ends = try Ends(.ipv4)
        // 8 Mbit/s, with a queue that has room for more than the socket's buffer.
        try ends.lan.limitHost("tbf rate 8mbit burst 70kb limit 4mb")
        ends.socket.setBuffers(receive: 4096, send: 128 << 10)
        let train = (0..<45).flatMap { TrainTests.datagram($0, 1440) }
        var sent = 0
        while train.withBytes({ ends.sender.send($0, segment: 1440, to: 1) }) == .bytes(train.count) {
            sent += 45
            try #require(sent < 10_000, "the socket's buffer is never full")
        }
        #expect(train.withBytes { ends.sender.send($0, segment: 1440, to: 1) } == .wouldBlock)
        let poller = try Poller()
        try poller.add(ends.socket.number, token: 1, .writable)
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + 5_000_000_000, into: &events)
        #expect(events.first?.readiness == .writable)
        #expect(train.withBytes { ends.sender.send($0, segment: 1440, to: 1) } == .bytes(train.count))
        // Everything that was taken arrives.
        #expect(try ends.receive(sent + 45).datagrams.count == sent + 45)
    }

    @Test(arguments: [true, false])
    func fullQueueIsNoSuccess(_ segmenting: Bool) throws {
        let ends = try Ends(.ipv4, segmenting: segmenting)
        try ends.lan.limitHost("tbf rate 8kbit burst 3kb limit 9kb")
        let train = (0..<8).flatMap { TrainTests.datagram($0, 1440) }
        var results: [TrainTransfer] = []
        while results.count < 20, results.last != .noRoom {
            results.append(train.withBytes { ends.sender.send($0, segment: 1440, to: 1) })
        }
        #expect(results.last == .noRoom, "\(results)")
    }

    @Test func sourceIsTold() throws {
        let ends = try Ends(.ipv6)
        try ends.send(2)
        let poller = try Poller()
        try poller.add(ends.receiver.number, token: 1, .readable)
        var events: [Poller.Event] = []
        try poller.wait(until: MonotonicClock.now() + 5_000_000_000, into: &events)
        let inbox = TrainInbox()
        #expect(try inbox.receive(from: ends.receiver) == 1)
        let host = try #require(IPAddress(ends.lan.hostAddress))
        #expect(inbox.source(0)?.address == host)
        #expect(inbox.hasSameSource(0, as: SocketAddress(host, port: 9)))
        #expect(!inbox.hasSameSource(0, as: SocketAddress(.any(.v6), port: 9)))
    }
}

@Suite struct TrainLengthTests {
    @Test func trainsAreAsLongAsTheNetworkBears() {
        typealias Length = TrainLength
        // No wire anywhere.
        #expect(Length.datagrams(own: nil, isHardware: false, participants: [0, 0]) == 45)
        // A bridge with real machines behind it.
        #expect(Length.datagrams(own: nil, isHardware: false, participants: [0, 1000]) == 16)
        #expect(Length.datagrams(own: nil, isHardware: true, participants: [1000]) == 16)
        #expect(Length.datagrams(own: 1000, isHardware: true, participants: []) == 16)
        #expect(Length.datagrams(own: 1000, isHardware: true, participants: [1000, 0]) == 16)
        #expect(Length.datagrams(own: 1000, isHardware: true, participants: [1000, 2500]) == 45)
        #expect(Length.datagrams(own: 10_000, isHardware: true, participants: [10_000, 0, 1000]) == 8)
    }

    @Test func buffersHoldMillisecondsOfTheLink() {
        // The kernel doubles what is asked for.
        #expect(TrainLength.sendBuffer(own: 1000) * 2 == 500_000)
        #expect(TrainLength.sendBuffer(own: 10_000) * 2 == 5_000_000)
        #expect(TrainLength.sendBuffer(own: 10) * 2 == 256 << 10)
        #expect(TrainLength.sendBuffer(own: nil) * 2 == 1 << 20)
    }
}
