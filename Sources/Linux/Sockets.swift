// Non-blocking UDP and TCP sockets, with the options multicast needs.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// What a socket call gave that did not fail.
package enum Transfer: Equatable, Sendable {
    /// This many bytes went through.
    case bytes(Int)
    /// Nothing can be done now; wait for the descriptor to be ready.
    case wouldBlock
    /// The peer closed its side.
    case closed
}

/// A datagram's origin and what the kernel noted about it.
package struct Arrival: Sendable {
    package let count: Int
    package let from: SocketAddress
    /// Index of the interface it came in by; 0 when the kernel did not say.
    package let interface: UInt32
    /// Whether the datagram was longer than the buffer; the rest is lost.
    package let isTruncated: Bool
    /// Datagrams that this socket has lost since it was made because its buffer was full; nil when none yet.
    package let drops: UInt32?
}

/// A non-blocking UDP socket of one family.
package final class UDPSocket: Sendable {
    package let family: IPAddress.Family
    private let descriptor: Descriptor

    /// The number to wait on; it stays owned by the socket.
    package var number: Int32 { descriptor.number }

    /// Makes a socket that never fragments and reports the interface and losses of what it receives.
    package init(_ family: IPAddress.Family) throws(SystemError) {
        self.family = family
        descriptor = try openSocket(family, SOCK_DGRAM, "UDP socket")
        switch family {
        case .v4:
            try set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, "forbid fragments")
            try set(IPPROTO_IP, IP_PKTINFO, 1, "ask for arrival interfaces")
            // Otherwise the socket also gets the groups that other sockets of this machine have joined.
            try set(IPPROTO_IP, IP_MULTICAST_ALL, 0, "receive joined groups only")
            try set(SOL_SOCKET, SO_BROADCAST, 1, "allow broadcasts")
        case .v6:
            try set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1, "receive IPv6 only")
            try set(Int32(IPPROTO_IPV6), IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, "forbid fragments")
            try set(Int32(IPPROTO_IPV6), IPV6_RECVPKTINFO, 1, "ask for arrival interfaces")
            try set(Int32(IPPROTO_IPV6), IPV6_MULTICAST_ALL, 0, "receive joined groups only")
        }
        try set(SOL_SOCKET, SO_RXQ_OVFL, 1, "ask for losses")
    }

    /// Lets other sockets bind the same port; each then gets every multicast and broadcast datagram.
    package func shareAddress() throws(SystemError) {
        try set(SOL_SOCKET, SO_REUSEADDR, 1, "share its port")
    }

    /// Binds to `address`; port 0 takes any free one.
    package func bind(to address: SocketAddress) throws(SystemError) {
        var raw = address.raw
        _ = try systemCall("bind UDP \(address)") { unsafe clinux_bind(number, &raw) }
    }

    /// The address and port the socket is bound to.
    package func localAddress() throws(SystemError) -> SocketAddress { try socketName(number) }

    /// Size in bytes of the kernel's receive and send buffers; past the system's limits where the caller may.
    package func setBuffers(receive: Int, send: Int) {
        for (forced, plain, size) in [
            (SO_RCVBUFFORCE, SO_RCVBUF, receive), (SO_SNDBUFFORCE, SO_SNDBUF, send),
        ] {
            // A smaller buffer than wished for costs speed, not correctness: no error.
            let size = Int32(clamping: size)
            if (try? set(SOL_SOCKET, forced, size, "")) == nil { try? set(SOL_SOCKET, plain, size, "") }
        }
    }

    /// Multicast leaves by `interface` (an index), lives for `ttl` routers, and is heard by this machine's own sockets.
    package func setMulticast(interface: UInt32, ttl: UInt8) throws(SystemError) {
        try sendMulticast(by: interface)
        switch family {
        case .v4:
            try set(IPPROTO_IP, IP_MULTICAST_TTL, Int32(ttl), "set the TTL")
            try set(IPPROTO_IP, IP_MULTICAST_LOOP, 1, "loop multicast")
        case .v6:
            try set(Int32(IPPROTO_IPV6), IPV6_MULTICAST_HOPS, Int32(ttl), "set the hop limit")
            try set(Int32(IPPROTO_IPV6), IPV6_MULTICAST_LOOP, 1, "loop multicast")
        }
    }

    /// The interface (an index) by which multicast leaves from now on.
    package func sendMulticast(by interface: UInt32) throws(SystemError) {
        switch family {
        case .v4:
            var request = ip_mreqn()
            request.imr_ifindex = Int32(bitPattern: interface)
            let size = socklen_t(MemoryLayout<ip_mreqn>.size)
            _ = try systemCall("send multicast by interface \(interface)") {
                unsafe setsockopt(number, Int32(IPPROTO_IP), IP_MULTICAST_IF, &request, size)
            }
        case .v6:
            try set(
                Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF, Int32(bitPattern: interface),
                "send multicast by interface \(interface)")
        }
    }

    /// Receives what is sent to `group` on `interface` (an index); joining twice is no error.
    package func join(_ group: IPAddress, interface: UInt32) throws(SystemError) {
        do {
            try membership(true, group, interface)
        } catch  where error.errno == .addressInUse {
            return
        }
    }

    /// No longer receives what is sent to `group` on `interface`; not being a member is no error.
    package func leave(_ group: IPAddress, interface: UInt32) throws(SystemError) {
        do {
            try membership(false, group, interface)
        } catch  where error.errno == .addressNotAvailable {
            return
        }
    }

    private func membership(_ join: Bool, _ group: IPAddress, _ interface: UInt32) throws(SystemError) {
        var raw = SocketAddress(group, port: 0).raw
        _ = try systemCall("\(join ? "join" : "leave") group \(group) on interface \(interface)") {
            unsafe clinux_group(number, join ? 1 : 0, &raw, interface)
        }
    }

    /// Sends one datagram; `.wouldBlock` when the send buffer is full.
    package func send(_ bytes: UnsafeRawBufferPointer, to address: SocketAddress) throws(SystemError)
        -> Transfer
    {
        var raw = address.raw
        while true {
            let (count, error) = withErrno {
                unsafe clinux_send_to(number, bytes.baseAddress, bytes.count, &raw)
            }
            if count >= 0 { return .bytes(count) }
            switch error {
            // A queue that is full for a moment: ENOBUFS comes from the interface, EAGAIN from the socket.
            case .resourceTemporarilyUnavailable, .noBufferSpace: return .wouldBlock
            // ECONNREFUSED is an earlier datagram's answer and was taken from the socket by being reported.
            case .interrupted, .connectionRefused: continue
            default: throw SystemError("send \(bytes.count) bytes to \(address)", error)
            }
        }
    }

    /// Sends one datagram; `.wouldBlock` when the send buffer is full.
    package func send(_ bytes: [UInt8], to address: SocketAddress) throws(SystemError) -> Transfer {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe send(buffer, to: address) }
        }
        return try result.get()
    }

    /// Takes one datagram into `buffer`; nil when none is waiting.
    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Arrival? {
        var raw = clinux_arrival()
        while true {
            let (count, error) = withErrno {
                unsafe clinux_receive_from(number, buffer.baseAddress, buffer.count, &raw)
            }
            if count >= 0 {
                guard let from = SocketAddress(raw.from) else { continue }
                return Arrival(
                    count: count, from: from, interface: raw.interface, isTruncated: raw.truncated != 0,
                    drops: raw.has_drops != 0 ? raw.drops : nil)
            }
            switch error {
            case .resourceTemporarilyUnavailable: return nil
            case .interrupted, .connectionRefused: continue
            default: throw SystemError("receive datagrams", error)
            }
        }
    }

    func set(_ level: Int32, _ option: Int32, _ value: Int32, _ what: String) throws(SystemError) {
        try setOption(number, level, option, value, "\(what) of a UDP socket")
    }

    func set(_ level: Int, _ option: Int32, _ value: Int32, _ what: String) throws(SystemError) {
        try set(Int32(level), option, value, what)
    }
}

