// Runs another program to its end and captures what it writes.
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
    /// With `holding` the standard input is a copy of that descriptor instead: it stays open as long as the program
    /// runs.
    package static func run(
        _ arguments: [String], input: [UInt8] = [], holding: Int32? = nil, limit: Int = 64 << 20
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
        let child = try ChildProcess(
            program, Array(arguments.dropFirst()),
            descriptors: [holding ?? standardInput.number, standardOutput.number, standardError.number])
        let status: Int32
        switch try child.wait() {
        case .exited(let code): status = code
        case .signalled(let signal): status = 128 + signal
        }
        return Outcome(
            status: status, output: try text(of: standardOutput, limit: limit),
            errors: try text(of: standardError, limit: limit))
    }

    private static func text(of file: borrowing Descriptor, limit: Int) throws(SystemError) -> String {
        let count = Int(min(try file.size(), UInt64(limit)))
        return String(decoding: try file.read(count, at: 0), as: UTF8.self)
    }
}
