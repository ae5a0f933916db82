// The process that mounts: it never serves what it mounts, so that killing either of the two ends both.
internal import Blocks
internal import Linux
internal import SystemPackage

/// Mounts what the overlay shows, trims and unmounts it, in a mount namespace of its own.
///
/// Runs on the process's only thread. Whatever it leaves undone the kernel undoes with the namespace, and the guardian
/// where a volume group was activated.
final class Mounter {
    private let service: MessageSocket
    private let request: ServiceRequest
    private let identify: ContentIdentifier

    /// Takes over the socket to the service and reads from it what to mount.
    init(service: consuming MessageSocket, identify: @escaping ContentIdentifier) throws {
        guard let bytes = try service.receive(limit: MounterMessage.limit) else {
            throw MountFailure("the overlay service asks for nothing")
        }
        request = try ServiceRequest(decoding: bytes)
        self.service = service
        self.identify = identify
    }

    /// Does everything and tells the service; throws only when the service is gone.
    func run(fuseDevice: consuming Descriptor) throws {
        do {
            // Before the namespace: the guardian must not keep it alive.
            let guardian = request.isVolumeGroups ? try DeviceGuardian() : nil
            try Mount.unshareNamespace()
            try mapInNamespace(fuseDevice: fuseDevice, guardian)
            try guardian?.finish()
            try tell(.finished)
        } catch let failure as MountFailure {
            try tell(.failed(failure))
        } catch let error as SystemError {
            try tell(.failed(MountFailure(error.description)))
        }
    }

    private func mapInNamespace(fuseDevice: consuming Descriptor, _ guardian: DeviceGuardian?) throws {
        let base = try mountPrivateDirectory(withDevices: guardian != nil)
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

        let size = request.segments.last?.place.end ?? 0
        let loops = try request.segments.map { segment in
            let file = try Descriptor(opening: path, .readWrite)
            // Older kernels (6.1) give a loop device the size they know already, and of a new FUSE file that is 0.
            guard try file.size() == size else { throw MountFailure("the overlay's file has another size") }
            var options = LoopDevice.Options()
            options.offset = segment.start
            options.length = segment.extent.length
            options.sectorSize = segment.sectorSize
            return AttachedLoop(try LoopDevice(attaching: file, options))
        }
        do {
            if let guardian {
                let volumes = VolumeGroupMounter(
                    request, loops: loops.map(\.path), base: base, root: root, guardian: guardian,
                    identify: identify, tell: tell)
                try volumes.run()
            } else {
                let question = FileSystemQuestion(
                    fileSystem: request.fileSystem, device: loops[0].path, root: root, log: "\(base)/log",
                    faults: request.faults)
                try tell(.unmounted(question.ask { try tell(.trimBegins) }))
            }
        } catch {
            // The first failure is the one to report; what stays behind goes with the namespace.
            for loop in loops { try? loop.detach() }
            throw error
        }
        for loop in loops { try loop.detach() }
        try Mount.detach(path)
    }

    /// A tmpfs that only this namespace sees, so that no directory stays behind; returns where it is.
    private func mountPrivateDirectory(withDevices: Bool) throws -> String {
        var flags: Mount.Flags = [.noSetuid, .noExecution]
        if !withDevices { flags.insert(.noDevices) }
        for candidate in ["/mnt", "/media", "/run", "/tmp"] {
            do throws(SystemError) {
                try Mount.attach("img", at: candidate, type: "tmpfs", flags, data: "size=1m,mode=0700")
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

/// A loop device among several: a value without copies cannot be in an array.
private final class AttachedLoop {
    private var loop: LoopDevice?
    let path: String

    init(_ loop: consuming LoopDevice) {
        path = loop.path
        self.loop = consume loop
    }

    /// Detaches it and waits until it is; later calls do nothing.
    func detach() throws {
        guard let loop = loop.take() else { return }
        try loop.detach()
    }
}
