// The manifest: what an image holds, as JSON.
package import Blocks
internal import FoundationEssentials

/// The description of an image that every reader sees first.
package struct Manifest: Codable, Equatable, Sendable {
    package static let currentVersion = 1
    /// Largest manifest in bytes of JSON.
    package static let maximumLength = 1 << 20
    package static let maximumPartitions = 1024

    /// Version of the image format: 1.
    package var formatVersion = Manifest.currentVersion
    /// The image's identifier as GUID text; the same id means the same content.
    package var imageID: String
    /// RFC 3339 time of the capture, UTC.
    package var created: String
    /// Program, version and machine that made the image.
    package var creator: String
    /// How the captured machine was started: "bios" or "uefi".
    package var firmware: String
    /// Bytes per region.
    package var chunkSize: UInt64
    /// Number of existing chunks, table frames included.
    package var chunkCount: Int
    /// Sum of the lengths of all extents, in bytes.
    package var usedBytes: UInt64
    /// Number of each disk's first region.
    package var bases: [UInt32]
    package var disks: [DiskEntry]
    package var partitions: [PartitionEntry]

    /// A disk of the image.
    package struct DiskEntry: Codable, Equatable, Sendable {
        /// Bytes.
        package var size: UInt64
        /// Bytes per logical sector; a disk is only restored to one with the same.
        package var logicalSectorSize: UInt32
        package var physicalSectorSize: UInt32
        /// "gpt", "dos", "none" or the name of a label that is captured as data.
        package var tableType: String
        package var model: String
        package var serial: String
        /// Bus class, such as "sata", "nvme", "virtio" or "usb".
        package var bus: String
        package var rotational: Bool
        /// "boot" for the disk with a boot loader or system partition, otherwise "data".
        package var role: String
        /// Bytes a target must have at least: the end of the last partition and the backup table.
        package var smallestTarget: UInt64

        package init(
            size: UInt64, logicalSectorSize: UInt32, physicalSectorSize: UInt32, tableType: String,
            model: String,
            serial: String, bus: String, rotational: Bool, role: String, smallestTarget: UInt64
        ) {
            self.size = size
            self.logicalSectorSize = logicalSectorSize
            self.physicalSectorSize = physicalSectorSize
            self.tableType = tableType
            self.model = model
            self.serial = serial
            self.bus = bus
            self.rotational = rotational
            self.role = role
            self.smallestTarget = smallestTarget
        }
    }

    /// A partition of the image.
    package struct PartitionEntry: Codable, Equatable, Sendable {
        /// How much of the partition is in the image.
        package enum Content: String, Codable, Sendable {
            /// The blocks the file system calls used.
            case used
            /// Every block.
            case whole
            /// The first blocks only: swap.
            case header
            /// Nothing: the word xN.
            case excluded
        }

        /// Counts partitions 1, 2, … across all disks; 0 for a disk without a table.
        package var slot: Int
        /// Index of the disk, from 0.
        package var disk: Int
        /// The number in the disk's own table.
        package var number: Int
        /// Partition type: a GUID (GPT) or "0x83" (MBR).
        package var type: String
        /// The type in words.
        package var typeName: String
        package var name: String
        package var uuid: String
        /// File system as libblkid names it, or empty.
        package var fileSystem: String
        package var label: String
        /// First byte on the disk.
        package var offset: UInt64
        /// Bytes.
        package var size: UInt64
        /// Bytes of it that are in the image.
        package var usedBytes: UInt64
        package var content: Content
        /// Why the content is what it is; empty for `used`.
        package var reason: String

        package init(
            slot: Int, disk: Int, number: Int, type: String, typeName: String, name: String, uuid: String,
            fileSystem: String, label: String, offset: UInt64, size: UInt64, usedBytes: UInt64,
            content: Content,
            reason: String
        ) {
            self.slot = slot
            self.disk = disk
            self.number = number
            self.type = type
            self.typeName = typeName
            self.name = name
            self.uuid = uuid
            self.fileSystem = fileSystem
            self.label = label
            self.offset = offset
            self.size = size
            self.usedBytes = usedBytes
            self.content = content
            self.reason = reason
        }
    }

    package init(
        imageID: GUID, created: String, creator: String, firmware: String, layout: ChunkLayout,
        chunkCount: Int,
        usedBytes: UInt64, disks: [DiskEntry], partitions: [PartitionEntry]
    ) {
        self.imageID = imageID.description
        self.created = created
        self.creator = creator
        self.firmware = firmware
        chunkSize = layout.chunkSize
        self.chunkCount = chunkCount
        self.usedBytes = usedBytes
        bases = layout.bases
        self.disks = disks
        self.partitions = partitions
    }
}

