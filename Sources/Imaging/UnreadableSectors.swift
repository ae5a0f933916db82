// What of an image's source could not be read: counted in sectors, in words and in numbers.
internal import Blocks
package import ImageFormat

/// The sectors of an image that are zeros because its source did not give them back.
package struct UnreadableSectors: Equatable, Sendable {
    /// Sectors in a row.
    package struct Run: Equatable, Encodable, Sendable {
        /// The image's disk, counted from 1 as people see it.
        package let disk: Int
        /// Its first sector on that disk, in logical sectors.
        package let sector: UInt64
        package let count: UInt64

        /// "1 unreadable sector", "3 unreadable sectors".
        var counted: String { count == 1 ? "1 unreadable sector" : "\(count) unreadable sectors" }

        /// "sector 7", "sectors 7 to 9".
        var description: String {
            count == 1 ? "sector \(sector)" : "sectors \(sector) to \(sector + count - 1)"
        }
    }

    /// How many runs a list names before it says how many more there are.
    private static let longestList = 10

    /// By disk and place; no two touch.
    package let runs: [Run]

    /// Those of `ranges`, which may come in any order, on the disks of an image.
    package init(_ ranges: [ClosingRecord.Unreadable], disks: [Manifest.DiskEntry]) {
        var runs: [Run] = []
        for (index, disk) in disks.enumerated() {
            let sector = UInt64(disk.logicalSectorSize)
            // A file may name bytes that are no whole sectors: whatever they touch counts.
            let lost = ExtentSet(ranges.filter { $0.disk == index }.map(\.extent))
                .roundedOutward(to: sector, limit: disk.size)
            runs += lost.extents.map { extent in
                Run(
                    disk: index + 1, sector: extent.offset / sector,
                    count: (extent.length + sector - 1) / sector)
            }
        }
        self.runs = runs
    }

    init(_ runs: [Run]) { self.runs = runs }

    package var isEmpty: Bool { runs.isEmpty }
    /// Sectors in all.
    package var count: UInt64 { runs.reduce(0) { $0 + $1.count } }
    /// "3 unreadable sectors".
    package var counted: String { count == 1 ? "1 unreadable sector" : "\(count) unreadable sectors" }

    /// What a capture says: one sentence for each disk that has some; `name` is asked with the disk's index from 0.
    package func warnings(name: (Int) -> String) -> [String] {
        Set(runs.map(\.disk)).sorted().map { disk in
            let own = runs.filter { $0.disk == disk }
            let count = own.reduce(0) { $0 + $1.count }
            let sectors = count == 1 ? "1 unreadable sector" : "\(count) unreadable sectors"
            return "\(sectors) on \(name(disk - 1)) (first at sector \(own[0].sector)): zeros in the image"
        }
    }

    /// What a copy says at its end: a sentence and then where they are; empty where there are none.
    ///
    /// `place` is where the zeros are: "on the disk", "in the image".
    package func warnings(of place: String, name: (Int) -> String) -> [String] {
        isEmpty ? [] : [completed(place)] + list(name: name)
    }

    /// What a copy says of itself: "completed with 3 unreadable sectors of the source (zeros on the disk)".
    package func completed(_ place: String) -> String {
        "completed with \(counted) of the source (zeros \(place))"
    }

    /// Where they are: a line for each of the first runs, then how many more there are.
    package func list(name: (Int) -> String) -> [String] {
        let lines = runs.prefix(UnreadableSectors.longestList).map {
            "\(name($0.disk - 1)): \($0.description)"
        }
        let more = runs.dropFirst(UnreadableSectors.longestList)
        guard !more.isEmpty else { return lines }
        return lines + ["and \(more.count) more places, \(more.reduce(0) { $0 + $1.count }) sectors"]
    }
}
