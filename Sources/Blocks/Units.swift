// Sizes as people read them.

package let KiB: UInt64 = 1024
package let MiB: UInt64 = 1024 * 1024
package let GiB: UInt64 = 1024 * 1024 * 1024

extension UInt64 {
    /// The number of bytes in decimal units with three digits, as disks are labelled: "512 B", "4.19 MB".
    package var asBytes: String {
        guard self >= 1000 else { return "\(self) B" }
        var value = Double(self)
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        while value >= 999.5 {
            value /= 1000
            unit += 1
        }
        return "\(value.withThreeDigits) \(units[unit])"
    }
}

extension Double {
    /// Three digits, at most two of them after the point: "0.05", "1.25", "12.5", "125"; more from 1000 on.
    package var withThreeDigits: String {
        guard isFinite else { return "?" }
        let decimals = abs(self) < 9.995 ? 2 : abs(self) < 99.95 ? 1 : 0
        return fixed(decimals)
    }

    /// The value with exactly `decimals` (0 to 6) digits after the point.
    package func fixed(_ decimals: Int) -> String {
        guard isFinite, abs(self) < 1e12 else { return "?" }
        var scale: Int64 = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int64((abs(self) * Double(scale)).rounded())
        let sign = self < 0 && scaled > 0 ? "-" : ""
        guard decimals > 0 else { return "\(sign)\(scaled)" }
        let fraction = String(scaled % scale)
        return "\(sign)\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count)
            + fraction
    }
}
