// What a session's words mean: start times, and how a master's state reads; no network.
import Imaging
import Linux
import SessionProtocol
import TestSupport
import Testing

struct StartTimeTests {
    @Test(arguments: ["42", "1", "0.5", "1440", "0:00", "9:05", "14:30", "23:59"]) func isTaken(
        _ word: String
    ) {
        #expect(StartTime(word) != nil)
    }

    @Test(arguments: [
        "", "0", "1441", "-1", "1e3", "24:00", "14:60", "14:3", ":30", "14:", "1:2:3", "noon", "٣",
    ])
    func isRefused(_ word: String) { #expect(StartTime(word) == nil) }

    @Test func minutesAreNanoseconds() throws {
        #expect(try #require(StartTime("42")).delay(from: 0) == 42 * 60 * second)
        #expect(try #require(StartTime("0.5")).delay(from: 1 << 31) == 30 * second)
    }

    /// By date(1), on days with and without a change of the clocks, here and in zones that have one.
    @Test(arguments: [
        // A Saturday noon, and the nights in which Berlin's clocks go forward and back (2026-03-29, 2026-10-25).
        (1_795_262_400 as Int64, "14:30"), (1_795_262_400, "12:00"), (1_795_262_400, "11:59"),
        (1_774_738_800, "3:30"), (1_792_879_200, "3:30"), (1_774_738_800, "0:00"),
    ]) func isTheNextSuchTimeOfDay(_ moment: Int64, _ word: String) throws {
        let delay = try #require(StartTime(word)).delay(from: moment)
        #expect(delay > 0)
        #expect(delay % second == 0)
        #expect(delay <= 90_000 * second)
        let then = moment + Int64(delay / second)
        let shown = try run("date", "-d", "@\(then)", "+%-H:%M:%S")
        #expect(shown == "\(word):00\n")
        // Nothing earlier shows it.
        let early = try run("date", "-d", "@\(then - 86_400 - 3600)", "+%s")
        #expect(try #require(Int64(early.filter(\.isNumber))) <= moment)
    }

    private static let waits: [(UInt64, String)] = [
        (1, "1 s"), (42_000_000_000, "42 s"), (90_000_000_000, "90 s"), (91_000_000_000, "2 min"),
        (2_520_000_000_000, "42 min"), (5_400_000_000_000, "90 min"), (11_099_999_999_999, "3 h 5 min"),
    ]

    @Test(arguments: waits) func waitsReadAsPeopleSayThem(_ nanoseconds: UInt64, _ text: String) {
        #expect(nanoseconds.asWait == text)
    }
}

struct KeyboardTests {
    @Test(arguments: [
        ("m", "m"), ("gm", "gm"), ("\u{1b}[A", ""), ("g\u{1b}m", "g"), ("ä", ""), ("\r", "\r"), ("", ""),
    ]) func keysOfSeveralBytesArePassedOver(_ typed: String, _ keys: String) {
        #expect(String(Keyboard.keys(Array(typed.utf8))) == keys)
    }
}
