// How each file system is mounted on the overlay, and unmounted again.
internal import Blocks
internal import Linux
internal import SystemPackage

/// How the kernel, or ntfs-3g, mounts file systems of one type.
enum MountMethod: Equatable {
    /// By the kernel's driver of this name, with these options.
    case kernel(driver: String, options: String)
    case ntfs3g

    /// The method for libblkid's type, or nil for types that cannot be asked.
    init?(_ fileSystem: String) {
        switch fileSystem {
        // The ext4 driver reads all of them, and it alone knows these options.
        case "ext2", "ext3", "ext4", "ext4dev":
            self = .kernel(driver: "ext4", options: "noinit_itable,nodiscard,errors=remount-ro")
        case "xfs": self = .kernel(driver: "xfs", options: "nouuid,nodiscard")
        case "btrfs": self = .kernel(driver: "btrfs", options: "skip_balance,nodiscard")
        case "f2fs": self = .kernel(driver: "f2fs", options: "nodiscard")
        case "vfat", "exfat": self = .kernel(driver: fileSystem, options: "")
        case "ntfs": self = .ntfs3g
        default: return nil
        }
    }
}

/// A file system mounted on a loop device.
struct MountedFileSystem: ~Copyable {
    private let root: String
    private let fileSystem: String
    private let helper: HelperDriver?

    /// Mounts `device` at `root`; a helper program writes its messages to the new file `log`.
    init(_ fileSystem: String, on device: String, at root: String, log: String) throws {
        helper = try MountedFileSystem.mount(fileSystem, device, root, log)
        self.root = root
        self.fileSystem = fileSystem
    }

    private static func mount(
        _ fileSystem: String, _ device: String, _ root: String, _ log: String
    ) throws -> HelperDriver? {
        switch MountMethod(fileSystem) {
        case .kernel(let driver, let options):
            if driver == "btrfs" { try? Mount.forgetScannedBtrfsDevices() }
            do throws(SystemError) {
                try Mount.attach(
                    device, at: root, type: driver, [.noAccessTimes, .noSetuid, .noDevices], data: options)
            } catch {
                throw MountFailure(
                    error.errno == .operationNotSupportedByDevice
                        ? "this kernel has no \(driver) driver"
                        : "the kernel does not mount its \(driver) file system: \(error.errno.description)")
            }
            return nil
        case .ntfs3g: return try HelperDriver(ntfs: device, at: root, log: log)
        case nil: throw MountFailure("\(fileSystem) cannot be asked which blocks it uses")
        }
    }

    /// Unmounts and returns once everything is written and a helper program has ended.
    consuming func unmount() throws {
        try Mount.detach(root)
        try helper?.finish()
        // btrfs would remember the loop device, which shows something else tomorrow.
        if fileSystem == "btrfs" { try? Mount.forgetScannedBtrfsDevices() }
    }
}

/// ntfs-3g, tied to this process's life.
///
/// A guard process outlives it in the namespace: the kernel unmounts in whichever process leaves last, and if that
/// were the driver itself, the unmount would wait for its own answer for ever.
final class HelperDriver {
    private let driver: ChildProcess
    private let keeper: ChildProcess
    private let lifeline: Descriptor
    private let log: String

    init(ntfs device: String, at root: String, log: String) throws {
        self.log = log
        let pipe = try Pipe()
        let own = ThisProcess.executable
        keeper = try ChildProcess(
            own, [HiddenService.keeper.rawValue], descriptors: [pipe.reader.number, -1, -1])
        let messages = try Descriptor(opening: log, [.writeOnly, .create, .exclusive], mode: 0o600)
        driver = try ChildProcess(
            own,
            [
                HiddenService.tied.rawValue, String(ThisProcess.pid), "ntfs-3g", device, root, "-n", "-o",
                "rw,norecover,noatime,nosuid,nodev,no_detach",
            ],
            descriptors: [-1, messages.number, messages.number, pipe.writer.number])
        lifeline = try pipe.closeReader()
        try messages.close()
        try waitUntilMounted(at: root)
    }

    /// Waits for the driver's end after the unmount, and lets the keeper go.
    func finish() throws {
        _ = try driver.wait()
    }

    private func waitUntilMounted(at root: String) throws {
        let deadline = MonotonicClock.now() + mountPatience
        while true {
            let ended = try driver.waitIfEnded()
            if let entry = try Mount.entries().last(where: { $0.mountPoint == root }), ended == nil {
                guard !entry.options.split(separator: ",").contains("ro") else {
                    try? Mount.detach(root)
                    throw refusal(nil)
                }
                return
            }
            if let ended { throw refusal(ended) }
            guard MonotonicClock.now() < deadline else {
                driver.kill()
                throw MountFailure(
                    "ntfs-3g does not mount it within \(mountPatience / 1_000_000_000) seconds")
            }
            MonotonicClock.sleep(nanoseconds: 2_000_000)
        }
    }

    /// Words for a volume that ntfs-3g mounts read-only or not at all.
    private func refusal(_ status: ExitStatus?) -> MountFailure {
        if status == .exited(programMissing) { return MountFailure("ntfs-3g is not installed here") }
        let text = (try? Descriptor(opening: log, .readOnly).readToEnd(limit: 65_536)) ?? []
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        if status == .exited(14) || lines.contains(where: { $0.contains("hibernated") }) {
            return MountFailure(
                .hibernated, "a Windows that is hibernated or was shut down with Fast Startup")
        }
        if status == .exited(15) || lines.contains(where: { $0.contains("unclean") }) {
            return MountFailure("Windows did not unmount it cleanly")
        }
        return MountFailure("ntfs-3g does not mount it: \(lines.first ?? "no reason given")")
    }
}

/// Nanoseconds a helper may take to mount.
private let mountPatience: UInt64 = 120_000_000_000
/// Exit status of a tied program that could not be started, as shells have it.
let programMissing: Int32 = 127
