// img dump and img info: disks and partitions as capture and restore see them.
internal import Blocks
internal import Disk

/// This machine's disks, ready to be shown.
package struct DiskListing: Encodable, Sendable {
    package let disks: [DiskLine]

    /// One disk.
    package struct DiskLine: Encodable, Sendable {
        package let path: String
        /// Bytes.
        package let size: UInt64
        package let logicalSectorSize: UInt32
        package let physicalSectorSize: UInt32
        package let model: String
        package let serial: String
        package let bus: String
        package let rotational: Bool
        package let table: String
        package let tableProblem: String?
        /// Why a restore does not take the disk by itself; empty for an eligible disk.
        package let notEligible: [String]
        package let partitions: [PartitionLine]
    }

    /// One partition; an extended container has slot 0.
    package struct PartitionLine: Encodable, Sendable {
        package let slot: Int
        package let path: String
        package let number: Int
        package let type: String
        package let typeName: String
        package let name: String
        /// First byte on the disk, and number of bytes.
        package let offset: UInt64
        package let size: UInt64
        package let active: Bool
        package let fileSystem: String
        package let label: String
        package let uuid: String
    }

    /// Looks at every disk of this machine, or at those of `words`; slots are those of the whole list.
    package init(disks words: [String]? = nil) throws {
        let found = try LocalDisks(DiskInventory.Context(), words: words)
        disks = found.asListed.map { disk in
            DiskLine(
                path: disk.path, size: disk.size, logicalSectorSize: disk.sectorSize,
                physicalSectorSize: disk.physicalSectorSize, model: disk.model.onScreen,
                serial: disk.serial.onScreen, bus: disk.bus.rawValue, rotational: disk.isRotational,
                table: disk.table.description, tableProblem: disk.tableProblem ?? disk.tableNotice,
                notEligible: disk.refusals(for: .restore, named: words != nil).map(\.description),
                partitions: disk.partitions.map { partition in
                    PartitionLine(
                        slot: partition.role == .extended ? 0 : partition.slot, path: partition.path,
                        number: partition.number, type: partition.type.description,
                        typeName: partition.type.title,
                        name: partition.name.onScreen, offset: partition.extent.offset,
                        size: partition.extent.length, active: partition.isActive,
                        fileSystem: partition.content?.type ?? "",
                        label: (partition.content?.label ?? "").onScreen,
                        uuid: partition.uuid)
                })
        }
    }

    /// The listing in lines; with `geometry` also the places on the disk.
    package func lines(geometry: Bool) -> [String] {
        guard !disks.isEmpty else { return ["this machine has no disks"] }
        return disks.flatMap { disk -> [String] in
            var parts = [
                disk.model.isEmpty ? nil : disk.model, disk.serial.isEmpty ? nil : "serial \(disk.serial)",
                disk.bus,
                disk.rotational ? "rotating" : "solid-state", disk.size.asBytes,
                "sectors \(disk.logicalSectorSize)/\(disk.physicalSectorSize)", "table \(disk.table)",
            ].compactMap { $0 }
            if geometry { parts.append("\(disk.size / UInt64(disk.logicalSectorSize)) sectors") }
            var lines = ["\(disk.path): \(parts.joined(separator: ", "))"]
            if let problem = disk.tableProblem { lines.append("  \(problem)") }
            if !disk.notEligible.isEmpty {
                lines.append("  not taken by itself: \(disk.notEligible.joined(separator: ", "))")
            }
            guard !disk.partitions.isEmpty else { return lines }
            var table = [["slot", "type", "size", "active", "file system", "label"]]
            if geometry { table[0] += ["first sector", "sectors"] }
            for partition in disk.partitions {
                var row = [
                    partition.slot == 0 ? "-" : "\(partition.slot)", partition.typeName,
                    partition.size.asBytes,
                    partition.active ? "yes" : "", partition.fileSystem, partition.label,
                ]
                if geometry {
                    let sector = UInt64(disk.logicalSectorSize)
                    row += ["\(partition.offset / sector)", "\(partition.size / sector)"]
                }
                table.append(row)
            }
            return lines + table.aligned.map { "  " + $0 }
        }
    }
}

extension [[String]] {
    /// Rows as lines with columns of equal width.
    package var aligned: [String] {
        let widths = (first ?? []).indices.map { column in map { $0[column].count }.max() ?? 0 }
        return map { row in
            let cells = row.enumerated().map { column, text in
                text + String(repeating: " ", count: widths[column] - text.count)
            }
            let line = cells.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}
