// img session NAME file=PATH as people run it: a session reaches disks and an image file at the same time.
import Blocks
import ImageFormat
import Linux
import TestSupport
import Testing

/// A disk of 24 MiB with a GPT and a partition of noise and text, its last sectors out of reach, and the image of it.
private func withImage<R>(
    lost: UInt64 = 0, _ body: (_ directory: String, _ image: String) throws -> R
) throws -> R {
    try withSparseFile(24 * MiB) { disk in
        try run("sfdisk", "-q", disk, input: "label: dos\nstart=2048, type=83\n")
        var random = SeededRandom(seed: 21)
        let file = try Descriptor(opening: disk, .readWrite)
        for offset in stride(from: MiB, to: 22 * MiB, by: 1 << 19) {
            try file.write(random.bytes(1 << 16), at: offset)
            try file.write([UInt8](repeating: 0x61, count: 1 << 18), at: offset + 1 << 16)
        }
        try file.close()
        return try withTemporaryDirectory { directory in
            let image = "\(directory)/lab.img"
            let img = try builtProgram("img")
            try withLoopDevice(disk) { loop in
                if lost > 0 { try loop.loseEnd(lost) }
                try run(img, "makel", image, "disks=\(loop.path)")
            }
            return try body(directory, image)
        }
    }
}

