// Time and randomness, the two things the pure targets are given from outside.
internal import CLinux
internal import Glibc

/// The kernel's monotonic clock.
package enum MonotonicClock {
    /// Nanoseconds since an arbitrary start (C function `clock_gettime(CLOCK_MONOTONIC)`).
    package static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The wall clock.
package enum WallClock {
    /// Seconds since 1970-01-01T00:00:00Z.
    package static func now() -> Int64 { Int64(time(nil)) }

    /// Seconds from `moment` (since 1970) until a clock on the wall shows `hour`:`minute` next, at least one.
    ///
    /// A night in which the clocks are changed counts as it is (C functions `localtime_r` and `mktime`).
    package static func seconds(untilHour hour: Int, minute: Int, from moment: Int64) -> Int64 {
        clinux_seconds_until(Int32(hour), Int32(minute), moment)
    }

    /// The moment `seconds` since 1970 as RFC 3339 text in UTC: "2026-11-21T09:30:00Z".
    package static func text(_ seconds: Int64) -> String {
        // Days since 0000-03-01 (Gregorian, leap days last), so that months have a formula.
        let (days, second) = seconds.quotientAndFloorRemainder(dividingBy: 86_400)
        let (era, dayOfEra) = (days + 719_468).quotientAndFloorRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let time = "\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))"
        return "\(year)-\(two(month))-\(two(day))T\(time)Z"
    }
}

/// The kernel's random number generator.
package enum Random {
    /// `count` (at most 256) random bytes (C function `getrandom`).
    package static func bytes(_ count: Int) -> [UInt8] {
        precondition(count <= 256)
        var bytes = [UInt8](repeating: 0, count: count)
        let got = unsafe bytes.withUnsafeMutableBytes { unsafe clinux_getrandom($0.baseAddress, $0.count) }
        precondition(got == count, "the kernel gives no random bytes")
        return bytes
    }
}

/// Number of processors that are online (C function `sysconf`), at least 1.
package func processorCount() -> Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

extension Int64 {
    /// Division that rounds towards negative infinity, so that the remainder is never negative.
    fileprivate func quotientAndFloorRemainder(dividingBy divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
