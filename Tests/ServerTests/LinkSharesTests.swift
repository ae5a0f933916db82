// How sessions that send at the same time divide a link.
import Server
import Testing

@Suite struct LinkSharesTests {
    @Test(
        arguments: [
            (1000, [nil], [1000]), (1000, [nil, nil], [500, 500]), (1000, [100, nil, nil], [100, 450, 450]),
            (1000, [nil, 400, 100], [500, 400, 100]), (2, [nil, nil, nil], [1, 1, 1]), (1000, [], []),
        ] as [(Int, [Int?], [Int?])])
    func eachGetsTheSameOrItsOwnLimit(_ link: Int, _ caps: [Int?], _ shares: [Int?]) {
        #expect(LinkShares.of(link, caps: caps) == shares)
    }

    @Test func whatIsNotKnownIsNotDivided() {
        #expect(LinkShares.of(nil, caps: [nil, 100]) == [nil, nil])
    }
}
