// img makel FILE: captures this machine's disks into an image file.
internal import ArgumentParser
internal import Blocks
internal import Imaging

struct MakeLocal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "makel",
        abstract: "Capture the local disks into an image file.",
        usage:
            "img makel FILE [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B] [whole] [plan] [--json]",
        discussion: """
            All partitions of all eligible disks are captured; the disks themselves are only read. Used blocks are
            found by asking each file system; what cannot be asked is captured whole, and a notice says why.

              comp=      compression: none (0), speed (1, the fastest), balanced (3, the default), size (7), 0...9
              xN         leave out the content of slot N (see 'img dump')
              disks=A,B  capture these disks instead: devices or files that stand for disks
              whole      capture a hibernated system as it is, block by block
              plan       print what would be captured, and stop
            """)

    @Argument(help: "The image file to make; it must not exist.") var file: String
    @OptionGroup var options: CaptureOptions

    func run() throws {
        let progress = Progress()
        try showing(progress, command: "makel", asJSON: options.json) {
            // From the first question to a file system on, a signal must find somebody who puts everything back.
            let cancellation = LocalCapture.Cancellation()
            try Interruption.cancelling { cancellation.cancel($0) }
            try options.capture(to: .file(file), file, cancellation: cancellation, progress)
        }
    }
}
