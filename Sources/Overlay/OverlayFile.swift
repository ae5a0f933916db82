// The one FUSE file that shows an OverlayDisk to the kernel (libfuse's low-level interface).
internal import Blocks
internal import CFuse
internal import Linux
internal import SystemPackage

/// A FUSE session whose root is a regular file: the overlay's disk.
///
/// libfuse calls back on the threads that `serve` starts; the session lives until the process ends.
@safe final class OverlayFile: @unchecked Sendable {
    private let disk: OverlayDisk
    private let buffers: BufferPool
    private let session: OpaquePointer

    /// Takes over the open /dev/fuse `device`, on which the file is already mounted.
    init(serving disk: OverlayDisk, device: consuming Descriptor) throws(MountFailure) {
        self.disk = disk
        buffers = BufferPool(count: serverThreads, bufferSize: largestRequest)
        var operations = overlayOperations
        let context = Context()
        let pointer = unsafe Unmanaged.passRetained(context).toOpaque()
        let made = unsafe "img".withCString { name -> OpaquePointer? in
            var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [
                UnsafeMutablePointer(mutating: name), nil,
            ]
            return unsafe arguments.withUnsafeMutableBufferPointer { vector in
                var list = unsafe fuse_args(argc: 1, argv: vector.baseAddress, allocated: 0)
                return unsafe fuse_session_new(
                    &list, &operations, MemoryLayout<fuse_lowlevel_ops>.size, pointer)
            }
        }
        guard let made = unsafe made else { throw MountFailure("libfuse makes no session") }
        unsafe session = made
        let number = device.take()
        guard unsafe fuse_session_mount(made, "/dev/fd/\(number)") == 0 else {
            throw MountFailure("libfuse does not take over the mounted file")
        }
        context.file = self
    }

    /// Starts the threads that answer the kernel; each ends when the file is unmounted.
    func serve() -> [Thread<Void>] {
        (0..<serverThreads).map { index in Thread("overlay \(index)") { self.answer() } }
    }

    private func answer() {
        var buffer = unsafe fuse_buf()
        while unsafe fuse_session_exited(session) == 0 {
            let count = unsafe fuse_session_receive_buf(session, &buffer)
            if count == -Errno.interrupted.rawValue { continue }
            if count <= 0 { break }
            unsafe fuse_session_process_buf(session, &buffer)
        }
    }

    fileprivate func tellSize(_ request: fuse_req_t) {
        unsafe cfuse_reply_file(request, disk.size, UInt32(overlayBlockSize), attributesLifetime)
    }

    fileprivate func read(_ request: fuse_req_t, _ count: Int, _ offset: off_t) {
        guard let range = clip(offset, count), let buffer = buffers.take() else {
            unsafe fuse_reply_buf(request, nil, 0)
            return
        }
        defer { buffers.giveBack(buffer) }
        let part = unsafe UnsafeMutableRawBufferPointer(
            rebasing: buffer.bytes[0..<min(range.count, largestRequest)])
        do throws(SystemError) {
            try unsafe disk.read(into: part, at: range.lowerBound)
            unsafe fuse_reply_buf(request, part.baseAddress?.assumingMemoryBound(to: CChar.self), part.count)
        } catch {
            unsafe fuse_reply_err(request, Errno.ioError.rawValue)
        }
    }

    fileprivate func write(_ request: fuse_req_t, _ bytes: UnsafeRawBufferPointer, _ offset: off_t) {
        guard let range = clip(offset, bytes.count), range.count == bytes.count else {
            unsafe fuse_reply_err(request, Errno.ioError.rawValue)
            return
        }
        do throws(SystemError) {
            try unsafe disk.write(bytes, at: range.lowerBound)
            unsafe fuse_reply_write(request, bytes.count)
        } catch {
            unsafe fuse_reply_err(request, Errno.ioError.rawValue)
        }
    }

    fileprivate func allocate(_ request: fuse_req_t, _ mode: Int32, _ offset: off_t, _ length: off_t) {
        guard offset >= 0, length > 0, mode & (punchHole | zeroRange) != 0 else {
            unsafe fuse_reply_err(request, Errno.notSupportedOnSocket.rawValue)
            return
        }
        do throws(SystemError) {
            try disk.punch(offset: UInt64(offset), length: UInt64(length), mayBeFree: mode & punchHole != 0)
            unsafe fuse_reply_err(request, 0)
        } catch {
            unsafe fuse_reply_err(request, Errno.ioError.rawValue)
        }
    }

    private func clip(_ offset: off_t, _ count: Int) -> Range<UInt64>? {
        guard offset >= 0, count > 0, UInt64(offset) < disk.size else { return nil }
        let start = UInt64(offset)
        return start..<start + min(UInt64(count), disk.size - start)
    }
}

/// What libfuse hands to every callback; it outlives the session.
private final class Context {
    var file: OverlayFile?
}

/// Threads that answer the kernel: a loop device has few requests under way at once.
private let serverThreads = 3
/// Bytes of the largest read (libfuse offers the kernel at most 256 pages).
private let largestRequest = 1 << 20
private let punchHole: Int32 = 0x02
private let zeroRange: Int32 = 0x10
/// Seconds for which the kernel may keep attributes: they never change.
private let attributesLifetime = 86_400.0

private func file(_ request: fuse_req_t?) -> OverlayFile? {
    guard let pointer = unsafe fuse_req_userdata(request) else { return nil }
    return unsafe Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue().file
}

private let overlayOperations: fuse_lowlevel_ops = {
    var operations = fuse_lowlevel_ops()
    unsafe operations.`init` = { _, connection in
        // Pages are copied once either way; plain reads need no pipe per thread.
        if let connection = unsafe connection {
            unsafe connection.pointee.want &= ~UInt32(FUSE_CAP_SPLICE_READ)
        }
    }
    unsafe operations.getattr = { request, _, _ in
        guard let request = unsafe request, let file = unsafe file(request) else { return }
        unsafe file.tellSize(request)
    }
    unsafe operations.open = { request, _, information in
        // Past the page cache: the loop device's own cache is above, the source's below.
        if let information = unsafe information { unsafe information.pointee.direct_io = 1 }
        unsafe fuse_reply_open(request, information)
    }
    unsafe operations.read = { request, _, count, offset, _ in
        guard let request = unsafe request, let file = unsafe file(request) else { return }
        unsafe file.read(request, count, offset)
    }
    unsafe operations.write = { request, _, bytes, count, offset, _ in
        guard let request = unsafe request, let file = unsafe file(request) else { return }
        unsafe file.write(request, UnsafeRawBufferPointer(start: bytes, count: count), offset)
    }
    unsafe operations.fallocate = { request, _, mode, offset, length, _ in
        guard let request = unsafe request, let file = unsafe file(request) else { return }
        unsafe file.allocate(request, mode, offset, length)
    }
    // Nothing is behind the memory, so there is nothing to wait for.
    unsafe operations.fsync = { request, _, _, _ in unsafe fuse_reply_err(request, 0) }
    unsafe operations.flush = { request, _, _ in unsafe fuse_reply_err(request, 0) }
    unsafe operations.release = { request, _, _ in unsafe fuse_reply_err(request, 0) }
    unsafe operations.statfs = { request, _ in
        // The kernel takes the block size as the loop device's discard granularity.
        unsafe cfuse_reply_block_size(request, UInt32(overlayBlockSize))
    }
    return operations
}()
