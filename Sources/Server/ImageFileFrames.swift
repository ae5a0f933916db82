// An image file as the host's source of frames.
internal import Blocks
package import ImageFormat
internal import SessionTransport

/// Serves the frames of an image file as they stand in it.
package final class ImageFileFrames: FrameProvider {
    package let image: ImageFileReader
    private let path: String

    /// Opens the image at `path`.
    ///
    /// - Throws: `ServerError` naming the file where it is no whole image.
    package init(path: String) throws {
        self.path = path
        do {
            image = try ImageFileReader(ImageFileBytes(path: path))
        } catch let error as DecodeError {
            throw ServerError("\(path) is not a usable image: \(error)")
        }
    }

    /// Bytes of the longest frame.
    package var maximumFrameBytes: Int {
        image.entries.reduce(0) { max($0, $1.headerLength + $1.header.payloadLength) }
    }

    package func frame(chunk: UInt32) throws -> [UInt8] {
        guard let entry = image.entry(chunk) else {
            throw ServerError("\(path) does not hold chunk \(chunk)")
        }
        do {
            return try image.frame(entry)
        } catch let error as DecodeError {
            throw ServerError("\(path) is damaged: \(error)")
        }
    }
}
