// Gathers the facts of one disk: sysfs attributes, bus, table, partitions and obstacles.
internal import Blocks
internal import Linux
internal import SystemPackage

extension DiskInventory {
    /// The disk that the kernel calls `name`; nil when it has no medium.
    func blockDevice(_ name: String, path: String, uses: DiskUses, places: DiskPlaces) -> LocalDisk? {
        let link = "\(sys)/block/\(name)"
        let place = (try? FileTree.realPath(link)) ?? link
        let size = (number(place, "size") ?? 0).multipliedReportingOverflow(by: 512)
        // Hidden devices are the paths of a disk that is listed under another name (NVMe multipath).
        guard size.partialValue > 0, !size.overflow, number(place, "hidden") != 1 else { return nil }
        let sectorSize = UInt32(clamping: number(place, "queue/logical_block_size") ?? 512)
        let bus = busClass(name, place)
        let own = attribute(place, "dev").flatMap { DeviceNumber($0) }
        let isReadOnly = number(place, "ro") == 1
        let isRemovable = number(place, "removable") == 1

        var obstacles = standing(bus, isRemovable: isRemovable)
        if name.hasPrefix("mmcblk"), name.contains("boot") || name.contains("rpmb") {
            obstacles.append(.hardwareArea)
        }
        if isReadOnly { obstacles.append(.readOnly) }
        if let own {
            if let obstacle = places[own] { obstacles.append(obstacle) }
            obstacles += uses.obstacles(devices(name, place, own))
        }
        let facts = Facts(
            path: path, name: name, kind: .blockDevice, number: own, size: size.partialValue,
            sectorSize: sectorSize,
            physicalSectorSize: UInt32(clamping: number(place, "queue/physical_block_size") ?? 512),
            model: model(place), serial: serial(place), bus: bus,
            isRotational: number(place, "queue/rotational") == 1, isRemovable: isRemovable,
            isReadOnly: isReadOnly)
        return LocalDisk(facts, obstacles)
    }

    /// The regular file as a disk.
    func regularFile(
        _ path: String, _ status: FileStatus, _ uses: DiskUses, _ context: Context
    ) throws -> LocalDisk {
        guard status.size >= DiskInventory.smallestSize else {
            throw DiskError(.notADisk, "\(path) is too small to be a disk: it has \(status.size) bytes")
        }
        let descriptor = try Descriptor(opening: path, .readOnly)
        let sectorSize = try context.fileSectorSize ?? sectorSize(ofFile: descriptor, status.size)
        var isReadOnly = false
        do { _ = try Descriptor(opening: path, .readWrite) } catch { isReadOnly = true }
        var obstacles = standing(.file, isRemovable: false)
        if isReadOnly { obstacles.append(.readOnly) }
        if let image = context.imageFile, let other = try? FileStatus(of: image), other.inode == status.inode,
            other.device == status.device
        {
            obstacles.append(.holdsFile(image))
        }
        obstacles += uses.obstacles(ofFile: status)
        let facts = Facts(
            path: path, name: path.split(separator: "/").last.map(String.init) ?? path, kind: .regularFile,
            number: nil, size: status.size / UInt64(sectorSize) * UInt64(sectorSize), sectorSize: sectorSize,
            physicalSectorSize: sectorSize, model: "", serial: "", bus: .file, isRotational: false,
            isRemovable: false, isReadOnly: isReadOnly)
        return LocalDisk(facts, obstacles)
    }

    /// A file has no sectors of its own: 4096 where a GPT stands at that distance from either end, else 512.
    private func sectorSize(ofFile file: borrowing Descriptor, _ size: UInt64) throws(SystemError) -> UInt32 {
        // What cannot be read is no header; whether the disk can be used is for others to say.
        func hasHeader(_ offset: UInt64) throws(SystemError) -> Bool {
            do throws(SystemError) {
                return try file.read(8, at: offset) == GPTHeader.signature
            } catch {
                guard error.isMediumError else { throw error }
                return false
            }
        }
        if try hasHeader(512) { return 512 }
        if try hasHeader(4096) { return 4096 }
        let end = size / 4096 * 4096
        if try hasHeader(size / 512 * 512 - 512) { return 512 }
        return try hasHeader(end - 4096) ? 4096 : 512
    }

