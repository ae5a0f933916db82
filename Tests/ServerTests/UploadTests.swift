// Images that come to the server: whole or not at all, from where they stopped, and only where there is room.
import Blocks
import Linux
import Server
import Synchronization
import Testing
import TestSupport

extension ImageCatalogue {
    /// Begins to receive a made image.
    fileprivate func store(
        _ made: MadeImage, as name: String, mostBytes: UInt64 = 0, overwrite: Bool = false
    ) throws -> ImageUpload {
        try storeImage(
            name: name, imageID: made.id, manifest: made.manifest, existing: made.existing,
            mostBytes: mostBytes, overwrite: overwrite)
    }
}

private func names(_ directory: String) throws -> [String] { try FileTree.entries(of: directory).sorted() }

private func content(_ path: String) throws -> [UInt8] {
    let file = try Descriptor(opening: path, .readOnly)
    return try file.read(Int(file.size()), at: 0)
}

@Suite struct FileUploadTests {
    private let made: MadeImage

    init() throws { made = try MadeImage(chunks: 5) }

    @Test func aWholeImageGetsItsName() throws {
        try withCatalogue { catalogue, directory in
            let upload = try catalogue.beginUpload(
                name: "a.img", mostBytes: UInt64(made.file.count), overwrite: false)
            for start in stride(from: 0, to: made.file.count, by: 10_000) {
                try upload.write(Array(made.file[start..<min(start + 10_000, made.file.count)]))
            }
            #expect(catalogue.list() == [], "it has no name before it is whole")
            let view = try upload.finish()
            #expect(view.name == "a.img" && view.id == made.id.description && view.problem == nil)
            #expect(try names(directory) == ["a.img"])
            #expect(try content("\(directory)/a.img") == made.file)
            // It is over: nothing more can be written, nothing is removed.
            #expect(refusal { try upload.write([1]) } == .conflict)
            #expect(refusal { _ = try upload.finish() } == .conflict)
            upload.cancel()
            #expect(try names(directory) == ["a.img"])
        }
    }

    @Test(arguments: ["cut off", "no image", "one byte changed in the index", "empty"])
    func whatIsNoWholeImageIsRefused(_ damage: String) throws {
        try withCatalogue { catalogue, directory in
            var file = made.file
            switch damage {
            case "cut off": file.removeLast(100)
            case "no image": file = [UInt8](repeating: 0, count: 5000)
            case "empty": file = []
            default: file[file.count - 200] ^= 1
            }
            let upload = try catalogue.beginUpload(name: "a", mostBytes: nil, overwrite: false)
            try upload.write(file)
            #expect(refusal { _ = try upload.finish() } == .invalid)
            #expect(try names(directory) == [])
            // The name is free again.
            try catalogue.beginUpload(name: "a", mostBytes: nil, overwrite: false).cancel()
        }
    }

    @Test func anImageIsNotOverwrittenUnlessThatIsAllowed() throws {
        let second = try MadeImage(chunks: 2, seed: 9)
        try withCatalogue { catalogue, directory in
            try made.store(at: "\(directory)/a")
            #expect(
                refusal { _ = try catalogue.beginUpload(name: "a", mostBytes: 1, overwrite: false) }
                    == .conflict)
            #expect(refusal { _ = try catalogue.store(second, as: "a") } == .conflict)
            let upload = try catalogue.beginUpload(name: "a", mostBytes: nil, overwrite: true)
            try upload.write(second.file)
            #expect(catalogue.identifier(of: "a") == made.id)
            _ = try upload.finish()
            #expect(catalogue.identifier(of: "a") == second.id)
            // A file that came while the upload went on is not overwritten either.
            let late = try catalogue.beginUpload(name: "b", mostBytes: nil, overwrite: false)
            try late.write(second.file)
            try made.store(at: "\(directory)/b")
            #expect(refusal { _ = try late.finish() } == .conflict)
            #expect(catalogue.identifier(of: "b") == made.id)
            #expect(try names(directory) == ["a", "b"])
        }
    }

    @Test func oneNameIsUploadedOnce() throws {
        try withCatalogue { catalogue, directory in
            let first = try catalogue.beginUpload(name: "a", mostBytes: 10, overwrite: false)
            #expect(
                refusal { _ = try catalogue.beginUpload(name: "a", mostBytes: 10, overwrite: true) }
                    == .conflict)
            #expect(refusal { _ = try catalogue.store(made, as: "a") } == .conflict)
            first.cancel()
            let second = try catalogue.store(made, as: "a")
            #expect(
                refusal { _ = try catalogue.beginUpload(name: "a", mostBytes: 10, overwrite: false) }
                    == .conflict)
            second.cancel()
            #expect(try names(directory) == [])
        }
    }

    @Test func anUploadThatIsLetGoOfLeavesNothing() throws {
        try withCatalogue { catalogue, directory in
            do {
                let upload = try catalogue.beginUpload(name: "a", mostBytes: 100, overwrite: false)
                try upload.write([1, 2, 3])
                #expect(try names(directory).count == 1)
            }
            #expect(try names(directory) == [])
            try catalogue.beginUpload(name: "a", mostBytes: 100, overwrite: false).cancel()
        }
    }

    @Test func moreThanWasAnnouncedIsRefused() throws {
        try withCatalogue { catalogue, directory in
            let upload = try catalogue.beginUpload(name: "a", mostBytes: 100, overwrite: false)
            try upload.write([UInt8](repeating: 0, count: 100))
            #expect(refusal { try upload.write([0]) } == .invalid)
            #expect(try names(directory) == [])
        }
    }
}

