// img session NAME file=PATH: a session → an image file. Every frame is proven, then stored as it came.
package import Blocks
package import ImageFormat
internal import Linux
internal import SessionTransport

/// Records the frames of one image into a file, which has its name only when all of them are in it.
///
/// The manifest is kept to the byte and frames are not encoded anew, so that the file is the same image, whoever hosted
/// it and however often its host came back.
package final class SessionRecording: Sendable {
    /// What came of it.
    package struct Result: Equatable, Sendable {
        package let path: String
        /// Bytes of content, of encoded payload, and of the file.
        package let contentBytes: UInt64
        package let payloadBytes: UInt64
        package let fileBytes: UInt64
        package let frameCount: UInt64
        /// What of the source could not be read, in the order of the chunk numbers.
        package let unreadable: [ClosingRecord.Unreadable]
    }

    private let layout: ChunkLayout
    private let wanted: ChunkSet
    private let source: any FrameSource
    private let progress: Progress
    private let writer: StoredImageWriter
    private let failure = FirstFailure()

    /// How many times as much as its content an image is at most taken to shrink; see `spaceNotice`.
    private static let likelyRatio: UInt64 = 20

    /// Creates the file, still without a name, and writes what stands before the first chunk.
    ///
    /// - Parameters:
    ///   - path: The image file to be; it must not exist.
    ///   - manifest: The manifest's JSON as the host has it; its chunks must be `wanted`.
    ///   - layout: That of the manifest.
    ///   - wanted: The chunks of the image, table frames included.
    ///   - source: Where the frames come from.
    ///   - progress: Counts frames and content.
    /// - Throws: Where the file cannot be made, or its file system has too little room for any such image.
    package init(
        path: String, manifest: [UInt8], layout: ChunkLayout, wanted: ChunkSet, source: any FrameSource,
        progress: Progress
    ) throws {
        self.layout = layout
        self.wanted = wanted
        self.source = source
        self.progress = progress
        writer = try StoredImageWriter(path: path, manifestJSON: manifest, existing: wanted)
    }

    /// Makes sure that `path` can become an image file, before anybody is asked for frames.
    ///
    /// - Returns: Bytes free where it will lie.
    package static func check(path: String) throws -> UInt64 {
        guard !FileTree.exists(path) else {
            throw ImagingError("\(path) exists already; an image never replaces a file")
        }
        return try TemporaryFile(besides: path).freeSpace()
    }

    /// What is to be said about the room for an image of `usedBytes` of content; nil where it is surely enough.
    ///
    /// How long the file will be is known at the end only: at most as long as the content and its headers, and shorter
    /// by what it shrinks.
    ///
    /// - Throws: Where there is less than a twentieth of the content: so much does no disk shrink that has something on
    ///   it.
    package func spaceNotice(usedBytes: UInt64) throws -> String? {
        let free = try writer.freeSpace()
        guard free >= usedBytes / SessionRecording.likelyRatio else {
            throw ImagingError(
                "\(writer.path) has room for \(free.asBytes), far too little for an image of \(usedBytes.asBytes)"
            )
        }
        guard free < usedBytes else { return nil }
        return
            "\(writer.path) has room for \(free.asBytes): enough only if the image, \(usedBytes.asBytes) of content, "
            + "is compressed to that"
    }

    /// Runs until every wanted frame is in the file and the file has its name.
    ///
    /// - Throws: The first error; there is no file then.
    package func run() throws -> Result {
        failure.whenFailed { [self] in
            source.cancel(because: failure.error ?? ImagingError("the recording has failed"))
        }
        let threads = (0..<processorCount()).map { index in
            Thread("record-\(index + 1)") { [self] in failure.guarding { try record() } }
        }
        for thread in threads { try thread.join() }
        try failure.rethrow()
        let missing = wanted.subtracting(writer.stored)
        guard missing.isEmpty else {
            throw ImagingError("\(missing.count) of \(wanted.count) chunks did not arrive")
        }
        progress.enter(.finishing)
        progress.enter(.finishing)
        let (totals, byteCount) = try writer.finish()
        return Result(
            path: writer.path, contentBytes: totals.contentBytes, payloadBytes: totals.payloadBytes,
            fileBytes: byteCount, frameCount: totals.frameCount, unreadable: totals.unreadable)
    }

    /// Ends the recording with `reason` as its error; `run` then throws it.
    package func cancel(_ reason: String) { failure.record(ImagingError(reason)) }

    /// Takes frames until there are no more: proves each one's content, and stores it.
    private func record() throws {
        let decoder = FrameDecoder()
        let content = AlignedBuffer(capacity: max(Int(layout.chunkSize), FrameHeader.maximumTableLength))
        while !failure.hasFailed, let frame = try source.next() {
            defer { source.release(frame) }
            let header: FrameHeader
            let start: Int
            do throws(DecodeError) {
                (header, start) = try prove(frame, decoder, content)
            } catch {
                try source.rejected(frame.number, because: error)
                continue
            }
            if try store(frame, header, payloadAt: start) {
                progress.add(frame: frame.byteCount)
                progress.add(content: header.rawLength, disk: header.disk)
            }
            source.completed(header.number)
        }
    }

    /// The header of a frame whose content has been decoded and has its hash, and where the payload begins.
    private func prove(
        _ frame: SourceFrame, _ decoder: FrameDecoder, _ content: AlignedBuffer
    ) throws(DecodeError) -> (FrameHeader, Int) {
        try frame.withBytes { span throws(DecodeError) in
            var offset = 0
            let header = try FrameHeader(from: span, at: &offset, layout: layout)
            guard header.number == frame.number, offset + header.payloadLength == span.byteCount,
                wanted.contains(header.number)
            else {
                throw .invalid("the frame of chunk \(frame.number) has a wrong number or length")
            }
            let payload = span.extracting(offset..<span.byteCount)
            try unsafe decoder.decode(header, payload: payload, into: content.bytes)
            return (header, offset)
        }
    }

    /// Writes the frame unless its chunk is in the file already; returns whether it was written.
    private func store(_ frame: SourceFrame, _ header: FrameHeader, payloadAt start: Int) throws -> Bool {
        let outcome = try frame.withBytes { span throws(DecodeError) in
            unsafe span.withUnsafeBytes { bytes in
                Swift.Result {
                    try unsafe writer.write(
                        header, prefixAndHeader: [UInt8](bytes[..<start]),
                        payload: UnsafeRawBufferPointer(rebasing: bytes[start...]))
                }
            }
        }
        return try outcome.get()
    }
}
