// Fuzzes the manifest: JSON in, and what is accepted must survive being written and read again.
internal import Blocks
internal import FuzzDriver
internal import ImageFormat

func run() -> Int32 {
    fuzz { json in
        guard let manifest = try? Manifest(decoding: json) else { return }
        guard let again = try? Manifest(decoding: manifest.encoded()) else {
            preconditionFailure("an accepted manifest is not accepted again")
        }
        precondition(again == manifest)
    }
}

_ = run()
