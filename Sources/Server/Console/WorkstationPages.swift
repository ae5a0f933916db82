// The inventory of workstations, and the page of one.
internal import Blocks

/// What templates show of workstations.
enum WorkstationFields {
    /// "Core i5-10500, 16 GB RAM, 512 GB disk, UEFI".
    static func hardware(_ one: WorkstationView) -> String {
        var parts: [String] = []
        if !one.cpu.isEmpty { parts.append(one.cpu) }
        if one.memory > 0 { parts.append("\(memory(one.memory)) RAM") }
        if !one.disks.isEmpty {
            parts.append(one.disks.map { "\($0.size.asBytes) disk" }.joined(separator: " + "))
        }
        parts.append(firmware(one))
        return parts.joined(separator: ", ")
    }

    /// RAM in the units it is sold in: "16 GB" are 2³⁴ bytes, less what the firmware keeps.
    static func memory(_ bytes: UInt64) -> String {
        bytes < GiB ? "\((bytes + MiB / 2) / MiB) MB" : "\((Double(bytes) / Double(GiB)).withThreeDigits) GB"
    }

    static func firmware(_ one: WorkstationView) -> String { one.firmware == "uefi" ? "UEFI" : "BIOS" }

    /// What came of work: a word and its colour.
    static func outcome(_ isDone: Bool?) -> (word: String, tone: String) {
        switch isDone {
        case true?: ("done", "good")
        case false?: ("failed", "bad")
        case nil: ("open", "live")
        }
    }

    static func row(_ one: WorkstationView) -> Fields {
        let (word, tone) = outcome(one.lastIsDone)
        var fields: Fields = [
            "anchor": Words.anchor(one.mac), "mac": one.mac, "name": one.label,
            "address": one.addresses.first ?? "", "product": one.product, "hardware": hardware(one),
            "lastWork": one.lastWork, "forced": one.forced, "lastSeen": Words.time(one.lastSeen),
            "outcomeWord": word, "tone": tone, "outcome": !one.lastWork.isEmpty,
            "outcomeText": one.lastIsDone == true ? "" : Words.sentence(one.lastOutcome),
        ]
        fields["lastWorkAt"] = one.lastWorkAt.map { Words.time($0) }
        return fields
    }
}

extension WorkstationView {
    /// Whether every word is somewhere in what is known of it.
    package func matches(_ search: String) -> Bool {
        let all =
            ([
                name, mac, mac.filter { $0 != ":" }, cpu, biosVendor, product, serial, assetTag, lastWork,
                firmware,
            ]
            + otherMACs + addresses + networkCards + video + disks.map(\.model)).joined(separator: "\n")
            .lowercased()
        return search.lowercased().split(whereSeparator: \.isWhitespace).allSatisfy { all.contains($0) }
    }
}

extension Page {
    package static func workstations(_ all: [WorkstationView], search: String) -> Page {
        let found = all.filter { $0.matches(search) }
        var fields: Fields = [
            "hasWorkstations": !found.isEmpty, "workstations": found.map(WorkstationFields.row),
            "count": found.count == all.count
                ? Words.count(all.count, "workstation")
                : "\(found.count) of \(Words.count(all.count, "workstation"))",
        ]
        fields["q"] = search.nonEmpty
        var page = Page("workstations", "Workstations", .workstations, fields)
        page.live = ["inventory"]
        page.address = search.isEmpty ? "/workstations" : "/workstations?q=\(search.asQueryValue)"
        return page
    }

    package static func workstation(_ detail: WorkstationDetail) -> Page {
        let one = detail.workstation
        var facts = Words.facts([
            ("Product", one.product), ("Serial", one.serial), ("Asset tag", one.assetTag), ("CPU", one.cpu),
            ("RAM", one.memory > 0 ? WorkstationFields.memory(one.memory) : ""),
            ("Disks", one.disks.map { "\($0.size.asBytes) \($0.model)" }.joined(separator: "\n")),
            ("IP", one.addresses.joined(separator: "\n")),
            ("MAC", ([one.mac] + one.otherMACs).joined(separator: "\n")),
            ("NIC", one.networkCards.joined(separator: "\n")), ("Video", one.video.joined(separator: "\n")),
            ("BIOS vendor", one.biosVendor), ("Firmware", WorkstationFields.firmware(one)),
            ("Image on it", one.installed ?? ""),
        ])
        facts.append(["label": "First seen", "value": "", "time": Words.time(one.firstSeen)])
        facts.append(["label": "Last seen", "value": "", "time": Words.time(one.lastSeen)])
        let orders = detail.orders.map { order -> Fields in
            let (word, tone) = WorkstationFields.outcome(order.isDone)
            var fields: Fields = [
                "at": Words.time(order.at, isAgo: false), "work": order.work, "reason": order.reason,
                "outcomeWord": word, "tone": tone,
            ]
            fields["outcome"] = order.outcome.nonEmpty.map(Words.sentence)
            fields["took"] = order.endedAt.map { "took \(Words.duration(UInt64(clamping: $0 - order.at)))" }
            return fields
        }
        var page = Page(
            "workstation", one.label, .workstations,
            [
                "name": one.label, "mac": one.mac, "forced": one.forced, "next": Words.sentence(one.next),
                "facts": facts, "hasOrders": !orders.isEmpty, "orders": orders,
            ])
        page.live = ["workstation-detail"]
        page.address = "/workstations/\(one.mac)"
        return page
    }
}
