// The boot configurations of all machines, as files in a TFTP root.
internal import Blocks
internal import Linux
internal import Synchronization
internal import SystemPackage

/// The folders `grub/mac` and `pxelinux.cfg` of a TFTP root: what `BootConfiguration` has for each machine.
///
/// A file that this server did not write is an administrator's answer and stays. Otherwise a file is written only where what it says changes, under a temporary name first, so that no machine reads half of
/// one. Everybody may read them: the TFTP server is another user. May be used from any thread.
package final class BootFiles: Sendable {
    /// The longest file that can be one of ours, in bytes.
    private static let longest: UInt64 = 4096
    private static let temporary = ".new"

    private let grub: FlatDirectory
    private let pxelinux: FlatDirectory
    private let lock = Mutex(())

    /// Opens the folders, and makes those that are missing.
    ///
    /// - Throws: `ServerError` naming the folder that cannot be made or opened.
    package init(directory: String) throws {
        (grub, pxelinux) = try ServerError.naming {
            let root = try FlatDirectory(directory)
            return (
                try BootFiles.folder(BootConfiguration.grubFolder, of: root),
                try BootFiles.folder(BootConfiguration.pxelinuxFolder, of: root)
            )
        }
    }

    /// Says what the machine with this MAC address starts.
    package func set(_ mac: [UInt8], imaging: Bool) throws {
        try lock.withLock { _ in try write(mac, imaging: imaging) }
    }

    /// Says what machines start that have no files of their own.
    package func setDefault(imaging: Bool) throws {
        try lock.withLock { _ in try writeDefault(imaging: imaging) }
    }

    /// Makes the machine one that has no files of its own.
    package func remove(_ mac: [UInt8]) throws {
        try lock.withLock { _ in
            try ServerError.naming {
                try remove(BootConfiguration.grubName(mac), of: grub)
                try remove(BootConfiguration.pxelinuxName(mac), of: pxelinux)
            }
        }
    }

    /// Says for all machines, and for those that are not among them, what they start; files of other ones go.
    package func replaceAll(_ machines: [[UInt8]: Bool], unknown: Bool) throws {
        try lock.withLock { _ in
            for (mac, imaging) in machines { try write(mac, imaging: imaging) }
            try writeDefault(imaging: unknown)
            try ServerError.naming {
                for name in try grub.names()
                where !isWanted(
                    name, BootConfiguration.mac(ofGrubName: name), BootConfiguration.grubName, machines)
                { try remove(name, of: grub) }
                for name in try pxelinux.names()
                where !isWanted(
                    name, BootConfiguration.mac(ofPxelinuxName: name), BootConfiguration.pxelinuxName,
                    machines)
                { try remove(name, of: pxelinux) }
            }
        }
    }

    /// Whether a file of our names stays: that of a machine there is, in our spelling, or none of a machine at all.
    private func isWanted(
        _ name: String, _ mac: [UInt8]?, _ spelling: ([UInt8]) -> String, _ machines: [[UInt8]: Bool]
    ) -> Bool {
        if isTemporary(name) { return false }
        guard let mac else { return true }
        return machines[mac] != nil && name == spelling(mac)
    }

    private func write(_ mac: [UInt8], imaging: Bool) throws {
        try ServerError.naming {
            try put(BootConfiguration.grub(imaging: imaging), BootConfiguration.grubName(mac), in: grub)
            try put(
                BootConfiguration.pxelinux(imaging: imaging), BootConfiguration.pxelinuxName(mac),
                in: pxelinux)
        }
    }

    private func writeDefault(imaging: Bool) throws {
        try ServerError.naming {
            try put(BootConfiguration.grub(imaging: imaging), BootConfiguration.grubDefault, in: grub)
            try put(
                BootConfiguration.pxelinux(imaging: imaging), BootConfiguration.pxelinuxDefault, in: pxelinux)
        }
    }

    private func put(_ text: String, _ name: String, in folder: FlatDirectory) throws(SystemError) {
        let content = Array(text.utf8)
        let present = try present(name, in: folder)
        guard present.isOurs, present.content != content else { return }
        let temporary = ".\(name).\(Random.bytes(4).hex)\(BootFiles.temporary)"
        let file = try folder.open(temporary, [.writeOnly, .create, .exclusive])
        do throws(SystemError) {
            try file.write(content, at: 0)
            try file.setMode(0o644)
            try file.synchronize()
            try folder.rename(temporary, to: name, replacing: true)
        } catch {
            try? folder.remove(temporary)
            throw error
        }
    }

    private func remove(_ name: String, of folder: FlatDirectory) throws(SystemError) {
        let mayGo = isTemporary(name) ? true : try present(name, in: folder).isOurs
        if mayGo { try folder.remove(name) }
    }

    /// Whether it is the name of a file that a crash has left half written.
    private func isTemporary(_ name: String) -> Bool {
        name.hasPrefix(".") && name.hasSuffix(BootFiles.temporary)
    }

    /// What has the name, and whether it may be changed: nothing has it, or this server wrote it.
    private func present(
        _ name: String, in folder: FlatDirectory
    ) throws(SystemError) -> (content: [UInt8]?, isOurs: Bool) {
        guard let status = try folder.status(of: name) else { return (nil, true) }
        guard status.kind == .regularFile, status.size <= BootFiles.longest else { return (nil, false) }
        let content = try folder.open(name, .readOnly).read(Int(status.size), at: 0)
        return (content, content.isEmpty || content.starts(with: BootConfiguration.mark.utf8))
    }

    private static func folder(_ path: String, of root: FlatDirectory) throws(SystemError) -> FlatDirectory {
        var folder = root
        for name in path.split(separator: "/") { folder = try folder.subdirectory(String(name)) }
        return folder
    }
}
