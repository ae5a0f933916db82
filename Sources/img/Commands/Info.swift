// img info [FILE]: what an image holds, or what this machine has.
internal import ArgumentParser
internal import Imaging
internal import Linux

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show what an image file holds, or this machine's disks.",
        usage: "img info [FILE] [--json]",
        discussion: """
            With FILE: its manifest, totals, and for each disk the size of the smallest disk that fits.
            Without: the same list as 'img dump'.
            """)

    @Argument(help: "An image file.") var file: String?
    @Flag(name: .customLong("json"), help: "Machine-readable output.") var json = false

    func run() throws {
        if let file {
            let description = try ImageDescription(path: file)
            if json {
                Console.print(try description.asJSON)
            } else {
                description.lines.forEach { Console.print($0) }
            }
        } else {
            let listing = try DiskListing()
            if json {
                Console.print(try listing.asJSON)
            } else {
                listing.lines(geometry: false).forEach { Console.print($0) }
            }
        }
    }
}
