// Chunk sets against the standard library's set, and their encoded form.
import Blocks
import TestSupport
import Testing

@Suite struct ChunkSetTests {
    private static func decode(_ bytes: [UInt8]) throws(DecodeError) -> (ChunkSet, rest: Int) {
        try bytes.withBytes { span throws(DecodeError) in
            var offset = 0
            let set = try ChunkSet(from: span, at: &offset)
            return (set, span.byteCount - offset)
        }
    }

    private static func encode(_ set: ChunkSet) -> [UInt8] {
        var writer = ByteWriter()
        set.encode(into: &writer)
        return writer.bytes
    }

    private static func expectNormal(_ set: ChunkSet) {
        for (left, right) in zip(set.ranges, set.ranges.dropFirst()) {
            #expect(left.upperBound < right.lowerBound)
        }
        #expect(set.ranges.allSatisfy { !$0.isEmpty })
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func agreesWithTheModel(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let numbers = (0..<2).map { _ in
                (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    UInt32.random(in: 0..<60, using: &random)
                }
            }
            let (left, right) = (ChunkSet(numbers[0]), ChunkSet(numbers[1]))
            let (leftModel, rightModel) = (Set(numbers[0]), Set(numbers[1]))
            Self.expectNormal(left)
            #expect(Array(left.numbers) == leftModel.sorted())
            #expect(left.count == leftModel.count)
            #expect(left.isEmpty == leftModel.isEmpty)
            #expect(left.first == leftModel.min())
            #expect(left.last == leftModel.max())
            let union = left.union(right)
            Self.expectNormal(union)
            #expect(Array(union.numbers) == leftModel.union(rightModel).sorted())
            let difference = left.subtracting(right)
            Self.expectNormal(difference)
            #expect(Array(difference.numbers) == leftModel.subtracting(rightModel).sorted())
            #expect(left.isSubset(of: right) == leftModel.isSubset(of: rightModel))
            for number in 0..<64 as Range<UInt32> {
                #expect(left.contains(number) == leftModel.contains(number))
                #expect(left.next(from: number) == leftModel.filter { $0 >= number }.min())
            }
            let (decoded, rest) = try Self.decode(Self.encode(left))
            #expect(decoded == left)
            #expect(rest == 0)
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func insertsAndRemovesLikeTheModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var set = ChunkSet()
        var model = Set<UInt32>()
        for _ in 0..<3000 {
            let number = UInt32.random(in: 0..<50, using: &random)
            if Bool.random(using: &random) {
                set.insert(number)
                model.insert(number)
            } else {
                set.remove(number)
                model.remove(number)
            }
            Self.expectNormal(set)
            #expect(set == ChunkSet(model))
        }
    }

    @Test func keepsTheEndsOf32Bits() throws {
        var set = ChunkSet([0, UInt32.max])
        #expect(set.last == UInt32.max)
        #expect(set.next(from: UInt32.max) == UInt32.max)
        #expect(set.next(from: 1) == UInt32.max)
        #expect(try Self.decode(Self.encode(set)).0 == set)
        set.insert(UInt32.max - 1)
        set.remove(UInt32.max)
        #expect(set.description == "0-0,4294967294-4294967294")
        #expect(set.next(from: UInt32.max) == nil)
        var all = ChunkSet()
        all.appendRange(0..<1 << 32)
        #expect(all.count == 1 << 32)
        #expect(all.contains(UInt32.max))
        #expect(try Self.decode(Self.encode(all)).0 == all)
    }

    @Test func hasTheBytesOfTheFormat() {
        // Two ranges: gap 3, length 2; gap 195 (200 − 5), length 1.
        #expect(Self.encode(ChunkSet([3, 4, 200])) == [2, 3, 2, 0xc3, 0x01, 1])
        #expect(Self.encode(ChunkSet()) == [0])
    }

    @Test(
        arguments: [
            ([], "nothing"), ([1], "a range is missing"), ([1, 0, 0], "an empty range"),
            ([2, 0, 1, 0, 1], "touching ranges"), ([1, 0, 0x81], "a cut varint"),
            ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 1], "2^64 − 1 ranges"),
            ([1, 0x81, 0x80, 0x80, 0x80, 0x10, 1], "a number beyond 32 bits"),
            ([1, 1, 0x80, 0x80, 0x80, 0x80, 0x10], "a range that ends beyond 32 bits"),
            ([2, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "a gap of 64 bits"),
        ] as [([UInt8], String)])
    func refuses(bytes: [UInt8], why: String) {
        #expect(throws: DecodeError.self, "\(why)") { try Self.decode(bytes) }
    }
}
