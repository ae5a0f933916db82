// An image file in memory that notes how much of it a reader asks for.
import ImageFormat
import Synchronization

final class MemoryImage: ImageBytes {
    struct OutOfRange: Error {}

    struct Requests {
        var total = 0
        var largest = 0
        var outside = 0
    }

    let bytes: [UInt8]
    private let noted = Mutex(Requests())

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var byteCount: UInt64 { UInt64(bytes.count) }
    var requests: Requests { noted.withLock { $0 } }

    func read(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        let isInside = count >= 0 && offset <= byteCount && UInt64(count) <= byteCount - offset
        noted.withLock {
            $0.total += max(0, count)
            $0.largest = max($0.largest, count)
            if !isInside { $0.outside += 1 }
        }
        guard isInside else { throw OutOfRange() }
        return Array(bytes[Int(offset)..<Int(offset) + count])
    }
}
