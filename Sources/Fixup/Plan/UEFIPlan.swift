// What UEFI needs: a loader under the fallback name, and one boot entry per system.
internal import Blocks
internal import Disk

/// The file that firmware starts when no boot entry leads anywhere (UEFI specification §3.5.1.1, x86-64).
let fallbackLoader = "BOOTX64.EFI"
/// The directory it is in.
let fallbackDirectory = "EFI/BOOT"

extension BootPlan {
    /// `variables` are what the firmware has; nil where nothing can be known of it.
    mutating func planUEFI(_ facts: BootFacts, _ variables: BootVariables?) {
        var wanted: [WantedEntry] = []
        let isStarted = facts.disks.flatMap(\.partitions).contains { $0.efi?.loaders.isEmpty == false }
        for disk in facts.disks {
            let volumes = disk.partitions.filter { $0.efi != nil }
            for partition in volumes {
                guard let volume = partition.efi else { continue }
                let place = "\(disk.path): the EFI system partition \(partition.number)"
                if let problem = volume.problem {
                    problems.append("\(place) cannot be looked into: \(problem)")
                    continue
                }
                guard let best = volume.loaders.first else {
                    warnings.append("\(place) has no loader of an installed system")
                    continue
                }
                planFallback(disk, partition, volume, best, place)
                if best.kind == .plain, variables?.isSecureBoot == true {
                    warnings.append(
                        "\(place): \(best.path.onScreen) is no shim, so Secure Boot may refuse to start it")
                }
                wanted += volume.loaders.compactMap { entry($0, partition, disk, facts) }
            }
            if volumes.isEmpty { planWithoutVolume(disk, facts, isStarted) }
        }
        guard let variables, !wanted.isEmpty else { return }
        let plan = VariablePlan(variables, wanted: wanted)
        right += plan.right
        warnings += plan.problems
        guard !plan.changes.isEmpty else { return }
        let order = plan.changes.contains { if case .order = $0 { true } else { false } }
        let rule = "a new one goes before the first disk's, and behind network entries that come before that"
        let sentences = plan.sentences.isEmpty ? ["changes the boot order"] : plan.sentences
        steps.append(
            Step(
                action: .changeVariables(plan.changes),
                sentence: "the firmware: \(sentences.joined(separator: "; "))" + (order ? " (\(rule))" : ""),
                done: "the firmware's boot entries are as planned"))
    }

    /// A disk without an EFI system partition: whether that matters depends on the other disks.
    private mutating func planWithoutVolume(_ disk: BootDisk, _ facts: BootFacts, _ isStarted: Bool) {
        let system = facts.systems.first { $0.bootVolume?.disk == disk.path }
        let sentence =
            "\(disk.path) has no EFI system partition, and this machine was started by UEFI: "
        if isStarted {
            // NTFS with Windows's boot code is most likely data.
            guard let system else { return }
            warnings.append(
                sentence + "\(system.title.onScreen) starts from another disk's, or was installed for BIOS")
        } else if system != nil || disk.partitions.contains(where: \.startsWindows) {
            problems.append(
                sentence
                    + "its system was installed for BIOS (switch the firmware to BIOS, also called CSM or "
                    + "legacy, and start this medium again)")
        }
    }

    /// The copy that starts with an empty memory of the firmware, and on a machine that forgets its entries.
    private mutating func planFallback(
        _ disk: BootDisk, _ partition: BootPartition, _ volume: EFIVolume, _ loader: EFILoader,
        _ place: String
    ) {
        guard !volume.hasFallback(fallbackLoader) else {
            right.append("\(place) has \\EFI\\BOOT\\\(fallbackLoader)")
            return
        }
        // What the loader needs comes first: under its own name nothing starts a half.
        var files = loader.companions.filter { !volume.hasFallback($0) }.map {
            BootAction.Copy(from: "\(loader.directory)/\($0)", to: "\(fallbackDirectory)/\($0)")
        }
        files.append(
            BootAction.Copy(
                from: "\(loader.directory)/\(loader.file)", to: "\(fallbackDirectory)/\(fallbackLoader)"))
        let others = files.dropLast().map {
            $0.to.split(separator: "/").last.map(String.init)?.onScreen ?? ""
        }
        steps.append(
            Step(
                action: .copyLoader(disk: disk.path, partition: partition.number, files: files),
                sentence: "\(place) gets \\EFI\\BOOT\\\(fallbackLoader), a copy of \(loader.path.onScreen)"
                    + (others.isEmpty ? "" : ", with \(others.joined(separator: ", "))")
                    + ", because firmware without a boot entry starts only that",
                done: "\(place) has \\EFI\\BOOT\\\(fallbackLoader)"))
    }

    private func entry(
        _ loader: EFILoader, _ partition: BootPartition, _ disk: BootDisk, _ facts: BootFacts
    ) -> WantedEntry? {
        guard let signature = partition.signature else { return nil }
        // Without a word of the loader's own: the only Linux on the disk, else the loader's directory.
        let names = Set(facts.systems.filter { $0.bootVolume?.disk == disk.path }.map(\.name))
        let name = names.count == 1 ? names.first : nil
        let label =
            loader.label ?? name ?? loader.directory.split(separator: "/").last.map(String.init) ?? "Linux"
        let unit = UInt64(disk.sectorSize)
        return WantedEntry(
            label: LoaderTable.label(label),
            partition: EFIPartition(
                number: UInt32(clamping: partition.number), start: partition.extent.offset / unit,
                count: partition.extent.length / unit, signature: signature),
            loader: loader.path)
    }
}
