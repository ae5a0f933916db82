// Images by name: what is listed, which names there can be, and what is never followed.
import Blocks
import Linux
import Logging
import Server
import Testing
import TestSupport

/// Calls `body` with a catalogue of an empty directory.
func withCatalogue<R>(_ body: (_ catalogue: ImageCatalogue, _ directory: String) throws -> R) throws -> R {
    try withTemporaryDirectory { directory in
        try body(try ImageCatalogue(directory: "\(directory)/images", logger: quiet), "\(directory)/images")
    }
}

let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

/// The kind of error that a call ends with; nil where it ends well.
func refusal(_ body: () throws -> Void) -> ServerError.Kind? {
    do {
        try body()
        return nil
    } catch { return (error as? ServerError)?.kind }
}

@Suite struct ImageCatalogueTests {
    @Test func imagesAreListedWithWhatTheirManifestsSay() throws {
        let made = try MadeImage(chunks: 3)
        try withCatalogue { catalogue, directory in
            #expect(catalogue.list() == [])
            try made.store(at: "\(directory)/größe 1.img")
            try run("touch", "\(directory)/empty")
            let list = catalogue.list()
            #expect(list.map(\.name) == ["empty", "größe 1.img"])
            #expect(list[0].id == "" && list[0].fileBytes == 0)
            #expect(list[0].problem == "it is too short to be an image")
            let view = try catalogue.image("größe 1.img")
            #expect(view == list[1])
            #expect(view.id == made.id.description && view.problem == nil)
            #expect(view.fileBytes == UInt64(made.file.count) && view.usedBytes == 3 * MadeImage.chunkSize)
            #expect(view.creator == "img on ?[31mred", "a manifest's texts must not steer a terminal")
            #expect(view.disks.map(\.table) == ["none"])
            #expect(view.partitions.map(\.label) == ["größe"])
            #expect(catalogue.identifier(of: "größe 1.img") == made.id)
            #expect(catalogue.identifier(of: "empty") == nil && catalogue.identifier(of: "none") == nil)
            #expect(try catalogue.path(of: "größe 1.img") == "\(directory)/größe 1.img")
        }
    }

    @Test func aChangedFileIsReadAgain() throws {
        try withCatalogue { catalogue, directory in
            let (first, second) = (try MadeImage(chunks: 2, seed: 1), try MadeImage(chunks: 2, seed: 2))
            try first.store(at: "\(directory)/a")
            #expect(catalogue.identifier(of: "a") == first.id)
            try second.store(at: "\(directory)/new")
            try run("mv", "\(directory)/new", "\(directory)/a")
            #expect(catalogue.identifier(of: "a") == second.id)
            try run("rm", "\(directory)/a")
            #expect(catalogue.identifier(of: "a") == nil)
            #expect(catalogue.list() == [])
        }
    }

    @Test(arguments: [
        "", ".", "..", ".hidden", "a/b", "/etc/passwd", "../a", "a/../b", "a\n", "a\u{0}b", "\u{1b}[2J",
        "\u{7f}",
        "a\u{202e}b", "a\u{200b}", " a", "a ", "\u{fffd}", String(repeating: "x", count: 201),
        String(repeating: "ü", count: 101),
    ])
    func aNameThatCannotBeIsRefusedEverywhere(_ name: String) throws {
        try withCatalogue { catalogue, directory in
            try MadeImage(chunks: 1).store(at: "\(directory)/../b")
            #expect(refusal { _ = try catalogue.checkName(name) } == .invalid)
            #expect(refusal { _ = try catalogue.path(of: name) } == .invalid)
            #expect(refusal { _ = try catalogue.image(name) } == .invalid)
            #expect(refusal { try catalogue.delete(name) } == .invalid)
            #expect(
                refusal { _ = try catalogue.beginUpload(name: name, mostBytes: 1, overwrite: true) }
                    == .invalid)
            #expect(
                refusal {
                    _ = try catalogue.storeImage(
                        name: name, imageID: GUID(random: .init(repeating: 1, count: 16)), manifest: [],
                        existing: ChunkSet(), mostBytes: 0, overwrite: true)
                } == .invalid)
            #expect(catalogue.identifier(of: name) == nil)
            #expect(try FileTree.entries(of: directory) == [])
        }
    }

    @Test(arguments: ["a", "a.img", "größe", "a b", "-rf", "*", "a\\b"])
    func anOrdinaryNameIsTaken(_ name: String) throws {
        let checked = try withCatalogue { catalogue, _ in try catalogue.checkName(name) }
        #expect(checked == name)
    }

    @Test func onlyRegularFilesOfTheDirectoryAreImages() throws {
        let made = try MadeImage(chunks: 1)
        try withCatalogue { catalogue, directory in
            try made.store(at: "\(directory)/../outside")
            try run("ln", "-s", "../outside", "\(directory)/link")
            try run("ln", "-s", "/dev/zero", "\(directory)/zero")
            try run("mkfifo", "\(directory)/pipe")
            try run("mkdir", "\(directory)/folder")
            try made.store(at: "\(directory)/folder/inside")
            #expect(catalogue.list() == [])
            for name in ["link", "zero", "pipe", "folder"] {
                #expect(refusal { _ = try catalogue.path(of: name) } == .notFound)
                #expect(refusal { _ = try catalogue.image(name) } == .notFound)
                #expect(refusal { try catalogue.delete(name) } == .notFound)
                // Nor is any of them replaced.
                #expect(
                    refusal { _ = try catalogue.beginUpload(name: name, mostBytes: 1, overwrite: true) }
                        == .conflict)
            }
            #expect(try FileTree.entries(of: directory).sorted() == ["folder", "link", "pipe", "zero"])
        }
    }

    @Test func aDeletedImageIsGone() throws {
        try withCatalogue { catalogue, directory in
            try MadeImage(chunks: 1).store(at: "\(directory)/a")
            try catalogue.delete("a")
            #expect(refusal { try catalogue.delete("a") } == .notFound)
            #expect(try FileTree.entries(of: directory) == [])
        }
    }

    /// At the start, and before an upload is told how much room there is.
    @Test func oldPartsMakeRoom() throws {
        try withTemporaryDirectory { directory in
            for name in [".a.123.part", ".b.456.part", "c.part", ".d"] {
                try run("touch", "\(directory)/\(name)")
            }
            for name in [".a.123.part", "c.part", ".d"] {
                try run("touch", "-d", "8 days ago", "\(directory)/\(name)")
            }
            let catalogue = try ImageCatalogue(directory: directory, logger: quiet)
            #expect(try FileTree.entries(of: directory).sorted() == [".b.456.part", ".d", "c.part"])
            try run("touch", "-d", "8 days ago", "\(directory)/.b.456.part")
            // What it may go on with stays.
            try catalogue.beginUpload(name: "b", mostBytes: 1, overwrite: false).cancel()
            #expect(try FileTree.entries(of: directory).contains(".b.456.part"))
            try catalogue.beginUpload(name: "e", mostBytes: 1, overwrite: false).cancel()
            #expect(try FileTree.entries(of: directory).sorted() == [".d", "c.part"])
        }
    }

    @Test func aDirectoryThatCannotBeIsNamed() throws {
        try withTemporaryDirectory { directory in
            try run("touch", "\(directory)/file")
            let error = #expect(throws: ServerError.self) {
                try ImageCatalogue(directory: "\(directory)/file", logger: quiet)
            }
            #expect(error?.description == "cannot open \(directory)/file: Not a directory")
        }
    }
}
