// Partition types and the names people know them by.
package import Blocks

/// A partition's type: a GUID on a GPT, a byte on an MBR.
package enum PartitionType: Hashable, Sendable, CustomStringConvertible {
    case gpt(GUID)
    case mbr(UInt8)

    /// As the tools write it: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0x83".
    package var description: String {
        switch self {
        case .gpt(let guid): guid.description
        case .mbr(let byte): "0x\([byte].hex)"
        }
    }

    /// A readable name; the description where the type has none here.
    package var title: String {
        switch self {
        case .gpt(let guid): PartitionType.gptTitles[guid.description] ?? description
        case .mbr(let byte): PartitionType.mbrTitles[byte] ?? description
        }
    }

    /// Whether this is an EFI system partition.
    package var isEFISystem: Bool {
        self == .mbr(0xef) || description == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    }

    /// Whether this is the MBR type of a container of logical partitions.
    static func isExtended(_ byte: UInt8) -> Bool { byte == 0x05 || byte == 0x0f || byte == 0x85 }

    /// Types of the UEFI specification, Microsoft, the Discoverable Partitions Specification and other systems.
    private static let gptTitles: [String: String] = [
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
        "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
        "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR partition scheme",
        "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
        "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
        "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Microsoft LDM metadata",
        "af9b60a0-1431-4f62-bc68-3311714a69ad": "Microsoft LDM data",
        "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Microsoft Storage Spaces",
        "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux file system",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
        "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
        "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
        "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
        "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux server data",
        "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux variable data",
        "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
        "8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
        "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
        "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
        "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
        "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
        "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
        "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
        "426f6f74-0000-11aa-aa11-00306543ecac": "Apple boot",
        "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD data",
        "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
        "516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
        "516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
        "516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
        "6a898cc3-1dd2-11b2-99a6-080020736631": "Solaris /usr or ZFS",
        "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
        "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
    ]

    private static let mbrTitles: [UInt8: String] = [
        0x01: "FAT12", 0x04: "FAT16 <32M", 0x05: "Extended", 0x06: "FAT16", 0x07: "NTFS/exFAT/HPFS",
        0x0b: "FAT32", 0x0c: "FAT32 (LBA)", 0x0e: "FAT16 (LBA)", 0x0f: "Extended (LBA)",
        0x11: "Hidden FAT12", 0x12: "Diagnostics", 0x14: "Hidden FAT16 <32M", 0x16: "Hidden FAT16",
        0x17: "Hidden NTFS", 0x1b: "Hidden FAT32", 0x1c: "Hidden FAT32 (LBA)", 0x1e: "Hidden FAT16 (LBA)",
        0x27: "Windows recovery", 0x39: "Plan 9", 0x42: "Windows dynamic disk", 0x63: "Unix System V",
        0x82: "Linux swap", 0x83: "Linux", 0x84: "Hibernation", 0x85: "Linux extended", 0x8e: "Linux LVM",
        0xa0: "Hibernation", 0xa5: "FreeBSD", 0xa6: "OpenBSD", 0xa8: "Apple UFS", 0xa9: "NetBSD",
        0xaf: "Apple HFS/HFS+", 0xbf: "Solaris", 0xda: "Data without a file system", 0xde: "Dell utility",
        0xea: "Linux extended boot", 0xeb: "BeOS", 0xee: "GPT protective", 0xef: "EFI system",
        0xfb: "VMware VMFS", 0xfd: "Linux RAID",
    ]
}
