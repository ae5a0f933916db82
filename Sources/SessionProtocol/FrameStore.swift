// The frames a host has in memory: loaded on demand, sealed once, dropped when others are needed more.
internal import Blocks

/// Sealed frames by chunk, bounded in bytes, the least recently used dropped first.
struct FrameStore {
    /// One frame with its seal.
    struct Entry {
        /// Frame and seal, filled up with zeros to whole symbols.
        let bytes: [UInt8]
        let layout: StripeLayout
        var lastUse: UInt64

        /// Frame and seal alone.
        var sealed: ArraySlice<UInt8> { bytes[..<layout.length] }
    }

    /// Bytes the frames may take together, those on order included.
    let limit: Int
    private let longest: Int
    private var entries: [UInt32: Entry] = [:]
    private(set) var loading: Set<UInt32> = []
    private var bytes = 0
    private var uses: UInt64 = 0

    /// `longest` is the longest frame with its seal; two of them always have room.
    init(limit: Int, longest: Int) {
        self.longest = StripeLayout(length: max(longest, 1)).paddedLength
        self.limit = max(limit, 2 * self.longest)
    }

    /// How many of the longest frames there is room for.
    var capacity: Int { limit / longest }

    /// Bytes of the frames that are there, and of those on order if each is one of the longest.
    var committedBytes: Int { bytes + loading.count * longest }

    func has(_ chunk: UInt32) -> Bool { entries[chunk] != nil }

    /// The frame of a chunk; it counts as used.
    mutating func use(_ chunk: UInt32) -> Entry? {
        guard let index = entries.index(forKey: chunk) else { return nil }
        uses += 1
        entries.values[index].lastUse = uses
        return entries.values[index]
    }

    /// Puts a chunk on order and returns true, unless it is there, on its way, or there is no room.
    ///
    /// Frames that `keep` names are not dropped for it.
    mutating func order(_ chunk: UInt32, keep: (UInt32) -> Bool) -> Bool {
        guard entries[chunk] == nil, !loading.contains(chunk) else { return false }
        while committedBytes + longest > limit {
            guard
                let oldest = entries.filter({ !keep($0.key) }).min(by: { $0.value.lastUse < $1.value.lastUse }
                )
            else { return false }
            drop(oldest.key)
        }
        loading.insert(chunk)
        return true
    }

    /// Takes a frame with its seal, filled up to whole symbols.
    mutating func put(_ chunk: UInt32, _ padded: [UInt8], _ layout: StripeLayout) {
        loading.remove(chunk)
        drop(chunk)
        uses += 1
        entries[chunk] = Entry(bytes: padded, layout: layout, lastUse: uses)
        bytes += padded.count
    }

    mutating func failed(_ chunk: UInt32) { loading.remove(chunk) }

    private mutating func drop(_ chunk: UInt32) {
        if let entry = entries.removeValue(forKey: chunk) { bytes -= entry.bytes.count }
    }
}
