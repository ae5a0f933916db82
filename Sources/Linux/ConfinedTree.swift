// A directory tree that somebody else filled: nothing in it leads out of it.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A directory whose content is hostile until proven otherwise, such as the root of a restored system.
///
/// Every path is looked up with the directory as root (openat2 RESOLVE_IN_ROOT): absolute links, ".." and links to
/// links stay inside. Paths are relative or absolute, both from this directory.
package final class ConfinedTree: Sendable {
    /// Where the tree is in this process's own tree; for messages and for programs that are started.
    package let path: String
    private let directory: Descriptor

    /// The most names of one directory that are looked at.
    private static let nameLimit = 10_000

    package init(_ path: String) throws(SystemError) {
        self.path = path
        directory = try Descriptor(opening: path, [.readOnly, .directory])
    }

    /// Opens a file of the tree; never waits for the other end of a pipe.
    ///
    /// Links are followed, inside of the tree, unless `followLinks` is false.
    package func open(
        _ name: String, _ options: Descriptor.Options = .readOnly, followLinks: Bool = true
    ) throws(SystemError) -> Descriptor {
        let shown = "\(path)/\(ConfinedTree.relative(name))"
        // The kernel refuses O_PATH together with it.
        let flags = options == .onlyPath ? options.rawValue : options.union(.nonBlocking).rawValue
        let (root, relative) = (directory.number, ConfinedTree.relative(name))
        let rules = followLinks ? 0 : Int32(clinux_no_links)
        let number = try systemCall("open \(shown)") {
            unsafe clinux_open_beneath(root, relative, flags, 0o644, rules)
        }
        return Descriptor(owning: number, name: shown)
    }

    /// The kind of what `name` leads to; nil where there is nothing, or nothing that may be opened.
    package func kind(_ name: String, followLinks: Bool = true) -> FileStatus.Kind? {
        guard let file = try? open(name, .onlyPath, followLinks: followLinks) else { return nil }
        return try? FileStatus(of: file).kind
    }

    package func isFile(_ name: String) -> Bool { kind(name) == .regularFile }

    package func isDirectory(_ name: String) -> Bool { kind(name) == .directory }

    /// Names in a directory except "." and ".."; none where there is no such directory.
    package func entries(_ name: String) -> [String] {
        guard let folder = try? open(name, [.readOnly, .directory]) else { return [] }
        let place = ConfinedTree.place(of: folder)
        return (try? FileTree.entries(of: place, limit: ConfinedTree.nameLimit)) ?? []
    }

    /// The bytes of a regular file; nil where there is none.
    ///
    /// - Throws: `SystemError` where it cannot be read or is longer than `limit` bytes (EFBIG).
    package func bytes(_ name: String, limit: Int) throws(SystemError) -> [UInt8]? {
        guard kind(name) == .regularFile else { return nil }
        let file = try open(name)
        let size = try FileStatus(of: file).size
        guard size <= UInt64(limit) else { throw SystemError("read \(file.name)", .fileTooLarge) }
        return try file.read(Int(size), at: 0)
    }

    /// The text of a regular file, invalid UTF-8 replaced; nil where there is none or it is longer than `limit`.
    package func text(_ name: String, limit: Int = 1 << 20) -> String? {
        (try? bytes(name, limit: limit)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Where a directory of the tree can be given to mount(2) and to programs: valid as long as `folder` is open.
    package static func place(of folder: borrowing Descriptor) -> String { "/proc/self/fd/\(folder.number)" }

    /// Makes a directory below an existing one; without effect where it exists.
    package func makeDirectory(_ name: String) throws(SystemError) {
        let (parent, last) = ConfinedTree.split(name)
        let folder = try open(parent, [.readOnly, .directory], followLinks: false)
        let (result, error) = withErrno { unsafe mkdirat(folder.number, last, 0o755) }
        guard result == 0 || error == .fileExists else {
            throw SystemError("make the directory \(path)/\(name)", error)
        }
    }

    /// Writes a file under a temporary name, flushes it, and gives it its name; an existing one is replaced.
    package func write(_ name: String, _ bytes: [UInt8]) throws(SystemError) {
        let (parent, last) = ConfinedTree.split(name)
        let folder = try open(parent, [.readOnly, .directory], followLinks: false)
        let temporary = "img-\(Random.bytes(4).map { String($0, radix: 16) }.joined()).tmp"
        let file = try open("\(parent)/\(temporary)", [.writeOnly, .create, .exclusive], followLinks: false)
        do throws(SystemError) {
            try file.write(bytes, at: 0)
            try file.synchronize()
            try file.close()
            _ = try systemCall("create \(path)/\(name)") {
                unsafe renameat(folder.number, temporary, folder.number, last)
            }
        } catch {
            unsafe _ = unlinkat(folder.number, temporary, 0)
            throw error
        }
        try folder.synchronize()
    }

    /// Deletes a file of a directory of the tree.
    package func remove(_ name: String) throws(SystemError) {
        let (parent, last) = ConfinedTree.split(name)
        let folder = try open(parent, [.readOnly, .directory], followLinks: false)
        _ = try systemCall("delete \(path)/\(name)") { unsafe unlinkat(folder.number, last, 0) }
    }

    private static func relative(_ name: String) -> String {
        let parts = name.split(separator: "/").filter { !$0.utf8.contains(0) }
        return parts.isEmpty ? "." : parts.joined(separator: "/")
    }

    private static func split(_ name: String) -> (parent: String, last: String) {
        let parts = name.split(separator: "/").map(String.init)
        return (parts.dropLast().joined(separator: "/"), parts.last ?? ".")
    }
}

extension Descriptor.Options {
    /// O_PATH: a place in the tree, not what acts when it is opened.
    fileprivate static let onlyPath = Descriptor.Options(rawValue: 0o10000000)
}
