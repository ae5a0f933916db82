// Child processes: started with named descriptors, waited for, and tied to their parent's life.
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// How a process ended.
package enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    package var isSuccess: Bool { self == .exited(0) }

    package var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .signalled(let number): "signal \(number)"
        }
    }
}

/// A child process that has one owner; the owner waits for it.
package final class ChildProcess: Sendable {
    package let pid: Int32
    /// The program's path, used in errors.
    package let name: String
    private let status = Mutex<ExitStatus?>(nil)

    /// Starts `program`, found in PATH when it has no slash (C function `posix_spawnp`).
    ///
    /// The child's descriptor i is a copy of `descriptors[i]` (at most 16; a negative number means /dev/null); it has
    /// no others.
    package init(_ program: String, _ arguments: [String], descriptors: [Int32] = [-1, 1, 2])
        throws(SystemError)
    {
        var pid: pid_t = 0
        var vector: [UnsafeMutablePointer<CChar>?] = unsafe ([program] + arguments).map { unsafe strdup($0) }
        unsafe vector.append(nil)
        defer { unsafe vector.forEach { unsafe free($0) } }
        let error = unsafe clinux_spawn(&pid, program, vector, descriptors, Int32(descriptors.count))
        guard error == 0 else { throw SystemError("start \(program)", Errno(rawValue: error)) }
        self.pid = pid
        name = program
    }

    /// Waits for the end (C function `waitpid`); may be called again.
    package func wait() throws(SystemError) -> ExitStatus {
        let known = status.withLock { $0 }
        if let known { return known }
        var raw: Int32 = 0
        _ = try systemCall("wait for \(name)") { unsafe waitpid(pid, &raw, 0) }
        return record(raw)
    }

    private func record(_ raw: Int32) -> ExitStatus {
        var code: Int32 = 0
        var number: Int32 = 0
        let kind = unsafe clinux_wait_status(raw, &code, &number)
        let result: ExitStatus = kind == 0 ? .exited(code) : .signalled(number)
        status.withLock { $0 = result }
        return result
    }

    /// How the process ended, or nil while it runs.
    package func waitIfEnded() throws(SystemError) -> ExitStatus? {
        let known = status.withLock { $0 }
        if let known { return known }
        var raw: Int32 = 0
        let ended = try systemCall("wait for \(name)") { unsafe waitpid(pid, &raw, WNOHANG) }
        return ended == 0 ? nil : record(raw)
    }

    /// Ends the process with SIGKILL unless it has been waited for.
    package func kill() {
        let known = status.withLock { $0 }
        if known == nil { _ = Glibc.kill(pid, SIGKILL) }
    }
}

/// Replaces this process by `program` (C function `execvp`); returns only with an error.
package func replaceProcess(by program: String, _ arguments: [String]) -> SystemError {
    var vector: [UnsafeMutablePointer<CChar>?] = unsafe ([program] + arguments).map { unsafe strdup($0) }
    unsafe vector.append(nil)
    defer { unsafe vector.forEach { unsafe free($0) } }
    let (_, error) = withErrno { unsafe execvp(program, vector) }
    return SystemError("start \(program)", error)
}

/// The calling process.
package enum ThisProcess {
    package static var pid: Int32 { getpid() }
    /// The program's own file, also when its name has changed or gone.
    package static var executable: String { "/proc/self/exe" }

    /// Has the kernel end this process when the thread that started it ends (prctl PR_SET_PDEATHSIG).
    ///
    /// It stays in force across `replaceProcess`. False when `parent` has already ended.
    package static func dieWithParent(_ parent: Int32) -> Bool {
        _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL))
        return getppid() == parent
    }

    /// Memory taken by this thread, and those it starts, never waits for writeback (prctl PR_SET_IO_FLUSHER).
    ///
    /// Needs CAP_SYS_RESOURCE; without it nothing changes.
    package static func becomeFlusher() {
        _ = clinux_prctl(clinux_PR_SET_IO_FLUSHER, 1)
    }

    /// Sets an environment variable of this process and of those it starts (C function `setenv`); one thread only.
    package static func setEnvironment(_ name: String, _ value: String) throws(SystemError) {
        _ = try systemCall("set \(name)") { unsafe setenv(name, value, 1) }
    }

    /// Ends the process after what was printed has been written (C function `exit`).
    package static func exit(_ status: Int32) -> Never { Glibc.exit(status) }

    /// SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGPIPE no longer end this process.
    package static func ignoreTerminalSignals() {
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE] { _ = signal(number, SIG_IGN) }
    }

    /// Waits for any signal that ends the process; never returns.
    package static func sleepForever() -> Never {
        while true { _ = pause() }
    }
}

extension MonotonicClock {
    /// Lets the calling thread sleep (C function `nanosleep`).
    package static func sleep(nanoseconds: UInt64) {
        var rest = timespec(
            tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        var left = timespec()
        while unsafe nanosleep(&rest, &left) != 0 { rest = left }
    }
}

/// Sends SIGKILL to a process.
package func killProcess(_ pid: Int32) throws(SystemError) {
    _ = try systemCall("kill process \(pid)") { kill(pid, SIGKILL) }
}
