// The figures of a job as people read them: one text for each, the same on every screen.
internal import Blocks

extension ProgressReport {
    /// Bytes on the wire per second in MB (10⁶ bytes).
    package var wireMegabytes: Double { wireRate / 1e6 }
    /// Bytes of disk content per second in MB (10⁶ bytes).
    package var diskMegabytes: Double { diskRate / 1e6 }
    /// Bytes of disk content per minute in GB (10⁹ bytes).
    package var diskGigabytesPerMinute: Double { diskRate * 60 / 1e9 }

    /// How much is done, 0 to 100; nil while the whole is unknown.
    package var percent: Double? { percentage(diskBytes, of: totalBytes) }

    /// "42 %"; nil while the whole is unknown.
    package var percentText: String? { percent?.asPercent }

    /// "4.19 GB of 9.98 GB"; nil while the whole is unknown.
    package var bytesText: String? {
        totalBytes > 0 ? "\(diskBytes.asBytes) of \(totalBytes.asBytes)" : nil
    }

    /// "wire 112 MB/s"; "file 112 MB/s" for a job with a local image file, whose frames it counts.
    package var wireText: String {
        "\(session == nil && !isWithServer ? "file" : "wire") \(wireMegabytes.withThreeDigits) MB/s"
    }

    /// "disk 13.4 GB/min".
    package var diskText: String { "disk \(diskRate.asDiskRate)" }

    /// "wire 112 MB/s, disk 13.4 GB/min": both, because the one is taken for the other so easily.
    package var ratesText: String { "\(wireText), \(diskText)" }

    /// "lost 0.05 %" of the datagrams; nil where there were none.
    package var lossText: String? { lossPercent.map { "lost \($0.asLoss)" } }

    /// "62 of 64 buffers free"; nil where nothing is received.
    package var buffersText: String? {
        guard let freeBuffers, let buffers else { return nil }
        return "\(freeBuffers) of \(buffers) buffers free"
    }

    /// "ETA 3:05"; nil while that cannot be said.
    package var etaText: String? { secondsLeft.map { "ETA \($0.asDuration)" } }

    /// "the imaging server is asked again in 9 s"; nil while it is not waited for.
    package var asksAgainText: String? {
        asksAgainIn.map { "the imaging server is asked again in \($0) s" }
    }

    /// "registered/still needed 3/2, starts in 42 s", or "3 registered"; nil outside a session that registers.
    package var registrationText: String? {
        guard let joined else { return nil }
        let count = stillNeeded.map { "registered/still needed \(joined)/\($0)" } ?? "\(joined) registered"
        // A time that is past: the first that registers starts it.
        let start = startsIn.map {
            $0 == 0 && joined == 0 ? "starts with the first" : "starts in \($0.asDuration)"
        }
        return start.map { "\(count), \($0)" } ?? count
    }

    /// How long it took: "12.3 s", or with what was read back "12.3 s, read back in 8.1 s".
    package var timeText: String {
        let readBack = verifyTime == 0 ? "" : ", read back in \((Double(verifyTime) / 1e9).fixed(1)) s"
        return "\((Double(transferTime) / 1e9).fixed(1)) s\(readBack)"
    }
}

extension ProgressReport.DiskFigures {
    /// How much of it is done, 0 to 100; nil for a disk of which nothing is.
    package var percent: Double? {
        guard let totalBytes, totalBytes > 0 else { return percentage(chunks, of: totalChunks) }
        return percentage(bytes, of: totalBytes)
    }

    /// "/dev/sda 42 %, disk 13.4 GB/min", and what went wrong with it.
    package var text: String {
        var parts = [percent.map { "\(name) \($0.asPercent)" } ?? name, "disk \(rate.asDiskRate)"]
        if let error { parts.append(error) }
        return parts.joined(separator: ", ")
    }
}

extension ProgressReport.MachineFigures {
    /// "pc1 10.0.0.11 42 %, disk 13.4 GB/min, lost 0.05 %", and what went wrong with it; before the session starts
    /// "pc1 10.0.0.11, /dev/sda Samsung SSD 870 500 GB: fits".
    package var text: String {
        if state == "joined" {
            let place = disks.isEmpty ? "no disks" : disks.joined(separator: ", ")
            return "\(name) \(address), \(place): \(problem ?? (fits == true ? "fits" : "joined"))"
        }
        var parts = ["\(name) \(address) \(percent?.asPercent ?? "0 %")"]
        if writeRate > 0 { parts.append("disk \(Double(writeRate).asDiskRate)") }
        if let lossPercent, lossPercent > 0 { parts.append("lost \(lossPercent.asLoss)") }
        if let problem { parts.append(problem) } else if state != "receiving" { parts.append(state) }
        return parts.joined(separator: ", ")
    }
}

/// How much `part` is of `whole`, 0 to 100; nil of nothing.
func percentage(_ part: UInt64, of whole: UInt64) -> Double? {
    whole == 0 ? nil : min(100, Double(part) * 100 / Double(whole))
}

extension Double {
    /// Bytes per second as "13.4 GB/min".
    package var asDiskRate: String { "\((self * 60 / 1e9).withThreeDigits) GB/min" }

    /// "42 %", rounded down: 100 % is said only of what is whole.
    package var asPercent: String { "\(rounded(.down).fixed(0)) %" }

    /// "0.05 %"; what is not nothing is not shown as nothing.
    package var asLoss: String {
        self == 0 ? "0 %" : self < 0.005 ? "<0.01 %" : "\(withThreeDigits) %"
    }
}

extension UInt64 {
    /// Seconds as "42 s", "3:05" or "1:02:03".
    package var asDuration: String {
        func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if self < 60 { return "\(self) s" }
        if self < 3600 { return "\(self / 60):\(two(self % 60))" }
        return "\(self / 3600):\(two(self / 60 % 60)):\(two(self % 60))"
    }
}