    /// What speaks against a disk because of what it is.
    private func standing(_ bus: BusClass, isRemovable: Bool) -> [Obstacle] {
        var result: [Obstacle] = []
        switch bus {
        case .usb, .firewire, .sd: result.append(.onBus(bus))
        case .ata, .nvme, .scsi, .virtio, .emmc, .xen, .other: break
        case .loop, .file, .optical, .floppy, .raid, .deviceMapper, .memory, .network:
            result.append(.kind(bus))
        }
        if isRemovable { result.append(.removable) }
        return result
    }

    /// The disk and its partitions as the kernel has them, each with the names of its holders.
    private func devices(
        _ name: String, _ place: String, _ own: DeviceNumber
    ) -> [(number: DeviceNumber, name: String, holders: [String])] {
        var result = [(own, name, entries("\(place)/holders"))]
        for entry in entries(place).sorted(by: NaturalOrder.ascends) {
            let partition = "\(place)/\(entry)"
            guard FileTree.exists("\(partition)/partition"),
                let number = attribute(partition, "dev").flatMap({ DeviceNumber($0) })
            else { continue }
            result.append((number, entry, entries("\(partition)/holders")))
        }
        return result
    }

    /// The bus by the kernel's name of the disk and its place in the tree of devices.
    private func busClass(_ name: String, _ place: String) -> BusClass {
        func isNumbered(_ prefix: String) -> Bool {
            name.hasPrefix(prefix) && name.dropFirst(prefix.count).first?.isNumber == true
        }
        let device = (try? FileTree.realPath("\(place)/device")) ?? place
        let nodes = device.split(separator: "/")
        func passes(_ prefix: String) -> Bool {
            nodes.contains { $0.hasPrefix(prefix) && $0.dropFirst(prefix.count).first?.isNumber == true }
        }
        if isNumbered("loop") { return .loop }
        if isNumbered("zram") || isNumbered("ram") || name.hasPrefix("pmem") { return .memory }
        if isNumbered("sr") || isNumbered("scd") { return .optical }
        if isNumbered("fd") { return .floppy }
        if isNumbered("dm-") { return .deviceMapper }
        if name.hasPrefix("md"), name.dropFirst(2).first != nil { return .raid }
        if isNumbered("nbd") || isNumbered("rbd") || isNumbered("drbd") { return .network }
        if passes("usb") { return .usb }
        if passes("fw") { return .firewire }
        if isNumbered("mmcblk") { return attribute(place, "device/type") == "SD" ? .sd : .emmc }
        if isNumbered("nvme") { return .nvme }
        if name.hasPrefix("vd") { return .virtio }
        if name.hasPrefix("xvd") { return .xen }
        if passes("ata") || name.hasPrefix("hd") { return .ata }
        if name.hasPrefix("sd") || name.hasPrefix("cciss") || name.hasPrefix("ida") { return .scsi }
        return .other
    }

    private func model(_ place: String) -> String {
        let model = attribute(place, "device/model") ?? attribute(place, "device/name") ?? ""
        // Every SATA disk's vendor is "ATA"; virtio's is a PCI number.
        guard let vendor = attribute(place, "device/vendor"), vendor != "ATA", !vendor.hasPrefix("0x") else {
            return model
        }
        return "\(vendor) \(model)".trimmed
    }

    private func serial(_ place: String) -> String {
        if let serial = attribute(place, "device/serial") ?? attribute(place, "serial"), !serial.isEmpty {
            return serial
        }
        // SCSI vital product data, page 80h: four bytes, the last of them the length, then the number.
        if let page = try? FileTree.bytes(of: "\(place)/device/vpd_pg80"), page.count > 4 {
            return String(decoding: page[4...].prefix(Int(page[3])), as: UTF8.self).trimmed
        }
        // USB: the device that the SCSI target belongs to.
        var node = (try? FileTree.realPath("\(place)/device")) ?? ""
        for _ in 0..<12 {
            guard node.contains("/usb"), let slash = node.lastIndex(of: "/") else { break }
            if let serial = attribute(node, "serial"), FileTree.exists("\(node)/idVendor") { return serial }
            node = String(node[..<slash])
        }
        return ""
    }

    private func entries(_ path: String) -> [String] { (try? FileTree.entries(of: path)) ?? [] }

    private func attribute(_ place: String, _ name: String) -> String? {
        (try? FileTree.text(of: "\(place)/\(name)"))?.trimmed
    }

    private func number(_ place: String, _ name: String) -> UInt64? {
        attribute(place, name).flatMap { UInt64($0) }
    }
}

/// What is known of a disk before it is read.
private struct Facts {
    let path: String
    let name: String
    let kind: LocalDisk.Kind
    let number: DeviceNumber?
    let size: UInt64
    let sectorSize: UInt32
    let physicalSectorSize: UInt32
    let model: String
    let serial: String
    let bus: BusClass
    let isRotational: Bool
    let isRemovable: Bool
    let isReadOnly: Bool
}

