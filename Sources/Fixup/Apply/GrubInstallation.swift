// GRUB for BIOS, put in place by grub-install: the system's own in its root, or the medium's.
internal import Blocks
internal import Linux
internal import SystemPackage

/// One installation of GRUB into a disk's MBR.
///
/// The system's own program runs in the system's root: whoever calls bootfix trusts what was restored as much as
/// whoever starts it afterwards. Directories of the system are only used where no link leads elsewhere.
struct GrubInstallation {
    private let area: MountArea
    private let disk: String
    private let system: LinuxSystem

    /// Directories of this system that a program in another root needs.
    private static let shared = ["dev", "proc", "sys"]

    init(_ area: MountArea, disk: String, system: LinuxSystem) {
        self.area = area
        self.disk = disk
        self.system = system
    }

    /// Runs the system's own grub-install with the system as its root.
    func runOwn() throws {
        guard let root = system.root, let installer = system.installer else {
            throw FixupError("\(system.title.onScreen) has no grub-install of its own")
        }
        guard let chroot = Program.find("chroot") else {
            throw FixupError("there is no chroot on this medium")
        }
        try area.with(root, .change) { place in
            let tree = try ConfinedTree(place)
            var mounted: [String] = []
            defer { for path in mounted.reversed() { try? Mount.detach(path) } }
            func mount(at name: String, _ body: (String) throws -> Void) throws {
                let folder: Descriptor
                do throws(SystemError) {
                    folder = try tree.open(name, [.readOnly, .directory], followLinks: false)
                } catch {
                    throw FixupError(
                        "\(system.title.onScreen) on \(root.device) has no directory /\(name): "
                            + "\(error.errno.description)")
                }
                try body(ConfinedTree.place(of: folder))
                mounted.append("\(place)/\(name)")
            }
            for name in GrubInstallation.shared {
                try mount(at: name) { try Mount.attach("/\(name)", at: $0, type: "none", .bind) }
            }
            if let boot = system.boot {
                let here = try area.directory()
                try area.mount(boot, at: here, .change)
                defer { try? Mount.detach(here) }
                try mount(at: "boot") { try Mount.attach(here, at: $0, type: "none", .bind) }
            }
            _ = try Program.run(
                [
                    chroot, place, "/usr/bin/env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                    installer,
                    "--target=i386-pc", "--recheck", disk,
                ], to: "installing GRUB on \(disk) by \(system.title.onScreen)'s \(installer)")
        }
    }

    /// Runs this medium's grub-install, which brings its own modules into the system's /boot/grub.
    func runMediums() throws {
        guard let program = Program.find("grub-install") else {
            throw FixupError("there is no grub-install on this medium")
        }
        guard let volume = system.bootVolume, let directory = system.grubDirectory else {
            throw FixupError("\(system.title.onScreen) has no configuration of GRUB")
        }
        try area.with(volume, .change) { place in
            let tree = try ConfinedTree(place)
            try expectNoLinks(tree, directory)
            let parent = directory.split(separator: "/").dropLast().joined(separator: "/")
            let boot = parent.isEmpty ? place : "\(place)/\(parent)"
            _ = try Program.run(
                [
                    program, "--target=i386-pc", "--directory=\(Survey.modules)", "--boot-directory=\(boot)",
                    "--recheck", disk,
                ], to: "installing GRUB on \(disk) from this medium")
        }
    }

    /// grub-install follows links: one that leads out of the system would have it write anywhere.
    private func expectNoLinks(_ tree: ConfinedTree, _ directory: String) throws {
        let folders = [directory] + ["i386-pc", "fonts", "locale", "themes"].map { "\(directory)/\($0)" }
        for folder in folders {
            let isMissing = tree.kind(folder) == nil && !isEntry(folder, tree)
            if isMissing { continue }
            guard tree.kind(folder, followLinks: false) == .directory else {
                throw FixupError("\(system.title.onScreen): /\(folder) is no directory of its own, or a link")
            }
            for name in tree.entries(folder) where tree.kind("\(folder)/\(name)", followLinks: false) == nil {
                throw FixupError("\(system.title.onScreen): /\(folder)/\(name.onScreen) is a link")
            }
        }
    }

    private func isEntry(_ path: String, _ tree: ConfinedTree) -> Bool {
        let parts = path.split(separator: "/").map(String.init)
        return tree.entries(parts.dropLast().joined(separator: "/")).contains(parts.last ?? "")
    }
}
