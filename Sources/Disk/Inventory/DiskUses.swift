// Who uses a block device at this moment, and which device a file lies on.
internal import Linux

/// The kernel's lists of mounts, swap areas and loop devices, read once.
struct DiskUses {
    struct Mount {
        let number: DeviceNumber
        let point: String
        let source: String
        /// Whether the file system as a whole cannot be written, not only this mount of it.
        let isReadOnly: Bool
    }

    private(set) var mounts: [Mount] = []
    private var swaps: [String] = []
    /// Loop devices with what is behind them.
    private var loops: [(name: String, backing: String, isReadOnly: Bool)] = []
    /// Names of block devices that mounted btrfs file systems consist of.
    private var btrfsMembers: Set<String> = []

    /// What cannot be read is not there: a kernel without swap has no /proc/swaps.
    init(sys: String, proc: String) {
        mounts = lines("\(proc)/self/mountinfo").compactMap(DiskUses.mount)
        swaps = lines("\(proc)/swaps").dropFirst().compactMap { line in
            line.split(whereSeparator: \.isWhitespace).first.map { DiskUses.unescaped($0) }
        }
        for name in (try? FileTree.entries(of: "\(sys)/block")) ?? [] where name.hasPrefix("loop") {
            guard let backing = try? FileTree.text(of: "\(sys)/block/\(name)/loop/backing_file") else {
                continue
            }
            let flag = try? FileTree.text(of: "\(sys)/block/\(name)/ro")
            loops.append((name, String(backing.prefix { $0 != "\n" }), flag?.first == "1"))
        }
        for system in (try? FileTree.entries(of: "\(sys)/fs/btrfs")) ?? [] {
            btrfsMembers.formUnion((try? FileTree.entries(of: "\(sys)/fs/btrfs/\(system)/devices")) ?? [])
        }
    }

    /// What uses the device and its partitions, which are given by number and name.
    func obstacles(_ devices: [(number: DeviceNumber, name: String, holders: [String])]) -> [Obstacle] {
        var result: [Obstacle] = []
        for device in devices {
            let used = mounts.filter { mount in
                mount.number == device.number
                    || (mount.number.major == 0 && mount.source.hasPrefix("/dev/")
                        && DiskUses.represented(mount.source) == device.number)
            }
            if let first = used.first {
                let readOnly = used.allSatisfy(\.isReadOnly)
                result.append(.mounted(device: device.name, at: first.point, readOnly: readOnly))
            } else if btrfsMembers.contains(device.name) {
                result.append(.mounted(device: device.name, at: "a btrfs file system", readOnly: false))
            }
            for swap in swaps where DiskUses.represented(swap) == device.number {
                result.append(.swap(device: device.name))
            }
            for holder in device.holders { result.append(.held(by: holder, readOnly: false)) }
            for loop in loops where DiskUses.represented(loop.backing) == device.number {
                result.append(.held(by: loop.name, readOnly: loop.isReadOnly))
            }
            // Two loop devices over one file are one disk: what the other carries is on this one too.
            if let own = loops.first(where: { $0.name == device.name }),
                let file = try? FileStatus(of: own.backing)
            {
                result += obstacles(ofFile: file).filter {
                    $0 != .held(by: own.name, readOnly: own.isReadOnly)
                }
            }
        }
        return result
    }

    /// The loop devices that are attached to the regular file with these facts.
    func obstacles(ofFile status: FileStatus) -> [Obstacle] {
        loops.compactMap { loop in
            guard let other = try? FileStatus(of: loop.backing), other.inode == status.inode,
                other.device == status.device
            else { return nil }
            return .held(by: loop.name, readOnly: loop.isReadOnly)
        }
    }

    /// The device that a node stands for; nil for anything else.
    static func represented(_ path: String) -> DeviceNumber? {
        guard let status = try? FileStatus(of: path), status.kind == .blockDevice else { return nil }
        return status.represents
    }

