// Runs this project's own programs, as a person would.
package import Linux
internal import Synchronization

/// The path of one of this package's programs, next to the tests' own build products.
package func builtProgram(_ name: String) throws -> String {
    // The test runner's command line names the test product, which lies in the same directory as the programs.
    let words = CommandLine.arguments + [try FileTree.realPath("/proc/self/exe")]
    for word in words where word.contains("/") {
        guard let slash = word.lastIndex(of: "/") else { continue }
        let path = "\(word[..<slash])/\(name)"
        if FileTree.exists(path) { return path }
    }
    throw CommandFailure(description: "the program \(name) is not where the tests are: \(words)")
}

/// A program that runs while the test goes on; its output is collected.
package final class RunningProgram: Sendable {
    private let child: ChildProcess
    private let collector: Thread<String>

    /// Starts `words[0]`, found in PATH when it has no slash, with standard output and error as one stream.
    package init(_ words: [String]) throws {
        guard let program = words.first else { throw CommandFailure(description: "no program") }
        let pipe = try Pipe()
        child = try ChildProcess(
            program, Array(words.dropFirst()), descriptors: [-1, pipe.writer.number, pipe.writer.number])
        let end = ReadingEnd(try pipe.closeWriter())
        collector = Thread("output") {
            guard let reader = end.descriptor.withLock({ $0.take() }) else { return "" }
            return String(decoding: try reader.readToEnd(limit: 1 << 20), as: UTF8.self)
        }
    }

    package var pid: Int32 { child.pid }

    /// Sends a signal by its name without SIG: "INT", "TERM", "KILL".
    package func signal(_ name: String) throws { try run("kill", "-\(name)", "\(child.pid)") }

    /// Waits for the end: the exit status and everything the program wrote.
    package func wait() throws -> (status: ExitStatus, output: String) {
        let status = try child.wait()
        return (status, try collector.join())
    }

    deinit { child.kill() }
}

/// Hands a descriptor, which has one owner, to the thread that reads it.
private final class ReadingEnd: Sendable {
    let descriptor: Mutex<Descriptor?>
    init(_ descriptor: consuming sending Descriptor) { self.descriptor = Mutex(descriptor) }
}
