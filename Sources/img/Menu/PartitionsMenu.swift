// Partitions: seen, deleted, made active.
internal import Blocks
internal import Imaging
internal import Linux

extension Menu {
    func partitions() throws {
        try choose(
            "Partitions",
            [
                ("View", view),
                ("Delete a partition", { try change(.delete) }),
                ("Activate a partition", { try change(.activate) }),
            ])
    }

    private func view() throws {
        guard let words = try disks("View partitions") else { return }
        let listing = try look(words.asTypedDisks)
        try screen.show("Partitions", listing.lines(geometry: false))
    }

    /// The disks to look at as they were typed, an empty line for all; nil for Back.
    private func disks(_ title: String) throws -> String? {
        let page = Page(
            title: title,
            text: [
                "All of this machine's disks are listed unless you name one, or a file that stands for one."
            ],
            fields: [.entry("Disk", "")], buttons: ["Next", "Back"])
        let answer = try screen.ask(page)
        return answer.button == 0 ? answer.fields[0].text : nil
    }

    private func look(_ words: [String]?) throws -> DiskListing {
        let progress = Progress()
        return try screen.wait("Looking at the disks", progress, cancel: { _ in }) {
            try DiskListing(disks: words)
        }
    }

    private func change(_ action: PartitionChange.Action) throws {
        let title = action == .delete ? "Delete a partition" : "Activate a partition"
        guard let typed = try disks(title) else { return }
        let words = typed.asTypedDisks
        let listing = try look(words)
        let rows = listing.disks.flatMap { disk in
            disk.partitions.filter { $0.slot > 0 }.map { partition in
                (
                    slot: partition.slot,
                    cells: [
                        "\(partition.slot)",
                        partition.path.isEmpty ? "partition \(partition.number)" : partition.path,
                        partition.typeName, partition.size.asBytes, partition.active ? "active" : "",
                        partition.fileSystem, partition.label,
                    ]
                )
            }
        }
        guard !rows.isEmpty else {
            throw ImagingError("there are no partitions on \(typed.isEmpty ? "this machine" : typed)")
        }
        let page = Page(
            title: title, fields: [.list(rows.map(\.cells).aligned)], buttons: ["Next", "Back"])
        let answer = try screen.ask(page)
        guard answer.button == 0 else { return }
        let slot = rows[answer.fields[0].index].slot
        let progress = Progress()
        let planned = try screen.wait("Looking at the disk", progress, cancel: { _ in }) {
            try PartitionChange(action, slot: slot, disks: words)
        }
        let question = action == .delete ? "What is in the partition will be lost. Go on?" : "Go on?"
        guard
            try screen.confirm(
                "\(title): plan", planned.description + ["", question],
                action == .delete ? "Yes, delete" : "Yes, activate")
        else { return }
        let done = try screen.wait("Writing the table", progress, cancel: { _ in }) { try planned.apply() }
        try screen.show("Done", [done])
    }
}
