// A zlib stream decoder written from RFC 1950 and RFC 1951, slow and plain, for the second decoder.

/// Why the second decoder gives up.
struct Obviously: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Decompresses one zlib stream; more than `limit` bytes of output are an error.
func obviousInflate(_ stream: [UInt8], limit: Int) throws -> [UInt8] {
    var bits = BitReader(bytes: stream, position: 16)
    guard stream.count >= 6, stream[0] & 15 == 8, (Int(stream[0]) * 256 + Int(stream[1])) % 31 == 0,
        stream[1] & 0x20 == 0
    else { throw Obviously("this is no zlib stream") }
    var output: [UInt8] = []
    var isLast = false
    while !isLast {
        isLast = try bits.take(1) == 1
        switch try bits.take(2) {
        case 0:
            bits.position = (bits.position + 7) / 8 * 8
            let length = try bits.take(16)
            guard try bits.take(16) == length ^ 0xffff else { throw Obviously("stored length") }
            for _ in 0..<length { output.append(UInt8(try bits.take(8))) }
        case 1:
            let lengths =
                [Int](repeating: 8, count: 144) + [Int](repeating: 9, count: 112)
                + [Int](repeating: 7, count: 24) + [Int](repeating: 8, count: 8)
            try expand(
                &bits, &output, limit, try Huffman(lengths), try Huffman([Int](repeating: 5, count: 30)))
        case 2:
            let (literals, distances) = try dynamicCodes(&bits)
            try expand(&bits, &output, limit, literals, distances)
        default: throw Obviously("block type 3")
        }
        guard output.count <= limit else { throw Obviously("too much output") }
    }
    // Adler-32, the only big-endian number of the format.
    var (a, b) = (1, 0)
    for byte in output {
        a = (a + Int(byte)) % 65521
        b = (b + a) % 65521
    }
    let end = (bits.position + 7) / 8
    guard stream.count == end + 4,
        stream[end...].reduce(0, { $0 * 256 + Int($1) }) == b * 65536 + a
    else { throw Obviously("Adler-32") }
    return output
}

private struct BitReader {
    let bytes: [UInt8]
    /// In bits.
    var position: Int

    mutating func take(_ count: Int) throws -> Int {
        var value = 0
        for index in 0..<count {
            guard position / 8 < bytes.count else { throw Obviously("the stream ends") }
            value |= Int(bytes[position / 8] >> UInt8(position % 8) & 1) << index
            position += 1
        }
        return value
    }
}

/// A canonical code: the symbol for (length, bits).
private struct Huffman {
    private var symbols: [Int: Int] = [:]

    init(_ lengths: [Int]) throws {
        var code = 0
        for length in 1...15 {
            code <<= 1
            for symbol in lengths.indices where lengths[symbol] == length {
                guard code < 1 << length else { throw Obviously("too many codes") }
                symbols[length << 16 | code] = symbol
                code += 1
            }
        }
    }

    func symbol(_ bits: inout BitReader) throws -> Int {
        var code = 0
        for length in 1...15 {
            code = code << 1 | (try bits.take(1))
            if let symbol = symbols[length << 16 | code] { return symbol }
        }
        throw Obviously("no such code")
    }
}

private func dynamicCodes(_ bits: inout BitReader) throws -> (Huffman, Huffman) {
    let literalCount = try bits.take(5) + 257
    let distanceCount = try bits.take(5) + 1
    let lengthCount = try bits.take(4) + 4
    var lengths = [Int](repeating: 0, count: 19)
    let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    for index in order[..<lengthCount] { lengths[index] = try bits.take(3) }
    let code = try Huffman(lengths)
    var all: [Int] = []
    while all.count < literalCount + distanceCount {
        let symbol = try code.symbol(&bits)
        switch symbol {
        case 16:
            guard let last = all.last else { throw Obviously("nothing to repeat") }
            all += [Int](repeating: last, count: try bits.take(2) + 3)
        case 17: all += [Int](repeating: 0, count: try bits.take(3) + 3)
        case 18: all += [Int](repeating: 0, count: try bits.take(7) + 11)
        default: all.append(symbol)
        }
    }
    guard all.count == literalCount + distanceCount else { throw Obviously("too many lengths") }
    return (try Huffman(Array(all[..<literalCount])), try Huffman(Array(all[literalCount...])))
}

private func expand(
    _ bits: inout BitReader, _ output: inout [UInt8], _ limit: Int, _ literals: Huffman,
    _ distances: Huffman
) throws {
    while true {
        let symbol = try literals.symbol(&bits)
        if symbol == 256 { return }
        guard output.count < limit else { throw Obviously("too much output") }
        if symbol < 256 {
            output.append(UInt8(symbol))
            continue
        }
        let length: Int
        switch symbol {
        case 257...264: length = symbol - 254
        case 265...284:
            let extra = (symbol - 261) / 4
            length = (4 + (symbol - 261) % 4) << extra + 3 + (try bits.take(extra))
        case 285: length = 258
        default: throw Obviously("length code \(symbol)")
        }
        let code = try distances.symbol(&bits)
        guard code < 30 else { throw Obviously("distance code \(code)") }
        let extra = code < 2 ? 0 : code / 2 - 1
        let distance = code < 2 ? code + 1 : (2 + code % 2) << extra + 1 + (try bits.take(extra))
        guard distance <= output.count else { throw Obviously("distance \(distance)") }
        for _ in 0..<length { output.append(output[output.count - distance]) }
    }
}