/// A listening TCP socket.
package final class TCPListener: Sendable {
    private let descriptor: Descriptor

    package var number: Int32 { descriptor.number }

    /// Listens on `address`; port 0 takes any free one.
    package init(on address: SocketAddress) throws(SystemError) {
        let descriptor = try openSocket(address.address.family, SOCK_STREAM, "TCP socket")
        let number = descriptor.number
        try setOption(number, SOL_SOCKET, SO_REUSEADDR, 1, "reuse the address of a TCP socket")
        if address.address.family == .v6 {
            try setOption(number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1, "accept IPv6 only")
        }
        var raw = address.raw
        _ = try systemCall("bind TCP \(address)") { unsafe clinux_bind(number, &raw) }
        _ = try systemCall("listen on TCP \(address)") { Glibc.listen(number, 1024) }
        self.descriptor = descriptor
    }

    /// The address and port it listens on.
    package func localAddress() throws(SystemError) -> SocketAddress { try socketName(number) }

    /// The next connection; nil when nobody waits.
    ///
    /// A peer that gave up meanwhile is passed over.
    package func accept() throws(SystemError) -> TCPConnection? {
        var raw = clinux_address()
        while true {
            let (accepted, error) = withErrno { unsafe clinux_accept(number, &raw) }
            if accepted >= 0 {
                let descriptor = Descriptor(owning: accepted, name: "TCP connection")
                guard let peer = SocketAddress(raw) else { continue }
                return try TCPConnection(descriptor, peer: peer)
            }
            switch error {
            case .resourceTemporarilyUnavailable: return nil
            case .interrupted, .connectionAbort: continue
            default: throw SystemError("accept a TCP connection", error)
            }
        }
    }
}

