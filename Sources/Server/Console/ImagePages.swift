// The catalogue of images, and the page of one.
internal import Blocks

/// What templates show of images.
enum ImageFields {
    static func row(_ image: ImageView) -> Fields {
        var fields: Fields = [
            "name": image.name, "path": image.name.asQueryValue, "layout": layout(image),
            "file": image.fileBytes.asBytes, "used": image.problem == nil ? image.usedBytes.asBytes : "",
            "modified": Words.time(image.modifiedAt), "usedBy": image.usedBy.joined(separator: "; "),
        ]
        fields["problem"] = image.problem.map(Words.sentence)
        return fields
    }

    /// "512 GB GPT; 4 partitions: FAT32, NTFS".
    static func layout(_ image: ImageView) -> String {
        guard image.problem == nil else { return "" }
        let disks = image.disks.map { "\($0.size.asBytes) \($0.table.uppercased())" }.joined(separator: " + ")
        var names: [String] = []
        for one in image.partitions where !one.fileSystem.isEmpty && !names.contains(one.fileSystem) {
            names.append(one.fileSystem)
        }
        let count = Words.count(image.partitions.count, "partition")
        return "\(disks); \(count)\(names.isEmpty ? "" : ": \(names.joined(separator: ", "))")"
    }

    static func disk(_ disk: ImageView.Disk, index: Int, of image: ImageView) -> Fields {
        let partitions = image.partitions.filter { $0.disk == index }
        var title = "Disk \(index + 1): \(disk.size.asBytes)"
        for part in [disk.table.uppercased(), disk.model] where !part.isEmpty { title += ", \(part)" }
        return [
            "title": title, "hasPartitions": !partitions.isEmpty,
            "partitions": partitions.map { one -> Fields in
                let share = one.size > 0 ? Double(one.used) / Double(one.size) * 100 : 0
                return [
                    "slot": one.slot, "type": one.type, "name": one.name, "fileSystem": one.fileSystem,
                    "label": one.label, "size": one.size.asBytes, "used": one.used.asBytes,
                    "percent": Words.progress(share),
                ]
            },
        ]
    }
}

extension Page {
    package static func images(_ images: [ImageView], directory: String, freeBytes: UInt64) -> Page {
        let bytes = images.map(\.fileBytes).reduce(0, &+).asBytes
        var page = Page(
            "images", "Images", .images,
            [
                "hasImages": !images.isEmpty, "imageRows": images.map(ImageFields.row),
                "directory": directory,
                "count": "\(Words.count(images.count, "image")), \(bytes); \(freeBytes.asBytes) are free",
            ])
        page.live = ["catalogue"]
        page.address = "/images"
        return page
    }

    package static func image(_ image: ImageView) -> Page {
        var facts = Words.facts([
            ("Identifier", image.id), ("Creator", image.creator), ("Firmware", image.firmware.uppercased()),
            ("File", image.fileBytes.asBytes),
            ("Content", image.problem == nil ? image.usedBytes.asBytes : ""),
            ("Used by", image.usedBy.isEmpty ? "nobody" : image.usedBy.joined(separator: "\n")),
        ])
        if !image.createdAt.isEmpty {
            facts.append(["label": "Captured", "value": "", "time": Words.time(iso: image.createdAt)])
        }
        facts.append(["label": "Changed", "value": "", "time": Words.time(image.modifiedAt)])
        var fields: Fields = [
            "name": image.name, "path": image.name.asQueryValue, "query": image.name.asQueryValue,
            "facts": facts,
            "disks": image.disks.enumerated().map { ImageFields.disk($1, index: $0, of: image) },
        ]
        fields["problem"] = image.problem.map(Words.sentence)
        return Page("image", image.name, .images, fields)
    }
}
