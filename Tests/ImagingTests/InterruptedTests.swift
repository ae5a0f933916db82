// img makel and img restorel stopped half-way, politely and by force: nothing stays behind.
import Blocks
import Linux
import SystemPackage
import Testing
import TestSupport

/// A running `img` and every process it has started so far.
private final class RunningProgram {
    let process: ChildProcess
    let errors: String
    private(set) var family: Set<Int32>

    /// `directory` takes what it says; programs in `tools` are found before those of the same name elsewhere.
    init(_ words: String..., output directory: String, tools: String = "/nowhere") throws {
        errors = "\(directory)/errors"
        let file = try Descriptor(opening: errors, [.readWrite, .create, .truncate])
        process = try ChildProcess(
            "env", ["PATH=\(tools):\(environmentVariable("PATH") ?? "")", imgPath()] + words,
            descriptors: [-1, file.number, file.number])
        family = [process.pid]
    }

    var isRunning: Bool { (try? process.waitIfEnded()) == .some(nil) }

    /// The processes below this one; those that end are remembered.
    func lookAround() {
        var next = Array(family)
        while let pid = next.popLast() {
            let lists = (try? FileTree.entries(of: "/proc/\(pid)/task")) ?? []
            for task in lists {
                let text = (try? FileTree.text(of: "/proc/\(pid)/task/\(task)/children")) ?? ""
                let children = text.split(separator: " ").compactMap { Int32($0) }
                next += children.filter { family.insert($0).inserted }
            }
        }
    }

    /// The open file without a name that is to become the image, if it has `size` bytes by now.
    func hasWritten(_ size: UInt64, in directory: String) -> Bool {
        let place = "/proc/\(process.pid)/fd"
        let device = (try? FileStatus(of: directory))?.device
        for entry in (try? FileTree.entries(of: place)) ?? [] {
            // Libraries being loaded are open as well, but only for reading.
            guard let info = try? FileTree.text(of: "/proc/\(process.pid)/fdinfo/\(entry)"),
                info.split(separator: "\n").first(where: { $0.hasPrefix("flags:") })?.last == "2",
                let status = try? FileStatus(of: "\(place)/\(entry)"), status.kind == .regularFile
            else { continue }
            if status.device == device, status.size >= size { return true }
        }
        return false
    }

    var said: String { (try? run("cat", errors)) ?? "" }

    /// Every process of the family has ended.
    func expectNobodyLeft() throws {
        try waitUntil("all processes have ended") { family.allSatisfy { !alive($0) } }
    }

    private func alive(_ pid: Int32) -> Bool {
        // "pid (name) state …": a zombie is not alive.
        guard let text = try? FileTree.text(of: "/proc/\(pid)/stat") else { return false }
        return !["Z", "X"].contains(text.split(separator: ")").last?.first { $0 != " " } ?? "X")
    }
}

private func signal(_ name: String, _ pid: Int32) throws { try run("kill", "-s", name, "\(pid)") }

