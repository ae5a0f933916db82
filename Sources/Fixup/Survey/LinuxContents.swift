// What a file system of an installed Linux says of its system; everything in it is hostile.
package import Linux
internal import Blocks

/// The facts of one tree that may be the root or the boot partition of a Linux.
package struct LinuxContents: Equatable, Sendable {
    /// Whether this is a root: it says which system it is.
    package var isRoot = false
    package var title = ""
    package var name = ""
    /// Where fstab finds /boot: "UUID=…"; nil where /boot is part of the root.
    package var bootSpecification: String?
    /// The directory of grub.cfg: "boot/grub" of a root, "grub" of a boot partition.
    package var grubDirectory: String?
    /// "/usr/sbin/grub-install", where the modules for BIOS are there as well.
    package var installer: String?
    /// Whether there are kernels to start at the top of the tree: a boot partition.
    package var hasKernels = false

    package init(_ tree: ConfinedTree) {
        if let release = tree.text("etc/os-release") ?? tree.text("usr/lib/os-release") {
            let values = LinuxContents.values(release)
            isRoot = true
            name = LoaderTable.label(values["NAME"] ?? "Linux")
            title = LoaderTable.label(values["PRETTY_NAME"] ?? values["NAME"] ?? "Linux")
            if name.isEmpty { name = "Linux" }
            if title.isEmpty { title = name }
        }
        if isRoot {
            bootSpecification = tree.text("etc/fstab").flatMap(LinuxContents.bootSpecification)
            grubDirectory = ["boot/grub", "boot/grub2"].first { tree.isFile("\($0)/grub.cfg") }
            installer = LinuxContents.installer(tree)
        } else {
            grubDirectory = ["grub", "grub2"].first { tree.isFile("\($0)/grub.cfg") }
            hasKernels = tree.entries("/").contains { $0.hasPrefix("vmlinuz") }
        }
    }

    package var isBootPartition: Bool { !isRoot && (grubDirectory != nil || hasKernels) }

    /// The program that installs GRUB, where the modules for BIOS are there, too.
    private static func installer(_ tree: ConfinedTree) -> String? {
        let modules = ["usr/lib/grub/i386-pc", "usr/share/grub2/i386-pc", "usr/lib/grub2/i386-pc"]
        guard modules.contains(where: { tree.isFile("\($0)/boot.img") }) else { return nil }
        let names = ["grub-install", "grub2-install"]
        let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return places.flatMap { place in names.map { "\(place)/\($0)" } }.first { tree.isFile($0) }
    }

    /// KEY=value lines, the value bare or in quotes (os-release(5)).
    package static func values(_ text: String) -> [String: String] {
        var result: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            guard let equals = line.firstIndex(of: "="), line.first != "#" else { continue }
            var value = String(line[line.index(after: equals)...])
            for quote in ["\"", "'"]
            where value.count >= 2 && value.hasPrefix(quote) && value.hasSuffix(quote) {
                value = String(value.dropFirst().dropLast())
                break
            }
            result[String(line[..<equals])] = value
        }
        return result
    }

    /// The first field of the line of fstab(5) that mounts /boot.
    package static func bootSpecification(_ text: String) -> String? {
        for line in text.split(whereSeparator: \.isNewline) where line.first != "#" {
            let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard fields.count >= 3, fields[1] == "/boot" || fields[1] == "/boot/" else { continue }
            return String(fields[0]).filter { $0 != "\"" }
        }
        return nil
    }
}

/// A file system that was looked into.
package struct LinuxVolume: Equatable, Sendable {
    package var reference: VolumeReference
    package var label: String
    package var partitionUUID: String
    package var contents: LinuxContents

    package init(
        reference: VolumeReference, label: String = "", partitionUUID: String = "", contents: LinuxContents
    ) {
        self.reference = reference
        self.label = label
        self.partitionUUID = partitionUUID
        self.contents = contents
    }

    /// Whether fstab's `specification` means this volume; kernel names of disks never decide.
    private func isMeant(_ specification: String) -> Bool {
        guard let equals = specification.firstIndex(of: "=") else {
            return specification.hasPrefix("/dev/mapper/") && specification == reference.device
        }
        let value = specification[specification.index(after: equals)...].lowercased()
        return switch specification[..<equals] {
        case "UUID": value == reference.uuid.lowercased()
        case "LABEL": value == label.lowercased()
        case "PARTUUID": value == partitionUUID.lowercased()
        default: false
        }
    }

    /// Joins roots with their boot partitions; a boot partition that no root names stands for itself.
    package static func systems(_ volumes: [LinuxVolume]) -> [LinuxSystem] {
        var isTaken: Set<String> = []
        var systems: [LinuxSystem] = []
        for volume in volumes where volume.contents.isRoot {
            let contents = volume.contents
            var boot: LinuxVolume?
            if let specification = contents.bootSpecification {
                // A clone of the disk has the same identifiers: its own disk comes first.
                let meant = volumes.filter { !$0.contents.isRoot && $0.isMeant(specification) }
                boot = meant.first { $0.reference.disk == volume.reference.disk } ?? meant.first
            }
            if let boot { isTaken.insert(boot.reference.device) }
            systems.append(
                LinuxSystem(
                    title: contents.title, name: contents.name, root: volume.reference, boot: boot?.reference,
                    grubDirectory: boot == nil ? contents.grubDirectory : boot?.contents.grubDirectory,
                    installer: contents.installer))
        }
        for volume in volumes where volume.contents.isBootPartition {
            guard !isTaken.contains(volume.reference.device) else { continue }
            systems.append(
                LinuxSystem(
                    title: "a Linux whose root is not readable here", name: "Linux", root: nil,
                    boot: volume.reference, grubDirectory: volume.contents.grubDirectory))
        }
        return systems
    }
}

extension String {
    /// One line for a screen, at most 300 characters of it.
    var onScreenLine: String { String(onScreen.prefix(300)) }
}
