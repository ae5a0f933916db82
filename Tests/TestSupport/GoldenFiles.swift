// Files that pin a byte format, kept next to the tests that read them.
internal import Linux

/// A folder of golden files.
package struct GoldenFolder: Sendable {
    private let path: String

    /// The folder `name` beside the source file `file` (give `#filePath`).
    package init(_ name: String, beside file: String) {
        path = file[..<(file.lastIndex(of: "/") ?? file.startIndex)] + "/" + name
    }

    /// All bytes of a file of the folder.
    package func read(_ name: String) throws -> [UInt8] {
        let file = try Descriptor(opening: "\(path)/\(name)", .readOnly)
        return try file.read(Int(file.size()), at: 0)
    }

    /// Replaces a file of the folder.
    package func write(_ name: String, _ bytes: [UInt8]) throws {
        let file = try Descriptor(opening: "\(path)/\(name)", [.create, .truncate, .writeOnly])
        try file.write(bytes, at: 0)
        try file.close()
    }

    /// Whether this run is to write the golden files anew: `IMG_WRITE_GOLDENS=1` is in the environment.
    package static var isWriting: Bool {
        guard let file = try? Descriptor(opening: "/proc/self/environ", .readOnly) else { return false }
        let bytes = unsafe withUnsafeTemporaryAllocation(byteCount: 1 << 18, alignment: 1) { buffer in
            let count = (try? unsafe file.read(buffer, at: 0)) ?? 0
            return unsafe [UInt8](buffer[..<count])
        }
        return bytes.split(separator: 0).contains { $0.elementsEqual("IMG_WRITE_GOLDENS=1".utf8) }
    }
}
