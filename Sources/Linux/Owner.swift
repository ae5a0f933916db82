// Acting as the owner of a service's files: what root makes there must not be root's.
internal import CLinux
internal import Glibc
internal import SystemPackage

extension ThisProcess {
    /// Whether this process may do everything here.
    package static var isRoot: Bool { geteuid() == 0 }

    /// Runs `body` as the owner of the directory `path`, where root calls this; see `actAsOwner`.
    package static func asOwner<R>(of path: String, _ body: () throws -> R) throws -> R {
        let (user, group) = (geteuid(), getegid())
        defer {
            // The saved identity is still root's.
            _ = seteuid(user)
            _ = setegid(group)
        }
        try actAsOwner(of: path)
        return try body()
    }

    /// Has root act as the owner of the directory `path` from now on (C functions `setegid`, `seteuid`).
    ///
    /// Without effect for others, and where the directory is root's own or does not exist. Call it before threads are
    /// made: it holds for the whole process.
    package static func actAsOwner(of path: String) throws(SystemError) {
        guard isRoot else { return }
        var facts = stat()
        let (result, error) = withErrno { unsafe stat(path, &facts) }
        guard result == 0 else {
            if error == .noSuchFileOrDirectory { return }
            throw SystemError("examine \(path)", error)
        }
        guard facts.st_uid != 0 else { return }
        _ = try systemCall("act as the group of \(path)") { setegid(facts.st_gid) }
        _ = try systemCall("act as the owner of \(path)") { seteuid(facts.st_uid) }
    }
}
