// Extent sets against a model that keeps one flag per byte.
import Blocks
import TestSupport
import Testing

@Suite struct ExtentSetTests {
    /// A disk of a few bytes, one flag each.
    private struct Model {
        static let size = 96
        var flags = [Bool](repeating: false, count: Model.size)

        mutating func set(_ extent: Extent, to value: Bool) {
            for byte in extent.offset..<extent.end { flags[Int(byte)] = value }
        }

        /// The one normal form: ascending runs that do not touch.
        var extents: [Extent] {
            var result: [Extent] = []
            for (byte, flag) in flags.enumerated() where flag {
                if let last = result.last, last.end == UInt64(byte) {
                    result[result.count - 1].length += 1
                } else {
                    result.append(Extent(offset: UInt64(byte), length: 1))
                }
            }
            return result
        }
    }

    private static func randomExtent(_ random: inout SeededRandom) -> Extent {
        let from = UInt64.random(in: 0..<UInt64(Model.size), using: &random)
        return Extent(
            offset: from, length: .random(in: 0...min(12, UInt64(Model.size) - from), using: &random))
    }

    private static func randomPair(_ random: inout SeededRandom) -> (ExtentSet, Model) {
        let extents = (0..<Int.random(in: 0...8, using: &random)).map { _ in randomExtent(&random) }
        var model = Model()
        for extent in extents { model.set(extent, to: true) }
        return (ExtentSet(extents), model)
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func agreesWithTheModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let (left, leftModel) = Self.randomPair(&random)
            let (right, rightModel) = Self.randomPair(&random)
            #expect(left.extents == leftModel.extents)
            #expect(left.byteCount == UInt64(leftModel.flags.count { $0 }))
            #expect(left.isEmpty == !leftModel.flags.contains(true))

            func combined(_ operation: (Bool, Bool) -> Bool) -> [Extent] {
                Model(flags: zip(leftModel.flags, rightModel.flags).map { operation($0, $1) }).extents
            }
            #expect(left.union(right).extents == combined { $0 || $1 })
            #expect(left.subtracting(right).extents == combined { $0 && !$1 })
            #expect(left.intersection(right).extents == combined { $0 && $1 })

            let window = Self.randomExtent(&random)
            var windowModel = Model()
            windowModel.set(window, to: true)
            #expect(
                left.intersection(window).extents
                    == Model(flags: zip(leftModel.flags, windowModel.flags).map { $0 && $1 }).extents)
            for byte in 0..<Model.size { #expect(left.contains(UInt64(byte)) == leftModel.flags[byte]) }
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func insertsLikeTheModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            var set = ExtentSet()
            var model = Model()
            for _ in 0..<12 {
                let extent = Self.randomExtent(&random)
                set.insert(extent)
                model.set(extent, to: true)
                #expect(set.extents == model.extents, "after \(extent)")
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4, 8] as [UInt64]) func roundsLikeTheModel(alignment: UInt64) {
        var random = SeededRandom(seed: alignment)
        for _ in 0..<500 {
            let (set, _) = Self.randomPair(&random)
            var inward = Model()
            var outward = Model()
            // A block is inside when one extent holds all of it, touched when it shares a byte with one.
            for from in stride(from: 0, to: UInt64(Model.size), by: Int(alignment)) {
                let block = Extent(from..<min(from + alignment, UInt64(Model.size)))
                let part = set.intersection(block)
                if part.byteCount == alignment { inward.set(block, to: true) }
                if !part.isEmpty { outward.set(block, to: true) }
            }
            #expect(set.roundedInward(to: alignment).extents == inward.extents)
            #expect(set.roundedOutward(to: alignment, limit: UInt64(Model.size)).extents == outward.extents)
        }
    }

    @Test func cutsRoundedExtentsAtTheLimit() {
        let set = ExtentSet([Extent(offset: 4000, length: 200), Extent(offset: 9000, length: 1)])
        #expect(set.roundedOutward(to: 4096, limit: 9001).extents == [Extent(offset: 0, length: 9001)])
        #expect(set.roundedInward(to: 4096).isEmpty)
    }

    @Test func keepsTheEndsOf64Bits() {
        let last = Extent(offset: UInt64.max - 10, length: 10)
        let set = ExtentSet([last, Extent(offset: 0, length: 1)])
        #expect(last.end == UInt64.max)
        #expect(set.contains(UInt64.max - 1))
        #expect(!set.contains(UInt64.max))
        #expect(set.subtracting(ExtentSet([last])).extents == [Extent(offset: 0, length: 1)])
        #expect(set.description == "0+1,\(UInt64.max - 10)+10")
    }

    @Test func shifts() {
        let set = ExtentSet([Extent(offset: 1, length: 2), Extent(offset: 5, length: 1)])
        #expect(set.shifted(by: 7).extents == [Extent(offset: 8, length: 2), Extent(offset: 12, length: 1)])
    }

    @Test func anExtentBeyond64BitsIsAProgrammingError() async {
        await #expect(processExitsWith: .failure) { _ = Extent(offset: UInt64.max, length: 1) }
    }

    /// Trims of a fragmented file system arrive one by one; a hundred thousand must not take minutes.
    @Test(.timeLimit(.minutes(10))) func insertsManyExtentsFast() {
        var set = ExtentSet()
        for index in 0..<100_000 as Range<UInt64> {
            set.insert(Extent(offset: (index * 7919 % 100_000) * 8192, length: 4096))
        }
        #expect(set.extents.count == 100_000)
        #expect(set.byteCount == 100_000 * 4096)
    }
}
