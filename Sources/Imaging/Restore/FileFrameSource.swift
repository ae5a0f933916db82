// The frames of an image file, read ahead in the order of their chunk numbers.
package import Blocks
package import ImageFormat
internal import Linux

/// Delivers the wanted frames of an image file.
package final class FileFrameSource: FrameSource {
    /// Frames read ahead; with the chunk size this bounds the memory.
    private static let readAhead = 8

    private let image: ImageFileReader
    private let name: String
    private let queue: BoundedQueue<SourceFrame>
    private let failure: FirstFailure

    /// Starts reading; `name` is the file's path for errors.
    package init(_ image: ImageFileReader, name: String, wanted: ChunkSet) {
        self.image = image
        self.name = name
        let queue = BoundedQueue<SourceFrame>(capacity: FileFrameSource.readAhead)
        self.queue = queue
        let failure = FirstFailure()
        failure.whenFailed { queue.close() }
        self.failure = failure
        _ = Thread("read-image") {
            failure.guarding {
                for number in wanted.numbers {
                    guard let entry = image.entry(number) else {
                        throw ImagingError("\(name) does not hold chunk \(number)")
                    }
                    do {
                        let frame = SourceFrame(number: number, storage: .bytes(try image.frame(entry)))
                        guard queue.put(frame) else { return }
                    } catch let error as DecodeError {
                        throw ImagingError("\(name): \(error)")
                    }
                }
                queue.close()
            }
        }
    }

    package func next() throws -> SourceFrame? {
        if let frame = queue.take() { return frame }
        try failure.rethrow()
        return nil
    }

    package func release(_ frame: SourceFrame) {}

    package func completed(_ number: UInt32) {}

    package func rejected(_ number: UInt32, because error: DecodeError) throws {
        throw ImagingError("\(name) is damaged: \(error)")
    }

    package func cancel(because error: any Error) { queue.close() }
}
