// What is measured, and the memory it works on.
internal import FEC
internal import Glibc

/// One line of the table.
struct Case {
    let name: String
    /// Source symbols of a stripe.
    let sourceCount: Int
    /// Chunks gone through in turn: 1 stays in the caches, 64 (277 MB) do not.
    let chunks: Int
    let operation: Operation

    enum Operation {
        case encode(rows: Int)
        case decode(losses: Int)
    }

    /// Parity symbols made, or source symbols rebuilt, per stripe.
    var symbols: Int {
        switch operation {
        case .encode(let rows): rows
        case .decode(let losses): losses
        }
    }

    /// Bytes of source data of a stripe.
    var sourceBytes: Int { sourceCount * Workload.symbolBytes }

    static var all: [Case] {
        [("far", 64), ("near", 1)].flatMap { place, chunks in
            [(128, 8), (128, 1), (124, 1), (124, 4)].map { sources, rows in
                Case(
                    name: "encode \(sources)+\(rows), \(place)", sourceCount: sources, chunks: chunks,
                    operation: .encode(rows: rows))
            }
                + [1, 4, 16].map { losses in
                    Case(
                        name: "decode 128-\(losses), \(place)", sourceCount: 128, chunks: chunks,
                        operation: .decode(losses: losses))
                }
        }
    }
}

/// Chunks of 24 stripes of 1408-byte symbols, as a chunk of 4 MiB is sent.
@safe final class Workload {
    static let symbolBytes = 1408
    private static let stripes = 24
    private static let chunkBytes = 128 * stripes * symbolBytes
    private static let shortestRun = Duration.seconds(1)

    private let memory: UnsafeMutableRawBufferPointer
    private let target: UnsafeMutableRawBufferPointer
    private let encoder = ParityEncoder()
    private let decoder = StripeDecoder()

    init() {
        unsafe memory = .allocate(byteCount: 64 * Self.chunkBytes, alignment: 64)
        unsafe target = .allocate(byteCount: 8 * Self.symbolBytes, alignment: 64)
        for index in unsafe memory.indices {
            unsafe memory[index] = UInt8(truncatingIfNeeded: (index &* 0x9e37_79b1) >> 13)
        }
    }

    deinit {
        unsafe memory.deallocate()
        unsafe target.deallocate()
    }

    /// Does a case for a second at least; gives back processor seconds per stripe.
    func secondsPerStripe(_ measured: Case) -> Double {
        repeated(measured) { chunk, shape in
            let buffer = unsafe UnsafeMutableRawBufferPointer(
                rebasing: memory[chunk..<chunk + Self.chunkBytes])
            switch measured.operation {
            case .encode(let rows):
                for row in 0..<rows {
                    encoder.add(UInt8(shape.sourceCount + row), at: row * Self.symbolBytes)
                }
                unsafe encoder.encode(of: UnsafeRawBufferPointer(buffer).bytes, shape, into: target)
            case .decode(let losses):
                // What the slots hold does not change the time: what was rebuilt stands for parity next time.
                for loss in 0..<losses {
                    decoder.add(missing: UInt8(loss * 7), parity: UInt8(shape.sourceCount + loss))
                }
                unsafe decoder.decode(in: buffer, shape)
            }
        }
    }

    /// Copies the stripes' source symbols to one place for a second; gives back processor seconds per stripe.
    func copySecondsPerStripe(_ measured: Case) -> Double {
        repeated(measured) { chunk, shape in
            for number in 0..<shape.sourceCount {
                let from = chunk + shape.offset + number * shape.stride
                unsafe target.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: memory[from..<from + Self.symbolBytes]))
            }
        }
    }

    /// Processor time of this process: what others do meanwhile does not count.
    private func processorSeconds() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func repeated(_ measured: Case, _ body: (Int, StripeShape) -> Void) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        let busyBefore = processorSeconds()
        var count = 0
        repeat {
            for chunk in 0..<measured.chunks {
                for stripe in 0..<Self.stripes {
                    let shape = StripeShape(
                        sourceCount: measured.sourceCount, symbolBytes: Self.symbolBytes,
                        offset: stripe * Self.symbolBytes, stride: Self.stripes * Self.symbolBytes)
                    body(chunk * Self.chunkBytes, shape)
                }
            }
            count += measured.chunks * Self.stripes
        } while clock.now - start < Self.shortestRun
        return (processorSeconds() - busyBefore) / Double(count)
    }
}
