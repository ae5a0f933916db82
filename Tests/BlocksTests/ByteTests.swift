// Readers and writers of integers, varints and text.
import Blocks
import TestSupport
import Testing

@Suite struct ByteTests {
    @Test func readsLittleEndianAndAdvances() throws {
        let bytes: [UInt8] = [
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
        ]
        try bytes.withBytes { span throws(DecodeError) in
            var offset = 0
            #expect(try span.u8(at: &offset) == 0x01)
            #expect(try span.u16(at: &offset) == 0x0302)
            #expect(try span.u32(at: &offset) == 0x0706_0504)
            #expect(try span.u64(at: &offset) == 0x0f0e_0d0c_0b0a_0908)
            #expect(offset == 15)
        }
    }

    @Test(arguments: 0..<8) func refusesToReadPastTheEnd(count: Int) {
        let bytes = [UInt8](repeating: 1, count: count)
        bytes.withBytes { span in
            for start in -1...count + 1 {
                var offset = start
                let fits = (0...count).contains(start)
                #expect(((try? span.u8(at: &offset)) != nil) == (fits && count - start >= 1))
                offset = start
                #expect(((try? span.u16(at: &offset)) != nil) == (fits && count - start >= 2))
                offset = start
                #expect(((try? span.u32(at: &offset)) != nil) == (fits && count - start >= 4))
                offset = start
                #expect((try? span.u64(at: &offset)) == nil)
                #expect(offset == start, "a failed read does not advance")
                for length in [-1, 0, 1, count, Int.max] {
                    offset = start
                    let there = fits && length >= 0 && length <= count - start
                    #expect(((try? span.array(length, at: &offset, "it")) != nil) == there)
                }
            }
        }
    }

    @Test func namesTheFieldThatIsCutShort() {
        #expect(throws: DecodeError.truncated("the name")) {
            try [UInt8]().withBytes { span throws(DecodeError) in
                var offset = 0
                return try span.text(1, at: &offset, "the name")
            }
        }
        #expect(throws: DecodeError.invalid("the name is not UTF-8")) {
            try [0xff as UInt8].withBytes { span throws(DecodeError) in
                var offset = 0
                return try span.text(1, at: &offset, "the name")
            }
        }
    }

    @Test func readsText() throws {
        let bytes = Array("größe".utf8)
        let text = try bytes.withBytes { span throws(DecodeError) in
            var offset = 0
            return try span.text(bytes.count, at: &offset, "it")
        }
        #expect(text == "größe")
    }

    @Test func writesWhatItReads() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<1000 {
            let value = random.next() >> UInt64.random(in: 0..<64, using: &random)
            var writer = ByteWriter()
            writer.u8(UInt8(truncatingIfNeeded: value))
            writer.u16(UInt16(truncatingIfNeeded: value))
            writer.u32(UInt32(truncatingIfNeeded: value))
            writer.u64(value)
            writer.varint(value)
            try writer.bytes.withBytes { span throws(DecodeError) in
                var offset = 0
                #expect(try span.u8(at: &offset) == UInt8(truncatingIfNeeded: value))
                #expect(try span.u16(at: &offset) == UInt16(truncatingIfNeeded: value))
                #expect(try span.u32(at: &offset) == UInt32(truncatingIfNeeded: value))
                #expect(try span.u64(at: &offset) == value)
                #expect(try span.varint(at: &offset) == value)
                #expect(offset == span.byteCount)
            }
        }
    }

    @Test func replacesFourBytes() {
        var writer = ByteWriter()
        writer.append([1, 2, 3, 4, 5, 6])
        writer.replaceU32(at: 1, with: 0xaabb_ccdd)
        writer.append(zeros: 2)
        #expect(writer.bytes == [1, 0xdd, 0xcc, 0xbb, 0xaa, 6, 0, 0])
    }

    private static func varint(_ bytes: [UInt8]) throws(DecodeError) -> UInt64 {
        try bytes.withBytes { span throws(DecodeError) in
            var offset = 0
            let value = try span.varint(at: &offset)
            guard offset == span.byteCount else { throw .invalid("bytes are left") }
            return value
        }
    }

    @Test(
        arguments: [
            (0, [0]), (1, [1]), (127, [0x7f]), (128, [0x80, 1]), (300, [0xac, 2]), (16383, [0xff, 0x7f]),
            (16384, [0x80, 0x80, 1]),
            (UInt64.max, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (1 << 63, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
        ] as [(UInt64, [UInt8])])
    func varintsHaveOneForm(value: UInt64, bytes: [UInt8]) throws {
        var writer = ByteWriter()
        writer.varint(value)
        #expect(writer.bytes == bytes)
        #expect(try Self.varint(bytes) == value)
        for count in 0..<bytes.count {
            #expect(throws: DecodeError.self) { try Self.varint(Array(bytes[..<count])) }
        }
    }

    @Test(
        arguments: [
            [0x80, 0], [0xff, 0x80, 0], [0x80, 0x80],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        ] as [[UInt8]])
    func refusesOtherVarints(bytes: [UInt8]) {
        #expect(throws: DecodeError.self) { try Self.varint(bytes) }
    }

    @Test func findsTheOneByteThatIsNotZero() {
        for count in [0, 1, 7, 63, 64, 65, 127, 128, 200] {
            var bytes = [UInt8](repeating: 0, count: count)
            #expect(bytes.withBytes { $0.isZero })
            for index in 0..<count {
                bytes[index] = 0x80
                #expect(!bytes.withBytes { $0.isZero }, "\(index) of \(count)")
                bytes[index] = 0
            }
        }
    }

    @Test func copiesAPart() {
        let bytes: [UInt8] = [1, 2, 3, 4]
        #expect(bytes.withBytes(in: 1..<3) { $0.array } == [2, 3])
        #expect(bytes.withBytes { $0.array } == bytes)
    }
}