@Suite struct ImageUploadTests {
    private let made: MadeImage

    init() throws { made = try MadeImage(chunks: 8) }

    @Test func framesBecomeAnImageInWhateverOrderTheyCome() throws {
        try withCatalogue { catalogue, directory in
            let upload = try catalogue.store(made, as: "a", mostBytes: 1 << 20)
            #expect(upload.stored.isEmpty)
            for number in [7, 0, 3, 3, 1, 2, 6, 0, 5] { try upload.add(frame: made.frames[number]) }
            #expect(upload.stored == ChunkSet([0, 1, 2, 3, 5, 6, 7]))
            #expect(refusal { _ = try upload.finish() } == .invalid, "chunk 4 is missing")
            try upload.add(frame: made.frames[4])
            let view = try upload.finish()
            #expect(view.id == made.id.description && view.problem == nil)
            #expect(try names(directory) == ["a"])
            #expect(refusal { try upload.add(frame: made.frames[0]) } == .conflict)
        }
    }

    @Test func framesMayComeFromManyThreads() throws {
        try withCatalogue { catalogue, _ in
            let upload = try catalogue.store(made, as: "a")
            let frames = made.frames
            let threads = (0..<4).map { thread in
                Thread("frames \(thread)") { for frame in frames { try upload.add(frame: frame) } }
            }
            for thread in threads { try thread.join() }
            #expect(try upload.finish().problem == nil)
        }
    }

    @Test func aFrameThatProvesNothingIsRefused() throws {
        let other = try MadeImage(chunks: 9, seed: 5)
        try withCatalogue { catalogue, _ in
            let upload = try catalogue.store(made, as: "a")
            try upload.add(frame: made.frames[0])
            let size = upload.byteCount
            var wrongContent = made.frames[1]
            wrongContent[wrongContent.count - 1] ^= 1
            var wrongNumber = made.frames[1]
            wrongNumber[8] = 99
            for frame in [
                wrongContent, wrongNumber, Array(made.frames[1].dropLast()), made.frames[1] + [0], [],
                [1, 2, 3], other.frames[8],
            ] {
                #expect(refusal { try upload.add(frame: frame) } == .invalid)
            }
            #expect(upload.stored == ChunkSet([0]) && upload.byteCount == size)
        }
    }

    /// The server dies: nothing is finished or suspended, and what a power cut may tear is torn.
    @Test(arguments: ["nothing", "half a frame behind it", "zeros behind it", "the last frame's content"])
    func aPartIsContinuedAfterACrash(_ torn: String) throws {
        try withCatalogue { catalogue, directory in
            // Another process does the first half; it is gone without a word.
            let first = try catalogue.store(made, as: "a")
            for number in [2, 0, 5] { try first.add(frame: made.frames[number]) }
            let part = try #require(try names(directory).first)
            #expect(part == ".a.\(made.id).part")
            let crashed = try content("\(directory)/\(part)")
            first.cancel()
            #expect(try names(directory) == [])
            let file = try Descriptor(opening: "\(directory)/\(part)", [.writeOnly, .create])
            try file.write(crashed, at: 0)
            var expected: [UInt32] = [0, 2, 5]
            switch torn {
            case "half a frame behind it":
                try file.write(Array(made.frames[1][..<3000]), at: UInt64(crashed.count))
            case "zeros behind it":
                try file.write([UInt8](repeating: 0, count: 9000), at: UInt64(crashed.count))
            case "the last frame's content":
                try file.write([UInt8](repeating: 0, count: 4096), at: UInt64(crashed.count - 4096))
                expected = [0, 2]
            default: break
            }
            try file.close()

            let second = try ImageCatalogue(directory: directory, logger: quiet).store(made, as: "a")
            #expect(second.stored == ChunkSet(expected))
            for number in made.existing.subtracting(second.stored).numbers {
                try second.add(frame: made.frames[Int(number)])
            }
            #expect(try second.finish().problem == nil)
            #expect(try names(directory) == ["a"])
            #expect(catalogue.identifier(of: "a") == made.id)
        }
    }

    @Test func aSuspendedUploadIsContinued() throws {
        try withCatalogue { catalogue, directory in
            do {
                let first = try catalogue.store(made, as: "a")
                try first.add(frame: made.frames[3])
                first.suspend()
                #expect(refusal { try first.add(frame: made.frames[4]) } == .conflict)
            }
            do {
                // One that is let go of is suspended as well.
                let second = try catalogue.store(made, as: "a")
                try second.add(frame: made.frames[4])
            }
            let third = try catalogue.store(made, as: "a")
            #expect(third.stored == ChunkSet([3, 4]))
            third.cancel()
            #expect(try names(directory) == [])
            #expect(try catalogue.store(made, as: "a").stored.isEmpty)
        }
    }

