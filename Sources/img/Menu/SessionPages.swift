// What a session's windows show: who has registered, and the figures while it runs.
internal import Imaging

/// Where a master stands, as far as its window is another one.
enum MasterStage {
    case preparing, registering, running

    init(_ report: ProgressReport) {
        self =
            switch report.state {
            case .planning, .asking, .searching: .preparing
            case .waiting: .registering
            default: .running
            }
    }

    func frame(_ name: String) -> LiveFrame {
        switch self {
        case .preparing: LiveFrame(title: "Session \(name)", lineCount: 6, hasBar: false)
        case .registering:
            LiveFrame(
                title: "Session \(name): registered machines", lineCount: 3, hasBar: false, tableHeight: 10,
                buttons: ["Start session", "Cancel"])
        case .running: LiveFrame(title: "Session \(name)", lineCount: 5, tableHeight: 8)
        }
    }

    func content(_ report: ProgressReport, _ notices: Notices) -> LiveContent {
        switch self {
        case .preparing: LiveContent(lines: notices.lines.suffix(6))
        case .registering:
            LiveContent(
                lines: [report.registrationText ?? "", notices.lines.last ?? ""],
                table: ([["machine", "MAC", "image", "disks"]]
                    + report.machines.map { one in
                        let fits = one.fits.map { $0 ? "fits" : "does not fit" } ?? "looking"
                        return [one.name, one.mac, one.problem ?? fits, one.disks.joined(separator: ", ")]
                    }).aligned)
        case .running:
            LiveContent(
                lines: [
                    ([report.state.rawValue] + [report.percentText].compactMap { $0 }).joined(separator: " "),
                    [report.bytesText, report.etaText].compactMap { $0 }.joined(separator: ", "),
                    report.ratesText,
                    notices.lines.last ?? "",
                ], fraction: report.percent.map { $0 / 100 },
                table: ([["machine", "address", "done", "disk", "lost", ""]]
                    + report.machines.map { one in
                        [
                            one.name, one.address, one.percent?.asPercent ?? "",
                            Double(one.writeRate).asDiskRate, one.lossPercent?.asLoss ?? "",
                            one.problem ?? one.state,
                        ]
                    }).aligned)
        }
    }
}

/// Where a client stands, as far as its window is another one.
enum ClientStage {
    case waiting, receiving

    init(_ report: ProgressReport) {
        self =
            switch report.state {
            case .planning, .asking, .searching, .waiting: .waiting
            default: .receiving
            }
    }

    func frame(_ name: String) -> LiveFrame {
        switch self {
        case .waiting: LiveFrame(title: "Session \(name)", lineCount: 6, hasBar: false)
        case .receiving: LiveFrame(title: "Session \(name)", lineCount: 6, tableHeight: 4)
        }
    }

    func content(_ report: ProgressReport, _ notices: Notices) -> LiveContent {
        switch self {
        case .waiting: return LiveContent(lines: notices.lines.suffix(6))
        case .receiving:
            var content = LiveContent(report, notices)
            content.lines.insert(
                [report.lossText, report.buffersText].compactMap { $0 }.joined(separator: ", "), at: 3)
            return content
        }
    }
}
