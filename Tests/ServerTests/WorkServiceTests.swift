// The server's own port, asked over real connections in a network of its own; and a store that is slow.
import Blocks
import GRDB
import Linux
import Logging
import Server
import SessionProtocol
import SessionTransport
import Testing
import TestSupport

@Suite struct WorkServiceTests {
    /// Runs `body` with a daemon that serves one image, "a.img", in a network namespace.
    private func withDaemon(
        _ body: @escaping @Sendable (_ daemon: Daemon, _ address: String, _ directory: String) throws -> Void
    ) throws {
        let lan = try NamespaceLAN(stations: 1)
        let address = lan.hostAddress
        try withTemporaryDirectory { directory in
            try lan.thread(on: lan.host) {
                var configuration = ServerConfiguration()
                configuration.images = "\(directory)/images"
                configuration.state = "\(directory)/state"
                configuration.socket = "\(directory)/run/s"
                let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                let daemon = try Daemon(configuration, logger: logger)
                try MadeImage(chunks: 4).store(at: "\(directory)/images/a.img")
                daemon.start()
                defer { daemon.stop() }
                try body(daemon, address, directory)
            }.join()
        }
    }

    private static func connect(_ daemon: Daemon, _ address: String) throws -> WorkConnection {
        try WorkConnection(
            to: SocketAddress(try IPAddress(resolving: address), port: daemon.workPort),
            patience: 10_000_000_000)
    }

    private static func fetch(
        _ connection: WorkConnection, known: GUID? = nil, mac: [UInt8] = [2, 0, 0, 0, 0, 1]
    ) throws -> GUID {
        let nonce = Random.bytes(Specification.nonceBytes)
        try connection.send(
            FetchMessage(nonce: nonce, knownImage: known, image: "a.img", host: "pc1", mac: mac).encode())
        guard case .offer(let offer, _) = try connection.receive(patience: 10_000_000_000) else {
            throw TestFailure("no offer")
        }
        return offer.image
    }

    /// A machine whose network was gone has left a connection that nobody will ever end.
    @Test func whoComesBackReplacesItsLostConnection() throws {
        try withDaemon { daemon, address, _ in
            let (first, other) = (
                try WorkServiceTests.connect(daemon, address), try WorkServiceTests.connect(daemon, address)
            )
            let image = try WorkServiceTests.fetch(first)
            _ = try WorkServiceTests.fetch(other, mac: [2, 0, 0, 0, 0, 2])
            #expect(try daemon.status().transfers.count == 2)
            // Nothing moves on it for longer than the server takes for a pause.
            MonotonicClock.sleep(nanoseconds: 3_200_000_000)
            let second = try WorkServiceTests.connect(daemon, address)
            #expect(try WorkServiceTests.fetch(second, known: image) == image)
            #expect(try first.receive(patience: 10_000_000_000) == nil)
            try expectSoon("the lost connection's transfer is over") {
                try daemon.status().transfers.count == 2
            }
            // A second program on the machine is not the first one come back.
            let third = try WorkServiceTests.connect(daemon, address)
            _ = try WorkServiceTests.fetch(third, known: image)
            // None of the others has suffered.
            for connection in [second, other, third] {
                try connection.send(DoneMessage(chunks: 0, bytes: 0, text: "").encode())
                guard case .end(let end) = try connection.receive(patience: 10_000_000_000) else {
                    throw TestFailure("no end")
                }
                #expect(end.outcome == .finished)
            }
        }
    }

    /// Sessions tell of a thousand machines while they send: they must not wait for the store's disk.
    @Test func eventsDoNotWaitForTheStore() throws {
        try withDaemon { daemon, _, directory in
            // What the start has told is written.
            _ = try daemon.events(before: nil, limit: 1, mac: nil)
            let other = try DatabaseQueue(path: "\(directory)/state/\(Store.fileName)")
            try other.writeWithoutTransaction { db in
                // Longer than any transaction of the store waits, if each event were one.
                try db.execute(sql: "BEGIN IMMEDIATE")
                for number in 1...300 { daemon.note("event \(number)", level: .info, kind: .session) }
                try db.execute(sql: "COMMIT")
            }
            let texts = try daemon.events(before: nil, limit: 300, mac: nil).map(\.text)
            #expect(texts == (1...300).reversed().map { "event \($0)" })
        }
    }

    @Test func eventsAreInTheStoreWhenTheDaemonHasStopped() throws {
        try withDaemon { daemon, _, directory in
            _ = try daemon.events(before: nil, limit: 1, mac: nil)
            let other = try DatabaseQueue(path: "\(directory)/state/\(Store.fileName)")
            let stop = try other.writeWithoutTransaction { db in
                // So that nothing is written before the stop.
                try db.execute(sql: "BEGIN IMMEDIATE")
                for number in 1...500 { daemon.note("event \(number)", level: .info, kind: .session) }
                let stop = Thread("stop") { daemon.stop() }
                MonotonicClock.sleep(nanoseconds: 200_000_000)
                try db.execute(sql: "COMMIT")
                return stop
            }
            try stop.join()
            let events = try Store(path: "\(directory)/state/\(Store.fileName)")
                .events(before: nil, limit: 2, mac: nil)
            #expect(events.map(\.text) == ["the imaging server is being stopped", "event 500"])
        }
    }
}
