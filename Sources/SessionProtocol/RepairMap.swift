// Which symbols are to be sent again or as parity, and which reports are too old to ask for them.
internal import Blocks

/// The repairs of one chunk.
///
/// Any symbol it has not seen helps a participant, so what a stripe needs is the *largest* number anybody lacks. As long
/// as everybody names what is missing and the union is no larger than that, the originals go out; otherwise fresh parity.
package struct ChunkRepair {
    /// A symbol to be sent.
    package struct Symbol: Equatable {
        package let stripe: Int
        /// Its number within the stripe; from the source count on it is parity.
        package let number: Int
    }

    let layout: StripeLayout
    private var stripes: [StripeRepair]
    /// Symbols that are to be sent.
    package private(set) var pendingCount = 0
    private var cursor = 0
    /// When the last repair was sent or asked for, in nanoseconds.
    var lastUse: UInt64

    /// `parityUsed` parity symbols of each stripe have been sent before.
    package init(layout: StripeLayout, parityUsed: Int, now: UInt64) {
        self.layout = layout
        stripes = Array(repeating: StripeRepair(parityUsed: parityUsed), count: layout.stripes)
        lastUse = now
    }

    /// The most parity symbols any stripe has sent.
    package var parityUsed: Int { stripes.reduce(0) { max($0, $1.parityUsed) } }

    /// Takes what a report that has seen `highest` says of a stripe, and returns how many symbols it adds.
    ///
    /// Stripes and numbers the frame does not have are ignored. What has been sent since is on its way and not asked for.
    package mutating func ask(_ gap: StripeGap, highest: UInt32) -> Int {
        let stripe = Int(gap.stripe)
        guard stripe < layout.stripes else { return 0 }
        let before = stripes[stripe].pending
        stripes[stripe].ask(gap, sources: layout.sourceCount(of: stripe), highest: highest)
        let more = stripes[stripe].pending - before
        pendingCount += more
        return more
    }

    /// Takes the next symbol to be sent, from one stripe after the other; it goes out as `sequence`.
    package mutating func takeNext(sequence: UInt32) -> Symbol? {
        guard pendingCount > 0 else { return nil }
        while stripes[cursor].pending == 0 { cursor = (cursor + 1) % stripes.count }
        let stripe = cursor
        let before = stripes[stripe].pending
        let number = stripes[stripe].takeNext(sources: layout.sourceCount(of: stripe), sequence: sequence)
        pendingCount += stripes[stripe].pending - before
        cursor = (cursor + 1) % stripes.count
        return Symbol(stripe: stripe, number: number)
    }
}

/// A symbol that was sent as a repair.
private struct SentRepair {
    let sequence: UInt32
    let number: UInt8
}

/// The repairs of one stripe.
private struct StripeRepair {
    /// Symbols that are to be sent.
    private(set) var pending = 0
    /// Parity symbols that have been sent; the next one is the first that nobody has seen.
    private(set) var parityUsed: Int
    /// The source symbols that those who asked lack, if all of them named theirs.
    private var named: (UInt64, UInt64) = (0, 0)
    private var isNamed = false
    /// The last repairs, a ring: a report that has not seen one does not ask for it again.
    private var sent = [32 of SentRepair](repeating: SentRepair(sequence: 0, number: 0))
    private var sentCount = 0

    init(parityUsed: Int) { self.parityUsed = parityUsed }

    mutating func ask(_ gap: StripeGap, sources: Int, highest: UInt32) {
        let missing = (gap.missing ?? []).filter { Int($0) < sources }
        // Parity helps everybody, an original only who lacks it.
        let onTheirWay = sentAfter(highest) { $0 >= sources || missing.contains(UInt8($0)) }
        let wanted = min(Int(gap.lacking), sources) - onTheirWay
        guard wanted > 0 else { return }
        if onTheirWay == 0, missing.count == Int(gap.lacking), pending == 0 || isNamed {
            if pending == 0 { named = (0, 0) }
            for number in missing { name(Int(number)) }
            isNamed = true
        } else {
            isNamed = false
        }
        pending = max(pending, wanted)
        if StripeLayout.symbolNumbers - sources - parityUsed <= 0 {
            // The parity numbers have run out: originals go out again, all of them where they are not named, unless
            // some are on their way.
            if !isNamed, sentAfter(highest, counting: { $0 < sources }) > 0 {
                pending = namedCount
                return
            }
            if !isNamed { for number in 0..<sources { name(number) } }
            isNamed = true
            pending = namedCount
        }
    }

    mutating func takeNext(sources: Int, sequence: UInt32) -> Int {
        let number = chooseNext(sources: sources)
        sent[sentCount % sent.count] = SentRepair(sequence: sequence, number: UInt8(number))
        sentCount += 1
        return number
    }

    private mutating func chooseNext(sources: Int) -> Int {
        let hasParity = parityUsed < StripeLayout.symbolNumbers - sources
        if isNamed, namedCount > 0, namedCount <= pending || !hasParity {
            pending = namedCount - 1
            return takeNamed()
        }
        isNamed = false
        pending -= 1
        guard hasParity else {
            // Only where the last parity number went in the middle of a repair: the next report names what is left.
            pending = 0
            return 0
        }
        parityUsed += 1
        return sources + parityUsed - 1
    }

    private func sentAfter(_ highest: UInt32, counting isOfUse: (Int) -> Bool) -> Int {
        var count = 0
        for back in 0..<min(sentCount, sent.count) {
            let repair = sent[(sentCount - 1 - back) % sent.count]
            guard isLater(repair.sequence, than: highest) else { break }
            if isOfUse(Int(repair.number)) { count += 1 }
        }
        return count
    }

    private var namedCount: Int { named.0.nonzeroBitCount + named.1.nonzeroBitCount }

    private mutating func name(_ number: Int) {
        if number < 64 { named.0 |= 1 << UInt64(number) } else { named.1 |= 1 << UInt64(number - 64) }
    }

    private mutating func takeNamed() -> Int {
        if named.0 != 0 {
            defer { named.0 &= named.0 - 1 }
            return named.0.trailingZeroBitCount
        }
        defer { named.1 &= named.1 - 1 }
        return 64 + named.1.trailingZeroBitCount
    }
}