extension LocalDisk {
    /// Reads the table and what the partitions hold; a disk that cannot be read has none and an obstacle more.
    fileprivate init(_ facts: Facts, _ obstacles: [Obstacle]) {
        path = facts.path
        name = facts.name
        kind = facts.kind
        deviceNumber = facts.number
        size = facts.size
        sectorSize = facts.sectorSize
        physicalSectorSize = facts.physicalSectorSize
        model = facts.model
        serial = facts.serial
        bus = facts.bus
        isRotational = facts.isRotational
        isRemovable = facts.isRemovable
        isReadOnly = facts.isReadOnly
        var obstacles = obstacles
        var layout = DiskLayout()
        do {
            // An empty floppy drive has a size and answers after half a minute; neither is ever imaged.
            guard facts.bus != .floppy, facts.bus != .optical else {
                throw DiskError(.notADisk, "drives of this kind are not looked into")
            }
            layout = try DiskLayout(facts.path, size: facts.size, sectorSize: facts.sectorSize)
        } catch {
            obstacles.append(.unreadable("\(error)"))
        }
        table = layout.table
        tableIdentifier = layout.identifier
        tableProblem = layout.problem
        tableNotice = layout.notice
        content = layout.content
        partitions = layout.partitions.map { found in
            LocalPartition(
                number: found.0.number, slot: 0,
                path: facts.kind == .blockDevice
                    ? LocalDisk.partitionPath(facts.path, facts.name, found.0.number) : "",
                extent: found.0.extent, role: found.0.role, type: found.0.type, name: found.0.name,
                uuid: found.0.uuid, isActive: found.0.isActive, content: found.1)
        }
        if let problem = layout.problem { obstacles.append(.damagedTable(problem)) }
        self.obstacles = obstacles
    }

    /// "/dev/sda1", but "/dev/nvme0n1p1": a name that ends in a digit takes a "p".
    private static func partitionPath(_ path: String, _ name: String, _ number: Int) -> String {
        name.last?.isNumber == true ? "\(path)p\(number)" : "\(path)\(number)"
    }
}

/// What a disk's own bytes say.
private struct DiskLayout {
    var table: TableType = .none
    var identifier = ""
    var problem: String?
    var notice: String?
    var content: FileSystemIdentity?
    var partitions: [(ProbedTable.Partition, FileSystemIdentity?)] = []

    init() {}

    init(_ path: String, size: UInt64, sectorSize: UInt32) throws {
        guard [512, 1024, 2048, 4096].contains(sectorSize) else {
            throw DiskError(.notADisk, "its sectors have \(sectorSize) bytes")
        }
        let reader = try DiskReader(
            path: path, size: size, sectorSize: sectorSize, direct: false, protect: false)
        func probe(_ range: Extent) throws -> Probe {
            try Probe(reader.number, name: path, range: range, sectorSize: sectorSize)
        }
        // A disk that cannot be read at all must not look like an empty one.
        let first = try reader.bytes(Int(sectorSize), at: 0)
        let whole = Extent(offset: 0, length: size)
        let probed = try probe(whole).table()
        content = try probe(whole).content()
        table = probed.type
        identifier = probed.identifier
        let regions = try TableRegions(of: reader, table: table)
        switch regions.soundness {
        case .sound: break
        case .primaryDamaged(let reason): notice = "the first GPT is damaged (\(reason)); its backup is used"
        case .backupDamaged(let reason): notice = "the GPT's backup is missing or damaged (\(reason))"
        case .unusable(let reason): problem = reason
        }
        if table == .none, content == nil, let record = try? MasterBootRecord(first),
            record.entries.contains(where: \.isProtective)
        {
            problem = "there is a protective MBR without a usable GPT"
        }
        for partition in probed.partitions {
            guard partition.extent.end <= size else {
                let end = partition.extent.end
                problem = "partition \(partition.number) ends at \(end), beyond the disk's \(size) bytes"
                partitions.append((partition, nil))
                continue
            }
            let found = partition.role == .extended ? nil : try probe(partition.extent).contentOfVolume()
            partitions.append((partition, found))
        }
    }
}

extension String {
    /// Without blanks, line ends and zero bytes at either end.
    fileprivate var trimmed: String {
        func isBlank(_ character: Character) -> Bool { character.isWhitespace || character == "\0" }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
