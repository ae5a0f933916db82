// The order in which people count disks: sda … sdz, sdaa; nvme0n1, nvme2n1, nvme10n1.

package enum NaturalOrder {
    /// Whether the kernel name `left` comes before `right`.
    ///
    /// Runs of digits compare as numbers; the letters of "sd", "hd", "vd" and "xvd" names first by their count.
    package static func ascends(_ left: String, _ right: String) -> Bool {
        let (one, other) = (parts(left), parts(right))
        for (first, second) in zip(one, other) where first != second {
            if let number = UInt64(first), let otherNumber = UInt64(second), number != otherNumber {
                return number < otherNumber
            }
            if isLettered(first), isLettered(second), first.count != second.count,
                first.first == second.first
            {
                return first.count < second.count
            }
            return first < second
        }
        return one.count < other.count
    }

    private static func isLettered(_ part: String) -> Bool {
        ["sd", "hd", "vd", "xvd"].contains { part.hasPrefix($0) && part.count > $0.count }
    }

    private static func parts(_ name: String) -> [String] {
        var result: [String] = []
        var wasDigit = false
        for character in name {
            let isDigit = character.isASCII && character.isNumber
            if result.isEmpty || isDigit != wasDigit { result.append("") }
            result[result.count - 1].append(character)
            wasDigit = isDigit
        }
        return result
    }
}
