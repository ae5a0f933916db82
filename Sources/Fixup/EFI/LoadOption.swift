// A UEFI boot entry, EFI_LOAD_OPTION (UEFI specification §3.1.3), with the nodes of its device path (chapter 10).
//
// offset | size | field
//      0 |    4 | attributes; bit 0: the entry is active
//      4 |    2 | length of the device paths in bytes
//      6 |    n | description, UTF-16LE, ends with a zero
//    6+n |    m | device paths; the first names what is started
//  6+n+m | rest | optional data for the loader
package import Blocks

/// One value of a Boot#### variable; every byte is hostile to the decoder.
package struct LoadOption: Equatable, Sendable {
    /// Bit 0 says that the entry takes part in the boot order.
    package var attributes: UInt32
    /// The name that the firmware's menu shows.
    package var description: String
    /// The nodes of all device paths, the nodes that end them included.
    package var nodes: [Node]
    /// Handed to the loader as it is.
    package var optionalData: [UInt8]

    /// One node of a device path; `data` is without the four bytes of its header.
    package struct Node: Equatable, Sendable {
        package var type: UInt8
        package var subtype: UInt8
        package var data: [UInt8]

        package init(type: UInt8, subtype: UInt8, data: [UInt8] = []) {
            self.type = type
            self.subtype = subtype
            self.data = data
        }

        /// Ends the whole device path.
        static let end = Node(type: 0x7f, subtype: 0xff)
    }

    /// The bit of `attributes` for an entry that takes part.
    static let activeBit: UInt32 = 1

    package var isActive: Bool { attributes & LoadOption.activeBit != 0 }

    /// An active entry that starts `loader` (a path with backslashes) from a partition.
    package init(_ description: String, _ partition: EFIPartition, loader: String) {
        attributes = LoadOption.activeBit
        self.description = description
        nodes = [partition.node, Node(filePath: loader), .end]
        optionalData = []
    }

    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        self = try bytes.withBytes { (span: RawSpan) throws(DecodeError) -> LoadOption in
            try LoadOption(from: span)
        }
    }

    private init(from bytes: RawSpan) throws(DecodeError) {
        var offset = 0
        attributes = try bytes.u32(at: &offset)
        let pathLength = Int(try bytes.u16(at: &offset))
        var units: [UInt16] = []
        while true {
            let unit = try bytes.u16(at: &offset)
            if unit == 0 { break }
            units.append(unit)
        }
        description = String(decoding: units, as: UTF16.self)
        let paths = try bytes.array(pathLength, at: &offset, "the device path of a boot entry")
        optionalData = try bytes.array(bytes.byteCount - offset, at: &offset, "optional data")
        nodes = try paths.withBytes { (span: RawSpan) throws(DecodeError) -> [Node] in
            var nodes: [Node] = []
            var offset = 0
            while offset < span.byteCount {
                let type = try span.u8(at: &offset)
                let subtype = try span.u8(at: &offset)
                let length = Int(try span.u16(at: &offset))
                guard length >= 4 else { throw .invalid("a device path node has \(length) bytes") }
                let data = try span.array(length - 4, at: &offset, "a device path node")
                nodes.append(Node(type: type, subtype: subtype, data: data))
            }
            return nodes
        }
    }

    package var encoded: [UInt8] {
        var paths = ByteWriter()
        for node in nodes {
            paths.u8(node.type)
            paths.u8(node.subtype)
            paths.u16(UInt16(clamping: node.data.count + 4))
            paths.append(node.data)
        }
        var writer = ByteWriter()
        writer.u32(attributes)
        writer.u16(UInt16(clamping: paths.count))
        writer.append(description.zeroTerminatedUTF16)
        writer.append(paths.bytes)
        writer.append(optionalData)
        return writer.bytes
    }
}

extension LoadOption {
    /// The nodes of the first device path.
    private var first: ArraySlice<Node> { nodes.prefix { $0.type & 0x7f != 0x7f } }

    /// The partition that the entry names; nil where it names none.
    package var partition: EFIPartition? {
        first.lazy.compactMap { EFIPartition(node: $0) }.first
    }

    /// The loader's path with backslashes as the entry writes it; nil where it names no file.
    package var loader: String? {
        let parts = first.filter { $0.type == 4 && $0.subtype == 4 }.map { node in
            let units = stride(from: 0, to: node.data.count - 1, by: 2).map { index in
                UInt16(node.data[index]) | UInt16(node.data[index + 1]) << 8
            }
            return String(decoding: units.prefix { $0 != 0 }, as: UTF16.self)
        }
        guard !parts.isEmpty else { return nil }
        // A path may be spread over several nodes.
        let path = parts.joined(separator: "\\").split(separator: "\\").joined(separator: "\\")
        return "\\" + path
    }

