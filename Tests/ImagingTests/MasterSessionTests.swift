// Live sessions: a master captures its disks while machines in other namespaces receive them, started in every way.
import Blocks
import Imaging
import Linux
import SessionProtocol
import SessionTransport
import TestSupport
import Testing

/// A LAN with a master and machines, and the files that stand for their disks.
private struct Room {
    let lan: NamespaceLAN
    let directory: String
    let program: String

    /// Calls `body` with a LAN of `stations` machines.
    static func with(_ stations: Int, _ body: (Room) throws -> Void) throws {
        let lan = try NamespaceLAN(stations: stations)
        try withTemporaryDirectory { directory in
            try body(Room(lan: lan, directory: directory, program: try imgPath()))
        }
    }

    /// The words of `img session lab1` on the host of the LAN.
    func master(_ words: String...) -> [String] {
        lan.command(on: lan.host) + [program, "session", "lab1"] + words
    }

    /// A machine that takes part, with a new disk of `size` bytes; without one it discards.
    func machine(_ number: Int, size: UInt64?, _ words: String...) throws -> RunningProgram {
        let disk = disk(number)
        if let size { try run("truncate", "-s", "\(size)", disk) }
        return try RunningProgram(
            station(number, size == nil ? "disks=discard" : "disks=\(disk)") + words)
    }

    func disk(_ number: Int) -> String { "\(directory)/disk\(number)" }

    /// The words of `img session lab1` on a machine.
    func station(_ number: Int, _ words: String...) -> [String] {
        lan.command(on: lan.stations[number]) + [program, "session", "lab1"] + words
    }

    /// Waits until the last machine hears of a host that `isWanted`.
    func find(where isWanted: @escaping @Sendable (FoundHost) -> Bool) throws -> FoundHost {
        let deadline = MonotonicClock.now() + 20_000_000_000
        return try lan.thread(on: lan.stations[lan.stations.count - 1]) {
            while MonotonicClock.now() < deadline {
                let found = try HostSearch.find(
                    session: "lab1", interface: nil, patience: 1_000_000_000, isCancelled: { false })
                if let found, isWanted(found) { return found }
            }
            throw Failure("no such host was found")
        }.join()
    }
}

extension String {
    /// The lines that contain `text`.
    fileprivate func lines(with text: String) -> [Substring] {
        split(whereSeparator: \.isNewline).filter { $0.contains(text) }
    }

    /// The number in front of `text`.
    fileprivate func number(before text: String) -> Int? {
        guard let range = firstRange(of: text) else { return nil }
        return Int(String(self[..<range.lowerBound].reversed().prefix { $0.isNumber }.reversed()))
    }
}