extension Manifest {
    /// The manifest as JSON with sorted keys.
    package func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    /// Reads JSON and checks every figure, so that what follows may rely on them.
    package init(decoding json: [UInt8]) throws(DecodeError) {
        guard json.count <= Manifest.maximumLength else {
            throw .invalid("a manifest of \(json.count) bytes")
        }
        struct Version: Decodable { var formatVersion: Int }
        let data = Data(json)
        let decoder = JSONDecoder()
        let version: Int
        do { version = try decoder.decode(Version.self, from: data).formatVersion } catch {
            throw .invalid("the manifest is not the JSON of an image")
        }
        guard version == Manifest.currentVersion else {
            throw .unsupported(
                "the image has format version \(version), this program reads \(Manifest.currentVersion)")
        }
        do { self = try decoder.decode(Manifest.self, from: data) } catch {
            throw .invalid("the manifest lacks a field or has one of a wrong type")
        }
        try validate()
    }

    /// The numbering of the image's chunks; valid manifests always have one.
    package func layout() throws(DecodeError) -> ChunkLayout {
        try ChunkLayout(chunkSize: chunkSize, diskSizes: disks.map(\.size))
    }

    /// The image id; valid manifests always have one.
    package func identifier() throws(DecodeError) -> GUID {
        guard let id = GUID(imageID) else { throw .invalid("the manifest's image id is not a GUID") }
        return id
    }

    private func validate() throws(DecodeError) {
        _ = try identifier()
        let layout = try layout()
        guard layout.bases == bases else {
            throw .invalid("the manifest's chunk bases do not follow from its disks")
        }
        guard (0...layout.numbers.count).contains(chunkCount) else {
            throw .invalid("the manifest counts \(chunkCount) chunks")
        }
        for (index, disk) in disks.enumerated() {
            guard [512, 1024, 2048, 4096].contains(disk.logicalSectorSize),
                disk.physicalSectorSize > 0,
                disk.size % UInt64(disk.logicalSectorSize) == 0, disk.smallestTarget <= disk.size
            else { throw .invalid("disk \(index + 1) of the manifest has impossible sizes") }
        }
        guard partitions.count <= Manifest.maximumPartitions else {
            throw .invalid("the manifest has \(partitions.count) partitions")
        }
        // 2³² chunks of 16 MiB at most: the sum of the sizes stays far below 64 bits.
        guard usedBytes <= disks.reduce(0, { $0 + $1.size }) else {
            throw .invalid("the manifest counts \(usedBytes) used bytes, more than its disks have")
        }
        var lastSlot = 0
        for partition in partitions {
            // Slot 0 is a whole disk without a table.
            guard partition.slot > lastSlot || partition.slot == 0 else {
                throw .invalid("slot \(partition.slot) of the manifest follows slot \(lastSlot)")
            }
            lastSlot = max(lastSlot, partition.slot)
            guard disks.indices.contains(partition.disk) else {
                throw .invalid("slot \(partition.slot) lies on a disk that is not in the image")
            }
            let size = disks[partition.disk].size
            guard partition.offset <= size, partition.size <= size - partition.offset,
                partition.usedBytes <= partition.size
            else { throw .invalid("slot \(partition.slot) lies outside its disk") }
        }
    }
}
