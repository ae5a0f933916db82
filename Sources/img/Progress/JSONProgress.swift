// The face for programs: one JSON object per line on standard output (Documentation/JSON.md).
internal import FoundationEssentials
package import Imaging
internal import Linux
internal import Synchronization

/// Shows a job as JSON lines; called by one thread at a time.
final class JSONProgress: ProgressFace {
    private let command: String
    private let session: String?
    private let last = Mutex<ProgressReport?>(nil)

    let interval: UInt64 = 1_000_000_000

    /// Writes the first line.
    init(command: String, session: String?) {
        self.command = command
        self.session = session
        Console.print(JSONLine.start(command: command, session: session, version: programVersion))
    }

    func take(_ event: ProgressEvent) {
        switch event {
        case .report(let report):
            last.withLock { $0 = report }
            // The end's figures are in the result.
            if !report.state.isEnd { Console.print(JSONLine.progress(report)) }
        case .notice(let text): Console.print(JSONLine.sentence("notice", text))
        case .warning(let text): Console.print(JSONLine.sentence("warning", text))
        case .error(let text): Console.print(JSONLine.sentence("error", text))
        case .finished(let text): result(text.isEmpty ? nil : text)
        case .failed: result(nil)
        }
    }

    private func result(_ text: String?) {
        guard let report = last.withLock({ $0 }) else { return }
        Console.print(JSONLine.result(command: command, report, text: text))
    }
}

