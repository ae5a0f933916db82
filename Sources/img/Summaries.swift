// What a job that is done says: the same sentence on the console and in the menu.
internal import Blocks
internal import Imaging

extension LocalCapture.Result {
    /// The file, how much went into it, and how fast.
    func summary(_ path: String, _ figures: ProgressReport) -> String {
        "\(path): \(contentBytes.asBytes) of content in \(fileBytes.asBytes), \(frameCount) chunks, "
            + "\(figures.timeText), \(figures.ratesText)"
    }
}

extension LocalRestore {
    /// The file, what was proven, how much it was, and how fast.
    func summary(_ figures: ProgressReport) -> String {
        "\(path): every chunk restored, its hash proven\(verify ? ", read back and compared" : ""): "
            + "\(contentBytes.asBytes) in \(figures.timeText), \(figures.ratesText)"
    }
}

extension ServerRestore.Result {
    /// The image, what was proven, how much it was, how fast, and what to do next.
    func summary(_ image: String, verified: Bool, _ figures: ProgressReport) -> String {
        "\(image): every chunk restored, its hash proven\(verified ? ", read back and compared" : ""): "
            + "\(contentBytes.asBytes) in \(figures.timeText), \(figures.ratesText)"
            + "\nnext: type grub.s to make the disk bootable, then press Ctrl+Alt+Del"
    }
}

extension SessionRestore.Result {
    /// The session, where its image is now, how much it was and how fast, and what to do next.
    func summary(_ session: String, _ figures: ProgressReport) -> String {
        let place =
            recording.map { "recorded to \($0.path), \($0.fileBytes.asBytes)" }
            ?? (disks.isEmpty
                ? "received and discarded (not hashed)"
                : "restored to \(disks.joined(separator: ", ")), its hash proven")
        let next =
            disks.isEmpty ? "" : "\nnext: type grub.s to make the disk bootable, then press Ctrl+Alt+Del"
        return "session \(session): every chunk \(place): \(contentBytes.asBytes) in "
            + "\(figures.timeText), \(figures.ratesText)\(next)"
    }
}