@Suite(.timeLimit(.minutes(10))) struct MasterSessionTests {
    @Test func keyGStartsAndWhoeverDoesNotFitIsToldBefore() throws {
        try withPlainDisk { disk in
            let before = try sha256(disk)
            try Room.with(4) { room in
                let master = try Typist(
                    room.master("master", "disks=\(disk)", "comp=speed"),
                    .init(
                        when: "(10.77.0.11, ", "(10.77.0.12, ", "(10.77.0.13, ", "cannot take part",
                        "press g to start", press: "xg"))
                let machines = try (0..<3).map { try room.machine($0, size: (24 + UInt64($0)) * MiB) }
                let small = try room.machine(3, size: 8 * MiB, "client")
                for (number, machine) in machines.enumerated() {
                    let (status, output) = try machine.wait()
                    #expect(status == .exited(0), "\(output)")
                    #expect(
                        output.contains(
                            "next: type grub.s to make the disk bootable, then press Ctrl+Alt+Del"))
                    try expectPlainCopy(of: disk, on: room.disk(number))
                }
                let refused = try small.wait()
                #expect(refused.status == .exited(1))
                let (status, screen, isAsBefore) = try master.wait()
                #expect(status == .exited(0), "\(screen)")
                #expect(isAsBefore)
                #expect(try sha256(disk) == before)
                // The reason is the same on both screens, and comes before the start.
                let reason = try #require(refused.output.lines(with: "img: ").last?.dropFirst(5))
                let told = try #require(screen.lines(with: "cannot take part").first)
                #expect(told.contains(reason) && told.contains("(10.77.0.14)"), "\(told): \(reason)")
                let start = try #require(screen.firstRange(of: "the session has started"))
                #expect(try #require(screen.firstRange(of: "cannot take part")).lowerBound < start.lowerBound)
                #expect(screen.lines(with: ") fits: ").count == 3, "\(screen)")
                #expect(screen.lines(with: "is done").count == 3)
                // The summary has everybody's result.
                #expect(screen.lines(with: "(10.77.0.14): ").contains { $0.contains(reason) }, "\(screen)")
                #expect(screen.lines(with: "(10.77.0.12): done").count == 1, "\(screen)")
                let key = try #require(screen.lines(with: "host key ").first?.split(separator: " ").last)
                #expect(refused.output.contains("key \(key)"), "\(refused.output)")
            }
        }
    }

    /// As from another building: the room's router passes no multicast, but the server's address is known.
    @Test func aServerThatIsKnownIsAskedDirectly() throws {
        try withPlainDisk { disk in
            try Room.with(2) { room in
                try room.lan.passUnicastOnly(0)
                let master = try RunningProgram(room.master("master", "disks=\(disk)", "clients=2"))
                try run("truncate", "-s", "\(24 * MiB)", room.disk(0))
                let words = room.station(0, "disks=\(room.disk(0))")
                let known = try RunningProgram(["env", "PROXYADDR=10.77.0.1"] + words)
                // The other one hears the master's announcements; a server that is not there costs it a warning.
                let other = try RunningProgram(
                    ["env", "PROXYADDR=no.such.name.invalid"] + room.station(1, "disks=discard"))
                let (status, output) = try known.wait()
                #expect(status == .exited(0), "\(output)")
                #expect(output.contains("over TCP"), "\(output)")
                let warned = try other.wait()
                #expect(warned.status == .exited(0), "\(warned.output)")
                #expect(
                    warned.output.contains(
                        "the imaging server is not asked directly (PROXYADDR): no address of 'no.such.name.invalid'"
                    ),
                    "\(warned.output)")
                #expect(try master.wait().status == .exited(0))
                try expectPlainCopy(of: disk, on: room.disk(0))
            }
        }
    }

    @Test func countStartsAndTheLevelDecidesWhatIsOnTheWire() throws {
        try withLoopDevice(96 * MiB) { loop in
            try run("sgdisk", "-n1:2048:0", loop.path)
            try loop.addPartitions()
            try run("mkfs.ext4", "-q", "-F", loop.partition(1))
            let files = try withMount(loop.partition(1), "ext4") { root in
                try populate(root, seed: 7, largest: 6_000_000)
                return try fileHashes(root)
            }
            let before = try sha256(loop.file)
            var datagrams: [String: Int] = [:]
            for level in ["none", "speed", "size"] {
                try Room.with(2) { room in
                    let master = try RunningProgram(
                        room.master("m", "clients=2", "comp=\(level)", "disks=\(loop.path)"))
                    let first = try room.machine(0, size: 100 * MiB, "verify")
                    let second = try room.machine(1, size: nil)
                    let (status, output) = try first.wait()
                    #expect(status == .exited(0), "\(output)")
                    #expect(try second.wait().status == .exited(0))
                    let host = try master.wait()
                    #expect(host.status == .exited(0), "\(host.output)")
                    datagrams[level] = host.output.number(before: " datagrams, of these")
                    #expect(host.output.contains("registered/still needed 2/0"), "\(host.output)")
                    #expect(host.output.contains("captured (used)"), "\(host.output)")
                    try withLoopDevice(room.disk(0)) { copy in
                        try copy.addPartitions()
                        try check(copy.partition(1), "ext4")
                        try withMount(copy.partition(1), "ext4", readOnly: true) { root in
                            let copied = try fileHashes(root)
                            #expect(copied == files)
                        }
                    }
                }
            }
            // The file, not the device: what the kernel has cached of the whole disk is older than its partition.
            #expect(try sha256(loop.file) == before)
            #expect(try run("blockdev", "--getro", loop.path) == "0\n")
            let none = try #require(datagrams["none"])
            let speed = try #require(datagrams["speed"])
            let size = try #require(datagrams["size"])
            #expect(speed < none && size < speed, "\(datagrams)")
        }
    }

    @Test(arguments: [["clients=5", "t=0.05"], ["clients=5", "0.1"], ["0.1"]])
    func timeStartsWithWhoeverIsThere(_ words: [String]) throws {
        try withPlainDisk { disk in
            try Room.with(1) { room in
                let master = try RunningProgram(room.master("master", "disks=\(disk)") + words)
                let machine = try room.machine(0, size: 24 * MiB)
                let (status, output) = try machine.wait()
                #expect(status == .exited(0), "\(output)")
                let host = try master.wait()
                #expect(host.status == .exited(0), "\(host.output)")
                #expect(host.output.contains("the session starts "), "\(host.output)")
                try expectPlainCopy(of: disk, on: room.disk(0))
            }
        }
    }

    @Test func keyMMakesAWaitingMachineTheMaster() throws {
        try withPlainDisk { disk in
            try Room.with(1) { room in
                // disks= means the disk to capture once this machine is the master.
                let master = try Typist(
                    room.master("disks=\(disk)", "comp=none"),
                    .init(when: "press m to make this machine the master", press: "m"),
                    .init(when: "fits: ", press: "g"))
                let (status, screen, isAsBefore) = try {
                    // A machine with nobody at its keys finds the host that was none at first.
                    let machine = try room.machine(0, size: 24 * MiB)
                    let (status, output) = try machine.wait()
                    #expect(status == .exited(0), "\(output)")
                    return try master.wait()
                }()
                #expect(status == .exited(0), "\(screen)")
                #expect(isAsBefore)
                #expect(screen.contains("this machine becomes the master of session lab1"))
                try expectPlainCopy(of: disk, on: room.disk(0))
            }
        }
    }

    /// Nobody presses g here: the second master has no disks= and would take this machine's own.
    @Test func theSecondMasterOfAWaitingSessionIsAskedOrRefused() throws {
        try withPlainDisk { disk in
            let before = try sha256(disk)
            try Room.with(3) { room in
                let first = try Typist(
                    room.master("master", "disks=\(disk)"), .init(when: "(10.77.0.13) joined", press: "\u{3}")
                )
                let found = try room.find(where: { _ in true })
                #expect(!found.isRunning)
                let who = "\(found.endpoint.address), key \(found.fingerprint)"
                let named = try runAnyway(room.station(0, "master", "disks=\(disk)"))
                #expect(named.status == 1)
                #expect(named.errors.contains("session lab1 has a master already, \(who)"), "\(named.errors)")
                #expect(named.errors.contains("img session lab1 client disks="), "\(named.errors)")
                // Nobody is there to agree.
                let alone = try runAnyway(room.station(0, "master"))
                #expect(alone.status == 1)
                #expect(alone.errors.contains("nobody is here to say"), "\(alone.errors)")
                // Whose machine has no disk of its own to take is told so, not asked. (The key c: Tests/E2E.)
                let second = try Typist(room.station(1, "master"))
                let follower = try second.wait()
                #expect(follower.status == .exited(1), "\(follower.screen)")
                #expect(follower.screen.contains("session lab1 has a master already: \(who)"))
                #expect(follower.screen.contains("no disk of this machine is taken by itself"))
                #expect(follower.isTerminalAsBefore)
                let machine = try room.machine(2, size: nil)
                #expect(try machine.wait().status == .exited(1))
                #expect(try first.wait().status == .exited(1))
            }
            #expect(try sha256(disk) == before)
        }
    }

    @Test func aRunningSessionRefusesMastersAndEndsByItsOwn() throws {
        try withPlainDisk { disk in
            let before = try sha256(disk)
            try Room.with(4) { room in
                let first = try Typist(
                    room.master("master", "disks=\(disk)", "rate=3"),
                    .init(when: "(10.77.0.11, ", "(10.77.0.12) joined", press: "g"),
                    .init(when: "(10.77.0.14) joined", press: "\u{3}"))
                let machine = try room.machine(0, size: 24 * MiB)
                // One that has somebody at its keys, who comes too late to make it the master.
                let late = try Typist(
                    room.station(1, "disks=discard"), .init(when: "joined the session", press: "m"))
                let found = try room.find(where: { $0.isRunning })
                let second = try runAnyway(room.station(2, "master"))
                #expect(second.status == 1)
                #expect(
                    second.errors.contains(
                        "session lab1 already runs, hosted by \(found.endpoint.address), key \(found.fingerprint)"
                    ), "\(second.errors)")
                let last = try room.machine(3, size: nil)
                for output in [try machine.wait().output, try last.wait().output] {
                    #expect(output.contains("the master was stopped: interrupted by SIGINT"), "\(output)")
                }
                let (status, screen, isAsBefore) = try late.wait()
                #expect(status == .exited(1))
                #expect(screen.contains("there is a master already: 10.77.0.1"), "\(screen)")
                #expect(isAsBefore)
                let host = try first.wait()
                #expect(host.status == .exited(1))
                #expect(host.isTerminalAsBefore)
                #expect(host.screen.contains("img: session lab1: the master was stopped"), "\(host.screen)")
            }
            #expect(try sha256(disk) == before)
        }
    }

    /// Both find nobody, and then each other: one goes on, and whoever waited gets the session.
    @Test func ofTwoMastersAtOnceOneRemains() throws {
        try withPlainDisk { disk in
            try Room.with(2) { room in
                let masters = try [
                    room.master("master", "disks=\(disk)", "clients=1"),
                    room.station(1, "master", "disks=\(disk)", "clients=1"),
                ].map { try RunningProgram($0) }
                let machine = try room.machine(0, size: 24 * MiB)
                let (status, output) = try machine.wait()
                #expect(status == .exited(0), "\(output)")
                let ends = try masters.map { try $0.wait() }
                let hosts = ends.filter { $0.status == .exited(0) }
                let refused = ends.filter { $0.status == .exited(1) }
                #expect(hosts.count == 1 && refused.count == 1, "\(ends)")
                #expect(
                    refused.allSatisfy {
                        $0.output.contains("has a master already, ") || $0.output.contains("already runs")
                    }, "\(refused)")
                try expectPlainCopy(of: disk, on: room.disk(0))
            }
        }
    }

    @Test func badSectorsOfTheMasterAreToldToEverybody() throws {
        try withPlainDisk { disk in
            try Room.with(2) { room in
                let bad = try BadSectors([4096...4098], of: disk, in: room.directory)
                let master = try RunningProgram(
                    room.lan.command(on: room.lan.host) + bad.command + [
                        room.program, "session", "lab1", "master", "clients=2", "disks=\(disk)",
                    ])
                let machines = [try room.machine(0, size: 24 * MiB), try room.machine(1, size: nil)]
                for machine in machines {
                    let (status, output) = try machine.wait()
                    #expect(status == .exited(0), "\(output)")
                    let told = "disk 1 (\(disk)): 3 unreadable sectors from 4096 are sent as zeros"
                    #expect(output.contains(told), "\(output)")
                    #expect(output.contains("completed with 3 unreadable sectors"), "\(output)")
                }
                let (status, output) = try master.wait()
                #expect(status == .exited(0), "\(output)")
                #expect(output.lines(with: "3 unreadable sectors from 4096 are sent as zeros").count == 1)
                #expect(output.contains("completed with 3 unreadable sectors"), "\(output)")
                #expect(output.contains("(10.77.0.11): done"), "\(output)")
                let copy = try Descriptor(opening: room.disk(0), .readOnly)
                let place = try copy.read(2048, at: 2 * MiB)
                #expect(place.prefix(1536).allSatisfy { $0 == 0 })
                #expect(
                    try sha256(room.disk(0), 2 * MiB + 1536..<10 * MiB)
                        == sha256(disk, 2 * MiB + 1536..<10 * MiB))
            }
        }
    }
}