/// SHA-256 of a file or device, by sha256sum.
private func sha256(_ path: String) throws -> String {
    String(try run("sha256sum", "--binary", path).prefix(64))
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct RecordingTests {
    /// Words of a host of `image` for `count` machines.
    private func host(_ image: String, _ count: Int, in directory: String, _ more: String...) throws
        -> [String]
    {
        [
            try builtProgram("imgserv"), "mcast", "lab1", "-p", image, "-c", "\(count)", "--state",
            "\(directory)/state",
        ] + more
    }

    /// Whether `copy` is the image `original`, and puts the same on a disk as that does.
    private func expectSameImage(_ copy: String, _ original: String) throws {
        let (recorded, sent) = try (image(copy), image(original))
        #expect(recorded.origin == .index)
        #expect(recorded.imageID == sent.imageID && recorded.manifestJSON == sent.manifestJSON)
        #expect(recorded.existing == sent.existing)
        #expect(recorded.closing == sent.closing)
        for entry in sent.entries {
            let other = try #require(recorded.entry(entry.header.number))
            #expect(try recorded.frame(other) == sent.frame(entry))
        }
        let img = try builtProgram("img")
        try withSparseFile(24 * MiB) { first in
            try withSparseFile(24 * MiB) { second in
                try run(img, "restorel", original, "disks=\(first)")
                try run(img, "restorel", copy, "disks=\(second)", "verify")
                #expect(try sha256(first) == sha256(second))
            }
        }
    }

    private func image(_ path: String) throws -> ImageFileReader {
        try ImageFileReader(MemoryFile(bytes: try readFile(path)))
    }

    @Test func aSessionReachesADiskAndAFile() throws {
        let lan = try NamespaceLAN(stations: 2)
        try withImage(lost: 8192) { directory, image in
            let copy = "\(directory)/copy.img"
            let target = "\(directory)/target"
            try run("truncate", "-s", "24M", target)
            let img = try builtProgram("img")
            let host = try RunningProgram(lan.command(on: lan.host) + host(image, 2, in: directory))
            let disks = try RunningProgram(
                lan.command(on: lan.stations[0]) + [img, "session", "lab1", "disks=\(target)"])
            let recorder = try RunningProgram(
                lan.command(on: lan.stations[1]) + [img, "session", "lab1", "file=\(copy)"])
            let (recorded, restored, hosted) = try (recorder.wait(), disks.wait(), host.wait())
            #expect(recorded.status.isSuccess, "\(recorded.output)")
            #expect(restored.status.isSuccess, "\(restored.output)")
            #expect(hosted.status.isSuccess, "\(hosted.output)")
            #expect(recorded.output.contains("every chunk recorded to \(copy), "), "\(recorded.output)")
            let bad = "completed with 16 unreadable sectors of the source (zeros"
            #expect(recorded.output.contains("\(bad) in the image)\n  disk 1: sectors 49136 to 49151"))
            #expect(restored.output.contains("\(bad) on the disk)\n  \(target): sectors 49136 to 49151"))
            // The host's summary tells it of each machine.
            #expect(
                hosted.output.contains(
                    "restored, \(bad) on the disk): \(target): sectors 49136 to 49151"), "\(hosted.output)")
            #expect(
                hosted.output.contains("recorded to \(copy), \(bad) in the image): disk 1: sectors 49136"),
                "\(hosted.output)")
            try expectSameImage(copy, image)
            let fresh = "\(directory)/fresh"
            try run("truncate", "-s", "24M", fresh)
            try run(img, "restorel", copy, "disks=\(fresh)")
            #expect(try sha256(fresh) == sha256(target))
        }
    }

    /// The host is killed and comes back with another session id: what was recorded stays, and the file is the image.
    @Test func aRecordingOutlivesItsHost() throws {
        let lan = try NamespaceLAN(stations: 1)
        try withImage { directory, image in
            let copy = "\(directory)/copy.img"
            let words = try lan.command(on: lan.host) + host(image, 1, in: directory)
            let first = try RunningProgram(words + ["rate=20"])
            let recorder = try RunningProgram(
                lan.command(on: lan.stations[0]) + [
                    try builtProgram("img"), "session", "lab1", "file=\(copy)",
                ])
            // The file has no name yet: its descriptor shows how far the recording is.
            try waitUntil { recordedBytes(recorder.pid, below: directory) > 1 << 20 }
            try first.signal("KILL")
            #expect(try first.wait().status == .signalled(9))
            #expect(!FileTree.exists(copy))
            let second = try RunningProgram(words)
            let recorded = try recorder.wait()
            #expect(recorded.status.isSuccess, "\(recorded.output)")
            #expect(recorded.output.contains("back in the session"), "\(recorded.output)")
            #expect(try second.wait().status.isSuccess)
            try expectSameImage(copy, image)
        }
    }

    @Test func aFullFileSystemIsToldOnBothScreens() throws {
        let lan = try NamespaceLAN(stations: 1)
        try withImage { directory, image in
            let small = "\(directory)/small"
            try run("mkdir", small)
            try run("mount", "-t", "tmpfs", "-o", "size=2m", "img-test", small)
            defer { _ = try? run("umount", small) }
            let copy = "\(small)/copy.img"
            let host = try RunningProgram(lan.command(on: lan.host) + host(image, 1, in: directory))
            let recorder = try RunningProgram(
                lan.command(on: lan.stations[0]) + [
                    try builtProgram("img"), "session", "lab1", "file=\(copy)",
                ])
            let (recorded, hosted) = try (recorder.wait(), host.wait())
            #expect(recorded.status == .exited(1))
            #expect(recorded.output.contains("\(copy) has room for 2"), "\(recorded.output)")
            let sentence = "cannot write \(copy) at "
            #expect(recorded.output.contains("img: \(sentence)"), "\(recorded.output)")
            #expect(recorded.output.contains("No space left on device"), "\(recorded.output)")
            #expect(hosted.status == .exited(1) && hosted.output.contains(sentence), "\(hosted.output)")
            #expect(try FileTree.entries(of: small) == [])
        }
    }

    @Test func whatCannotBecomeAFileIsRefusedBeforeJoining() throws {
        try withTemporaryDirectory { directory in
            let img = try builtProgram("img")
            let path = "\(directory)/there.img"
            try run("touch", path)
            let existing = try runAnyway([img, "session", "lab1", "file=\(path)"])
            #expect(existing.status == 1 && existing.output == "")
            #expect(existing.errors == "img: \(path) exists already; an image never replaces a file\n")
            for word in ["disks=/dev/null", "verify", "plan"] {
                let wrong = try runAnyway([img, "session", "lab1", "file=\(directory)/new.img", word])
                #expect(wrong.status == 2 && wrong.errors.contains("file= records the session"), "\(wrong)")
            }
        }
    }

    /// Bytes of the file without a name that `pid` writes below `directory`.
    private func recordedBytes(_ pid: Int32, below directory: String) -> UInt64 {
        let device = (try? FileStatus(of: directory))?.device
        let place = "/proc/\(pid)/fd"
        return ((try? FileTree.entries(of: place)) ?? []).reduce(0) { most, entry in
            guard let status = try? FileStatus(of: "\(place)/\(entry)"), status.kind == .regularFile,
                status.device == device
            else { return most }
            return max(most, status.size)
        }
    }
}

/// An image file read as a whole.
private struct MemoryFile: ImageBytes {
    let bytes: [UInt8]
    var byteCount: UInt64 { UInt64(bytes.count) }

    func read(_ count: Int, at offset: UInt64) throws -> [UInt8] {
        Array(bytes[Int(offset)..<Int(offset) + count])
    }
}

private func readFile(_ path: String) throws -> [UInt8] {
    let file = try Descriptor(opening: path, .readOnly)
    return try file.read(Int(try file.size()), at: 0)
}
