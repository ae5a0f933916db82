// The server's images: the files of one directory, by name.
package import Blocks
internal import ImageFormat
internal import Linux
package import Logging
internal import Synchronization
internal import SystemPackage

/// The image directory: names in, views and files out.
///
/// An image is a regular file of the directory itself; what is below it, and symbolic links, are not looked at. Names
/// that begin with a dot belong to uploads that are not whole yet. May be used from any thread.
package final class ImageCatalogue: Sendable {
    /// Most bytes of a name: with what uploads add to it, it still is a file's name.
    package static let longestName = 200
    /// Parts of uploads that nobody has continued for so long are removed, in seconds.
    private static let keptParts: Int64 = 7 * 86_400
    static let partSuffix = ".part"

    /// What a file was when its manifest was read.
    private struct Seen: Equatable {
        let inode: UInt64
        let size: UInt64
        let modified: Int64

        init(_ status: FileStatus) {
            inode = status.inode
            size = status.size
            modified = status.modified
        }
    }

    private struct State {
        var views: [String: (seen: Seen, view: ImageView)] = [:]
        /// Names that uploads are under way for, and the bytes each may still need.
        var uploads: [String: UInt64] = [:]
    }

    package let directory: String
    let folder: FlatDirectory
    private let logger: Logger
    private let state = Mutex(State())

    /// Opens the directory, makes it where it is missing, and removes what uploads have left long ago.
    ///
    /// - Throws: `ServerError` naming the directory.
    package init(directory: String, logger: Logger) throws {
        self.directory = directory
        self.logger = logger
        folder = try ServerError.naming {
            try PrivateFile.makeDirectory(directory)
            return try FlatDirectory(directory)
        }
        try removeOldParts(but: [])
    }

    /// The name, where it can be an image's.
    ///
    /// - Throws: `ServerError` for an empty or long one, one with "/", a leading ".", spaces around it or characters
    ///   that cannot be shown.
    package func checkName(_ name: String) throws -> String {
        let scalars = name.unicodeScalars
        guard (1...ImageCatalogue.longestName).contains(name.utf8.count) else {
            throw ServerError("an image's name has 1 to \(ImageCatalogue.longestName) bytes", .invalid)
        }
        guard name == name.onScreen, !scalars.contains("\u{fffd}") else {
            throw ServerError("an image's name cannot hold characters that cannot be shown", .invalid)
        }
        guard !scalars.contains("/"), scalars.first != ".", name == name.trimmingSpaces else {
            throw ServerError(
                "'\(name)' is no name of an image: no '/' in it, no '.' before it, no spaces around it",
                .invalid)
        }
        return name
    }

    /// The path of an existing image file.
    ///
    /// - Throws: `ServerError` where the name cannot be, or where no regular file has it.
    package func path(of name: String) throws -> String {
        _ = try status(of: name)
        return "\(directory)/\(name)"
    }

    /// All images by name; a file that is none is listed with its problem.
    package func list() -> [ImageView] {
        let names = ((try? folder.names()) ?? []).filter { (try? checkName($0)) != nil }
        let views = names.sorted().compactMap { try? image($0) }
        // What has been deleted by other means is not remembered for ever.
        let present = Set(names)
        state.withLock { state in state.views = state.views.filter { present.contains($0.key) } }
        return views
    }

    /// One image; its manifest is read again only where the file has changed.
    package func image(_ name: String) throws -> ImageView {
        let status = try status(of: name)
        let seen = Seen(status)
        if let known = state.withLock({ $0.views[name] }), known.seen == seen { return known.view }
        let view = read(name, status)
        state.withLock { $0.views[name] = (seen, view) }
        return view
    }

    /// The id of the image of that name; nil where there is none that can be used.
    package func identifier(of name: String) -> GUID? {
        guard let view = try? image(name), view.problem == nil else { return nil }
        return GUID(view.id)
    }

    /// Bytes that the directory's file system has room for.
    package func freeBytes() throws -> UInt64 { try ServerError.naming { try folder.space().free } }

    /// Deletes an image; who still reads it reads on.
    package func delete(_ name: String) throws {
        _ = try status(of: name)
        try ServerError.naming {
            try folder.remove(name)
            try folder.synchronize()
        }
        state.withLock { _ = $0.views.removeValue(forKey: name) }
    }

    private func status(of name: String) throws -> FileStatus {
        let name = try checkName(name)
        guard let status = try ServerError.naming({ try folder.status(of: name) }),
            status.kind == .regularFile
        else { throw ServerError("there is no image \(name)", .notFound) }
        return status
    }

    private func read(_ name: String, _ status: FileStatus) -> ImageView {
        do {
            let bytes = try ImageFileBytes(try folder.open(name, .readOnly))
            return ImageView(name: name, status: status, try ImageFileReader(bytes))
        } catch {
            return ImageView(name: name, status: status, problem: "\(error)")
        }
    }

    /// Removes parts that nobody has continued for a week, but those of these images.
    private func removeOldParts(but kept: [String]) throws {
        let oldest = (WallClock.now() - ImageCatalogue.keptParts) * 1_000_000_000
        try ServerError.naming {
            for name in try folder.names() where name.hasPrefix(".") && name.hasSuffix(Self.partSuffix) {
                if kept.contains(where: { name.hasPrefix(".\($0).") }) { continue }
                guard let status = try folder.status(of: name), status.kind == .regularFile,
                    status.modified < oldest
                else { continue }
                try folder.remove(name)
                logger.info("an upload that nobody has continued for a week is gone: \(name.onScreen)")
            }
        }
    }
}

