// Sets of chunk numbers, kept and sent as ranges.

/// A set of chunk numbers (u32), kept as sorted ranges that neither overlap nor touch.
package struct ChunkSet: Hashable, Sendable, CustomStringConvertible {
    /// Half-open ranges in ascending order; a bound may be 2³², hence the wider integer.
    package private(set) var ranges: [Range<UInt64>] = []

    package init() {}

    package init(_ numbers: some Sequence<UInt32>) {
        for number in numbers.sorted() { appendRange(UInt64(number)..<UInt64(number) + 1) }
    }

    package var isEmpty: Bool { ranges.isEmpty }
    package var count: Int { ranges.reduce(0) { $0 + $1.count } }
    package var first: UInt32? { ranges.first.map { UInt32($0.lowerBound) } }
    package var last: UInt32? { ranges.last.map { UInt32($0.upperBound - 1) } }
    package var description: String {
        ranges.map { "\($0.lowerBound)-\($0.upperBound - 1)" }.joined(separator: ",")
    }
    /// All numbers, ascending.
    package var numbers: some Sequence<UInt32> { ranges.lazy.flatMap { $0.lazy.map { UInt32($0) } } }

    package func contains(_ number: UInt32) -> Bool {
        let index = firstRange(endingAfter: UInt64(number))
        return index < ranges.count && ranges[index].lowerBound <= UInt64(number)
    }

    /// The smallest member that is not below `number`, or nil.
    package func next(from number: UInt32) -> UInt32? {
        let index = firstRange(endingAfter: UInt64(number))
        return index < ranges.count ? UInt32(max(ranges[index].lowerBound, UInt64(number))) : nil
    }

    package mutating func insert(_ number: UInt32) {
        let value = UInt64(number)
        let index = firstRange(endingAfter: value)
        if index < ranges.count, ranges[index].contains(value) { return }
        let joinsLeft = index > 0 && ranges[index - 1].upperBound == value
        let joinsRight = index < ranges.count && ranges[index].lowerBound == value + 1
        switch (joinsLeft, joinsRight) {
        case (true, true):
            ranges[index - 1] = ranges[index - 1].lowerBound..<ranges[index].upperBound
            ranges.remove(at: index)
        case (true, false): ranges[index - 1] = ranges[index - 1].lowerBound..<value + 1
        case (false, true): ranges[index] = value..<ranges[index].upperBound
        case (false, false): ranges.insert(value..<value + 1, at: index)
        }
    }

    package mutating func remove(_ number: UInt32) {
        let value = UInt64(number)
        let index = firstRange(endingAfter: value)
        guard index < ranges.count, ranges[index].contains(value) else { return }
        let range = ranges[index]
        var parts: [Range<UInt64>] = []
        if range.lowerBound < value { parts.append(range.lowerBound..<value) }
        if value + 1 < range.upperBound { parts.append(value + 1..<range.upperBound) }
        ranges.replaceSubrange(index...index, with: parts)
    }

    package func union(_ other: ChunkSet) -> ChunkSet {
        var result = ChunkSet()
        for range in (ranges + other.ranges).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            result.appendRange(range)
        }
        return result
    }

    package func subtracting(_ other: ChunkSet) -> ChunkSet {
        var result = ChunkSet()
        var index = 0
        for range in ranges {
            var from = range.lowerBound
            while index < other.ranges.count, other.ranges[index].upperBound <= from { index += 1 }
            var cut = index
            while cut < other.ranges.count, other.ranges[cut].lowerBound < range.upperBound {
                if other.ranges[cut].lowerBound > from {
                    result.ranges.append(from..<other.ranges[cut].lowerBound)
                }
                from = max(from, other.ranges[cut].upperBound)
                cut += 1
            }
            if from < range.upperBound { result.ranges.append(from..<range.upperBound) }
        }
        return result
    }

    package func isSubset(of other: ChunkSet) -> Bool { subtracting(other).isEmpty }

    /// Appends a range that starts at or after the last range's start; overlapping and touching ranges merge.
    package mutating func appendRange(_ range: Range<UInt64>) {
        precondition(range.upperBound <= 1 << 32, "chunk number exceeds 32 bits")
        guard !range.isEmpty else { return }
        if let last = ranges.last, range.lowerBound <= last.upperBound {
            precondition(range.lowerBound >= last.lowerBound, "ranges must ascend")
            ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
        } else {
            ranges.append(range)
        }
    }

    private func firstRange(endingAfter value: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension ChunkSet {
    /// Appends the set: the number of ranges, then per range the gap since the last one's end and its length.
    ///
    /// All are varints.
    package func encode(into writer: inout ByteWriter) {
        writer.varint(UInt64(ranges.count))
        var last: UInt64 = 0
        for range in ranges {
            writer.varint(range.lowerBound - last)
            writer.varint(range.upperBound - range.lowerBound)
            last = range.upperBound
        }
    }

    /// Reads a set and advances `offset`; ranges must ascend, must not touch and must stay below 2³².
    package init(from bytes: RawSpan, at offset: inout Int) throws(DecodeError) {
        let count = try bytes.varint(at: &offset)
        // A range takes at least two bytes, so the count is bounded before anything is stored.
        guard count <= UInt64(bytes.byteCount - offset) / 2 else { throw .truncated("a chunk set") }
        var last: UInt64 = 0
        for index in 0..<count {
            let gap = try bytes.varint(at: &offset)
            let length = try bytes.varint(at: &offset)
            guard gap <= 1 << 32, length >= 1, length <= 1 << 32, gap > 0 || index == 0,
                last + gap + length <= 1 << 32
            else { throw .invalid("a chunk set's ranges do not ascend below 2^32") }
            ranges.append(last + gap..<last + gap + length)
            last += gap + length
        }
    }
}
