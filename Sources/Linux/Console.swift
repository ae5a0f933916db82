// Standard output and standard error of a command-line program.
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The two streams a program talks to people with.
package enum Console {
    /// The errno with which standard output last failed to take text; 0 for none.
    ///
    /// A closed pipe does not count: who reads only the first lines (`img dump | head`) has what they wanted.
    private static let outputErrno = Atomic<Int32>(0)

    /// Why what was printed did not arrive on standard output; nil where it did.
    package static var outputFailure: SystemError? {
        let number = outputErrno.load(ordering: .relaxed)
        return number == 0 ? nil : SystemError("write to standard output", Errno(rawValue: number))
    }

    /// Writes text and a line end to standard output; a closed pipe is not an error.
    package static func print(_ line: String) { write(line + "\n", to: 1) }

    /// Writes text as it is to standard output.
    package static func write(_ text: String) { write(text, to: 1) }

    /// Writes text and a line end to standard error.
    package static func error(_ line: String) { write(line + "\n", to: 2) }

    /// Writes text as it is to standard error.
    package static func write(toErrors text: String) { write(text, to: 2) }

    /// Whether standard output is a terminal.
    package static var isTerminal: Bool { isatty(1) == 1 }

    /// Whether standard input is a terminal.
    package static var isInputTerminal: Bool { isatty(0) == 1 }

    /// Columns of the terminal; 80 where there is none.
    package static var columns: Int { size?.columns ?? 80 }

    /// Rows of the terminal; 25 where there is none.
    package static var rows: Int { size?.rows ?? 25 }

    /// Columns and rows of the terminal; nil where there is none, or one that does not know, as a serial line.
    package static var size: (columns: Int, rows: Int)? {
        var size = winsize()
        let result = unsafe clinux_ioctl(1, UInt(TIOCGWINSZ), &size)
        guard result == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    private static func write(_ text: String, to stream: Int32) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(stream, buffer.baseAddress?.advanced(by: done), buffer.count - done)
            }
            guard count > 0 || currentErrno == EINTR else {
                if stream == 1, currentErrno != EPIPE { outputErrno.store(currentErrno, ordering: .relaxed) }
                return
            }
            done += max(count, 0)
        }
    }
}

/// The value of an environment variable, or nil.
package func environmentVariable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
}
