// Starting another kernel from this one, without the firmware.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// The kernel's own start of another kernel (kexec).
package enum KernelStart {
    /// Loads a kernel to be started by `start` (system call `kexec_file_load`).
    ///
    /// `initrd` is the number of its open initial RAM disk, nil for none; the command line has no zero byte.
    package static func load(
        _ kernel: borrowing Descriptor, initrd: Int32?, commandLine: String
    ) throws(SystemError) {
        let number = kernel.number
        _ = try systemCall("load the kernel \(kernel.name)") {
            unsafe clinux_load_kernel(number, initrd ?? -1, commandLine, commandLine.utf8.count)
        }
    }

    /// Flushes all file systems and starts the loaded kernel; returns only by throwing.
    package static func start() throws(SystemError) {
        sync()
        _ = try systemCall("start the loaded kernel") { clinux_start_loaded_kernel() }
    }
}

/// A file in memory without a name (C function `memfd_create`).
package func memoryFile(_ name: String) throws(SystemError) -> Descriptor {
    let number = try systemCall("create a memory file") {
        unsafe clinux_memfd_create(name, UInt32(MFD_CLOEXEC))
    }
    return Descriptor(owning: number, name: name)
}
