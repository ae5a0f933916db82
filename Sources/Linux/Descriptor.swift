// An owned file descriptor.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file descriptor that has one owner; the owner closes it, and may learn that closing failed.
package struct Descriptor: ~Copyable {
    /// How a file is opened; O_CLOEXEC is always added.
    package struct Options: OptionSet, Sendable {
        package let rawValue: Int32
        package init(rawValue: Int32) { self.rawValue = rawValue }
        package static let readOnly = Options(rawValue: O_RDONLY)
        package static let writeOnly = Options(rawValue: O_WRONLY)
        package static let readWrite = Options(rawValue: O_RDWR)
        package static let create = Options(rawValue: O_CREAT)
        package static let exclusive = Options(rawValue: O_EXCL)
        package static let truncate = Options(rawValue: O_TRUNC)
        package static let directory = Options(rawValue: O_DIRECTORY)
        /// Past the page cache; offsets, lengths and memory must be multiples of the logical sector size.
        package static let direct = Options(rawValue: 0o40000)
        package static let nonBlocking = Options(rawValue: O_NONBLOCK)
        package static let noFollow = Options(rawValue: O_NOFOLLOW)
    }

    /// The path or a description of what it is, used in errors.
    package let name: String
    private let owned: OwnedNumber

    /// The descriptor's number, for calls that this type does not wrap; it stays owned by this value.
    package var number: Int32 { owned.number }

    /// Takes ownership of an open descriptor.
    package init(owning number: Int32, name: String) {
        owned = OwnedNumber(number: number)
        self.name = name
    }

    /// Opens `path` (C function `open`); `mode` applies to files that are created.
    package init(opening path: String, _ options: Options, mode: UInt32 = 0o644) throws(SystemError) {
        let verb = options.contains(.create) ? "create" : "open"
        let number = try systemCall("\(verb) \(path)") { unsafe clinux_open(path, options.rawValue, mode) }
        self.init(owning: number, name: path)
    }

    /// Closes the descriptor and reports what the kernel says, which for a file may be a late write error.
    package consuming func close() throws(SystemError) {
        let name = self.name
        let number = take()
        let (result, error) = withErrno { Glibc.close(number) }
        if result != 0, error != .interrupted { throw SystemError("close \(name)", error) }
    }

    /// Gives up ownership: the caller closes the number.
    package consuming func take() -> Int32 { owned.take() }

    /// A second descriptor of the same open file (C function `fcntl(F_DUPFD_CLOEXEC)`).
    package func duplicate() throws(SystemError) -> Descriptor {
        let copy = try systemCall("duplicate \(name)") { fcntl(number, F_DUPFD_CLOEXEC, 3) }
        return Descriptor(owning: copy, name: name)
    }

    /// Fills `buffer` from `offset`; the end of the file inside the range is an error (ENXIO): a disk that was pulled
    /// out, or a file that has shrunk, has no bad sectors.
    package func readFully(_ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) {
        let count = try unsafe read(buffer, at: offset)
        guard count == buffer.count else {
            throw SystemError(
                "read \(buffer.count) bytes at \(offset) of \(name): it ends after \(count)",
                .noSuchAddressOrDevice)
        }
    }

    /// Reads into `buffer` from `offset` until it is full or the file ends; returns the number of bytes read.
    package func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try systemCall("read \(name) at \(offset + UInt64(done))") {
                unsafe pread(
                    number, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + done)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads exactly `count` bytes from `offset`, into memory that has room for `spare` more.
    package func read(_ count: Int, at offset: UInt64, spare: Int = 0) throws(SystemError) -> [UInt8] {
        var result: Result<Void, SystemError> = .success(())
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count + spare) { buffer, initialized in
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count])
            result = Result { () throws(SystemError) in try unsafe readFully(part, at: offset) }
            if case .success = result { initialized = count }
        }
        try result.get()
        return bytes
    }

    /// Has the kernel begin to read `count` bytes from `offset`, which will be wanted soon (C function `posix_fadvise`).
    package func readAhead(_ count: Int, at offset: UInt64) {
        // Without it the bytes come later, but they come.
        _ = posix_fadvise(number, off_t(clamping: offset), count, POSIX_FADV_WILLNEED)
    }

    /// Writes all of `buffer` at `offset`.
    package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < buffer.count {
            let count = try systemCall("write \(name) at \(offset + UInt64(done))") {
                unsafe pwrite(
                    number, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + done)
            }
            // A device that takes nothing and says no error would otherwise be asked for ever.
            guard count > 0 else {
                throw SystemError("write \(name) at \(offset + UInt64(done))", .noSpace)
            }
            done += count
        }
    }

    /// Writes all of `bytes` at `offset`.
    package func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe write(buffer, at: offset) }
        }
        try result.get()
    }

    /// Waits until everything written is on the medium (C function `fsync`).
    package func synchronize() throws(SystemError) {
        _ = try systemCall("flush \(name)") { fsync(number) }
    }

    /// Locks the file against everybody else who locks it, until it is closed (C function `flock`).
    ///
    /// - Throws: `SystemError` with `.wouldBlock` where somebody has it locked.
    package func lockExclusively() throws(SystemError) {
        _ = try systemCall("lock \(name)") { flock(number, LOCK_EX | LOCK_NB) }
    }

    /// Size in bytes of a regular file or block device.
    package func size() throws(SystemError) -> UInt64 {
        let end = try systemCall("find the size of \(name)") { lseek(number, 0, SEEK_END) }
        return UInt64(end)
    }
}

/// The number alone, closed when nobody closed it: `discard` needs a type without other content.
///
/// `package`, not private: other modules that store a `Descriptor` refer to its metadata when they link.
package struct OwnedNumber: ~Copyable {
    let number: Int32

    init(number: Int32) { self.number = number }

    deinit { _ = Glibc.close(number) }

    consuming func take() -> Int32 {
        let number = self.number
        discard self
        return number
    }
}
