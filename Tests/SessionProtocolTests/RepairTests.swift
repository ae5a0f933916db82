// Which symbols go out again: the largest deficit as fresh parity, originals where the union is no larger, nothing twice.
import SessionProtocol
import Testing

@Suite struct RepairTests {
    /// A chunk of 300 symbols in 3 stripes of 100.
    private let layout = StripeLayout(length: 300 * Specification.symbolBytes)

    private func gap(_ stripe: UInt16, _ missing: [UInt8]) -> StripeGap {
        // Single numbers as runs of one byte each.
        StripeGap(stripe: stripe, lacking: UInt8(missing.count), runs: missing)
    }

    private func unnamed(_ stripe: UInt16, _ lacking: UInt8) -> StripeGap {
        StripeGap(stripe: stripe, lacking: lacking, runs: [])
    }

    private func drain(_ repair: inout ChunkRepair, from sequence: UInt32) -> [ChunkRepair.Symbol] {
        var symbols: [ChunkRepair.Symbol] = []
        while let symbol = repair.takeNext(sequence: sequence + UInt32(symbols.count)) {
            symbols.append(symbol)
        }
        return symbols
    }

    @Test func oneParticipantGetsItsOriginals() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        #expect(repair.ask(gap(1, [7, 99]), highest: 300) == 2)
        #expect(drain(&repair, from: 301).map(\.number) == [7, 99])
        #expect(repair.pendingCount == 0)
        #expect(repair.parityUsed == 0)
    }

    @Test func severalGetTheLargestNumberAsParity() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        _ = repair.ask(gap(0, [1, 2, 3]), highest: 300)
        _ = repair.ask(gap(0, [4, 5]), highest: 300)
        _ = repair.ask(gap(0, [6]), highest: 300)
        // Six originals or three parity symbols, the first that nobody has seen.
        #expect(drain(&repair, from: 301).map(\.number) == [100, 101, 102])
        #expect(repair.parityUsed == 3)
    }

    @Test func theSameLossOfAllIsSentAsItIs() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        for _ in 0..<5 { _ = repair.ask(gap(2, [10, 11]), highest: 300) }
        #expect(drain(&repair, from: 301).map { [$0.stripe, $0.number] } == [[2, 10], [2, 11]])
    }

    @Test func anOldReportAsksForNothingTwice() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        _ = repair.ask(unnamed(0, 3), highest: 300)
        #expect(drain(&repair, from: 301).count == 3)
        // Made before the repairs went out: three are on their way, so five lacking are two more.
        #expect(repair.ask(unnamed(0, 2), highest: 300) == 0)
        #expect(repair.ask(unnamed(0, 5), highest: 300) == 2)
        #expect(drain(&repair, from: 310).map(\.number) == [103, 104])
        // Has seen the first two of the three, and nothing since.
        #expect(repair.ask(unnamed(0, 3), highest: 302) == 0)
        // Has seen all of them and lacks one all the same.
        #expect(repair.ask(unnamed(0, 1), highest: 311) == 1)
    }

    @Test func originalsOnTheirWayHelpOnlyWhoLacksThem() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        _ = repair.ask(gap(0, [1, 2]), highest: 300)
        #expect(drain(&repair, from: 301).map(\.number) == [1, 2])
        #expect(repair.ask(gap(0, [1]), highest: 300) == 0)
        #expect(repair.ask(gap(0, [8]), highest: 300) == 1)
        #expect(drain(&repair, from: 303).map(\.number) == [8])
    }

    @Test func stripesTakeTurns() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        for stripe in 0..<3 { _ = repair.ask(unnamed(UInt16(stripe), 2), highest: 300) }
        #expect(drain(&repair, from: 301).map(\.stripe) == [0, 1, 2, 0, 1, 2])
    }

    @Test func originalsGoOutAgainWhenParityRunsOut() {
        // 155 numbers are left for parity: 100 … 254.
        var repair = ChunkRepair(layout: layout, parityUsed: 153, now: 0)
        _ = repair.ask(unnamed(0, 2), highest: 300)
        #expect(drain(&repair, from: 301).map(\.number) == [253, 254])
        _ = repair.ask(gap(0, [5, 9]), highest: 310)
        #expect(drain(&repair, from: 311).map(\.number) == [5, 9])
        // Nobody says which: all of them.
        _ = repair.ask(unnamed(0, 1), highest: 320)
        #expect(drain(&repair, from: 321).map(\.number) == Array(0..<100))
        // The last parity number goes in the middle of a repair: the rest is asked for again.
        var last = ChunkRepair(layout: layout, parityUsed: 154, now: 0)
        _ = last.ask(unnamed(1, 3), highest: 300)
        #expect(drain(&last, from: 301).first?.number == 254)
        #expect(last.pendingCount == 0)
    }

    @Test func whatTheFrameDoesNotHaveIsIgnored() {
        var repair = ChunkRepair(layout: layout, parityUsed: 0, now: 0)
        #expect(repair.ask(unnamed(3, 1), highest: 300) == 0)
        #expect(repair.ask(unnamed(.max, 128), highest: 300) == 0)
        // Numbers beyond the stripe's are no originals, so the number counts and parity answers.
        #expect(repair.ask(gap(0, [120]), highest: 300) == 1)
        #expect(drain(&repair, from: 301).map(\.number) == [100])
    }

    @Test func parityInAdvance() {
        var parity = ProactiveParity()
        #expect(parity.count(sources: 124, participants: 1000, isTail: true) == 0)
        for _ in 0..<20 { parity.note(0.05) }
        // What nine stripes in ten need anyway: the mean of 6.2 and what the worst of many have on top.
        #expect(parity.count(sources: 124, participants: 1, isTail: false) == 3)
        #expect((7...9).contains(parity.count(sources: 124, participants: 16, isTail: false)))
        #expect((12...14).contains(parity.count(sources: 124, participants: 1000, isTail: false)))
        #expect((23...24).contains(parity.count(sources: 124, participants: 1000, isTail: true)))
        // A network that has become clean costs nothing again.
        for _ in 0..<100 { parity.note(0) }
        #expect(parity.count(sources: 124, participants: 1000, isTail: true) == 0)
    }
}
