// img info FILE: what an image holds.
internal import Blocks
package import ImageFormat

/// An image file's manifest and totals, ready to be shown.
package struct ImageDescription: Encodable, Sendable {
    package let path: String
    package let manifest: Manifest
    package let frames: UInt64
    /// Bytes of content, of encoded payload, and of the file.
    package let contentBytes: UInt64
    package let payloadBytes: UInt64
    package let fileBytes: UInt64
    /// Places of the source that could not be read and are zeros, as the closing record counts them.
    package let unreadablePlaces: Int
    /// The same in sectors; neighbours are one.
    package let unreadable: [UnreadableSectors.Run]
    /// What is wrong with the file although all of the image is there; nil for a sound one.
    package let damage: String?

    /// Opens the image and reads its manifest, closing record and index.
    package init(path: String) throws {
        let bytes = try StoredImageBytes(path: path)
        let image = try ImageFileReader(path: path)
        self.path = path
        manifest = image.manifest
        frames = image.closing.frameCount
        contentBytes = image.closing.contentBytes
        payloadBytes = image.closing.payloadBytes
        fileBytes = bytes.byteCount
        unreadablePlaces = image.closing.unreadable.count
        unreadable = UnreadableSectors(image.closing.unreadable, disks: image.manifest.disks).runs
        damage = image.origin.damage
    }

    package var lines: [String] {
        let ratio =
            payloadBytes == 0
            ? "all zeros" : "ratio \((Double(contentBytes) / Double(fileBytes)).withThreeDigits)"
        var lines = [
            "\(path): image \(manifest.imageID), made \(manifest.created.onScreen) by \(manifest.creator.onScreen)",
            "  started by \(manifest.firmware.onScreen), \(frames) chunks of at most \(manifest.chunkSize.asBytes)",
            "  \(contentBytes.asBytes) of content in a file of \(fileBytes.asBytes), \(ratio)",
        ]
        if let damage { lines.append("  \(damage)") }
        let lost = UnreadableSectors(unreadable)
        if !lost.isEmpty {
            lines.append("  zeros in place of \(lost.counted) of the source")
            lines += lost.list { "disk \($0 + 1)" }.map { "    \($0)" }
        }
        for (index, disk) in manifest.disks.enumerated() {
            let model = disk.model.isEmpty ? "" : "\(disk.model.onScreen), "
            lines.append(
                "disk \(index + 1): \(model)\(disk.bus.onScreen), \(disk.rotational ? "rotating" : "solid-state"), "
                    + "\(disk.size.asBytes), sectors \(disk.logicalSectorSize)/\(disk.physicalSectorSize), "
                    + "table \(disk.tableType.onScreen), \(disk.role.onScreen)")
            lines.append(
                "  smallest disk that fits: \(disk.smallestTarget) bytes (\(disk.smallestTarget.asBytes))")
            var table = [["slot", "type", "size", "captured", "content", "file system", "label"]]
            for partition in manifest.partitions where partition.disk == index {
                table.append([
                    partition.slot == 0 ? "-" : "\(partition.slot)", partition.typeName.onScreen,
                    partition.size.asBytes, partition.usedBytes.asBytes,
                    partition.reason.isEmpty
                        ? partition.content.rawValue
                        : "\(partition.content.rawValue): \(partition.reason.onScreen)",
                    partition.fileSystem.onScreen, partition.label.onScreen,
                ])
            }
            if table.count > 1 { lines += table.aligned.map { "  " + $0 } }
        }
        return lines
    }
}
