// Where file systems of the disks are mounted: seen by this process and its children alone.
internal import Blocks
internal import Linux
internal import SystemPackage

/// A mount namespace of this process's own with a small file system of memory to mount things on.
///
/// What is left mounted, also by a killed process, the kernel unmounts with the namespace.
final class MountArea {
    private let base: String
    private var count = 0

    /// How a file system is mounted.
    enum Access {
        /// Nothing is written, not even what a journal asks for.
        case look
        case change
    }

    init() throws {
        do throws(SystemError) { try Mount.unshareNamespace() } catch {
            throw FixupError("bootfix mounts file systems, which needs root: \(error.errno.description)")
        }
        for candidate in ["/mnt", "/media", "/run", "/tmp"] where FileTree.exists(candidate) {
            try Mount.attach(
                "img", at: candidate, type: "tmpfs", [.noSetuid, .noDevices], data: "size=4m,mode=0700")
            base = candidate
            return
        }
        throw FixupError("there is no directory to mount file systems in: /mnt is missing")
    }

    /// A new empty directory.
    func directory() throws(SystemError) -> String {
        count += 1
        let path = "\(base)/\(count)"
        try Mount.makeDirectory(path)
        return path
    }

    /// Mounts `volume`, hands `body` the place, and unmounts it.
    func with<R>(_ volume: VolumeReference, _ access: Access, _ body: (String) throws -> R) throws -> R {
        let place = try directory()
        try mount(volume, at: place, access)
        let result = Result { try body(place) }
        do throws(SystemError) { try Mount.detach(place) } catch {
            // The first error is the one that tells.
            _ = try result.get()
            throw FixupError("\(volume.device) cannot be unmounted: \(error.errno.description)")
        }
        return try result.get()
    }

    /// Mounts `volume` at `place`; whoever calls unmounts it.
    func mount(_ volume: VolumeReference, at place: String, _ access: Access) throws {
        guard let (driver, options) = MountArea.method(volume, access) else {
            throw FixupError(
                "\(volume.device) has a file system of type \(volume.fileSystem), which is not mounted")
        }
        if driver == "btrfs" { try? Mount.forgetScannedBtrfsDevices() }
        var flags: Mount.Flags = [.noSetuid, .noDevices, .noAccessTimes]
        if access == .look { flags.insert(.readOnly) }
        do throws(SystemError) {
            try Mount.attach(volume.device, at: place, type: driver, flags, data: options)
        } catch {
            throw FixupError(
                error.errno == .operationNotSupportedByDevice
                    ? "this kernel has no \(driver) driver for \(volume.device)"
                    : "the kernel does not mount \(volume.device) as \(driver): \(error.errno.description)")
        }
        // btrfs picks a device by the file system's identifier, of which clones have the same.
        guard let entry = try Mount.entries().last(where: { $0.mountPoint == place }),
            entry.source == volume.device
        else {
            try? Mount.detach(place)
            throw FixupError("the kernel mounts another device in place of \(volume.device)")
        }
    }

    /// Driver and options; nil for file systems that are not mounted here.
    static func method(_ volume: VolumeReference, _ access: Access) -> (driver: String, options: String)? {
        let look = access == .look
        switch volume.fileSystem {
        case "ext2", "ext3", "ext4": return ("ext4", look ? "noload" : "")
        case "xfs": return ("xfs", look ? "nouuid,norecovery" : "nouuid")
        case "btrfs":
            let options = [look ? "rescue=nologreplay" : nil, volume.subvolume.map { "subvol=\($0)" }]
            return ("btrfs", options.compactMap { $0 }.joined(separator: ","))
        case "f2fs": return ("f2fs", look ? "norecovery" : "")
        case "vfat": return ("vfat", "")
        default: return nil
        }
    }
}

/// Another program of this system.
enum Program {
    /// Its path by the PATH of this process, or where system programs usually are; nil where there is none.
    static func find(_ name: String) -> String? {
        let path = environmentVariable("PATH") ?? ""
        let usual = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return (path.split(separator: ":").map(String.init) + usual).lazy.map { "\($0)/\(name)" }.first {
            $0.hasPrefix("/") && FileTree.exists($0)
        }
    }

    /// Runs a program to its end; throws one sentence with its last line of output when it fails.
    static func run(_ arguments: [String], to purpose: String) throws -> String {
        let outcome = try ExternalCommand.run(arguments, limit: 1 << 20)
        guard outcome.status == 0 else {
            let said = (outcome.errors + outcome.output).split(separator: "\n")
            let errors = said.filter { $0.contains("error:") }
            let reason = errors.last ?? said.last ?? "exit status \(outcome.status)"
            throw FixupError("\(purpose) failed: \(String(reason).onScreenLine)")
        }
        return outcome.output
    }
}
