// Asks one mounted file system which blocks are free: mount, FITRIM, unmount.
internal import Blocks
internal import Linux
internal import SystemPackage

/// A file system on a block device of the overlay, and where to mount it.
struct FileSystemQuestion {
    /// libblkid's type.
    let fileSystem: String
    /// The loop device or the logical volume.
    let device: String
    /// The directory to mount at.
    let root: String
    /// A name for a file that does not exist: a helper program's messages.
    let log: String
    let faults: OverlayFaults

    /// Mounts, trims and unmounts; `trimBegins` is called when holes begin to mean free space.
    ///
    /// - Returns: What the file system said of its space right after the trim.
    /// - Throws: `MountFailure` or `SystemError`; the device is unmounted as far as that is possible.
    func ask(trimBegins: () throws -> Void) throws -> SpaceStatistics {
        if fileSystem == "btrfs" || fileSystem == "f2fs" { try prepare() }
        let mounted = try MountedFileSystem(fileSystem, on: device, at: root, log: log)
        let statistics: SpaceStatistics
        do {
            try checkMount()
            if faults.stallsWhenMounted { ThisProcess.sleepForever() }
            statistics = try trim(trimBegins)
        } catch {
            try? mounted.unmount()
            throw error
        }
        try mounted.unmount()
        return statistics
    }

    /// Mounts once before the mount that is trimmed.
    ///
    /// What a btrfs log's replay allocates from stays out of reach of a trim in the same mount: up to a whole block
    /// group. An f2fs that was unmounted on a solid-state disk notes in its checkpoint that all free space has been
    /// trimmed, and trims nothing again; the next checkpoint of a mount with `nodiscard` drops the note, so something
    /// is written that leaves no name.
    private func prepare() throws {
        let mounted = try MountedFileSystem(fileSystem, on: device, at: root, log: log)
        let outcome = Result {
            try checkMount()
            if fileSystem == "f2fs" { try Mount.writeNamelessFile(below: root) }
        }
        try mounted.unmount()
        try outcome.get()
    }

    /// The mount must be that of the overlay's device: btrfs, for one, picks a device by the file system's id.
    private func checkMount() throws {
        let number = try Descriptor(opening: device, .readOnly).blockDeviceNumber()
        guard let entry = try Mount.entries().last(where: { $0.mountPoint == root }), entry.source == device,
            // btrfs shows a number of its own there.
            entry.fileSystem == "btrfs" || entry.device == number
        else { throw MountFailure("the kernel mounted another device in its place") }
    }

    private func trim(_ trimBegins: () throws -> Void) throws -> SpaceStatistics {
        let directory = try Descriptor(opening: root, [.readOnly, .directory])
        guard try !Mount.statistics(directory).readOnly else {
            throw MountFailure("it can only be mounted read-only")
        }
        try trimBegins()
        do throws(SystemError) {
            try Mount.trim(directory)
        } catch {
            throw MountFailure("its file system does not tell its free space: \(error.errno.description)")
        }
        let statistics = try Mount.statistics(directory)
        guard !statistics.readOnly else { throw MountFailure("its file system met an error during the trim") }
        try directory.close()
        return statistics
    }
}
