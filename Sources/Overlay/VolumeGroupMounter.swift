// Activates the volume groups on the overlay's loop devices and asks each logical volume's file system.
internal import Blocks
internal import Linux
internal import SystemPackage

/// The mounter's work where the overlay shows physical volumes of LVM.
///
/// LVM is started with the overlay's loop devices as the only ones it may look at, so that the physical volumes on the
/// real disks, which have the same identities, are neither read nor written. It keeps its locks and device nodes in the
/// namespace's own tmpfs, and asks neither udev nor a daemon.
struct VolumeGroupMounter {
    private let request: ServiceRequest
    private let loops: [String]
    private let base: String
    private let root: String
    private let guardian: DeviceGuardian
    private let identify: ContentIdentifier
    private let tell: (MounterMessage) throws -> Void

    /// `loops` show the request's segments; `base` is a directory of the mounter's own, `root` a place to mount at.
    init(
        _ request: ServiceRequest, loops: [String], base: String, root: String, guardian: DeviceGuardian,
        identify: @escaping ContentIdentifier, tell: @escaping (MounterMessage) throws -> Void
    ) {
        self.request = request
        self.loops = loops
        self.base = base
        self.root = root
        self.guardian = guardian
        self.identify = identify
        self.tell = tell
    }

    /// Examines every group; throws where what was activated may still be there.
    func run() throws {
        guard !FileTree.exists("/run/udev/control") else {
            throw MountFailure("udev is running here and would activate its volume group behind our back")
        }
        for directory in ["dev", "lvm", "lock"] { try Mount.makeDirectory("\(base)/\(directory)") }
        try ThisProcess.setEnvironment("LVM_SYSTEM_DIR", "\(base)/lvm")
        try ThisProcess.setEnvironment("LVM_SUPPRESS_FD_WARNINGS", "1")
        try ThisProcess.setEnvironment("LC_ALL", "C")
        // Groups of others are reported too, so that the reason for not asking them is known.
        let report = try lvm("pvs", ["--foreign", "--shared"], columns: VolumeGroup.physicalColumns).output
        let places = zip(loops, request.segments).map { (device: $0, place: $1.place) }
        for group in VolumeGroup.groups(report, places) {
            var finding = GroupFinding(
                name: group.name, members: group.members.map { UInt8(clamping: $0) }, refusal: group.refusal,
                unallocated: ExtentSet())
            if finding.refusal == nil { finding.refusal = try examine(group, &finding.unallocated) }
            try tell(.group(finding))
        }
    }

    /// Asks every volume of a group; returns why the group cannot be asked.
    private func examine(_ group: VolumeGroup, _ unallocated: inout ExtentSet) throws -> String? {
        let title = "its volume group '\(group.name)'"
        let report = try lvm(
            "lvs", ["-a", "--segments"], columns: VolumeGroup.segmentColumns, of: group.name)
        guard report.status == 0 else {
            return "LVM does not tell the volumes of \(title): \(firstLine(report))"
        }
        let volumes: [LogicalVolume]
        switch group.volumes(report.output, nodes: "\(base)/dev/mapper") {
        case .success(let layout):
            volumes = layout.volumes
            unallocated = layout.unallocated
        case .failure(let refusal): return refusal.description
        }
        // A device of this identity is of the real disks, or of their twins, and would be taken for ours.
        let present = MappedDevice.all()
        if present.contains(where: { $0.uuid.hasPrefix(group.deviceMapperPrefix) }) {
            return "\(title) is active here already"
        }
        if let same = present.first(where: { device in
            volumes.contains { $0.device.hasSuffix("/\(device.name)") }
        }) {
            return "\(title) needs the device name \(same.name.onScreen), which is in use here"
        }
        try guardian.watch(group.deviceMapperPrefix)
        let activation = try lvm("vgchange", ["-ay", "-K", "--poll", "n"], of: group.name)
        guard activation.status == 0 else {
            try deactivate(group)
            return "LVM does not activate \(title): \(firstLine(activation))"
        }
        do {
            // Before anything is mounted: whatever fails later must not hide a system that sleeps here.
            if let sleeping = try sleepingVolume(of: volumes) {
                try tell(
                    .volume(
                        VolumeFinding(
                            group: group.name, name: sleeping.volume.name, extents: sleeping.volume.extents,
                            outcome: sleeping.outcome)))
                // What cannot be deactivated the guardian removes.
                try? deactivate(group)
                return nil
            }
            for (index, volume) in volumes.enumerated() {
                let outcome = try outcome(of: volume, log: "\(base)/log-\(group.name)-\(index)")
                try tell(
                    .volume(
                        VolumeFinding(
                            group: group.name, name: volume.name, extents: volume.extents, outcome: outcome)))
            }
        } catch {
            // The first failure is the one to report; the guardian removes what stays.
            try? deactivate(group)
            throw error
        }
        try deactivate(group)
        return nil
    }