    /// One line of mountinfo (proc(5)): id, parent, number, root, point, options, fields …, "-", type, source, options.
    private static func mount(_ line: Substring) -> Mount? {
        let fields = line.split(separator: " ", omittingEmptySubsequences: false)
        guard fields.count > 6, let number = DeviceNumber(fields[2]),
            let dash = fields.firstIndex(of: "-"), fields.count > dash + 3
        else { return nil }
        return Mount(
            number: number, point: unescaped(fields[4]), source: unescaped(fields[dash + 2]),
            isReadOnly: fields[dash + 3].split(separator: ",").contains("ro"))
    }

    /// Undoes the kernel's "\040" for characters that would break its tables.
    private static func unescaped(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "\\"), index + 3 < bytes.count,
                let code = UInt8(String(decoding: bytes[index + 1...index + 3], as: UTF8.self), radix: 8)
            {
                result.append(code)
                index += 4
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func lines(_ path: String) -> [Substring] {
        ((try? FileTree.text(of: path)) ?? "").split(separator: "\n")
    }
}

/// Which devices the image file and the boot medium lie on, down to the whole disks.
struct DiskPlaces {
    private var devices: [DeviceNumber: Obstacle] = [:]
    private let sys: String
    private let mounts: [DiskUses.Mount]

    init(_ context: DiskInventory.Context, sys: String, mounts: [DiskUses.Mount]) {
        self.sys = sys
        self.mounts = mounts
        if let medium = context.bootMedium { add(medium, .bootMedium, depth: 0) }
        if let file = context.imageFile { add(file, .holdsFile(file), depth: 0) }
    }

    subscript(number: DeviceNumber) -> Obstacle? { devices[number] }

    private mutating func add(_ path: String, _ obstacle: Obstacle, depth: Int) {
        var path = path
        // An image that is still to be made lies where its directory does.
        while !FileTree.exists(path) {
            guard let slash = path.lastIndex(of: "/") else {
                path = "."
                break
            }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
        guard let status = try? FileStatus(of: path) else { return }
        if status.kind == .blockDevice {
            add(status.represents, obstacle, depth: depth)
        } else if status.device.major != 0 {
            add(status.device, obstacle, depth: depth)
        } else if let real = try? FileTree.realPath(path) {
            // btrfs and others have numbers of their own: the mount names the device.
            let mount = mounts.filter { mount in
                mount.point == "/" || real == mount.point || real.hasPrefix(mount.point + "/")
            }.max { $0.point.utf8.count <= $1.point.utf8.count }
            guard let mount, mount.source.hasPrefix("/dev/"),
                let number = DiskUses.represented(mount.source)
            else { return }
            add(number, obstacle, depth: depth)
        }
    }

    /// Adds a device and all that it consists of: its disk, the slaves of RAID and LVM, a loop device's file.
    private mutating func add(_ number: DeviceNumber, _ obstacle: Obstacle, depth: Int) {
        guard depth < 16, devices[number] == nil else { return }
        devices[number] = obstacle
        guard let place = try? FileTree.realPath("\(sys)/dev/block/\(number)") else { return }
        if FileTree.exists("\(place)/partition"), let text = try? FileTree.text(of: "\(place)/../dev"),
            let whole = DeviceNumber(text.prefix { $0 != "\n" })
        {
            add(whole, obstacle, depth: depth + 1)
        }
        for slave in (try? FileTree.entries(of: "\(place)/slaves")) ?? [] {
            guard let text = try? FileTree.text(of: "\(place)/slaves/\(slave)/dev"),
                let number = DeviceNumber(text.prefix { $0 != "\n" })
            else { continue }
            add(number, obstacle, depth: depth + 1)
        }
        if let backing = try? FileTree.text(of: "\(place)/loop/backing_file") {
            add(String(backing.prefix { $0 != "\n" }), obstacle, depth: depth + 1)
        }
    }
}
