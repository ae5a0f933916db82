// A set of block numbers that stays small whether it is empty, full or anything between.

/// A set of blocks below a fixed count: pages of 32,768 bits, of which only mixed ones take memory.
package struct BlockBitmap {
    private enum Page {
        case none
        case all
        case some([UInt64])
    }

    private var pages: [Page]
    private let count: UInt64

    /// An empty set for blocks `0 ..< count`.
    package init(count: UInt64) {
        self.count = count
        pages = Array(repeating: .none, count: Int((count + bitsPerPage - 1) / bitsPerPage))
    }

    package func contains(_ block: UInt64) -> Bool {
        switch pages[Int(block / bitsPerPage)] {
        case .none: return false
        case .all: return true
        case .some(let words):
            let bit = block % bitsPerPage
            return words[Int(bit / 64)] >> (bit % 64) & 1 != 0
        }
    }

    package mutating func insert(_ blocks: Range<UInt64>) { set(blocks, true) }
    package mutating func remove(_ blocks: Range<UInt64>) { set(blocks, false) }

    /// The set as ascending ranges that do not touch.
    package var ranges: [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        func add(_ range: Range<UInt64>) {
            if let last = result.last, last.upperBound == range.lowerBound {
                result[result.count - 1] = last.lowerBound..<range.upperBound
            } else {
                result.append(range)
            }
        }
        for (index, page) in pages.enumerated() {
            let base = UInt64(index) * bitsPerPage
            switch page {
            case .none: continue
            case .all: add(base..<min(base + bitsPerPage, count))
            case .some(let words):
                for (position, word) in words.enumerated() where word != 0 {
                    var rest = word
                    while rest != 0 {
                        let from = UInt64(rest.trailingZeroBitCount)
                        let length = UInt64((~(rest >> from)).trailingZeroBitCount)
                        let start = base + UInt64(position) * 64 + from
                        if start < count { add(start..<min(start + length, count)) }
                        if from + length >= 64 { break }
                        rest &= ~UInt64(0) << (from + length)
                    }
                }
            }
        }
        return result
    }

    private mutating func set(_ blocks: Range<UInt64>, _ value: Bool) {
        var next = blocks.lowerBound
        while next < blocks.upperBound {
            let index = Int(next / bitsPerPage)
            let base = UInt64(index) * bitsPerPage
            let end = min(base + bitsPerPage, blocks.upperBound)
            if next == base, end == min(base + bitsPerPage, count) {
                pages[index] = value ? .all : .none
            } else {
                setBits(next - base..<end - base, ofPage: index, value)
            }
            next = end
        }
    }

    private mutating func setBits(_ bits: Range<UInt64>, ofPage index: Int, _ value: Bool) {
        var words: [UInt64]
        switch pages[index] {
        case .none:
            if !value { return }
            words = Array(repeating: 0, count: Int(bitsPerPage / 64))
        case .all:
            if value { return }
            words = Array(repeating: .max, count: Int(bitsPerPage / 64))
        case .some(let present):
            words = present
            // Without another owner the change below happens in place.
            pages[index] = .none
        }
        var bit = bits.lowerBound
        while bit < bits.upperBound {
            let shift = bit % 64
            let length = min(64 - shift, bits.upperBound - bit)
            let mask = (length == 64 ? UInt64.max : (1 << length) - 1) << shift
            if value { words[Int(bit / 64)] |= mask } else { words[Int(bit / 64)] &= ~mask }
            bit += length
        }
        pages[index] = .some(words)
    }
}

private let bitsPerPage: UInt64 = 32_768