    /// A swap volume in which a suspended system lies; nil where there is none.
    private func sleepingVolume(
        of volumes: [LogicalVolume]
    ) throws -> (volume: LogicalVolume, outcome: VolumeFinding.Outcome)? {
        for volume in volumes {
            guard let device = try? Descriptor(opening: volume.device, .readOnly) else { continue }
            let sectorSize = try device.logicalSectorSize()
            guard let type = identify(device, volume.size, sectorSize), isSwap(type) else { continue }
            func read(_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8] {
                guard offset < volume.size else { return [] }
                return try device.read(Int(min(UInt64(count), volume.size - offset)), at: offset)
            }
            if let what = try suspendedSystem(type, read) {
                return (volume, .hibernated(what: what, remedy: resumeFirst))
            }
        }
        return nil
    }

    private func deactivate(_ group: VolumeGroup) throws {
        let outcome = try lvm("vgchange", ["-an"], of: group.name)
        guard outcome.status == 0 else {
            throw MountFailure(
                "LVM does not deactivate its volume group '\(group.name)': \(firstLine(outcome))")
        }
    }

    /// What one volume's content says; only what touches the overlay as a whole is thrown.
    private func outcome(of volume: LogicalVolume, log: String) throws -> VolumeFinding.Outcome {
        do throws(SystemError) {
            let device = try Descriptor(opening: volume.device, .readOnly)
            guard let number = try device.blockDeviceNumber(), isOnOverlay(number),
                try device.blockDeviceSize() == volume.size
            else { return .whole("its device is not what LVM reports") }
            func read(_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8] {
                guard offset < volume.size else { return [] }
                return try device.read(Int(min(UInt64(count), volume.size - offset)), at: offset)
            }
            let type = identify(device, volume.size, try device.logicalSectorSize())
            guard let type else { return .whole("it holds no file system known here") }
            if let reason = reasonNotToAsk(type) { return .whole(reason) }
            if isSwap(type) { return try discardSwap(volume) }
            if case .whole(let reason) = try adviceBeforeMount(type, read) { return .whole(reason) }
            let asked = ask(type, volume, log)
            guard case .asked = asked, let objection = try objectionAfterUnmount(type, read) else {
                return asked
            }
            return .whole(objection)
        } catch {
            return .whole(error.description)
        }
    }

    private func ask(_ type: String, _ volume: LogicalVolume, _ log: String) -> VolumeFinding.Outcome {
        let question = FileSystemQuestion(
            fileSystem: type, device: volume.device, root: root, log: log, faults: request.faults)
        do {
            return .asked(fileSystem: type, try question.ask { try tell(.trimBegins) })
        } catch let failure as MountFailure where failure.kind == .hibernated {
            return .hibernated(what: failure.reason, remedy: shutDownWindows)
        } catch let failure as MountFailure {
            return .whole(failure.reason)
        } catch {
            return .whole("\(error)")
        }
    }

    /// A swap area holds nothing behind its header: device-mapper itself tells where in the physical volumes that is.
    private func discardSwap(_ volume: LogicalVolume) throws(SystemError) -> VolumeFinding.Outcome {
        guard volume.size > swapHeader else { return .whole("it is smaller than a swap area's header") }
        do { try tell(.trimBegins) } catch { return .whole("\(error)") }
        let device = try Descriptor(opening: volume.device, .readWrite)
        try device.discard(offset: swapHeader, length: volume.size - swapHeader)
        return .header
    }

    /// Whether every device below is one of the overlay's loops.
    private func isOnOverlay(_ number: DeviceNumber) -> Bool {
        guard let below = try? FileTree.entries(of: "/sys/dev/block/\(number)/slaves"), !below.isEmpty else {
            return false
        }
        return below.allSatisfy { loops.contains("/dev/\($0)") }
    }

    /// Runs `lvm`, tied to this process's life; the guardian waits for it.
    private func lvm(
        _ command: String, _ options: [String] = [], columns: [String] = [], of group: String? = nil
    ) throws -> ExternalCommand.Outcome {
        var arguments = [
            ThisProcess.executable, HiddenService.tied.rawValue, String(ThisProcess.pid), "lvm", command,
            "--devices", loops.joined(separator: ","), "--config", configuration,
        ]
        arguments += options
        if !columns.isEmpty {
            arguments += [
                "--noheadings", "--nosuffix", "--units", "b", "--separator", String(reportSeparator), "-o",
                columns.joined(separator: ","),
            ]
        }
        if let group { arguments.append(group) }
        let outcome = try ExternalCommand.run(arguments, holding: guardian.lifeline)
        guard outcome.status != programMissing else { throw MountFailure("lvm is not installed here") }
        return outcome
    }

    /// Settings that count whatever the machine's own lvm.conf says.
    private var configuration: String {
        """
        devices{dir="\(base)/dev" hints="none" external_device_info_source="none" obtain_device_list_from_udev=0 \
        scan_lvs=0 multipath_component_detection=0 md_component_detection=0 fw_raid_component_detection=0 \
        allow_mixed_block_sizes=1} \
        global{locking_dir="\(base)/lock" use_lvmlockd=0 use_lvmpolld=0 event_activation=0} \
        activation{udev_sync=0 udev_rules=0 monitoring=0 mode="complete"} \
        backup{backup=0 archive=0} log{syslog=0}
        """
    }

    private func firstLine(_ outcome: ExternalCommand.Outcome) -> String {
        let line =
            outcome.errors.split(separator: "\n").first.map(String.init) ?? "exit status \(outcome.status)"
        return String(line.drop { $0 == " " }).onScreen
    }
}
