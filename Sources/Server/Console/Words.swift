// How the console writes times, lengths of time, counts and sentences.
internal import Blocks
internal import FoundationEssentials

/// Texts of figures for people.
package enum Words {
    /// A moment for the template "time"; `isAgo` has the browser show how long ago it was.
    static func time(_ seconds: Int64, isAgo: Bool = true) -> Fields {
        let iso = Date(timeIntervalSince1970: Double(seconds)).ISO8601Format()
        return ["iso": iso, "text": "\(iso.prefix(16).replacing("T", with: " ")) UTC", "isAgo": isAgo]
    }

    /// A moment that is given as text.
    static func time(iso: String) -> Fields { ["iso": iso, "text": iso, "isAgo": true] }

    /// "45 s", "4 min 10 s", "11 min", "2 h 5 min", "3 days 2 h".
    package static func duration(_ seconds: UInt64) -> String {
        let (days, hours, minutes, rest) = (
            seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60
        )
        func two(_ first: String, _ count: UInt64, _ unit: String) -> String {
            count == 0 ? first : "\(first) \(count) \(unit)"
        }
        if days > 0 { return two(count(days, "day"), hours, "h") }
        if hours > 0 { return two("\(hours) h", minutes, "min") }
        if minutes >= 10 || (minutes > 0 && rest == 0) { return "\(minutes) min" }
        return minutes > 0 ? "\(minutes) min \(rest) s" : "\(rest) s"
    }

    /// "1 machine", "1 204 machines".
    package static func count(_ number: some BinaryInteger, _ what: String) -> String {
        "\(grouped(number)) \(what)\(number == 1 ? "" : "s")"
    }

    /// "1 204": thin groups of three, whatever the reader's language.
    package static func grouped(_ number: some BinaryInteger) -> String {
        var digits = String(number)
        var result = ""
        while digits.utf8.count > 3 {
            result = "\u{202f}\(digits.suffix(3))\(result)"
            digits.removeLast(3)
        }
        return digits + result
    }

    /// "112 MB/s"; "" for nothing.
    static func rate(_ bytesPerSecond: UInt64) -> String {
        bytesPerSecond == 0 ? "" : "\(bytesPerSecond.asBytes)/s"
    }

    /// "63 %": a whole is shown only where all is done.
    package static func percent(_ value: Double) -> String {
        "\(Int(min(max(value.isFinite ? value : 0, 0), 100))) %"
    }

    /// The value of a progress element.
    static func progress(_ value: Double) -> String {
        min(max(value.isFinite ? value : 0, 0), 100).fixed(1)
    }

    /// The text with a capital and a full stop.
    package static func sentence(_ text: String) -> String {
        guard let first = text.first else { return "" }
        let isName = text.dropFirst().prefix { !$0.isWhitespace }.contains {
            $0.isUppercase || $0.isNumber || $0 == "."
        }
        let start = isName ? String(first) : first.uppercased()
        return start + text.dropFirst() + (".!?".contains(text.last ?? " ") ? "" : ".")
    }

    /// Letters and digits only, for an id of an element that goes with a MAC address or a name.
    static func anchor(_ text: String) -> String { Array(text.utf8).hex }

    /// A label with its value; the browser shows nothing for empty ones because they are left out.
    static func facts(_ pairs: [(String, String)]) -> [Fields] {
        pairs.filter { !$0.1.isEmpty }.map { ["label": $0.0, "value": $0.1] }
    }
}

extension String {
    /// Nil where there is nothing in it.
    var nonEmpty: String? { isEmpty ? nil : self }
}
