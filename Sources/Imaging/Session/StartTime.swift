// When a session is to start: the bare TIME of the field's grammar.
internal import Linux
internal import SessionProtocol

/// A start by the clock.
package enum StartTime: Equatable, Sendable {
    /// From now.
    case minutes(Minutes)
    /// The next time a clock shows this, 00:00 to 23:59.
    case clock(hour: Int, minute: Int)

    /// Reads minutes ("42", "0.5") or a time of day ("14:30", "9:05"); nil for anything else.
    package init?(_ word: String) {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard (1...2).contains(parts[0].count), parts[1].count == 2,
                let hour = StartTime.digits(parts[0]), let minute = StartTime.digits(parts[1]),
                hour < 24, minute < 60
            else { return nil }
            self = .clock(hour: hour, minute: minute)
        } else {
            guard let minutes = Minutes(word) else { return nil }
            self = .minutes(minutes)
        }
    }

    /// Nanoseconds from `moment` (seconds since 1970) on.
    package func delay(from moment: Int64) -> UInt64 {
        switch self {
        case .minutes(let minutes): minutes.nanoseconds
        case .clock(let hour, let minute):
            UInt64(WallClock.seconds(untilHour: hour, minute: minute, from: moment)) * second
        }
    }

    /// The number in `text` if it has nothing but digits.
    private static func digits(_ text: Substring) -> Int? {
        text.allSatisfy { $0.isASCII && $0.isNumber } ? Int(text) : nil
    }
}

/// A number of minutes as people write it: above 0, up to a day, fractions allowed.
package struct Minutes: Equatable, Sendable {
    package let value: Double

    private static let longest = 1440.0

    package init?(_ word: String) {
        guard word.allSatisfy({ $0 == "." || $0.isASCII && $0.isNumber }), let value = Double(word),
            value > 0, value <= Minutes.longest
        else { return nil }
        self.value = value
    }

    /// Nanoseconds.
    package var nanoseconds: UInt64 { UInt64(value * 60e9) }
}

extension UInt64 {
    /// Nanoseconds as a person counts them while waiting: "42 s", "42 min" or "3 h 5 min", rounded up.
    package var asWait: String {
        let seconds = (self + second - 1) / second
        if seconds <= 90 { return "\(seconds) s" }
        let minutes = (seconds + 59) / 60
        return minutes <= 90 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
    }
}
