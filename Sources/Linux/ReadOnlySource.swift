// A source disk held read-only for as long as it is captured.
internal import Synchronization
internal import SystemPackage

/// An open source: a file, or a block device that the kernel lets nobody write to while it is held.
///
/// Several may hold one device, one inside the other; each puts back what it found. After SIGKILL the device stays
/// read-only until it is set otherwise; reading it works all the same.
package final class ReadOnlySource: Sendable {
    package let path: String
    private let state: Mutex<State>

    private struct State: ~Copyable {
        var descriptor: Descriptor?
        let wasWritable: Bool

        func duplicate(_ path: String) throws(SystemError) -> Descriptor {
            switch descriptor {
            case .some(let descriptor): try descriptor.duplicate()
            case nil: throw SystemError("read \(path)", .badFileDescriptor)
            }
        }
    }

    /// Opens `path` O_RDONLY, and sets a block device read-only (ioctl BLKROSET).
    package init(path: String) throws(SystemError) {
        self.path = path
        let descriptor = try Descriptor(opening: path, .readOnly)
        var wasWritable = false
        if try FileStatus(of: descriptor).kind == .blockDevice, try !descriptor.isBlockDeviceReadOnly() {
            try descriptor.setBlockDeviceReadOnly(true)
            wasWritable = true
        }
        state = Mutex(State(descriptor: descriptor, wasWritable: wasWritable))
    }

    /// Calls `body` with the open disk.
    package func withDescriptor<R>(_ body: (borrowing Descriptor) throws -> R) throws -> R {
        let copy = try state.withLock { state throws(SystemError) in try state.duplicate(path) }
        return try body(copy)
    }

    /// Puts the device's former state back and closes it; later calls do nothing.
    package func release() throws(SystemError) {
        try state.withLock { state throws(SystemError) in
            guard let descriptor = state.descriptor.take() else { return }
            if state.wasWritable { try descriptor.setBlockDeviceReadOnly(false) }
            try descriptor.close()
        }
    }

    deinit { try? release() }
}