/// Room and names for uploads.
extension ImageCatalogue {
    /// Of the file system's bytes, one in so many is never used: a full disk harms whoever shares it.
    private static let keptFree: UInt64 = 100

    /// Takes the name for an upload that may need `bytes` more (0: unknown), until `release`.
    ///
    /// - Throws: `ServerError`: `.conflict` where the name is taken, `.full` where the bytes are not there.
    func claim(_ name: String, bytes: UInt64, overwrite: Bool) throws {
        let name = try checkName(name)
        // What nobody comes back for makes room; what this upload may go on with, or another is writing, stays.
        try removeOldParts(but: [name] + state.withLock { Array($0.uploads.keys) })
        let existing = try ServerError.naming { try folder.status(of: name) }
        if let existing {
            guard existing.kind == .regularFile else {
                throw ServerError("\(name) is no image that could be replaced", .conflict)
            }
            guard overwrite else { throw ServerError("there is an image \(name) already", .conflict) }
        }
        let space = try ServerError.naming { try folder.space() }
        try state.withLock { state throws(ServerError) in
            guard state.uploads[name] == nil else {
                throw ServerError("image \(name) is being uploaded already", .conflict)
            }
            let promised = state.uploads.values.reduce(space.total / ImageCatalogue.keptFree, &+)
            let room = space.free > promised ? space.free - promised : 0
            guard bytes <= room else {
                throw ServerError(
                    "image \(name) may take \(bytes) bytes, and \(directory) has room for \(room)", .full)
            }
            state.uploads[name] = bytes
        }
    }

    /// Takes down that an upload has written bytes it was promised.
    func wrote(_ count: Int, of name: String) {
        state.withLock { state in
            guard let left = state.uploads[name] else { return }
            state.uploads[name] = left > UInt64(count) ? left - UInt64(count) : 0
        }
    }

    /// Gives the name back.
    func release(_ name: String) { state.withLock { _ = $0.uploads.removeValue(forKey: name) } }

    /// Gives a whole image file its name, once it is on the medium.
    func publish(_ part: String, as name: String, overwrite: Bool) throws -> ImageView {
        do {
            try folder.rename(part, to: name, replacing: overwrite)
        } catch {
            if error.errno == .fileExists {
                throw ServerError("there is an image \(name) already", .conflict)
            }
            throw ServerError(error.description)
        }
        return try image(name)
    }
}

extension ServerError {
    /// Runs `body`; what the kernel refuses becomes a `ServerError`, `.full` where there is no room.
    static func naming<T: ~Copyable>(_ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as SystemError {
            let isFull = error.errno == .noSpace || error.errno == .diskQuotaExceeded
            throw ServerError(error.description, isFull ? .full : .failed)
        }
    }
}

extension ImageView {
    fileprivate init(name: String, status: FileStatus, problem: String) {
        self.init(
            name: name, id: "", fileBytes: status.size, usedBytes: 0,
            modifiedAt: status.modified / 1_000_000_000,
            createdAt: "", creator: "", firmware: "", disks: [], partitions: [], usedBy: [], problem: problem)
    }

    /// What the manifest says comes from whoever made the image: texts are made safe to be shown.
    fileprivate init(name: String, status: FileStatus, _ image: ImageFileReader) {
        let manifest = image.manifest
        self.init(
            name: name, id: image.imageID.description, fileBytes: status.size, usedBytes: manifest.usedBytes,
            modifiedAt: status.modified / 1_000_000_000, createdAt: manifest.created.onScreen,
            creator: manifest.creator.onScreen, firmware: manifest.firmware.onScreen,
            disks: manifest.disks.map {
                Disk(size: $0.size, table: $0.tableType.onScreen, model: $0.model.onScreen)
            },
            partitions: manifest.partitions.map {
                Partition(
                    slot: $0.slot, disk: $0.disk, type: $0.typeName.onScreen, name: $0.name.onScreen,
                    fileSystem: $0.fileSystem.onScreen, label: $0.label.onScreen, size: $0.size,
                    used: $0.usedBytes)
            },
            usedBy: [], problem: nil)
    }
}