    @Test func aPartOfAnotherImageIsNotContinued() throws {
        let other = try MadeImage(chunks: 8, seed: 3)
        try withCatalogue { catalogue, directory in
            let first = try catalogue.store(made, as: "a")
            try first.add(frame: made.frames[3])
            first.suspend()
            // Another id: a part of its own. The same id and another manifest: begun anew.
            #expect(try catalogue.store(other, as: "a").stored.isEmpty)
            let part = "\(directory)/.a.\(made.id).part"
            let file = try Descriptor(opening: part, .writeOnly)
            try file.write(Array("x".utf8), at: 100)
            try file.close()
            #expect(try catalogue.store(made, as: "a").stored.isEmpty)
        }
    }

    @Test func aPartIsReceivedByOneServer() throws {
        try withCatalogue { catalogue, directory in
            let first = try catalogue.store(made, as: "a")
            let second = try ImageCatalogue(directory: directory, logger: quiet)
            #expect(refusal { _ = try second.store(made, as: "a") } == .conflict)
            try first.add(frame: made.frames[0])
            first.suspend()
            #expect(try second.store(made, as: "a").stored == ChunkSet([0]))
        }
    }

    @Test func whatIsNoImageIsRefusedAtTheStart() throws {
        try withCatalogue { catalogue, directory in
            let wrong = GUID(random: [UInt8](repeating: 1, count: 16))
            for (id, manifest, existing) in [
                (wrong, made.manifest, made.existing), (made.id, [], made.existing),
                (made.id, made.manifest, ChunkSet([1])),
            ] {
                #expect(
                    refusal {
                        _ = try catalogue.storeImage(
                            name: "a", imageID: id, manifest: manifest, existing: existing, mostBytes: 0,
                            overwrite: false)
                    } == .invalid)
            }
            let left = try names(directory)
            #expect(left == [])
        }
    }
}

@Suite struct FullDiskTests {
    private let made: MadeImage

    init() throws { made = try MadeImage(chunks: 24) }

    @Test func whatCannotFitIsRefusedAtTheStart() throws {
        try withSmallDisk(kibibytes: 4096) { directory in
            let catalogue = try ImageCatalogue(directory: directory, logger: quiet)
            let free = try catalogue.freeBytes()
            let error = #expect(throws: ServerError.self) {
                try catalogue.beginUpload(name: "a", mostBytes: free, overwrite: false)
            }
            // One hundredth stays free; both figures are said.
            let room = free - 4096 * 1024 / 100
            #expect(error?.kind == .full)
            #expect(
                error?.description == "image a may take \(free) bytes, and \(directory) has room for \(room)")
            #expect(refusal { _ = try catalogue.store(made, as: "a", mostBytes: free) } == .full)
            // What one upload was promised is not promised to another.
            let first = try catalogue.beginUpload(name: "a", mostBytes: room - 1000, overwrite: false)
            #expect(
                refusal { _ = try catalogue.beginUpload(name: "b", mostBytes: 2000, overwrite: false) }
                    == .full)
            first.cancel()
            try catalogue.beginUpload(name: "b", mostBytes: 2000, overwrite: false).cancel()
        }
    }

    @Test func aDiskThatFillsUpEndsAnUploadCleanly() throws {
        try withSmallDisk(kibibytes: 1024) { directory in
            let catalogue = try ImageCatalogue(directory: directory, logger: quiet)
            let upload = try catalogue.beginUpload(name: "a", mostBytes: nil, overwrite: false)
            #expect(
                refusal { for _ in 0..<64 { try upload.write([UInt8](repeating: 1, count: 65536)) } } == .full
            )
            #expect(try names(directory) == [])
            #expect(try catalogue.freeBytes() > 900_000)
        }
    }

    @Test func framesThatNoLongerFitAreSentLater() throws {
        try withSmallDisk(kibibytes: 1024) { directory in
            let catalogue = try ImageCatalogue(directory: directory, logger: quiet)
            let upload = try catalogue.store(made, as: "a")
            var stored: [UInt32] = []
            #expect(
                refusal {
                    for (number, frame) in made.frames.enumerated() {
                        try upload.add(frame: frame)
                        stored.append(UInt32(number))
                    }
                } == .full)
            #expect(stored.count > 5 && upload.stored == ChunkSet(stored))
            upload.suspend()
            try run("mount", "-o", "remount,size=4m", directory)
            let again = try catalogue.store(made, as: "a", mostBytes: UInt64(made.file.count))
            #expect(again.stored == ChunkSet(stored))
            for frame in made.frames { try again.add(frame: frame) }
            #expect(try again.finish().problem == nil)
            #expect(try content("\(directory)/a") == made.file)
        }
    }
}
