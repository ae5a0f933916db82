// Reads an image file: by its footer and index, or, where those are missing, by walking its frames.
package import Blocks

/// Where an image's bytes come from: a file, or memory in tests.
package protocol ImageBytes: Sendable {
    /// Length in bytes.
    var byteCount: UInt64 { get }
    /// Exactly `count` bytes from `offset`; throws where the range is not all there.
    func read(_ count: Int, at offset: UInt64) throws -> [UInt8]
}

/// An opened image: its manifest, the set of existing chunks, and where each frame is.
package struct ImageFileReader: Sendable {
    /// How the contents were found.
    package enum Origin: Equatable, Sendable {
        /// By the footer at the end of the file.
        case index
        /// By the last valid footer, which ends after `length` bytes of the file.
        ///
        /// What follows it is an extension that was not finished, or is damaged, and is ignored; `reason` says
        /// why the file's last bytes are no valid footer.
        case earlierIndex(length: UInt64, reason: String)
        /// By walking the frames.
        ///
        /// No footer is valid, `reason` says what is wrong with the last; every frame that the chunk set names
        /// is there.
        case scan(reason: String)

        /// What is wrong with a file that can be read nevertheless, for its reader to be told; otherwise nil.
        package var damage: String? {
            switch self {
            case .index: nil
            case .earlierIndex(let length, let reason):
                "\(reason); only its first \(length) bytes count, what follows is an unfinished extension"
            case .scan(let reason): "\(reason); its index was made anew from its frames"
            }
        }
    }

    /// Where a frame lies in the file.
    package struct Entry: Equatable, Sendable {
        package let offset: UInt64
        package let header: FrameHeader
        /// Length of prefix and header.
        package let headerLength: Int
    }

    package let manifest: Manifest
    /// The manifest as it stands in the file, fields that this version does not know included.
    package let manifestJSON: [UInt8]
    package let layout: ChunkLayout
    package let imageID: GUID
    package let existing: ChunkSet
    package let closing: ClosingRecord
    package let origin: Origin
    /// Sorted by chunk number.
    package let entries: [Entry]
    private let bytes: any ImageBytes

    /// Opens an image by its last valid footer, or by a scan where there is none.
    ///
    /// - Throws: `DecodeError` for a file that is no image, damaged beyond the index, or not complete;
    ///   whatever `bytes` throws.
    package init(_ bytes: any ImageBytes) throws {
        let header = try FileHeader(reading: bytes)
        let contents = try Contents.find(in: bytes)
        self.bytes = bytes
        manifest = contents.manifest
        manifestJSON = contents.manifestJSON
        layout = contents.layout
        imageID = try contents.manifest.identifier()
        existing = contents.existing
        closing = contents.closing
        origin = contents.origin
        entries = contents.entries
        // An extension brings a manifest with an id of its own; the header keeps that of the first.
        guard header.imageID == imageID || contents.manifestOffset != UInt64(FileHeader.byteCount) else {
            throw DecodeError.invalid("its header and its manifest name different images")
        }
    }

    /// The entry of chunk `number`, found by binary search; nil where it does not exist.
    package func entry(_ number: UInt32) -> Entry? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].header.number < number { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].header.number == number ? entries[low] : nil
    }

    /// The whole frame (prefix, header, payload) as it stands in the file.
    ///
    /// - Throws: `DecodeError.corrupt` where the frame in the file does not begin as the index says.
    package func frame(_ entry: Entry) throws -> [UInt8] {
        let frame = try bytes.read(entry.headerLength + entry.header.payloadLength, at: entry.offset)
        var offset = 0
        let header = try frame.withBytes { span throws(DecodeError) in
            try FrameHeader(from: span, at: &offset, layout: layout)
        }
        guard header == entry.header, offset == entry.headerLength else {
            throw DecodeError.corrupt(
                "the frame of chunk \(entry.header.number) is not the one its index names")
        }
        return frame
    }
}

extension FileHeader {
    /// Reads the first bytes of a file.
    package init(reading bytes: any ImageBytes) throws {
        guard bytes.byteCount >= UInt64(FileHeader.byteCount) else {
            throw DecodeError.invalid("it is too short to be an image")
        }
        let head = try bytes.read(FileHeader.byteCount, at: 0)
        self = try head.withBytes { span throws(DecodeError) in try FileHeader(from: span) }
    }
}
