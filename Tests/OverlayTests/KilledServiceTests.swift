// SIGKILL of any of the overlay's processes, at the worst moment, leaves nothing behind.
import Blocks
import Linux
import Overlay
import SystemPackage
import TestSupport
import Testing

/// The suite of everything that makes loop devices and mounts, one test after the other.
@Suite(.serialized) struct OverlayOnRealDisks {}

/// A running mapping that waits for ever with its file system mounted.
private struct StalledMapping {
    let capture: ChildProcess
    let service: Int32
    let mounter: Int32
    /// Further processes: ntfs-3g and the namespace's keeper.
    let helpers: [Int32]
    let loop: String

    init(_ image: String, _ type: String, size: UInt64) throws {
        capture = try ChildProcess(
            builtProgram(), ["overlay-map", image, "0", String(size), "512", type, "stall"],
            descriptors: [-1, -1, 2])
        let root = capture.pid
        func find() throws -> (service: Int32, mounter: Int32, helpers: [Int32], loop: String)? {
            guard let service = children(of: root).first, let mounter = children(of: service).first else {
                return nil
            }
            let helpers = children(of: mounter)
            guard type != "ntfs" || helpers.count == 2,
                let entry = try? Mount.entries(of: mounter).first(where: { $0.mountPoint.hasSuffix("/root") }
                ),
                entry.source.hasPrefix("/dev/loop")
            else { return nil }
            return (service, mounter, helpers, entry.source)
        }
        var found = try find()
        let capture = self.capture
        try waitUntil("the file system is mounted") {
            if try capture.waitIfEnded() != nil { return true }
            found = try find()
            return found != nil
        }
        guard let found else { throw CommandFailed(description: "the mapping ended early") }
        (service, mounter, helpers, loop) = found
    }

    /// Every process is gone and so is the loop device.
    func expectNothingLeft() throws {
        try waitUntil("all processes have ended") {
            ([capture.pid, service, mounter] + helpers).allSatisfy { !isRunning($0) }
        }
        try waitUntil("\(loop) is detached") { !backingFile(loop).hasSuffix("/partition") }
        #expect(try !Mount.entries().contains { $0.source == loop && $0.mountPoint.hasSuffix("/root") })
        #expect(try !Mount.entries().contains { $0.source == "overlay" && $0.fileSystem.hasPrefix("fuse") })
    }
}

extension OverlayOnRealDisks {
    enum Victim: String {
        case capture, service, mounter, captureAndService, helpers
    }

    @Test(arguments: [
        ("ext4", Victim.capture), ("ext4", .service), ("ext4", .mounter), ("ntfs", .capture),
        ("ntfs", .service),
        ("ntfs", .captureAndService), ("ntfs", .helpers),
    ])
    func killed(_ type: String, _ victim: Victim) throws {
        let workspace = try Workspace()
        let make = type == "ntfs" ? ["mkntfs", "-Q", "-F"] : ["mkfs.ext4", "-q", "-F"]
        let image = try workspace.image("disk", size: 24 * MiB, make)
        let before = try digest(image)
        let stalled = try StalledMapping(image, type, size: 24 * MiB)
        switch victim {
        case .capture: stalled.capture.kill()
        case .service: try killProcess(stalled.service)
        case .mounter: try killProcess(stalled.mounter)
        case .captureAndService:
            stalled.capture.kill()
            try killProcess(stalled.service)
        case .helpers:
            for helper in stalled.helpers { try killProcess(helper) }
            // Nothing notices while the mounter sleeps; what counts is that the rest still ends.
            stalled.capture.kill()
        }
        _ = try stalled.capture.wait()
        try stalled.expectNothingLeft()
        #expect(try digest(image) == before)
        _ = try mapUnchanged(wholeFile(image), type).mapped()
    }
}

/// Waits for a condition that another process brings about; ten seconds without it are a failure.
private func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = MonotonicClock.now() + 10_000_000_000
    while try !condition() {
        guard MonotonicClock.now() < deadline else {
            throw CommandFailed(description: "waited in vain until \(what)")
        }
        MonotonicClock.sleep(nanoseconds: 5_000_000)
    }
}

private func children(of pid: Int32) -> [Int32] {
    guard let file = try? Descriptor(opening: "/proc/\(pid)/task/\(pid)/children", .readOnly),
        let text = try? file.readToEnd(limit: 65_536)
    else { return [] }
    return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
}

/// Whether the process exists and is not a zombie.
private func isRunning(_ pid: Int32) -> Bool {
    guard let file = try? Descriptor(opening: "/proc/\(pid)/stat", .readOnly),
        let text = try? file.readToEnd(limit: 4096)
    else { return false }
    // "pid (name) state …"; the name may hold anything.
    let state = String(decoding: text, as: UTF8.self).split(separator: ")").last?.first { $0 != " " }
    return state != nil && state != "Z" && state != "X"
}

private func backingFile(_ loop: String) -> String {
    let name = loop.split(separator: "/").last ?? ""
    guard let file = try? Descriptor(opening: "/sys/block/\(name)/loop/backing_file", .readOnly),
        let text = try? file.readToEnd(limit: 4096)
    else { return "" }
    return String(decoding: text, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
}
