// Loop devices: a file as a block device, detached for sure when its owner is gone.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A loop device with a file behind it; it is detached with its last user (LO_FLAGS_AUTOCLEAR), even after SIGKILL.
package struct LoopDevice: ~Copyable {
    /// How the device is set up.
    package struct Options: Sendable {
        /// Part of the file that the device shows: first byte and number of bytes; 0 is the rest of the file.
        package var offset: UInt64 = 0
        package var length: UInt64 = 0
        /// Bytes of a logical sector: 512, 1024, 2048 or 4096.
        package var sectorSize: UInt32 = 512
        package var readOnly = false
        /// Whether the kernel looks for partitions and makes devices of them.
        package var partitions = false
        /// Whether the kernel reads and writes the file past its page cache.
        package var directIO = false

        package init() {}
    }

    private let descriptor: Descriptor

    /// "/dev/loop3".
    package var path: String { descriptor.name }
    /// The open device's number.
    package var number: Int32 { descriptor.number }

    /// Attaches `file` to a free loop device (ioctls LOOP_CTL_GET_FREE and LOOP_CONFIGURE).
    package init(attaching file: borrowing Descriptor, _ options: Options = Options()) throws(SystemError) {
        var flags = UInt32(LO_FLAGS_AUTOCLEAR)
        if options.readOnly { flags |= UInt32(LO_FLAGS_READ_ONLY) }
        if options.partitions { flags |= UInt32(LO_FLAGS_PARTSCAN) }
        if options.directIO { flags |= UInt32(LO_FLAGS_DIRECT_IO) }
        let control = try Descriptor(opening: "/dev/loop-control", .readWrite)
        // Others may take the device between the question and the answer.
        for _ in 0..<attempts {
            let free = try systemCall("find a free loop device") {
                clinux_ioctl_value(control.number, clinux_LOOP_CTL_GET_FREE, 0)
            }
            let device = try Descriptor(
                opening: "/dev/loop\(free)", options.readOnly ? .readOnly : .readWrite)
            var configuration = loop_config()
            configuration.fd = UInt32(file.number)
            configuration.block_size = options.sectorSize
            configuration.info.lo_offset = options.offset
            configuration.info.lo_sizelimit = options.length
            configuration.info.lo_flags = flags
            let (result, error) = withErrno {
                unsafe clinux_ioctl(device.number, clinux_LOOP_CONFIGURE, &configuration)
            }
            if result == 0 {
                // What an earlier user set outlives the attachment; a killed one may have left it read-only.
                if !options.readOnly { try device.setBlockDeviceReadOnly(false) }
                descriptor = device
                return
            }
            guard error == .resourceBusy else {
                throw SystemError("attach \(file.name) to \(device.name)", error)
            }
        }
        throw SystemError("attach \(file.name) to a loop device", .resourceBusy)
    }

    /// Detaches the file and waits until the kernel has let go of it, at most 10 seconds.
    ///
    /// Another program may have the device open (udev looks at new ones); the kernel detaches when it closes it.
    package consuming func detach() throws(SystemError) {
        let path = self.path
        _ = try systemCall("detach \(path)") { clinux_ioctl_value(descriptor.number, clinux_LOOP_CLR_FD, 0) }
        try descriptor.close()
        let deadline = MonotonicClock.now() + 10_000_000_000
        while LoopDevice.isAttached(path) {
            guard MonotonicClock.now() < deadline else { throw SystemError("detach \(path)", .resourceBusy) }
            usleep(2000)
        }
    }

    /// Whether a file is attached to the loop device `path` now.
    package static func isAttached(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        return unsafe access("/sys/block/\(name)/loop/backing_file", F_OK) == 0
    }
}

/// How often a loop device may be snatched away before attaching fails.
private let attempts = 64
