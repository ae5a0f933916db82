// One directory whose files are named by plain names: nothing below it, nothing outside of it, no links.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// An open directory; every name is looked up in it, and symbolic links are never followed.
///
/// A name is one path component: whoever calls makes sure that it holds no "/" and is neither "." nor "..".
package final class FlatDirectory: Sendable {
    package let path: String
    private let directory: Descriptor

    package init(_ path: String) throws(SystemError) {
        self.path = path
        directory = try Descriptor(opening: path, [.readOnly, .directory])
    }

    private init(_ directory: consuming Descriptor, path: String) {
        self.path = path
        self.directory = directory
    }

    /// A directory in it, made (mode 0755) where it is missing; a link to one is refused.
    package func subdirectory(_ name: String) throws(SystemError) -> FlatDirectory {
        let folder = directory.number
        let (result, error) = withErrno { unsafe mkdirat(folder, name, 0o755) }
        guard result == 0 || error == .fileExists else {
            throw SystemError("create the directory \(path)/\(name)", error)
        }
        let made = try open(name, [.readOnly, .directory])
        if result == 0 { try made.setMode(0o755) }
        return FlatDirectory(made, path: "\(path)/\(name)")
    }

    /// Opens a file of the directory; never waits for the other end of a pipe.
    package func open(
        _ name: String, _ options: Descriptor.Options, mode: UInt32 = 0o600
    ) throws(SystemError) -> Descriptor {
        let (folder, flags) = (directory.number, options.union([.nonBlocking, .noFollow]).rawValue)
        let verb = options.contains(.create) ? "create" : "open"
        let number = try systemCall("\(verb) \(path)/\(name)") {
            unsafe clinux_open_beneath(folder, name, flags, mode, Int32(clinux_no_links))
        }
        return Descriptor(owning: number, name: "\(path)/\(name)")
    }

    /// The facts of what has the name itself, a link for instance; nil where nothing has it.
    package func status(of name: String) throws(SystemError) -> FileStatus? {
        var facts = stat()
        let folder = directory.number
        do throws(SystemError) {
            _ = try systemCall("examine \(path)/\(name)") {
                unsafe fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW)
            }
        } catch {
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw error
        }
        return FileStatus(facts)
    }

    /// The names in it except "." and "..", in no order.
    package func names() throws(SystemError) -> [String] {
        try FileTree.entries(of: "/proc/self/fd/\(directory.number)")
    }

    /// Gives a file another name and waits until that is on the medium.
    ///
    /// - Throws: `SystemError` with `.fileExists` where the name exists and is not to be replaced.
    package func rename(_ name: String, to other: String, replacing: Bool) throws(SystemError) {
        let folder = directory.number
        let what = "give \(path)/\(name) the name \(other)"
        if replacing {
            _ = try systemCall(what) { unsafe renameat(folder, name, folder, other) }
        } else {
            do throws(SystemError) {
                _ = try systemCall(what) { unsafe clinux_rename_to_new(folder, name, other) }
            } catch  where error.errno == .invalidArgument {
                // A file system that cannot say "not if it exists", such as NFS: a link refuses by itself.
                _ = try systemCall(what) { unsafe linkat(folder, name, folder, other, 0) }
                try remove(name)
            }
        }
        try directory.synchronize()
    }

    /// Takes a file's name away; nothing where nothing has it.
    package func remove(_ name: String) throws(SystemError) {
        let folder = directory.number
        do throws(SystemError) {
            _ = try systemCall("delete \(path)/\(name)") { unsafe unlinkat(folder, name, 0) }
        } catch  where error.errno == .noSuchFileOrDirectory {}
    }

    /// Waits until the names are on the medium.
    package func synchronize() throws(SystemError) { try directory.synchronize() }

    /// Bytes that its file system has in all and has room for, as a program without privileges may use them.
    package func space() throws(SystemError) -> (total: UInt64, free: UInt64) {
        var facts = statfs()
        let folder = directory.number
        _ = try systemCall("ask for the free space of \(path)") { unsafe fstatfs(folder, &facts) }
        let block = UInt64(max(0, facts.f_bsize))
        return (UInt64(facts.f_blocks) * block, UInt64(facts.f_bavail) * block)
    }
}

extension Descriptor {
    /// Cuts a file off behind `length` bytes (C function `ftruncate`).
    package func truncate(to length: UInt64) throws(SystemError) {
        _ = try systemCall("cut \(name) off") { ftruncate(number, off_t(length)) }
    }

    /// Sets who may do what with the file (C function `fchmod`).
    package func setMode(_ mode: UInt32) throws(SystemError) {
        _ = try systemCall("set the mode of \(name)") { fchmod(number, mode) }
    }
}
