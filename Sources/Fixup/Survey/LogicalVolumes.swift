// Logical volumes of LVM, made available for as long as they are looked at.
internal import Linux

/// Activates the volume groups on some physical volumes, and deactivates them again.
///
/// Only the devices that are named are asked (`--devices`), and nothing waits for a udev that is not there.
final class LogicalVolumes {
    struct Volume {
        /// "/dev/mapper/vg-root".
        let device: String
        /// The partitions or disks it lies on.
        let physical: [String]
    }

    private let lvm: String
    private let devices: String
    private var active: [String] = []
    private(set) var volumes: [Volume] = []

    private static let configuration = ["--config", "activation{udev_sync=0 udev_rules=0}"]

    /// nil where this system has no lvm.
    init?(on physical: [String]) {
        guard let lvm = Program.find("lvm") else { return nil }
        self.lvm = lvm
        devices = physical.joined(separator: ",")
    }

    /// Makes the volumes available; throws one sentence where a group is incomplete.
    func activate() throws {
        let fields = "vg_name,lv_name,lv_dm_path,devices"
        let list = try Program.run(
            [lvm, "lvs", "--devices", devices, "--noheadings", "--separator", "|", "-o", fields],
            to: "listing the logical volumes on \(devices)")
        var found: [String: [String]] = [:]
        var groups: [String] = []
        for line in list.split(separator: "\n") {
            let parts = line.split(separator: "|", omittingEmptySubsequences: false).map {
                String($0.drop(while: { $0 == " " }))
            }
            guard parts.count == 4, parts[2].hasPrefix("/dev/") else { continue }
            if !groups.contains(parts[0]) { groups.append(parts[0]) }
            // "/dev/sda2(0),/dev/sdb1(0)"
            let places = parts[3].split(separator: ",").map { String($0.prefix { $0 != "(" }) }
            found[parts[2], default: []] += places
        }
        for group in groups {
            active.append(group)
            _ = try Program.run(
                [lvm, "vgchange", "--devices", devices, "-ay"] + LogicalVolumes.configuration + [group],
                to: "activating the volume group \(group)")
        }
        volumes = found.keys.sorted().map { Volume(device: $0, physical: found[$0] ?? []) }
    }

    func deactivate() throws {
        var failure: (any Error)?
        for group in active {
            do {
                _ = try Program.run(
                    [lvm, "vgchange", "--devices", devices, "-an"] + LogicalVolumes.configuration + [group],
                    to: "deactivating the volume group \(group)")
            } catch { failure = error }
        }
        active = []
        if let failure { throw failure }
    }
}
