// Byte ranges of a disk and sorted sets of them.

/// A range of bytes of a disk, partition or file; never empty inside an `ExtentSet`.
package struct Extent: Hashable, Sendable, CustomStringConvertible {
    /// First byte.
    package var offset: UInt64
    /// Number of bytes.
    package var length: UInt64

    /// `offset + length` must not exceed `UInt64.max`; a decoder checks that before it makes an extent.
    package init(offset: UInt64, length: UInt64) {
        precondition(length <= UInt64.max - offset, "extent exceeds 64 bits")
        self.offset = offset
        self.length = length
    }

    package init(_ range: Range<UInt64>) {
        self.init(offset: range.lowerBound, length: range.upperBound - range.lowerBound)
    }

    /// First byte after the extent.
    package var end: UInt64 { offset + length }
    package var description: String { "\(offset)+\(length)" }

    /// The part of the extent that lies in `other`, or nil where they do not meet.
    package func intersection(_ other: Extent) -> Extent? {
        let from = max(offset, other.offset)
        let to = min(end, other.end)
        return from < to ? Extent(from..<to) : nil
    }
}

/// A set of bytes, kept as sorted extents that neither overlap nor touch.
package struct ExtentSet: Hashable, Sendable, CustomStringConvertible {
    package private(set) var extents: [Extent] = []

    package init() {}

    /// Builds the union of `extents`, which may overlap and come in any order; empty ones are dropped.
    package init(_ extents: some Sequence<Extent>) {
        var merged: [Extent] = []
        for extent in extents.filter({ $0.length > 0 }).sorted(by: { $0.offset < $1.offset }) {
            if let last = merged.last, extent.offset <= last.end {
                merged[merged.count - 1] = Extent(last.offset..<max(last.end, extent.end))
            } else {
                merged.append(extent)
            }
        }
        self.extents = merged
    }

    package var isEmpty: Bool { extents.isEmpty }
    /// Total number of bytes.
    package var byteCount: UInt64 { extents.reduce(0) { $0 + $1.length } }
    package var description: String { extents.map(\.description).joined(separator: ",") }

    /// Adds the bytes of `extent`; takes a binary search and one move of what lies behind.
    package mutating func insert(_ extent: Extent) {
        guard extent.length > 0 else { return }
        let from = firstIndex { $0.end >= extent.offset }
        let to = firstIndex { $0.offset > extent.end }
        let start = from < to ? min(extents[from].offset, extent.offset) : extent.offset
        let end = from < to ? max(extents[to - 1].end, extent.end) : extent.end
        extents.replaceSubrange(from..<max(from, to), with: CollectionOfOne(Extent(start..<end)))
    }

    package func union(_ other: ExtentSet) -> ExtentSet { ExtentSet(extents + other.extents) }

    /// The bytes of this set that are not in `other`.
    package func subtracting(_ other: ExtentSet) -> ExtentSet {
        var result = ExtentSet()
        var index = 0
        for extent in extents {
            var from = extent.offset
            while index < other.extents.count, other.extents[index].end <= from { index += 1 }
            var cut = index
            while cut < other.extents.count, other.extents[cut].offset < extent.end {
                let hole = other.extents[cut]
                if hole.offset > from { result.extents.append(Extent(from..<hole.offset)) }
                from = max(from, hole.end)
                cut += 1
            }
            if from < extent.end { result.extents.append(Extent(from..<extent.end)) }
        }
        return result
    }

    package func intersection(_ other: ExtentSet) -> ExtentSet {
        var result = ExtentSet()
        var left = 0
        var right = 0
        while left < extents.count, right < other.extents.count {
            if let common = extents[left].intersection(other.extents[right]) { result.extents.append(common) }
            if extents[left].end < other.extents[right].end { left += 1 } else { right += 1 }
        }
        return result
    }

    /// The bytes of this set inside `window`, found by binary search.
    package func intersection(_ window: Extent) -> ExtentSet {
        var result = ExtentSet()
        for extent in extents[firstIndex { $0.end > window.offset }...] {
            guard let common = extent.intersection(window) else { break }
            result.extents.append(common)
        }
        return result
    }

    package func contains(_ byte: UInt64) -> Bool {
        byte < UInt64.max && !intersection(Extent(offset: byte, length: 1)).isEmpty
    }

    /// The first extent for which `holds` is true, where it is true for all that follow (binary search).
    private func firstIndex(_ holds: (Extent) -> Bool) -> Int {
        var low = 0
        var high = extents.count
        while low < high {
            let middle = (low + high) / 2
            if holds(extents[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Extents moved up by `distance` bytes.
    package func shifted(by distance: UInt64) -> ExtentSet {
        var result = self
        result.extents = extents.map { Extent(offset: $0.offset + distance, length: $0.length) }
        return result
    }

    /// Extents shrunk to multiples of `alignment` bytes; what does not hold a whole multiple disappears.
    package func roundedInward(to alignment: UInt64) -> ExtentSet {
        ExtentSet(
            extents.compactMap { extent in
                let from = (extent.offset + alignment - 1) / alignment * alignment
                let to = extent.end / alignment * alignment
                return from < to ? Extent(from..<to) : nil
            })
    }

    /// Extents grown to multiples of `alignment` bytes, cut at `limit`.
    package func roundedOutward(to alignment: UInt64, limit: UInt64) -> ExtentSet {
        ExtentSet(
            extents.compactMap { extent in
                let from = extent.offset / alignment * alignment
                let to = min((extent.end + alignment - 1) / alignment * alignment, limit)
                return from < to ? Extent(from..<to) : nil
            })
    }
}
