// What is on an EFI system partition: which system's loader is where.
internal import Blocks
package import Linux

extension EFIVolume {
    /// The most directories below \EFI that are looked at.
    private static let directoryLimit = 64

    /// Looks into the root directory of an EFI system partition.
    package init(_ tree: ConfinedTree) {
        self.init()
        guard let efi = EFIVolume.entry("EFI", in: "", tree) else { return }
        let directories = tree.entries(efi).sorted().prefix(EFIVolume.directoryLimit)
        for directory in directories where tree.isDirectory("\(efi)/\(directory)") {
            let place = "\(efi)/\(directory)"
            switch directory.lowercased() {
            case "boot": fallbackFiles = tree.entries(place).sorted().filter { tree.isFile("\(place)/\($0)") }
            case "microsoft": if let loader = EFIVolume.windows(place, tree) { loaders.append(loader) }
            default: if let loader = EFIVolume.loader(place, tree) { loaders.append(loader) }
            }
        }
        // GRUB can start a Windows, Windows no GRUB; a shim starts under Secure Boot.
        let rank: [EFILoader.Kind: Int] = [.shim: 0, .plain: 1, .windows: 2]
        loaders.sort { (rank[$0.kind] ?? 3, $0.directory) < (rank[$1.kind] ?? 3, $1.directory) }
    }

    /// The path of an entry whatever case it is written in; nil where there is none.
    static func entry(_ name: String, in directory: String, _ tree: ConfinedTree) -> String? {
        let found = tree.entries(directory).sorted().first { $0.lowercased() == name.lowercased() }
        return found.map { directory.isEmpty ? $0 : "\(directory)/\($0)" }
    }

    /// Whether the file system has the program that a boot entry names (with backslashes, in any case).
    package static func holds(_ loader: String, _ tree: ConfinedTree) -> Bool {
        var path = ""
        for part in loader.split(separator: "\\") {
            guard let found = entry(String(part), in: path, tree) else { return false }
            path = found
        }
        return isProgram(path, tree)
    }

    private static func windows(_ place: String, _ tree: ConfinedTree) -> EFILoader? {
        guard let boot = entry("Boot", in: place, tree),
            let path = entry("bootmgfw.efi", in: boot, tree), isProgram(path, tree)
        else { return nil }
        // The name that Windows gives its own entry.
        return EFILoader(
            kind: .windows, directory: boot, file: last(path), label: "Windows Boot Manager")
    }

    /// Loaders of Linux by their usual names, the ones to prefer first; those with "shim" are shims.
    private static let usualLoaders = [
        "shimx64.efi", "shim.efi", "grubx64.efi", "grub.efi", "systemd-bootx64.efi", "refind_x64.efi",
        "elilo.efi",
    ]
    /// What a shim loads from its own directory: GRUB under either name, MokManager, and GRUB's small configuration.
    ///
    /// Not fbx64.efi: a shim in \EFI\BOOT would start that instead of GRUB, and it makes boot entries of its own and
    /// restarts the machine, for ever where the firmware forgets them.
    private static let shimCompanions = [
        "grubx64.efi", "grub.efi", "mmx64.efi", "mokmanager.efi", "grub.cfg",
    ]

    private static func loader(_ place: String, _ tree: ConfinedTree) -> EFILoader? {
        let names = tree.entries(place).sorted()
        func file(_ name: String) -> String? {
            names.first { $0.lowercased() == name.lowercased() && isProgram("\(place)/\($0)", tree) }
        }
        var found: (file: String, label: String?)?
        // The table for this processor comes before the one for any.
        let tables = ["bootx64.csv", "boot.csv"].compactMap { name in
            names.first { $0.lowercased() == name }
        }
        for table in tables where found == nil {
            guard let read = try? tree.bytes("\(place)/\(table)", limit: LoaderTable.limit) else {
                continue
            }
            for line in LoaderTable(read).lines where found == nil {
                if let name = file(line.loader) { found = (name, line.label) }
            }
        }
        for name in usualLoaders where found == nil {
            if let name = file(name) { found = (name, nil) }
        }
        guard let found else { return nil }
        let isShim = found.file.lowercased().contains("shim")
        let companions =
            isShim ? shimCompanions : found.file.lowercased().contains("grub") ? ["grub.cfg"] : []
        return EFILoader(
            kind: isShim ? .shim : .plain, directory: place, file: found.file, label: found.label,
            companions: companions.compactMap { name in
                names.first { $0.lowercased() == name && $0 != found.file && tree.isFile("\(place)/\($0)") }
            })
    }

    /// Whether a file begins as every UEFI program does ("MZ").
    private static func isProgram(_ path: String, _ tree: ConfinedTree) -> Bool {
        guard tree.isFile(path), let file = try? tree.open(path) else { return false }
        return (try? file.read(2, at: 0)) == Array("MZ".utf8)
    }

    private static func last(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

/// Copies loaders within an EFI system partition.
package enum LoaderCopy {
    /// No loader is larger.
    private static let limit = 64 << 20

    /// Makes the copies in their order, each under a temporary name first, and reads each back.
    package static func make(_ copies: [BootAction.Copy], in tree: ConfinedTree) throws {
        for copy in copies {
            guard let bytes = try tree.bytes(copy.from, limit: limit) else {
                throw FixupError("\(copy.from) is no longer on the EFI system partition")
            }
            let target = try place(copy.to, in: tree)
            guard !tree.isFile(target) else { continue }
            try tree.write(target, bytes)
            guard try tree.bytes(target, limit: limit) == bytes else {
                throw FixupError("\(target) on the EFI system partition does not read back as written")
            }
        }
    }

    /// The path with the directories that exist as they are written; those that do not are made.
    private static func place(_ path: String, in tree: ConfinedTree) throws -> String {
        let parts = path.split(separator: "/").map(String.init)
        var directory = ""
        for part in parts.dropLast() {
            if let existing = EFIVolume.entry(part, in: directory, tree) {
                directory = existing
            } else {
                directory = directory.isEmpty ? part : "\(directory)/\(part)"
                try tree.makeDirectory(directory)
            }
        }
        let name = parts.last ?? ""
        return EFIVolume.entry(name, in: directory, tree) ?? "\(directory)/\(name)"
    }
}
