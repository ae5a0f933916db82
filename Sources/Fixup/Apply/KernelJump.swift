// img bootfix kexec: starts the restored Linux from here, without the firmware.
internal import Blocks
internal import Disk
internal import Linux
internal import SystemPackage

/// A restored Linux that can be started at once.
package final class KernelJump {
    private let survey: Survey
    private let system: LinuxSystem
    private let entry: KernelEntry
    private let source: String

    /// No kernel takes more.
    private static let commandLineLimit = 2047
    /// No initial RAM disk is larger.
    private static let initrdLimit: UInt64 = 1 << 30

    /// Finds the first system with a kernel, which changes nothing.
    ///
    /// - Throws: One sentence where there is none.
    package init(disks words: [String]?) throws {
        survey = try Survey(words, isReadOnly: true)
        let facts = try survey.facts()
        var reason = "no installed Linux was found on \(facts.disks.map(\.path).joined(separator: ", "))"
        for system in facts.systems {
            if let (entry, source) = try KernelJump.find(system, survey) {
                self.system = system
                self.entry = entry
                self.source = source
                return
            }
            reason = "\(system.title.onScreen) has no kernel that can be found"
        }
        throw FixupError(reason)
    }

    /// What would be started, in lines for the person at the machine.
    package var lines: [String] {
        [
            "starts \(system.title.onScreen) of \(system.bootVolume?.device ?? "") by kexec, as \(source) says",
            "  kernel: \(entry.kernel.onScreen)",
            "  initrd: \(entry.initrds.isEmpty ? "none" : entry.initrds.joined(separator: ", ").onScreen)",
            "  command line: \(entry.commandLine.onScreen)",
        ]
    }

    /// Loads the kernel, unmounts, flushes, and starts it; returns only by throwing.
    package func start() throws {
        try KernelJump.withBoot(system, survey) { tree in
            let kernel = try tree.open(entry.kernel)
            do throws(SystemError) {
                if entry.initrds.isEmpty {
                    try KernelStart.load(kernel, initrd: nil, commandLine: entry.commandLine)
                } else {
                    let initrd = try joined(entry.initrds, tree)
                    let number = initrd.number
                    try KernelStart.load(kernel, initrd: number, commandLine: entry.commandLine)
                }
            } catch { throw FixupError(KernelJump.sentence(error, entry.kernel)) }
        }
        try KernelStart.start()
    }

    /// ENOSYS, EPERM and the key errors each have their own remedy.
    private static func sentence(_ error: SystemError, _ kernel: String) -> String {
        switch error.errno {
        case .init(rawValue: 129), .init(rawValue: 126), .init(rawValue: 74), .init(rawValue: 61),
            .notPermitted:
            return "this kernel does not accept the signature of \(kernel.onScreen) (Secure Boot is on): "
                + "press Ctrl+Alt+Del instead"
        case .init(rawValue: 38), .notSupported:
            return "this kernel cannot start another one by kexec: press Ctrl+Alt+Del instead"
        default: return "\(error)"
        }
    }

    /// The initial RAM disks one after the other, as a boot loader hands them over.
    private func joined(_ paths: [String], _ tree: ConfinedTree) throws(SystemError) -> Descriptor {
        let whole = try memoryFile("initrd")
        var offset: UInt64 = 0
        for path in paths {
            let file = try tree.open(path)
            let size = try FileStatus(of: file).size
            guard offset + size <= KernelJump.initrdLimit else {
                throw SystemError("read \(path)", .fileTooLarge)
            }
            var at: UInt64 = 0
            while at < size {
                let part = try file.read(Int(min(size - at, 4 << 20)), at: at)
                try whole.write(part, at: offset)
                at += UInt64(part.count)
                offset += UInt64(part.count)
            }
        }
        return whole
    }

    // MARK: Which kernel

    /// Calls `body` with the tree that the boot loader reads.
    private static func withBoot<R>(
        _ system: LinuxSystem, _ survey: Survey, _ body: (ConfinedTree) throws -> R
    ) throws -> R {
        guard let volume = system.bootVolume else {
            throw FixupError("\(system.title.onScreen) has no /boot")
        }
        func look() throws -> R { try survey.area.with(volume, .look) { try body(try ConfinedTree($0)) } }
        guard volume.partition == nil else { return try look() }
        var result: R?
        try survey.withLogicalVolumes(on: survey.physicalVolumes) { _ in result = try look() }
        guard let result else { throw FixupError("\(volume.device) is not there any more") }
        return result
    }

    /// The entry with paths that are true in the tree, and where it was found.
    private static func find(_ system: LinuxSystem, _ survey: Survey) throws -> (KernelEntry, String)? {
        try withBoot(system, survey) { tree in
            let root = system.boot == nil ? "boot/" : ""
            var candidates: [(KernelEntry, String)] = []
            if let directory = system.grubDirectory, let text = tree.text("\(directory)/grub.cfg"),
                let entry = KernelEntry(grubConfiguration: text)
            {
                candidates.append((entry, "/\(directory)/grub.cfg"))
            }
            let folder = "\(root)loader/entries"
            let files = tree.entries(folder).filter { $0.hasSuffix(".conf") && !$0.contains("rescue") }
            for file in files.sorted(by: NaturalOrder.ascends).reversed() {
                guard let text = tree.text("\(folder)/\(file)"), let entry = KernelEntry(loaderEntry: text)
                else { continue }
                candidates.append((entry, "/\(folder)/\(file)"))
            }
            candidates += newest(tree, root).map { ($0, "the newest file in /boot") }
            for (entry, source) in candidates {
                if let entry = settled(entry, tree, system, root) { return (entry, source) }
            }
            return nil
        }
    }

    /// Kernels by their names, the newest first, each with its RAM disk.
    private static func newest(_ tree: ConfinedTree, _ root: String) -> [KernelEntry] {
        let names = tree.entries(root)
        let kernels = names.filter { $0.hasPrefix("vmlinuz-") && !$0.contains("rescue") }
        return kernels.sorted(by: NaturalOrder.ascends).reversed().map { kernel in
            let version = kernel.dropFirst("vmlinuz-".count)
            let usual = ["initrd.img-\(version)", "initramfs-\(version).img", "initrd-\(version)"]
            let initrd = usual.first { names.contains($0) }
            return KernelEntry(
                title: kernel, kernel: "/\(root)\(kernel)", initrds: initrd.map { ["/\(root)\($0)"] } ?? [])
        }
    }

    /// The entry with every path as it is in the tree and a root on its command line; nil where a file is missing.
    private static func settled(
        _ entry: KernelEntry, _ tree: ConfinedTree, _ system: LinuxSystem, _ root: String
    ) -> KernelEntry? {
        func place(_ path: String) -> String? {
            var forms = [path, "/\(root)\(path)"]
            // A path from the top of a btrfs: "/@/boot/vmlinuz".
            if let top = system.bootVolume?.subvolume, path.hasPrefix("/\(top)/") {
                forms.append(String(path.dropFirst(top.count + 1)))
            }
            // What a boot partition of its own calls /vmlinuz is /boot/vmlinuz to the system.
            if system.boot != nil, path.hasPrefix("/boot/") { forms.append(String(path.dropFirst(5))) }
            return forms.first { tree.isFile($0) }
        }
        guard let kernel = place(entry.kernel) else { return nil }
        var result = entry
        result.kernel = kernel
        result.initrds = entry.initrds.compactMap(place)
        guard result.initrds.count == entry.initrds.count else { return nil }
        let words = entry.commandLine.split(separator: " ")
        if !words.contains(where: { $0.hasPrefix("root=") }), let volume = system.root {
            let name = volume.partition == nil ? volume.device : "UUID=\(volume.uuid)"
            result.commandLine = (["root=\(name)", "ro"] + words.map(String.init)).joined(separator: " ")
        }
        guard result.commandLine.utf8.count <= commandLineLimit, !result.commandLine.utf8.contains(0) else {
            return nil
        }
        return result
    }
}