/// A non-blocking TCP connection.
package final class TCPConnection: Sendable {
    package let peer: SocketAddress
    private let descriptor: Descriptor

    package var number: Int32 { descriptor.number }

    /// Begins to connect; it is writable once it is connected or has failed, which `connectError` tells apart.
    ///
    /// `source` is the own address to connect from, which also decides the interface.
    package init(connectingTo peer: SocketAddress, from source: SocketAddress? = nil) throws(SystemError) {
        let descriptor = try openSocket(peer.address.family, SOCK_STREAM, "TCP socket")
        let number = descriptor.number
        if let source {
            var raw = source.raw
            _ = try systemCall("connect from \(source)") { unsafe clinux_bind(number, &raw) }
        }
        var raw = peer.raw
        let (result, error) = withErrno { unsafe clinux_connect(number, &raw) }
        // An interrupted non-blocking connect goes on in the background like any other.
        guard result == 0 || error == .nowInProgress || error == .interrupted else {
            throw SystemError("connect to \(peer)", error)
        }
        self.peer = peer
        self.descriptor = descriptor
        try setUp()
    }

    fileprivate init(_ descriptor: consuming Descriptor, peer: SocketAddress) throws(SystemError) {
        self.peer = peer
        self.descriptor = descriptor
        try setUp()
    }

    private func setUp() throws(SystemError) {
        try setOption(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1, "send small messages to \(peer) at once")
    }

    /// From now on a peer that has lost its power or its network ends a connection on which nothing moves, after half a
    /// minute (`tcp(7)`: `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`).
    ///
    /// Not `TCP_USER_TIMEOUT`: that also ends the connection to a peer whose slow disk keeps its window shut.
    package func noticeDeadPeers() throws(SystemError) {
        try setOption(number, SOL_SOCKET, SO_KEEPALIVE, 1, "watch \(peer)")
        for (option, value) in [(TCP_KEEPIDLE, 15), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 3)] as [(Int32, Int32)]
        {
            try setOption(number, Int32(IPPROTO_TCP), option, value, "watch \(peer)")
        }
    }

    /// The own address of the connection.
    package func localAddress() throws(SystemError) -> SocketAddress { try socketName(number) }

    /// Why connecting failed, or nil when it did not (C option `SO_ERROR`); ask once it is writable.
    package func connectError() -> SystemError? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        let (result, error) = withErrno { unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &value, &size) }
        guard result == 0 else { return SystemError("connect to \(peer)", error) }
        return value == 0 ? nil : SystemError("connect to \(peer)", Errno(rawValue: value))
    }

    /// Sends as much of `bytes` as the kernel takes.
    package func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Transfer {
        while true {
            let (count, error) = withErrno {
                unsafe Glibc.send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 { return .bytes(count) }
            switch error {
            case .resourceTemporarilyUnavailable: return .wouldBlock
            case .interrupted: continue
            default: throw SystemError("send to \(peer)", error)
            }
        }
    }

    /// Receives what is there into `buffer`, which must not be empty.
    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Transfer {
        while true {
            let (count, error) = withErrno { unsafe recv(number, buffer.baseAddress, buffer.count, 0) }
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            switch error {
            case .resourceTemporarilyUnavailable: return .wouldBlock
            case .interrupted: continue
            default: throw SystemError("receive from \(peer)", error)
            }
        }
    }

    /// Tells the peer that nothing more will be sent; receiving goes on.
    package func finishSending() { _ = shutdown(number, Int32(SHUT_WR)) }
}

private func openSocket(_ family: IPAddress.Family, _ kind: __socket_type, _ name: String) throws(SystemError)
    -> Descriptor
{
    let type = Int32(bitPattern: kind.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let number = try systemCall("open a \(name)") { socket(family == .v4 ? AF_INET : AF_INET6, type, 0) }
    return Descriptor(owning: number, name: name)
}

private func setOption(_ number: Int32, _ level: Int32, _ option: Int32, _ value: Int32, _ what: String)
    throws(SystemError)
{
    var value = value
    let size = socklen_t(MemoryLayout<Int32>.size)
    _ = try systemCall(what) { unsafe setsockopt(number, level, option, &value, size) }
}

private func socketName(_ number: Int32) throws(SystemError) -> SocketAddress {
    var raw = clinux_address()
    _ = try systemCall("find a socket's own address") { unsafe clinux_socket_address(number, 0, &raw) }
    guard let address = SocketAddress(raw) else {
        throw SystemError("find a socket's own address", .addressFamilyNotSupported)
    }
    return address
}
