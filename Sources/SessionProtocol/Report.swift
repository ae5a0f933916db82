// REPORT: what a participant has, lacks and lost, in at most 1200 bytes; the layout is in Messages.swift.
package import Blocks

/// REPORT, participant to host, in its own time slot.
package struct ReportMessage: Equatable, Sendable {
    /// Highest sequence seen per stream; empty while nothing has been seen.
    package var highest: [UInt32] = []
    /// Whether a datagram of the data plane, a beacon at least, has come since the last report.
    package var hasHeard = true
    package var freeBuffers: UInt16 = 0
    package var chunksDone: UInt32 = 0
    /// KiB per second.
    package var writeRate: UInt32 = 0
    package var decodeRate: UInt32 = 0
    /// Symbols since the last report.
    package var received: UInt32 = 0
    package var lostOnWire: UInt32 = 0
    package var lostInSocket: UInt32 = 0
    package var lostForWantOfBuffers: UInt32 = 0
    /// `held` says everything about chunks below this number; 2³²−1: about all.
    package var heldBelow: UInt32 = .max
    /// Chunks done since the last report.
    package var done = ChunkSet()
    /// Chunks that are in memory, whole or in part, or done and not reported yet.
    package var held = ChunkSet()
    package var gaps: [ChunkGaps] = []

    package init(
        highest: [UInt32] = [], hasHeard: Bool = true, freeBuffers: UInt16 = 0, chunksDone: UInt32 = 0,
        writeRate: UInt32 = 0, decodeRate: UInt32 = 0, received: UInt32 = 0, lostOnWire: UInt32 = 0,
        lostInSocket: UInt32 = 0, lostForWantOfBuffers: UInt32 = 0, heldBelow: UInt32 = .max,
        done: ChunkSet = ChunkSet(), held: ChunkSet = ChunkSet(), gaps: [ChunkGaps] = []
    ) {
        self.highest = highest
        self.hasHeard = hasHeard
        self.freeBuffers = freeBuffers
        self.chunksDone = chunksDone
        self.writeRate = writeRate
        self.decodeRate = decodeRate
        self.received = received
        self.lostOnWire = lostOnWire
        self.lostInSocket = lostInSocket
        self.lostForWantOfBuffers = lostForWantOfBuffers
        self.heldBelow = heldBelow
        self.done = done
        self.held = held
        self.gaps = gaps
    }
}

/// What one chunk that has begun to arrive lacks.
package struct ChunkGaps: Equatable, Sendable {
    package var chunk: UInt32
    package var generation: UInt8
    package var stripes: [StripeGap]

    package init(chunk: UInt32, generation: UInt8, stripes: [StripeGap]) {
        self.chunk = chunk
        self.generation = generation
        self.stripes = stripes
    }
}

/// What one stripe lacks.
package struct StripeGap: Equatable, Sendable {
    package var stripe: UInt16
    /// Number of symbols that are lacking, 1 to 128.
    package var lacking: UInt8
    /// The numbers of the missing source symbols as runs, or empty if they took more than 8 bytes.
    package var runs: [UInt8]

    package init(stripe: UInt16, lacking: UInt8, runs: [UInt8]) {
        self.stripe = stripe
        self.lacking = lacking
        self.runs = runs
    }

    /// Describes the missing source symbols of a stripe, ascending numbers below 128.
    init(stripe: UInt16, missing: [UInt8]) {
        self.stripe = stripe
        lacking = UInt8(missing.count)
        var runs: [UInt8] = []
        var index = 0
        while index < missing.count, runs.count <= Specification.missingRunBytes {
            var end = index + 1
            while end < missing.count, missing[end] == missing[end - 1] + 1 { end += 1 }
            if end - index == 1 {
                runs.append(missing[index])
            } else {
                runs += [missing[index] | 0x80, UInt8(end - index - 1)]
            }
            index = end
        }
        self.runs = runs.count <= Specification.missingRunBytes ? runs : []
    }

    /// The missing numbers, all below 128; nil if the report does not name them.
    var missing: [UInt8]? {
        guard !runs.isEmpty else { return nil }
        var numbers: [UInt8] = []
        var index = 0
        while index < runs.count {
            let first = runs[index] & 0x7f
            numbers.append(first)
            if runs[index] & 0x80 != 0, index + 1 < runs.count {
                index += 1
                // The decoder has checked that the run stays below 128.
                for more in 0..<runs[index] { numbers.append(first &+ more &+ 1) }
            }
            index += 1
        }
        return numbers
    }

    /// Bytes on the wire.
    var encodedBytes: Int { 4 + runs.count }
}

