// img dump [geometry]: lists disks and partitions as a restore sees them.
internal import ArgumentParser
internal import FoundationEssentials
internal import Imaging
internal import Linux

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "List this machine's disks and partitions as a restore sees them.",
        usage: "img dump [geometry] [--json]",
        discussion: """
            Slots count partitions 1, 2, ... across all disks; extended containers have none. A disk that is not
            taken by itself says why.

              geometry   add first sector and number of sectors
            """)

    @Flag(name: .customLong("geometry"), help: "Add places on the disk (word: geometry).") var geometry =
        false
    @Flag(name: .customLong("json"), help: "Machine-readable output.") var json = false

    func run() throws {
        let listing = try DiskListing()
        if json {
            Console.print(try listing.asJSON)
        } else {
            for line in listing.lines(geometry: geometry) { Console.print(line) }
        }
    }
}

extension Encodable {
    /// JSON text with sorted keys.
    var asJSON: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