/// The lines: pure.
package enum JSONLine {
    /// The first line of every job.
    package static func start(command: String, session: String?, version: String) -> String {
        var line = Line(event: "start")
        line.command = command
        line.session = session
        line.version = version
        return encoded(line)
    }

    /// Where a job stands.
    package static func progress(_ report: ProgressReport) -> String {
        var line = Line(event: "progress")
        line.fill(report)
        return encoded(line)
    }

    /// A sentence for a person; `event` says how grave it is.
    package static func sentence(_ event: String, _ text: String) -> String {
        var line = Line(event: event)
        line.text = text
        return encoded(line)
    }

    /// The last line of every job: its end's figures.
    package static func result(command: String, _ report: ProgressReport, text: String?) -> String {
        var line = Line(event: "result")
        line.command = command
        line.ok = report.state == .done
        line.fill(report)
        line.text = text
        line.error = report.error
        return encoded(line)
    }

    private static func encoded(_ line: Line) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(line) else {
            preconditionFailure("figures that JSON cannot hold: \(line)")
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// All keys of all lines; what is nil is left out.
    private struct Line: Encodable {
        let event: String
        var command: String?
        var version: String?
        var ok: Bool?
        var text: String?
        var error: String?
        var session: String?
        var state: String?
        var bytes: UInt64?
        var totalBytes: UInt64?
        var frameBytes: UInt64?
        var wireBytes: UInt64?
        var chunks: UInt64?
        var totalChunks: UInt64?
        var wireMBps: Double?
        var diskMBps: Double?
        var diskGBPerMinute: Double?
        var lossPercent: Double?
        var freeBuffers: Int?
        var buffers: Int?
        var eta: UInt64?
        var elapsed: Double?
        var transfer: Double?
        var verify: Double?
        var joined: Int?
        var stillNeeded: Int?
        var startsIn: UInt64?
        var asksAgainIn: UInt64?
        var disks: [Disk]?
        var machines: [Machine]?

        enum CodingKeys: String, CodingKey {
            case event, command, version, ok, text, error, session, state, bytes
            case totalBytes = "total_bytes"
            case frameBytes = "frame_bytes"
            case wireBytes = "wire_bytes"
            case chunks
            case totalChunks = "total_chunks"
            case wireMBps = "wire_MBps"
            case diskMBps = "disk_MBps"
            case diskGBPerMinute = "disk_GB_per_min"
            case lossPercent = "loss_percent"
            case freeBuffers = "free_buffers"
            case buffers
            case eta = "eta_s"
            case elapsed = "elapsed_s"
            case transfer = "transfer_s"
            case verify = "verify_s"
            case joined
            case stillNeeded = "still_needed"
            case startsIn = "starts_in_s"
            case asksAgainIn = "asks_again_in_s"
            case disks, machines
        }

        init(event: String) { self.event = event }

        mutating func fill(_ report: ProgressReport) {
            session = report.session
            state = report.state.rawValue
            bytes = report.diskBytes
            totalBytes = report.totalBytes
            frameBytes = report.frameBytes
            wireBytes = report.wireBytes
            chunks = report.chunks
            totalChunks = report.totalChunks
            wireMBps = report.wireMegabytes.asFigure
            diskMBps = report.diskMegabytes.asFigure
            diskGBPerMinute = report.diskGigabytesPerMinute.asFigure
            lossPercent = report.lossPercent?.asFigure
            freeBuffers = report.freeBuffers
            buffers = report.buffers
            eta = report.secondsLeft
            elapsed = report.elapsed.asSeconds
            transfer = report.transferTime.asSeconds
            verify = report.verifyTime > 0 ? report.verifyTime.asSeconds : nil
            joined = report.joined
            stillNeeded = report.stillNeeded
            startsIn = report.startsIn
            asksAgainIn = report.asksAgainIn
            disks = report.disks.isEmpty ? nil : report.disks.map(Disk.init)
            machines = report.machines.isEmpty ? nil : report.machines.map(Machine.init)
        }
    }

    private struct Disk: Encodable {
        let name: String
        let bytes: UInt64
        let totalBytes: UInt64?
        let chunks: UInt64
        let totalChunks: UInt64
        let diskMBps: Double
        let diskGBPerMinute: Double
        let error: String?

        enum CodingKeys: String, CodingKey {
            case name, bytes
            case totalBytes = "total_bytes"
            case chunks
            case totalChunks = "total_chunks"
            case diskMBps = "disk_MBps"
            case diskGBPerMinute = "disk_GB_per_min"
            case error
        }

        init(_ disk: ProgressReport.DiskFigures) {
            name = disk.name
            bytes = disk.bytes
            totalBytes = disk.totalBytes
            chunks = disk.chunks
            totalChunks = disk.totalChunks
            diskMBps = (disk.rate / 1e6).asFigure
            diskGBPerMinute = (disk.rate * 60 / 1e9).asFigure
            error = disk.error
        }
    }

    private struct Machine: Encodable {
        let name: String
        let address: String
        let mac: String
        let disks: [String]?
        let fits: Bool?
        let state: String
        let percent: Double?
        let diskMBps: Double
        let diskGBPerMinute: Double
        let lossPercent: Double?
        let freeBuffers: Int
        let problem: String?

        enum CodingKeys: String, CodingKey {
            case name, address, mac, disks, fits, state, percent
            case diskMBps = "disk_MBps"
            case diskGBPerMinute = "disk_GB_per_min"
            case lossPercent = "loss_percent"
            case freeBuffers = "free_buffers"
            case problem
        }

        init(_ machine: ProgressReport.MachineFigures) {
            name = machine.name
            address = machine.address
            mac = machine.mac
            disks = machine.disks.isEmpty ? nil : machine.disks
            fits = machine.fits
            state = machine.state
            percent = machine.percent?.asFigure
            diskMBps = (Double(machine.writeRate) / 1e6).asFigure
            diskGBPerMinute = (Double(machine.writeRate) * 60 / 1e9).asFigure
            lossPercent = machine.lossPercent?.asFigure
            freeBuffers = machine.freeBuffers
            problem = machine.problem
        }
    }
}

extension Double {
    /// Rounded to three digits after the point; 0 for what is no number.
    fileprivate var asFigure: Double { isFinite ? (self * 1000).rounded() / 1000 : 0 }
}

extension UInt64 {
    /// Nanoseconds as seconds, to the millisecond.
    fileprivate var asSeconds: Double { (Double(self) / 1e9).asFigure }
}
