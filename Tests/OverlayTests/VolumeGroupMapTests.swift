// Physical volumes as LVM makes them, asked through the overlay; a kernel with device-mapper maps them, ours may not.
import Blocks
import Linux
import Overlay
import TestSupport
import Testing

extension OverlayOnRealDisks {
    /// Runs `lvm` on these loop devices alone, with nothing activated and nothing left outside of the workspace.
    private func lvm(_ words: [String], _ loops: [String], in workspace: Workspace) throws {
        let configuration = """
            devices{dir="\(workspace.path)" hints="none"} global{activation=0 locking_dir="\(workspace.path)"} \
            backup{backup=0 archive=0}
            """
        try run(
            ["env", "LVM_SYSTEM_DIR=\(workspace.path)", "LVM_SUPPRESS_FD_WARNINGS=1", "lvm", words[0]]
                + ["--devices", loops.joined(separator: ","), "--config", configuration] + words.dropFirst())
    }

    /// Two disks of 64 MiB made physical volumes, and `make` done with them.
    private func physicalVolumes(
        in workspace: Workspace, _ make: ([String]) throws -> Void = { _ in }
    ) throws -> [PartitionSource] {
        let images = try ["first", "second"].map { try workspace.image($0, size: 64 * MiB, []) }
        let first = try LoopDevice(attaching: try Descriptor(opening: images[0], .readWrite))
        let second = try LoopDevice(attaching: try Descriptor(opening: images[1], .readWrite))
        let loops = [first.path, second.path]
        let made = Result {
            try lvm(["pvcreate", "-q"] + loops, loops, in: workspace)
            try make(loops)
        }
        try first.detach()
        try second.detach()
        try made.get()
        return try images.map { try wholeFile($0) }
    }

    /// The outcomes, once it is sure that no source has changed by a bit.
    private func mapTogether(_ sources: [PartitionSource]) throws -> [MapOutcome] {
        let before = try sources.map { try digest($0.path) }
        let outcomes = try mapVolumeGroups(
            of: sources, pool: OverlayPool(byteCount: 8 << 20), servicePath: builtProgram())
        let after = try sources.map { try digest($0.path) }
        #expect(after == before, "a source has changed")
        return outcomes.map(\.outcome)
    }

    /// What is said wherever udev would meddle.
    private var isUdevHere: Bool { FileTree.exists("/run/udev/control") }

    @Test func physicalVolumesWithoutGroup() throws {
        let workspace = try Workspace()
        let outcomes = try mapTogether(try physicalVolumes(in: workspace))
        let expected = isUdevHere ? "udev is running here" : "it belongs to no volume group"
        #expect(outcomes.allSatisfy { $0.reason.hasPrefix(expected) }, "\(outcomes)")
        #expect(outcomes.count == 2)
    }

    @Test func volumeGroupOverTwoDisks() throws {
        let workspace = try Workspace()
        let sources = try physicalVolumes(in: workspace) { loops in
            try lvm(["vgcreate", "-q", "img-test"] + loops, loops, in: workspace)
            try lvm(
                ["lvcreate", "-q", "-an", "-Zn", "-Wn", "-i2", "-L", "40M", "-n", "striped", "img-test"],
                loops,
                in: workspace)
        }
        let misc = try run(["cat", "/proc/misc"])
        let outcomes = try mapTogether(sources)
        if isUdevHere {
            #expect(outcomes.allSatisfy { $0.reason.hasPrefix("udev is running here") })
        } else if misc.contains("device-mapper") {
            // Nothing is in the volume, so it is used; the extents behind it are not.
            for outcome in outcomes {
                let used = try outcome.mapped().used
                // 1 MiB of label and metadata, 5 of 15 extents, and what is behind the last of them.
                #expect(used == ExtentSet([Extent(0..<21 * MiB), Extent(61 * MiB..<64 * MiB)]))
            }
        } else {
            #expect(
                outcomes.allSatisfy {
                    $0.reason.hasPrefix("LVM does not activate its volume group 'img-test': ")
                },
                "\(outcomes)")
        }
        let alone = try mapTogether([sources[1]])
        let expected =
            isUdevHere
            ? "udev is running here"
            : "its volume group 'img-test' is incomplete: 1 of its physical volumes"
        #expect(alone.allSatisfy { $0.reason.hasPrefix(expected) }, "\(alone)")
    }
}
