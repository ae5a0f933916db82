// Removes the logical volumes of a mapping that was killed: the kernel drops mounts and loop devices by itself, but not
// what device-mapper has made.
internal import Blocks
internal import Linux
internal import Synchronization

/// The mounter's side of a process that outlives it and removes what it leaves activated.
///
/// The guardian hears from a socket what it has to look for. It acts at the socket's end, when the mounter and every
/// program that it started with `lifeline` have ended.
final class DeviceGuardian {
    private let process: ChildProcess
    private let socket: Mutex<MessageSocket?>

    /// Starts the guardian; it shares the caller's mount namespace.
    init() throws {
        let ends = try MessageSocket.pair("the guardian of its devices")
        process = try ChildProcess(
            ThisProcess.executable, [HiddenService.guardian.rawValue],
            descriptors: [ends.theirs.number, -1, -1])
        socket = Mutex(ends.keepOurs())
    }

    /// A descriptor for programs that may make devices: the guardian waits for them too.
    var lifeline: Int32 {
        socket.withLock { socket in
            switch socket {
            case .some(let socket): socket.number
            case nil: -1
            }
        }
    }

    /// Devices whose UUID begins with `prefix` are ours from now on.
    func watch(_ prefix: String) throws {
        try socket.withLock { socket in
            switch socket {
            case .some(let socket): try socket.send(Array(prefix.utf8))
            case nil: throw MountFailure("the guardian of its devices has gone")
            }
        }
    }

    /// Lets the guardian go, and waits until it has seen that nothing is left.
    ///
    /// - Throws: `MountFailure` where a device could not be removed.
    func finish() throws {
        socket.withLock { $0 = nil }
        guard try process.wait().isSuccess else {
            throw MountFailure("its logical volumes could not be deactivated")
        }
    }
}

/// Runs the guardian to its end; returns its exit status.
func guardDevices() -> Int32 {
    let mounter = MessageSocket(owning: 0, name: "the mounter")
    var prefixes: [String] = []
    while let bytes = try? mounter.receive(limit: MounterMessage.limit) {
        prefixes.append(String(decoding: bytes, as: UTF8.self))
    }
    let deadline = MonotonicClock.now() + removalPatience
    while true {
        // The kernel is still unmounting what lies on them while others end.
        let left = MappedDevice.all().filter { device in prefixes.contains { device.uuid.hasPrefix($0) } }
        if left.isEmpty { return 0 }
        guard MonotonicClock.now() < deadline else { return 1 }
        for device in left { device.remove() }
        MonotonicClock.sleep(nanoseconds: 50_000_000)
    }
}

/// Nanoseconds for which a guardian tries to remove devices.
private let removalPatience: UInt64 = 60_000_000_000

/// A device-mapper device as sysfs shows it.
struct MappedDevice: Equatable {
    /// "253:0".
    let number: DeviceNumber
    let name: String
    let uuid: String

    /// All that the kernel has now; none where it has no device-mapper.
    static func all() -> [MappedDevice] {
        let names = (try? FileTree.entries(of: "/sys/block")) ?? []
        return names.filter { $0.hasPrefix("dm-") }.compactMap { name in
            func fact(_ path: String) -> String? {
                (try? FileTree.text(of: "/sys/block/\(name)/\(path)")).map { text in
                    text.split(separator: "\n").first.map(String.init) ?? ""
                }
            }
            guard let number = fact("dev").flatMap({ DeviceNumber(Substring($0)) }) else { return nil }
            return MappedDevice(number: number, name: fact("dm/name") ?? "", uuid: fact("dm/uuid") ?? "")
        }
    }

    /// Has dmsetup remove it; a device in use stays.
    func remove() {
        _ = try? ExternalCommand.run([
            "dmsetup", "remove", "--noudevrules", "--noudevsync", "-j", String(number.major), "-m",
            String(number.minor),
        ])
    }
}
