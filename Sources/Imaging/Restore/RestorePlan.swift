// Which image disk goes to which local disk, by what rule, or why nothing may be touched.
package import Blocks
package import Disk
package import ImageFormat
internal import Linux

/// The mapping of an image's disks to local disks; it exists only if every check passed.
package struct RestorePlan: Sendable {
    /// Why an image disk goes to a local disk.
    package enum Rule: String, Sendable {
        case named = "named by disks="
        case only = "the only eligible disk"
        case sameKind = "the only eligible disk of its kind that is large enough"
    }

    /// One image disk and its target.
    package struct Assignment: Sendable {
        package let imageDisk: Int
        package let target: LocalDisk
        package let rule: Rule
    }

    package let assignments: [Assignment]

    /// Decides the targets (DESIGN §7.1) and checks every one; touches nothing.
    ///
    /// - Parameters:
    ///   - manifest: The image's manifest.
    ///   - disks: All disks of this machine.
    ///   - named: The disks of `disks=`, in the order of the image's disks; nil without that word.
    ///   - existing: The chunks of the image: a manifest that promises less than they need is not believed.
    /// - Throws: `ImagingError` with all figures where an image disk has no certain, fitting, free target.
    package init(
        manifest: Manifest, disks: [LocalDisk], named: [LocalDisk]?, existing: ChunkSet = ChunkSet()
    ) throws {
        let image = manifest.disks
        let eligible = disks.filter { $0.refusals(for: .restore, named: false).isEmpty }
        if let named {
            guard named.count == image.count else {
                throw ImagingError(
                    "the image has \(image.count.counted("disk")), disks= names \(named.count): "
                        + "name one local disk for each, the image's first disk first")
            }
            assignments = named.enumerated().map { Assignment(imageDisk: $0, target: $1, rule: .named) }
        } else if image.count == 1, eligible.count == 1 {
            assignments = [Assignment(imageDisk: 0, target: eligible[0], rule: .only)]
        } else {
            let candidates = image.map { entry in
                eligible.filter {
                    $0.bus.rawValue == entry.bus && $0.isRotational == entry.rotational
                        && $0.size >= entry.smallestTarget
                }
            }
            guard candidates.allSatisfy({ $0.count == 1 }),
                Set(candidates.map { $0[0].path }).count == image.count
            else { throw ImagingError(RestorePlan.undecided(manifest, disks: disks, eligible: eligible)) }
            assignments = candidates.enumerated().map {
                Assignment(imageDisk: $0, target: $1[0], rule: .sameKind)
            }
        }
        try check(image)
        try checkChunks(existing, layout: try manifest.layout())
    }

    /// Refuses a target that ends before the last region of its image disk begins.
    private func checkChunks(_ existing: ChunkSet, layout: ChunkLayout) throws {
        for assignment in assignments {
            let disk = assignment.imageDisk
            let end = disk + 1 < layout.bases.count ? layout.bases[disk + 1] : layout.tableBase
            let regions = UInt64(layout.bases[disk])..<UInt64(end)
            let last = existing.ranges.filter { $0.overlaps(regions) }.last?.clamped(to: regions).upperBound
            guard let last, case .region(_, let window)? = layout.place(of: UInt32(last - 1)) else {
                continue
            }
            guard window.offset < assignment.target.size else {
                throw ImagingError(
                    "\(assignment.target.path) is too small: disk \(disk + 1) of the image has data behind "
                        + "\(window.offset) bytes (\(window.offset.asBytes)), it has \(assignment.target.size) "
                        + "(\(assignment.target.size.asBytes))")
            }
        }
    }

    private func check(_ image: [Manifest.DiskEntry]) throws {
        for (index, assignment) in assignments.enumerated() {
            let target = assignment.target
            let entry = image[assignment.imageDisk]
            for earlier in assignments[..<index] where earlier.target.isSameDisk(as: target) {
                throw ImagingError("\(target.path) is named for two disks of the image")
            }
            if let refusal = target.refusals(for: .restore, named: assignment.rule == .named).first {
                let hint =
                    refusal == .readOnly && target.kind == .blockDevice
                    ? " (a killed capture leaves it so: 'blockdev --setrw \(target.path)' undoes that)" : ""
                throw ImagingError("\(target.path) \(refusal)\(hint)")
            }
            guard target.sectorSize == entry.logicalSectorSize else {
                throw ImagingError(
                    "\(target.path) has sectors of \(target.sectorSize) bytes, disk \(assignment.imageDisk + 1) of the "
                        + "image has sectors of \(entry.logicalSectorSize)")
            }
            guard target.size >= entry.smallestTarget else {
                throw ImagingError(
                    "\(target.path) is too small: disk \(assignment.imageDisk + 1) of the image needs "
                        + "\(entry.smallestTarget) bytes (\(entry.smallestTarget.asBytes)), it has \(target.size) "
                        + "(\(target.size.asBytes))")
            }
        }
    }

    /// The target disks, in the image's order, with what goes to each of the `existing` chunks.
    func diskFigures(
        _ existing: ChunkSet, layout: ChunkLayout, _ manifest: Manifest
    ) -> [ProgressReport.DiskFigures] {
        assignments.sorted { $0.imageDisk < $1.imageDisk }.map { assignment in
            let disk = assignment.imageDisk
            let end = disk + 1 < layout.bases.count ? layout.bases[disk + 1] : layout.tableBase
            let regions = UInt64(layout.bases[disk])..<UInt64(end)
            let count = existing.ranges.reduce(0) { $0 + $1.clamped(to: regions).count }
            let tables = existing.contains(layout.tableNumber(disk: disk)) ? 1 : 0
            return ProgressReport.DiskFigures(
                name: assignment.target.path,
                // A manifest tells the bytes of all disks together.
                totalBytes: assignments.count == 1 ? manifest.usedBytes : nil,
                totalChunks: UInt64(count + tables))
        }
    }

    private static func undecided(_ manifest: Manifest, disks: [LocalDisk], eligible: [LocalDisk]) -> String {
        var lines = [
            "it is not certain which disk of this machine gets which disk of the image; nothing was touched"
        ]
        lines.append("in the image:")
        for (index, entry) in manifest.disks.enumerated() {
            let kind = entry.rotational ? "rotating" : "solid-state"
            lines.append(
                "  disk \(index + 1): \(entry.model.onScreen), \(entry.size.asBytes), \(entry.bus.onScreen), \(kind), "
                    + "needs \(entry.smallestTarget.asBytes)")
        }
        lines.append("in this machine:")
        for disk in disks {
            let refusals = disk.refusals(for: .restore, named: false)
            let kind = disk.isRotational ? "rotating" : "solid-state"
            let state = refusals.isEmpty ? "eligible" : refusals.map(\.description).joined(separator: ", ")
            lines.append(
                "  \(disk.path): \(disk.model.onScreen), \(disk.size.asBytes), \(disk.bus.rawValue), \(kind): \(state)"
            )
        }
        let suggested = (0..<manifest.disks.count).map { index in
            eligible.indices.contains(index) ? eligible[index].path : "/dev/…"
        }
        lines.append("say which: disks=\(suggested.joined(separator: ","))")
        return lines.joined(separator: "\n")
    }

    /// The plan in lines for the person at the machine.
    package func description(of manifest: Manifest) -> [String] {
        assignments.flatMap { assignment -> [String] in
            let entry = manifest.disks[assignment.imageDisk]
            let target = assignment.target
            let model = target.model.isEmpty ? target.bus.title : target.model.onScreen
            var lines = [
                "disk \(assignment.imageDisk + 1) of the image (\(entry.size.asBytes), \(entry.tableType.onScreen)) "
                    + "goes to \(target.path) (\(model), \(target.size.asBytes)): \(assignment.rule.rawValue)"
            ]
            let count = target.slots.count
            if count > 0 { lines.append("  deletes \(count.counted("partition")) of \(target.path)") }
            return lines
        }
    }
}

extension LocalDisk {
    /// Whether both stand for the same device or file, whatever path was typed.
    func isSameDisk(as other: LocalDisk) -> Bool {
        if let device = deviceNumber { return device == other.deviceNumber }
        guard let mine = try? FileStatus(of: path), let theirs = try? FileStatus(of: other.path) else {
            return path == other.path
        }
        return mine.device == theirs.device && mine.inode == theirs.inode
    }
}

extension Int {
    /// "1 disk", "3 disks".
    package func counted(_ noun: String) -> String { self == 1 ? "1 \(noun)" : "\(self) \(noun)s" }
}