extension ReportMessage {
    /// Bytes of the body in front of the sequences.
    static let fixedBytes = 36
    /// Bytes a chunk's gaps take without their stripes.
    static let gapsHeaderBytes = 7

    package func encode() -> [UInt8] {
        message(.report) { writer in
            writer.u8(UInt8(highest.count))
            writer.u8(hasHeard ? 0 : 1)
            writer.u16(freeBuffers)
            writer.u32(chunksDone)
            writer.u32(writeRate)
            writer.u32(decodeRate)
            writer.u32(received)
            writer.u32(lostOnWire)
            writer.u32(lostInSocket)
            writer.u32(lostForWantOfBuffers)
            writer.u32(heldBelow)
            for sequence in highest { writer.u32(sequence) }
            done.encode(into: &writer)
            held.encode(into: &writer)
            writer.u16(UInt16(gaps.count))
            for gap in gaps {
                writer.u32(gap.chunk)
                writer.u8(gap.generation)
                writer.u16(UInt16(gap.stripes.count))
                for stripe in gap.stripes {
                    writer.u16(stripe.stripe)
                    writer.u8(stripe.lacking)
                    writer.u8(UInt8(stripe.runs.count))
                    writer.append(stripe.runs)
                }
            }
        }
    }

    package init(from body: RawSpan) throws(DecodeError) {
        var offset = 0
        let streams = Int(try body.u8(at: &offset))
        guard streams <= Specification.maximumStreams else {
            throw .invalid("REPORT names \(streams) streams")
        }
        hasHeard = try body.u8(at: &offset) & 1 == 0
        freeBuffers = try body.u16(at: &offset)
        chunksDone = try body.u32(at: &offset)
        writeRate = try body.u32(at: &offset)
        decodeRate = try body.u32(at: &offset)
        received = try body.u32(at: &offset)
        lostOnWire = try body.u32(at: &offset)
        lostInSocket = try body.u32(at: &offset)
        lostForWantOfBuffers = try body.u32(at: &offset)
        heldBelow = try body.u32(at: &offset)
        for _ in 0..<streams { highest.append(try body.u32(at: &offset)) }
        done = try body.chunkSet(at: &offset)
        held = try body.chunkSet(at: &offset)
        let count = Int(try body.u16(at: &offset))
        for _ in 0..<count { gaps.append(try ChunkGaps(from: body, at: &offset)) }
    }
}

extension ChunkGaps {
    fileprivate init(from body: RawSpan, at offset: inout Int) throws(DecodeError) {
        chunk = try body.u32(at: &offset)
        generation = try body.u8(at: &offset)
        let count = Int(try body.u16(at: &offset))
        stripes = []
        for _ in 0..<count { stripes.append(try StripeGap(from: body, at: &offset)) }
    }
}

extension StripeGap {
    fileprivate init(from body: RawSpan, at offset: inout Int) throws(DecodeError) {
        stripe = try body.u16(at: &offset)
        lacking = try body.u8(at: &offset)
        guard lacking >= 1, lacking <= Specification.stripeSymbols else {
            throw .invalid("a stripe of REPORT lacks \(lacking) symbols")
        }
        let count = Int(try body.u8(at: &offset))
        guard count <= Specification.missingRunBytes else { throw .invalid("missing runs of \(count) bytes") }
        runs = try body.array(count, at: &offset, "missing runs")
        var index = 0
        while index < runs.count {
            if runs[index] & 0x80 != 0 {
                guard index + 1 < runs.count else { throw .truncated("a missing run") }
                guard Int(runs[index] & 0x7f) + Int(runs[index + 1]) < Specification.stripeSymbols else {
                    throw .invalid("a missing run ends at \(Int(runs[index] & 0x7f) + Int(runs[index + 1]))")
                }
                index += 1
            }
            index += 1
        }
    }
}
