// The one way a disk is opened for writing: nobody else may have it.
internal import Linux
internal import SystemPackage

/// Opens a disk for reading and writing so that nobody else can: a block device in use answers EBUSY.
///
/// Tries for a second: programs that look at new devices claim them for a moment, and a child process that is
/// being started holds every descriptor of its parent until it runs its own program.
func openExclusively(_ disk: LocalDisk, _ more: Descriptor.Options) throws -> Descriptor {
    var options: Descriptor.Options = [.readWrite, more]
    // Without O_CREAT the flag has a meaning only for block devices.
    if disk.kind == .blockDevice { options.insert(.exclusive) }
    let deadline = MonotonicClock.now() + 1_000_000_000
    while true {
        do throws(SystemError) {
            let descriptor = try Descriptor(opening: disk.path, options)
            let status = try FileStatus(of: descriptor)
            let isSame =
                disk.kind == .blockDevice
                ? status.kind == .blockDevice && status.represents == disk.deviceNumber
                : status.kind == .regularFile
            guard isSame else {
                throw SystemError("open \(disk.path), which is another device now", .noSuchFileOrDirectory)
            }
            // O_EXCL means nothing for a regular file; the lock keeps out a second restore to it.
            if disk.kind == .regularFile { try descriptor.lockExclusively() }
            return descriptor
        } catch {
            guard error.errno == .resourceBusy || error.errno == .wouldBlock else { throw error }
            guard MonotonicClock.now() < deadline else {
                throw DiskError(
                    .refused, "\(disk.path) is in use by another program or a mounted file system")
            }
            MonotonicClock.sleep(nanoseconds: 20_000_000)
        }
    }
}
