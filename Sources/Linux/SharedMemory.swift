// Memory that a process and its children see at once.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Preallocated, locked memory behind a descriptor that a child process can map too.
@safe package final class SharedMemory: @unchecked Sendable {
    private let file: Descriptor
    /// The memory; valid as long as the object lives.
    ///
    /// Whoever uses it sees to it that nobody writes meanwhile.
    package let bytes: UnsafeMutableRawBufferPointer

    /// The descriptor's number, to hand it to a child process.
    package var number: Int32 { file.number }

    /// Allocates and locks `byteCount` bytes of zeros (C functions `memfd_create`, `fallocate`, `mlock`).
    package convenience init(_ name: String, byteCount: Int) throws(SystemError) {
        let number = try systemCall("make shared memory") {
            unsafe clinux_memfd_create(name, UInt32(MFD_CLOEXEC))
        }
        let file = Descriptor(owning: number, name: name)
        _ = try systemCall("reserve \(byteCount) bytes of memory") {
            clinux_fallocate(file.number, 0, 0, byteCount)
        }
        try self.init(mapping: file)
        _ = try systemCall("lock \(byteCount) bytes of memory") {
            unsafe mlock(bytes.baseAddress, bytes.count)
        }
    }

    /// Maps the shared memory that a parent process handed down.
    package convenience init(inherited number: Int32, _ name: String) throws(SystemError) {
        try self.init(mapping: Descriptor(owning: number, name: name))
    }

    private init(mapping file: consuming Descriptor) throws(SystemError) {
        let count = Int(try file.size())
        let number = file.number
        let (start, error) = unsafe withErrno {
            unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0)
        }
        guard let start = unsafe start, unsafe start != MAP_FAILED else {
            throw SystemError("map \(file.name)", error)
        }
        unsafe bytes = UnsafeMutableRawBufferPointer(start: start, count: count)
        self.file = file
    }

    deinit { unsafe munmap(bytes.baseAddress, bytes.count) }
}

/// The machine's memory in bytes (C function `sysconf`).
package func physicalMemory() -> UInt64 {
    UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
}
