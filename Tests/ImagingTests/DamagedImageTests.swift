// Images that are damaged, cut short or hostile: named, refused, and never a half-bootable disk or a crash.
import Blocks
import ImageFormat
import Imaging
import Linux
import SystemPackage
import Testing
import TestSupport

/// Changes one byte of a file.
private func flip(_ path: String, at offset: UInt64) throws {
    let file = try Descriptor(opening: path, .readWrite)
    try file.write([try file.read(1, at: offset)[0] ^ 0x40], at: offset)
}

extension OnRealTargets {
    @Test func aDamagedChunkLeavesADiskWithoutATable() throws {
        try withPlainImage { _, image in
            let reader = try ImageFileReader(path: image)
            let chunks = reader.entries.filter { $0.header.kind == .chunk && $0.header.payloadLength > 1000 }
            let last = try #require(chunks.last)
            #expect(chunks.count > 2)
            try flip(image, at: last.offset + UInt64(last.headerLength) + 500)
            // The index is sound, so that only reading the chunk shows the damage.
            try imgSucceeds("info", image)
            try withLoopDevice(24 * MiB) { target in
                try run("sgdisk", "-n1:0:+8M", target.path)
                try imgFails(
                    "restorel", image, "disks=\(target.path)", saying: image, "chunk \(last.header.number)")
                #expect(try run("sfdisk", "--dump", target.path, anyStatus: true) == "")
                #expect(
                    try run("blkid", "-p", "-o", "export", target.path, anyStatus: true).contains("PTTYPE")
                        == false)
            }
        }
    }

    /// Its table has a hole that its source's disk left: zeros there would take partitions away.
    @Test func aTableWithAHoleIsNotRestored() throws {
        let golden =
            String("\(#filePath)".dropLast("ImagingTests/DamagedImageTests.swift".count))
            + "ImageFormatTests/Golden/unreadable.img"
        let size = try ImageFileReader(path: golden).manifest.disks[0].size
        try withLoopDevice(max(size, 24 * MiB)) { target in
            try run("sgdisk", "-n1:0:+8M", target.path)
            let before = try sha256(target.path)
            try imgFails(
                "restorel", golden, "disks=\(target.path)", saying: "the partition table for",
                "could not be read")
            #expect(try sha256(target.path) == before)
        }
    }

    /// The end of the disk cannot be zeroed: what has happened to it by then is said, once.
    @Test func aFailedEraseNamesTheDisk() throws {
        try withPlainImage { _, image in
            try withTemporaryDirectory { directory in
                let target = "\(directory)/target"
                try run("truncate", "-s", "\(24 * MiB)", target)
                let limited = "trap '' XFSZ; ulimit -f 8192; exec \"$@\""
                let outcome = try runAnyway(
                    ["sh", "-c", limited, "sh", try imgPath(), "restorel", image, "disks=\(target)"])
                #expect(outcome.status == 1, "\(outcome.output)\(outcome.errors)")
                let all = outcome.output + outcome.errors
                #expect(
                    all.contains("\(target): its partitions may be gone, and nothing was restored"), "\(all)")
                #expect(all.ranges(of: "deleting the partitions of").count == 1, "\(all)")
            }
        }
    }

    @Test func aDamagedFirstChunkTouchesNothing() throws {
        try withPlainImage { _, image in
            let reader = try ImageFileReader(path: image)
            for entry in reader.entries where entry.header.payloadLength > 0 {
                try flip(
                    image,
                    at: entry.offset + UInt64(entry.headerLength) + UInt64(entry.header.payloadLength) / 2)
            }
            try withLoopDevice(24 * MiB) { target in
                try run("sgdisk", "-n1:0:+8M", target.path)
                let before = try sha256(target.path)
                try imgFails(
                    "restorel", image, "disks=\(target.path)", saying: image, "chunk",
                    "does not have the hash")
                #expect(try sha256(target.path) == before, "no chunk was proven, and the disk was touched")
            }
        }
    }

    @Test func aFileCutShortTouchesNothing() throws {
        try withPlainImage { _, image in
            let length = try Descriptor(opening: image, .readOnly).size()
            let reader = try ImageFileReader(path: image)
            let lastFrame = try #require(reader.entries.map(\.offset).max())
            try withLoopDevice(24 * MiB) { target in
                try run("sgdisk", "-n1:0:+8M", target.path)
                let before = try sha256(target.path)
                for cut in [lastFrame + 10, length / 2, 4096, 100, 0] as [UInt64] {
                    try run("truncate", "-s", "\(cut)", image)
                    try imgFails(
                        "restorel", image, "disks=\(target.path)", saying: "\(image) is not a usable image")
                    try imgFails("info", image, saying: "\(image) is not a usable image")
                }
                #expect(try sha256(target.path) == before)
            }
        }
    }

    @Test func anImageWithoutItsIndexIsScanned() throws {
        try withPlainImage { source, image in
            let length = try Descriptor(opening: image, .readOnly).size()
            try flip(image, at: length - 40)
            let said = try imgSucceeds("info", image)
            #expect(said.contains("its index was made anew from its frames"), "\(said)")
            try withLoopDevice(24 * MiB) { target in
                let plan = try imgSucceeds("restorel", image, "disks=\(target.path)", "verify")
                #expect(plan.contains("its index was made anew from its frames"), "\(plan)")
                try expectPlainCopy(of: source, on: target.path)
            }
        }
    }

    /// Every answer to a mutated image is a sentence or the plan; nothing on the target changes.
    @Test func mutatedImagesNeverCrashTheProgram() throws {
        try withPlainImage { _, image in
            // Small enough that every part of the file is hit often: the table and a few chunks' headers.
            let original = try Descriptor(opening: image, .readOnly).readToEnd(limit: 64 << 20)
            let reader = try ImageFileReader(path: image)
            let payloads = reader.entries.filter { $0.header.payloadLength > 4096 }.map { entry in
                let start = Int(entry.offset) + entry.headerLength
                return start..<start + entry.header.payloadLength
            }
            try withSparseFile(24 * MiB) { target in
                let before = try sha256(target)
                var random = SeededRandom(seed: 20_261_121)
                let script = "\(image).sh"
                try write(
                    """
                    "$1" info "$2" --json >/dev/null 2>&1; a=$?
                    "$1" restorel "$2" disks="$3" plan >/dev/null 2>"$2.errors"; b=$?
                    echo "$a $b $(head -c 200 "$2.errors" | head -n 1)"
                    """, to: script)
                var refused = 0
                for round in 0..<60 {
                    var bytes = original
                    for _ in 0...Int(random.next() % 3) {
                        // Payloads are proven by their hash when they are read: headers are what decoders see first.
                        var place = Int(random.next() % UInt64(bytes.count))
                        if round % 4 != 0 {
                            while payloads.contains(where: { $0.contains(place) }) {
                                place = Int(random.next() % UInt64(bytes.count))
                            }
                        }
                        bytes[place] = round % 2 == 0 ? bytes[place] ^ (1 << UInt8(random.next() % 8)) : 0xff
                    }
                    if round % 10 == 9 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
                    let mutated = "\(image).mutated"
                    let file = try Descriptor(opening: mutated, [.writeOnly, .create, .truncate])
                    try file.write(bytes, at: 0)
                    let said = try run("sh", script, imgPath(), mutated, target)
                    let parts = said.split(separator: " ", maxSplits: 2)
                    let statuses = parts.prefix(2).compactMap { Int($0) }
                    #expect(
                        statuses.count == 2 && statuses.allSatisfy { $0 == 0 || $0 == 1 },
                        "round \(round): \(said)")
                    if statuses.last == 1 {
                        refused += 1
                        #expect(parts.count == 3 && parts[2].hasPrefix("img: "), "round \(round): \(said)")
                    }
                }
                #expect(refused > 15)
                #expect(try sha256(target) == before)
            }
        }
    }
}
