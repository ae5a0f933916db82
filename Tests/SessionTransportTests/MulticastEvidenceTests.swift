// What is made of the evidence when multicast does not arrive, and how the evidence is read.
import Linux
import SessionProtocol
import SessionTransport
import Testing

@Suite struct MulticastEvidenceTests {
    private let silence = MulticastSilence(
        host: Address(ipv4: 0x0a00_0001), sources: [Address(ipv4: 0x0a00_0001)], session: 7,
        group: Address(ipv4: 0xefc0_0102), port: 997, streams: 1, since: 0, lastHeard: nil)

    private func reason(_ change: (inout MulticastEvidence) -> Void) -> String {
        var evidence = MulticastEvidence(interface: "eth0")
        evidence.silentFor = 4
        evidence.look = MulticastEvidence.Look()
        change(&evidence)
        let sentence = evidence.sentence(about: silence)
        let start = "multicast from 10.0.0.1 does not reach this machine: "
        let end = "; continuing over TCP"
        #expect(sentence.hasPrefix(start) && sentence.hasSuffix(end), "\(sentence)")
        return String(sentence.dropFirst(start.count).dropLast(end.count))
    }

    @Test func eachReasonHasItsSentence() {
        #expect(
            reason {
                $0.joinFailure = "cannot join group 239.192.1.2 on interface 2: No buffer space available"
            }
                == "cannot join group 239.192.1.2 on interface 2: No buffer space available")
        #expect(
            reason { $0.look?.ofSession = 3 }
                == "it arrives at eth0, but this machine drops it, most likely in its packet filter")
        #expect(
            reason {
                $0.look?.ofSession = 3
                $0.look?.reversePathDrops = 3
            } == "it arrives at eth0, but this machine drops it, most likely in its packet filter")
        #expect(
            reason {
                $0.look?.ofSession = 3
                $0.isRouteElsewhere = true
            } == "it arrives at eth0, but this machine drops it, most likely in its packet filter")
        #expect(
            reason {
                $0.look?.ofSession = 3
                $0.look?.reversePathDrops = 3
                $0.isRouteElsewhere = true
            } == """
                it arrives at eth0, but the reverse path filter (rp_filter) drops it, because the route to 10.0.0.1 is \
                not by eth0
                """)
        #expect(
            reason { $0.look?.stranger = Address(ipv4: 0x0a00_0009) }
                == "it arrives at eth0 from 10.0.0.9, which is not an address of the host")
        #expect(reason { $0.canMulticast = false } == "eth0 cannot multicast")
        #expect(
            reason { $0.look?.ofOtherPorts = 1 } == """
                datagrams for group 239.192.1.2 arrive at eth0, but none for UDP port 997: something on the way \
                filters by port
                """)
        #expect(
            reason { _ in } == """
                no datagram for group 239.192.1.2 has arrived at eth0 in the 4 s since it was joined: a switch or \
                router on the way does not pass it on (IGMP snooping without a querier, a filter, another VLAN)
                """)
        #expect(
            reason { $0.heardFor = 61 } == """
                no datagram for group 239.192.1.2 has arrived at eth0 for 4 s, after 61 s in which they came: a \
                switch that snoops IGMP without a querier forgets a group like that
                """)
        #expect(
            reason { $0.look = nil } == """
                no datagram for group 239.192.1.2 has been received in the 4 s since it was joined, and this machine \
                may not look at eth0 for the reason: a switch or router on the way does not pass it on (IGMP snooping \
                without a querier, a filter, another VLAN)
                """)
        #expect(
            reason {
                $0.look = nil
                $0.lookFailure = "cannot look at what comes in: No such device"
            }.contains(
                "since it was joined, and looking at eth0 for the reason failed (cannot look at what comes in: "
                    + "No such device): a switch or router"))
    }

    /// Between a machine and itself there is no switch, and a packet socket sees nothing.
    @Test func hostOnTheSameMachineBlamesNoSwitch() {
        let end =
            "; the host is on this machine, where what gets lost between them cannot be seen: a packet filter may "
            + "drop it, or the host may send by another interface than eth0"
        #expect(
            reason { $0.isHostHere = true }
                == "no datagram for group 239.192.1.2 has been received in the 4 s since it was joined" + end)
        #expect(
            reason {
                $0.isHostHere = true
                $0.heardFor = 61
            } == "no datagram for group 239.192.1.2 has been received for 4 s, after 61 s in which they came"
                + end)
    }

    @Test func packetsAreReadWithinTheirBounds() throws {
        let payload = [UInt8](1...20)
        let udp: [UInt8] = [0x03, 0xe5, 0x03, 0xe6, 0, 28, 0, 0] + payload
        var v4: [UInt8] = [
            0x46, 0, 0, 52, 0, 0, 0x40, 0, 16, 17, 0, 0, 10, 0, 0, 1, 239, 192, 1, 2, 148, 4, 0, 0,
        ]
        v4 += udp
        let read = try #require(TappedDatagram(packet: v4))
        #expect(read.source == IPAddress("10.0.0.1"))
        #expect(read.port == 998)
        #expect(read.payload == payload)
        var v6: [UInt8] = [0x60, 0, 0, 0, 0, 28, 17, 16]
        v6 += try #require(IPAddress("fd77::1")).bytes + #require(IPAddress("ff15::7")).bytes + udp
        let other = try #require(TappedDatagram(packet: v6))
        #expect(other.source == IPAddress("fd77::1"))
        #expect(other.port == 998)
        #expect(other.payload == payload)
        // Cut anywhere, it is either refused or read as far as it goes.
        for packet in [v4, v6] {
            for count in 0..<packet.count {
                let cut = TappedDatagram(packet: Array(packet[..<count]))
                #expect(
                    cut?.payload
                        == (count < packet.count - 20
                            ? nil : Array(payload.prefix(count + 20 - packet.count))))
            }
        }
        for (index, value) in [(0, 0x4f), (0, 0x41), (0, 0x76), (6, 0x20 | 1), (7, 1), (9, 6)] {
            var damaged = v4
            damaged[index] = UInt8(value)
            #expect(TappedDatagram(packet: damaged) == nil, "byte \(index) is \(value)")
        }
    }

    @Test func kernelCountersAreRead() {
        let text = """
            TcpExt: SyncookiesSent IPReversePathFilter TCPTimeouts
            TcpExt: 1 23 456
            IpExt: InNoRoutes InMcastPkts
            IpExt: 7 89

            """
        #expect(ReversePathFilter.counter("IPReversePathFilter", of: "TcpExt:", in: text) == 23)
        #expect(ReversePathFilter.counter("InMcastPkts", of: "IpExt:", in: text) == 89)
        #expect(ReversePathFilter.counter("InMcastPkts", of: "TcpExt:", in: text) == nil)
        #expect(
            ReversePathFilter.counter("TCPTimeouts", of: "TcpExt:", in: "TcpExt: TCPTimeouts\nTcpExt:") == nil
        )
        #expect(ReversePathFilter.drops() != nil)
    }
}
