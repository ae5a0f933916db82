// Runs another program and waits for it: mkfs, ntfs-3g and, in tests, the tools that prove our work.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Another program, run to its end with its output captured.
package enum ExternalCommand {
    /// What a program left behind.
    package struct Outcome: Sendable {
        /// Exit status, or 128 + the signal that ended it.
        package let status: Int32
        /// Standard output, invalid UTF-8 replaced.
        package let output: String
        /// Standard error, invalid UTF-8 replaced.
        package let errors: String
    }

    /// Runs `arguments[0]`, searched in PATH, and waits for its end (C function `posix_spawnp`).
    ///
    /// Standard input is `input`. Output goes to memory files, of which at most `limit` bytes each are
    /// returned, so that no amount of output blocks the program. Throws only if the program did not start.
    package static func run(
        _ arguments: [String], input: [UInt8] = [], limit: Int = 64 << 20
    ) throws(SystemError) -> Outcome {
        guard let program = arguments.first else {
            throw SystemError("run an empty command", .invalidArgument)
        }
        guard !arguments.contains(where: { $0.utf8.contains(0) }) else {
            throw SystemError("run \(program) with a zero byte in an argument", .invalidArgument)
        }
        let standardInput = try memoryFile("input")
        let standardOutput = try memoryFile("output")
        let standardError = try memoryFile("errors")
        try standardInput.write(input, at: 0)

        var strings = unsafe arguments.map { unsafe strdup($0) }
        unsafe strings.append(nil)
        defer { unsafe strings.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let (input, output, errors) = (standardInput.number, standardOutput.number, standardError.number)
        let error = unsafe clinux_spawn_command(&child, &strings, input, output, errors)
        guard error == 0 else { throw SystemError("run \(program)", Errno(rawValue: error)) }

        var state: Int32 = 0
        _ = try systemCall("wait for \(program)") { unsafe waitpid(child, &state, 0) }
        let signal = state & 0x7f
        return Outcome(
            status: signal == 0 ? (state >> 8) & 0xff : 128 + signal,
            output: try text(of: standardOutput, limit: limit),
            errors: try text(of: standardError, limit: limit))
    }

    private static func memoryFile(_ name: String) throws(SystemError) -> Descriptor {
        let number = try systemCall("create a memory file") {
            unsafe clinux_memfd_create(name, UInt32(MFD_CLOEXEC))
        }
        return Descriptor(owning: number, name: name)
    }

    private static func text(of file: borrowing Descriptor, limit: Int) throws(SystemError) -> String {
        let count = Int(min(try file.size(), UInt64(limit)))
        return String(decoding: try file.read(count, at: 0), as: UTF8.self)
    }
}
