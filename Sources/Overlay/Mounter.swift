// The process that mounts: it never serves what it mounts, so that killing either of the two ends both.
internal import Blocks
internal import Linux
internal import SystemPackage

/// Mounts the file system on the overlay, trims and unmounts it, in a mount namespace of its own.
///
/// Runs on the process's only thread. Whatever it leaves undone the kernel undoes with the namespace.
final class Mounter {
    private let service: MessageSocket
    private let request: ServiceRequest

    /// Takes over the socket to the service and reads from it what to mount.
    init(service: consuming MessageSocket) throws {
        guard let bytes = try service.receive(limit: MounterMessage.limit) else {
            throw MountFailure("the overlay service asks for nothing")
        }
        request = try ServiceRequest(decoding: bytes)
        self.service = service
    }

    /// Does everything and tells the service; throws only when the service is gone.
    func run(fuseDevice: consuming Descriptor) throws {
        do {
            try Mount.unshareNamespace()
            try mapInNamespace(fuseDevice: fuseDevice)
            try tell(.finished)
        } catch let failure as MountFailure {
            try tell(.failed(failure))
        } catch let error as SystemError {
            try tell(.failed(MountFailure(error.description)))
        }
    }

    private func mapInNamespace(fuseDevice: consuming Descriptor) throws {
        let base = try mountPrivateDirectory()
        let path = "\(base)/partition"
        let root = "\(base)/root"
        try Descriptor(opening: path, [.writeOnly, .create, .exclusive], mode: 0o600).close()
        try Mount.makeDirectory(root)
        try Mount.attach(
            "overlay", at: path, type: "fuse", [.noSetuid, .noDevices, .noExecution],
            data: "fd=\(fuseDevice.number),rootmode=100000,user_id=0,group_id=0")
        // The service alone holds the device from now on: when it dies, the kernel fails every request at once.
        try fuseDevice.close()
        try tell(.overlayMounted)

        let file = try Descriptor(opening: path, .readWrite)
        var options = LoopDevice.Options()
        options.sectorSize = request.sectorSize
        let loop = try LoopDevice(attaching: file, options)
        try file.close()
        do {
            try mapFileSystem(on: loop, at: root, log: "\(base)/log")
        } catch {
            // The first failure is the one to report; what stays behind goes with the namespace.
            try? loop.detach()
            throw error
        }
        try loop.detach()
        try Mount.detach(path)
    }

    private func mapFileSystem(on loop: borrowing LoopDevice, at root: String, log: String) throws {
        if request.fileSystem == "btrfs" { try replayBtrfs(on: loop, at: root, log: log) }
        let mounted = try MountedFileSystem(request.fileSystem, on: loop.path, at: root, log: log)
        let statistics: SpaceStatistics
        do {
            try checkMount(loop, at: root)
            if request.faults.stallsWhenMounted { ThisProcess.sleepForever() }
            statistics = try trim(root)
        } catch {
            try? mounted.unmount()
            throw error
        }
        try mounted.unmount()
        try tell(.unmounted(statistics))
    }

    /// Replays a btrfs log in a mount of its own.
    ///
    /// What the replay allocates from stays out of reach of a trim in the same mount: up to a whole block group.
    private func replayBtrfs(on loop: borrowing LoopDevice, at root: String, log: String) throws {
        let mounted = try MountedFileSystem(request.fileSystem, on: loop.path, at: root, log: log)
        let check = Result { try checkMount(loop, at: root) }
        try mounted.unmount()
        try check.get()
    }

    /// The mount must be that of the overlay's loop device: btrfs, for one, picks a device by the file system's id.
    private func checkMount(_ loop: borrowing LoopDevice, at root: String) throws {
        let path = loop.path
        let number = try Descriptor(opening: path, .readOnly).blockDeviceNumber()
        guard let entry = try Mount.entries().last(where: { $0.mountPoint == root }), entry.source == path,
            // btrfs shows a number of its own there.
            entry.fileSystem == "btrfs" || entry.device == number
        else { throw MountFailure("the kernel mounted another device in its place") }
    }

    private func trim(_ root: String) throws -> SpaceStatistics {
        let directory = try Descriptor(opening: root, [.readOnly, .directory])
        guard try !Mount.statistics(directory).readOnly else {
            throw MountFailure("it can only be mounted read-only")
        }
        try tell(.trimBegins)
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

    /// A tmpfs that only this namespace sees, so that no directory stays behind; returns where it is.
    private func mountPrivateDirectory() throws -> String {
        for candidate in ["/mnt", "/media", "/run", "/tmp"] {
            do throws(SystemError) {
                try Mount.attach(
                    "img", at: candidate, type: "tmpfs", [.noSetuid, .noDevices, .noExecution],
                    data: "size=1m,mode=0700")
                return candidate
            } catch {
                guard error.errno == .noSuchFileOrDirectory else { throw error }
            }
        }
        throw MountFailure("there is no directory to mount it in")
    }

    /// Sends one message and waits until the service has taken note of it.
    private func tell(_ message: MounterMessage) throws {
        try service.send(message.encoded)
        guard try service.receive(limit: MounterMessage.limit) != nil else {
            throw MountFailure("the overlay service has gone")
        }
    }
}
