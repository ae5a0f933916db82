// A file that has no name until it is whole.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file written without a name and linked to its name when it is complete.
///
/// Where the file system knows no nameless files (O_TMPFILE), a name of its own ending in ".part" is used and removed
/// on failure; only then can a killed process leave something behind, and never under the final name.
package final class TemporaryFile: Sendable {
    private let path: String
    private let partPath: String?
    private let file: Descriptor

    /// Creates the file in the directory of `path`; refuses where `path` exists.
    package init(besides path: String) throws(SystemError) {
        self.path = path
        guard unsafe access(path, F_OK) != 0 else { throw SystemError("create \(path)", .fileExists) }
        let directory = TemporaryFile.parent(path)
        do {
            // O_TMPFILE is __O_TMPFILE (020000000) with O_DIRECTORY.
            let nameless = Descriptor.Options(rawValue: 0o20000000 | O_DIRECTORY)
            file = try Descriptor(opening: directory, [.readWrite, nameless])
            partPath = nil
        } catch {
            // Two machines may write to the same name on one server: each has its own file until it is whole.
            let part = "\(path).\(Random.bytes(6).map { String($0, radix: 16) }.joined()).part"
            switch error.errno {
            case .notSupported, .isDirectory, .invalidArgument:
                let new = Descriptor.Options(rawValue: O_EXCL | O_NOFOLLOW)
                file = try Descriptor(opening: part, [.readWrite, .create, new])
                partPath = part
            default:
                throw SystemError("create \(path)", error.errno)
            }
        }
    }

    deinit { if let partPath { unsafe _ = unlink(partPath) } }

    package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        do throws(SystemError) { try unsafe file.write(bytes, at: offset) } catch {
            throw SystemError("write \(path) at \(offset)", error.errno)
        }
    }

    package func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        do throws(SystemError) { try file.write(bytes, at: offset) } catch {
            throw SystemError("write \(path) at \(offset)", error.errno)
        }
    }

    /// Bytes that its file system has room for, as a program without privileges may use them (C function `fstatfs`).
    package func freeSpace() throws(SystemError) -> UInt64 {
        var facts = statfs()
        let number = file.number
        _ = try systemCall("ask for the free space of \(path)") { unsafe fstatfs(number, &facts) }
        return UInt64(facts.f_bavail) * UInt64(max(0, facts.f_bsize))
    }

    /// Flushes the file and gives it its name; refuses where the name has come to exist meanwhile.
    package func publish() throws(SystemError) {
        do throws(SystemError) { try file.synchronize() } catch {
            throw SystemError("flush \(path)", error.errno)
        }
        if let partPath {
            // A link refuses to replace a file that came meanwhile; FAT has no links, so there the name is looked up.
            do throws(SystemError) {
                _ = try systemCall("create \(path)") { unsafe link(partPath, path) }
            } catch {
                guard error.errno != .fileExists, unsafe access(path, F_OK) != 0 else {
                    throw SystemError("create \(path)", .fileExists)
                }
                _ = try systemCall("create \(path)") { unsafe rename(partPath, path) }
            }
        } else {
            let source = "/proc/self/fd/\(file.number)"
            _ = try systemCall("create \(path)") {
                unsafe linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW)
            }
        }
        let directory = try Descriptor(opening: TemporaryFile.parent(path), [.readOnly, .directory])
        try directory.synchronize()
    }

    private static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