extension OnRealDisks {
    @Test(arguments: ["INT", "TERM", "KILL"]) func interruptedWhileTheFileSystemsAreAsked(_ name: String)
        throws
    {
        try withTemporaryDirectory { directory in
            // An ntfs-3g that never gets done: the mapping stands still, overlay and loop device in place.
            try run("mkdir", "\(directory)/out", "\(directory)/tools")
            try write(
                """
                #!/bin/sh
                echo "$$ $1" >\(directory)/.started && mv \(directory)/.started \(directory)/started && exec sleep 1000
                """, to: "\(directory)/tools/ntfs-3g")
            try run("chmod", "+x", "\(directory)/tools/ntfs-3g")
            try withLoopDevice(80 * MiB) { loop in
                try run("sgdisk", "-n1:0:+64M", "-t1:0700", loop.path)
                try loop.addPartitions()
                try Volume(number: 1, type: "ntfs", mebibytes: 64).make(loop.partition(1))
                let before = try sha256(loop.path)
                let image = "\(directory)/out/a.img"
                let program = try RunningProgram(
                    "makel", image, "disks=\(loop.path)", output: directory, tools: "\(directory)/tools")
                try waitUntil("ntfs-3g was started") {
                    FileTree.exists("\(directory)/started") || !program.isRunning
                }
                try #require(program.isRunning, "\(program.said)")
                let started = try FileTree.text(of: "\(directory)/started").split(
                    whereSeparator: \.isWhitespace)
                let device = String(started[1])
                program.lookAround()
                let driver = try #require(Int32(started[0]))
                #expect(program.family.contains(driver))
                #expect(program.family.count > 3, "the overlay's processes are not all known")
                #expect(try Mount.entries(of: driver).contains { $0.fileSystem.hasPrefix("fuse") })
                #expect(
                    try FileTree.text(of: "/sys/block/\(device.dropFirst(5))/loop/backing_file").hasSuffix(
                        "/partition\n"))
                #expect(try run("blockdev", "--getro", loop.path) == "1\n", "the source is not protected")
                try signal(name, program.process.pid)
                try waitUntil("img has ended") { !program.isRunning }
                let status = try program.process.wait()
                try program.expectNobodyLeft()
                try waitUntil("\(device) is detached") {
                    let backing = try? FileTree.text(
                        of: "/sys/block/\(device.dropFirst(5))/loop/backing_file")
                    return backing?.hasSuffix("/partition\n") != true
                }
                #expect(try !run("cat", "/proc/self/mountinfo").contains(" \(device) "))
                #expect(try FileTree.entries(of: "\(directory)/out") == [])
                if name == "KILL" {
                    #expect(status == .signalled(9))
                } else {
                    #expect(status == .exited(1))
                    #expect(program.said.contains("interrupted by SIG\(name)"), "\(program.said)")
                    #expect(try run("blockdev", "--getro", loop.path) == "0\n", "the source stays read-only")
                }
                #expect(try sha256(loop.path) == before)
                // The next run works.
                try imgSucceeds("makel", image, "disks=\(loop.path)", "comp=speed")
                #expect(try sha256(loop.path) == before)
                #expect(try FileTree.entries(of: "\(directory)/out") == ["a.img"])
            }
        }
    }

    @Test(arguments: ["INT", "KILL"]) func interruptedWhileTheImageIsWritten(_ name: String) throws {
        try withTemporaryDirectory { directory in
            // Of this comp=9 makes a long job.
            try withLoopDevice(36 * MiB) { loop in
                try run("sgdisk", "-n1:0:+30M", loop.path)
                try run(
                    "sh", "-ec",
                    "head -c 20M /dev/urandom | base64 | dd of=\(loop.path) bs=1M seek=2 status=none"
                )
                let before = try sha256(loop.path)
                try run("mkdir", "\(directory)/out")
                let image = "\(directory)/out/a.img"
                let program = try RunningProgram(
                    "makel", image, "disks=\(loop.path)", "comp=9", output: directory)
                try waitUntil("the image grows") {
                    program.hasWritten(4096, in: "\(directory)/out") || !program.isRunning
                }
                try #require(program.isRunning, "\(program.said)")
                #expect(try run("blockdev", "--getro", loop.path) == "1\n", "the source is not protected")
                try signal(name, program.process.pid)
                let status = try program.process.wait()
                #expect(try FileTree.entries(of: "\(directory)/out") == [])
                if name == "KILL" {
                    #expect(status == .signalled(9))
                } else {
                    #expect(status == .exited(1))
                    #expect(program.said.contains("img: interrupted by SIGINT"), "\(program.said)")
                    #expect(try run("blockdev", "--getro", loop.path) == "0\n", "the source stays read-only")
                }
                #expect(try sha256(loop.path) == before)
                try imgSucceeds("makel", image, "disks=\(loop.path)", "comp=speed")
            }
        }
    }

    @Test(arguments: ["INT", "KILL"]) func anInterruptedRestoreLeavesNoTable(_ name: String) throws {
        try withTemporaryDirectory { directory in
            try withSparseFile(160 * MiB) { source in
                try run("sgdisk", "-n1:0:+150M", source)
                try run(
                    "dd", "if=/dev/urandom", "of=\(source)", "bs=1M", "seek=2", "count=4", "conv=notrunc",
                    "status=none")
                try run(
                    "sh", "-ec",
                    "for i in $(seq 8 8 144); do dd if=\(source) of=\(source) bs=1M skip=2 seek=$i count=4 conv=notrunc status=none; done"
                )
                let image = "\(directory)/a.img"
                try imgSucceeds("makel", image, "disks=\(source)", "comp=none")
                try withLoopDevice(160 * MiB) { target in
                    try run("sgdisk", "-n1:0:+10M", "-n2:0:+10M", target.path)
                    try target.addPartitions()
                    try run("mkfs.ext4", "-q", "-F", target.partition(1))
                    let program = try RunningProgram(
                        "restorel", image, "disks=\(target.path)", output: directory)
                    let far = 40 * MiB
                    let file = try Descriptor(opening: target.file, .readOnly)
                    try waitUntil("data is on the disk") {
                        try file.read(8, at: far) != [UInt8](repeating: 0, count: 8) || !program.isRunning
                    }
                    try #require(program.isRunning, "it was too fast: \(program.said)")
                    try signal(name, program.process.pid)
                    let status = try program.process.wait()
                    #expect(status == (name == "KILL" ? .signalled(9) : .exited(1)))
                    if name == "INT" {
                        #expect(program.said.contains("img: interrupted by SIGINT"), "\(program.said)")
                    }
                    #expect(try run("blkid", "-p", "-o", "export", target.path, anyStatus: true) == "")
                    #expect(
                        try FileTree.entries(of: "/sys/block/\(target.path.dropFirst(5))").filter {
                            $0.hasPrefix("loop") && $0 != "loop"
                        } == [])
                    // The same command starts again.
                    try imgSucceeds("restorel", image, "disks=\(target.path)")
                    #expect(try sha256(target.path, 0..<151 * MiB) == sha256(source, 0..<151 * MiB))
                    #expect(try run("sgdisk", "-v", target.path).contains("No problems found"))
                }
            }
        }
    }
}
