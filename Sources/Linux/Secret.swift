// Asks a person for what must not be shown.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A line that is typed without being seen, or comes from a pipe.
package enum Secret {
    /// The longest line taken, in bytes.
    private static let limit = 4096

    /// Asks for one line: at a terminal by `prompt` on standard error and without echo, else from standard input.
    ///
    /// Ctrl-C ends the program as ever, and the terminal shows again what is typed.
    /// - Throws: `SystemError` where standard input ends before anything was said.
    package static func read(_ prompt: String) throws(SystemError) -> String {
        guard isatty(0) == 1 else { return try line() }
        var before = termios()
        _ = try systemCall("ask the terminal") { unsafe tcgetattr(0, &before) }
        var quiet = before
        // ISIG off: Ctrl-C is read as a byte here, so that the echo comes back before the program ends.
        quiet.c_lflag &= ~tcflag_t(ECHO | ISIG)
        _ = try systemCall("hide what is typed") { unsafe tcsetattr(0, TCSAFLUSH, &quiet) }
        defer {
            unsafe _ = tcsetattr(0, TCSAFLUSH, &before)
            Console.error("")
        }
        Console.write(toErrors: prompt)
        return try line()
    }

    private static func line() throws(SystemError) -> String {
        var bytes: [UInt8] = []
        while bytes.count < limit {
            var byte: UInt8 = 0
            let count = try systemCall("read standard input") { unsafe Glibc.read(0, &byte, 1) }
            if count == 0 {
                guard !bytes.isEmpty else { throw SystemError("read a line: there is none", .canceled) }
                break
            }
            if byte == UInt8(ascii: "\n") { break }
            guard byte != 3 else { throw SystemError("read a line: it was given up", .canceled) }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
