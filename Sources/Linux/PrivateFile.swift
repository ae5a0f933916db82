// Small files that only their owner may read: keys.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file of mode 0600 that appears whole or not at all.
package enum PrivateFile {
    /// The content of `path`, at most `limit` bytes of it; nil where there is no such file.
    ///
    /// - Throws: `SystemError` where it is no regular file, or where others than its owner may read or change it.
    package static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
        guard let file = try openIfPresent(path) else { return nil }
        var facts = stat()
        _ = try systemCall("examine \(path)") { unsafe fstat(file.number, &facts) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("use \(path), which is no regular file", .invalidArgument)
        }
        guard facts.st_mode & 0o077 == 0, facts.st_uid == geteuid() else {
            throw SystemError("use \(path), which others may read or change (chmod 600)", .permissionDenied)
        }
        return try file.read(min(limit, Int(facts.st_size)), at: 0)
    }

    /// Makes `path` with `content`, flushed to the medium; false, and nothing is changed, where it exists already.
    package static func create(_ path: String, _ content: [UInt8]) throws(SystemError) -> Bool {
        let suffix = Random.bytes(8).map { String($0, radix: 16) }.joined()
        let temporary = "\(path).\(suffix)"
        let file = try Descriptor(opening: temporary, [.writeOnly, .create, .exclusive], mode: 0o600)
        defer { unsafe _ = unlink(temporary) }
        try file.write(content, at: 0)
        try file.synchronize()
        do throws(SystemError) {
            _ = try systemCall("create \(path)") { unsafe link(temporary, path) }
        } catch  where error.errno == .fileExists {
            return false
        }
        let directory = try Descriptor(opening: parent(path), [.readOnly, .directory])
        try directory.synchronize()
        return true
    }

    /// Makes the directory `path` (mode 0700) and those above it (mode 0755) where they are missing.
    package static func makeDirectory(_ path: String) throws(SystemError) {
        let (result, error) = withErrno { unsafe mkdir(path, 0o700) }
        if result == 0 { return }
        switch error {
        case .fileExists: return
        case .noSuchFileOrDirectory where parent(path) != path:
            try makeParents(parent(path))
            _ = try systemCall("create the directory \(path)") { unsafe mkdir(path, 0o700) }
        default: throw SystemError("create the directory \(path)", error)
        }
    }

    /// Makes the directory that `path` is in, likewise.
    package static func makeParent(of path: String) throws(SystemError) { try makeDirectory(parent(path)) }

    private static func openIfPresent(_ path: String) throws(SystemError) -> Descriptor? {
        do throws(SystemError) {
            return try Descriptor(opening: path, [.readOnly, .noFollow])
        } catch  where error.errno == .noSuchFileOrDirectory {
            return nil
        }
    }

    private static func makeParents(_ path: String) throws(SystemError) {
        let (result, error) = withErrno { unsafe mkdir(path, 0o755) }
        if result == 0 || error == .fileExists { return }
        guard error == .noSuchFileOrDirectory, parent(path) != path else {
            throw SystemError("create the directory \(path)", error)
        }
        try makeParents(parent(path))
        _ = try systemCall("create the directory \(path)") { unsafe mkdir(path, 0o755) }
    }

    private static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
