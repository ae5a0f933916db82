// Which disks may be made bootable: as for a restore.
internal import Blocks
internal import Disk
internal import Linux
internal import SystemPackage

/// The disks of this run; regular files are attached to loop devices for as long as this lives.
final class ChosenDisks {
    /// A disk with the name to show for it.
    struct Choice {
        var disk: LocalDisk
        let title: String
        /// Whether the user named it with disks=.
        let isNamed: Bool
    }

    private(set) var choices: [Choice] = []
    /// Disks that are left alone and why.
    private(set) var notices: [String] = []
    private var loops: [Attachment] = []
    private let inventory = DiskInventory()

    /// - Parameters:
    ///   - words: Those of disks=; nil takes what a restore would take.
    ///   - isReadOnly: Whether files are attached for reading only.
    /// - Throws: One sentence for a word that is no disk, and where no disk may be taken.
    init(_ words: [String]?, isReadOnly: Bool) throws {
        let local = try inventory.disks()
        if let words {
            choices = try words.map { word in
                guard !word.isEmpty else { throw FixupError("disks= lacks the name of a disk") }
                return try choice(word, isReadOnly)
            }
        } else {
            for disk in local {
                if let reason = disk.refusals(for: .restore, named: false).first {
                    if ![.loop, .optical, .memory, .floppy, .deviceMapper, .raid, .network].contains(disk.bus)
                    {
                        notices.append("\(disk.path) is left alone: it \(reason)")
                    }
                } else {
                    choices.append(
                        Choice(disk: disk, title: ChosenDisks.title(disk, disk.path), isNamed: false))
                }
            }
            guard !choices.isEmpty else {
                guard !local.isEmpty else { throw FixupError("this machine has no disks") }
                let reasons = local.map { disk in
                    let reasons = disk.refusals(for: .restore, named: false).map(\.description)
                    return "\(disk.path) \(reasons.joined(separator: ", "))"
                }
                throw FixupError(
                    "no disk of this machine is eligible: \(reasons.joined(separator: "; ")) (disks= names one "
                        + "all the same)")
            }
        }
    }

    private func choice(_ word: String, _ isReadOnly: Bool) throws -> Choice {
        let disk = try inventory.describe(path: word)
        if let reason = disk.refusals(for: .restore, named: true).first {
            throw FixupError("\(disk.path) \(reason)")
        }
        guard disk.kind == .regularFile else {
            return Choice(disk: disk, title: ChosenDisks.title(disk, disk.path), isNamed: true)
        }
        let attachment = try Attachment(disk, isReadOnly)
        loops.append(attachment)
        let attached = try inventory.describe(path: attachment.path)
        return Choice(disk: attached, title: ChosenDisks.title(disk, word), isNamed: true)
    }

    private static func title(_ disk: LocalDisk, _ name: String) -> String {
        let model = disk.model.isEmpty ? disk.bus.title : disk.model.onScreen
        return "\(name) (\(model), \(disk.size.asBytes))"
    }

    /// Makes sure that nobody else has the disks, without changing them.
    func expectUnused() throws {
        for choice in choices {
            let now = try inventory.describe(path: choice.disk.path)
            let refusals = now.refusals(for: .restore, named: choice.isNamed).filter { $0 != .readOnly }
            if let reason = refusals.first { throw FixupError("\(now.path) \(reason)") }
            try expectNobody(has: now.path)
        }
    }

    /// Tries for a second: programs that look at new devices claim them for a moment.
    private func expectNobody(has path: String) throws {
        let deadline = MonotonicClock.now() + 1_000_000_000
        while true {
            do throws(SystemError) {
                return try Descriptor(opening: path, [.readOnly, .exclusive]).close()
            } catch {
                guard error.errno == .resourceBusy else { throw error }
                guard MonotonicClock.now() < deadline else {
                    throw FixupError("\(path) is in use by another program or a mounted file system")
                }
                MonotonicClock.sleep(nanoseconds: 20_000_000)
            }
        }
    }

    /// Looks at the disks again, after they were changed.
    func refresh() throws {
        for index in choices.indices {
            choices[index].disk = try inventory.describe(path: choices[index].disk.path)
        }
    }
}

/// A regular file as a loop device with partitions.
private final class Attachment {
    private let loop: LoopDevice
    var path: String { loop.path }

    init(_ disk: LocalDisk, _ isReadOnly: Bool) throws {
        let file = try Descriptor(opening: disk.path, isReadOnly ? .readOnly : .readWrite)
        if !isReadOnly { try file.lockExclusively() }
        var options = LoopDevice.Options()
        options.sectorSize = disk.sectorSize
        options.readOnly = isReadOnly
        options.partitions = true
        loop = try LoopDevice(attaching: file, options)
        let device = try Descriptor(opening: loop.path, .readOnly)
        for partition in disk.partitions where partition.role != .extended {
            guard let number = Int32(exactly: partition.number) else { continue }
            do throws(SystemError) {
                try device.addPartition(
                    number, offset: partition.extent.offset, length: partition.extent.length)
            } catch {
                // A kernel that knows the table has made it already.
                guard error.errno == .resourceBusy else { throw error }
            }
        }
    }

    deinit {
        // Its partitions would keep the device from going with its last user.
        guard let device = try? Descriptor(opening: loop.path, .readOnly) else { return }
        for number in 1...128 { try? device.removePartition(Int32(number)) }
    }
}
