// Makes guessing passwords slow, for each name and each address: pure, the time comes from outside.

/// Counts attempts to log in and says how long the next one has to wait.
///
/// An attempt counts as failed from its beginning until it has succeeded, so that a thousand at once are not one.
package struct LoginThrottle: Sendable {
    /// Attempts that nobody has to wait after.
    package static let freeAttempts = 5
    /// Seconds at most: for an address, and for a name, which strangers could otherwise lock out.
    package static let longestForAddress: UInt64 = 900
    package static let longestForName: UInt64 = 60
    /// Seconds after which failures are forgotten.
    package static let memory: UInt64 = 3600
    /// Names and addresses remembered, of each; the oldest makes room.
    package static let maximum = 10_000

    private struct Record: Sendable {
        var failures = 0
        /// Seconds of the caller's clock.
        var last: UInt64 = 0
        var until: UInt64 = 0
    }

    private var names: [String: Record] = [:]
    private var addresses: [String: Record] = [:]

    package init() {}

    /// Counts an attempt at `now` seconds; if it must not be made yet, nothing is counted and the seconds to wait come.
    package mutating func attempt(name: String, address: String, at now: UInt64) -> UInt64? {
        let network = Self.network(of: address)
        let wait = max(Self.wait(names[name], now), Self.wait(addresses[network], now))
        guard wait == 0 else { return wait }
        Self.count(&names, name, now, Self.longestForName)
        Self.count(&addresses, network, now, Self.longestForAddress)
        return nil
    }

    /// The attempt was right: what was counted against this name and address is forgotten.
    package mutating func succeeded(name: String, address: String) {
        names[name] = nil
        addresses[Self.network(of: address)] = nil
    }

    private static func wait(_ record: Record?, _ now: UInt64) -> UInt64 {
        guard let record, record.until > now else { return 0 }
        return record.until - now
    }

    private static func count(
        _ records: inout [String: Record], _ key: String, _ now: UInt64, _ longest: UInt64
    ) {
        if records[key] == nil, records.count >= maximum {
            records = records.filter { now < $0.value.last + memory }
            if records.count >= maximum, let oldest = records.min(by: { $0.value.last < $1.value.last }) {
                records[oldest.key] = nil
            }
        }
        var record = records[key] ?? Record()
        if now >= record.last + memory { record.failures = 0 }
        record.failures += 1
        record.last = now
        if record.failures >= freeAttempts {
            // 1, 2, 4, … seconds.
            record.until = now + min(1 << UInt64(min(record.failures - freeAttempts, 20)), longest)
        }
        records[key] = record
    }

    /// An IPv6 client has a whole /64 to choose addresses from.
    private static func network(of address: String) -> String {
        guard address.contains(":") else { return address }
        guard let gap = address.firstRange(of: "::") else {
            return address.split(separator: ":").prefix(4).joined(separator: ":")
        }
        let front = address[..<gap.lowerBound].split(separator: ":")
        return (front + Array(repeating: "0", count: 4)).prefix(4).joined(separator: ":")
    }
}

extension LoginThrottle {
    /// Names and addresses that are remembered now.
    package var remembered: Int { names.count + addresses.count }
}