    /// Whether the entry starts from the network: a MAC, IPv4, IPv6 or URI node, or the BBS type for the network.
    ///
    /// Some firmwares have a node of their own for it (ThinkPads' "PCI LAN" is a vendor's), which only the name
    /// tells; what names a partition is none of them.
    package var isNetwork: Bool {
        if partition == nil, saysNetwork { return true }
        return first.contains { node in
            switch (node.type, node.subtype) {
            case (3, 11), (3, 12), (3, 13), (3, 24): true
            case (5, 1): node.data.starts(with: [0x80, 0])
            default: false
            }
        }
    }

    /// Whether the name says LAN as a word, or PXE, network, IPv4 or IPv6 anywhere.
    private var saysNetwork: Bool {
        let name = description.lowercased()
        let words = name.split { !$0.isLetter }
        return words.contains("lan") || ["pxe", "network", "ipv4", "ipv6"].contains { name.contains($0) }
    }

    /// Whether the loader gets nothing that could have it do something else than start its system.
    ///
    /// fwupd's entry is the system's shim with another program as its argument. "BO" behind two zeros is AMI's mark
    /// of entries that the firmware has looked after, and no argument.
    var hasNoArgument: Bool { optionalData.isEmpty || optionalData == [0, 0, 0x42, 0x4f] }

    /// Whether the entry starts `loader` from `partition`, whatever its name is.
    package func starts(_ loader: String, from partition: EFIPartition) -> Bool {
        self.partition?.signature == partition.signature && isLoader(loader)
    }

    /// FAT does not tell upper case from lower case.
    package func isLoader(_ path: String) -> Bool { loader?.lowercased() == path.lowercased() }
}

extension LoadOption.Node {
    /// The node of a file on the volume that the nodes before it name.
    init(filePath: String) { self.init(type: 4, subtype: 4, data: filePath.zeroTerminatedUTF16) }
}

extension String {
    /// UTF-16LE with the zero that ends it.
    fileprivate var zeroTerminatedUTF16: [UInt8] {
        (Array(utf16) + [0]).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
    }
}

/// A partition as a boot entry names it: the hard drive node of a device path (UEFI specification §10.3.5.1).
package struct EFIPartition: Hashable, Sendable {
    package enum Signature: Hashable, Sendable, CustomStringConvertible {
        /// The unique GUID of a GPT partition.
        case gpt(GUID)
        /// The MBR's disk signature, and the partition's number, which alone tells its partitions apart.
        case mbr(UInt32, number: UInt32)

        package var description: String {
            switch self {
            case .gpt(let guid): guid.description
            case .mbr(let disk, let number): "\(String(disk, radix: 16)), partition \(number)"
            }
        }
    }

    package let number: UInt32
    /// First sector and number of sectors, in logical sectors of the disk.
    package let start: UInt64
    package let count: UInt64
    package let signature: Signature

    package init(number: UInt32, start: UInt64, count: UInt64, signature: Signature) {
        self.number = number
        self.start = start
        self.count = count
        self.signature = signature
    }

    /// nil for a node of another kind, a damaged one, and one without a signature.
    init?(node: LoadOption.Node) {
        guard node.type == 4, node.subtype == 1, node.data.count == 38 else { return nil }
        let read = try? node.data.withBytes { (bytes: RawSpan) throws(DecodeError) -> EFIPartition? in
            var offset = 0
            let number = try bytes.u32(at: &offset)
            let start = try bytes.u64(at: &offset)
            let count = try bytes.u64(at: &offset)
            let identifier = try bytes.array(16, at: &offset, "a partition's signature")
            let disk = identifier[..<4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            _ = try bytes.u8(at: &offset)
            let signature: Signature
            switch try bytes.u8(at: &offset) {
            case 1: signature = .mbr(disk, number: number)
            case 2: signature = .gpt(GUID(mixedEndian: identifier))
            default: return nil
            }
            return EFIPartition(number: number, start: start, count: count, signature: signature)
        }
        guard let partition = read.flatMap({ $0 }) else { return nil }
        self = partition
    }

    var node: LoadOption.Node {
        var data = ByteWriter()
        data.u32(number)
        data.u64(start)
        data.u64(count)
        switch signature {
        case .gpt(let guid):
            data.append(guid.mixedEndianBytes)
            data.append([2, 2])
        case .mbr(let disk, _):
            data.u32(disk)
            data.append(zeros: 12)
            data.append([1, 1])
        }
        return LoadOption.Node(type: 4, subtype: 1, data: data.bytes)
    }
}
