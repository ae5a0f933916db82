// img restorep: an image of the imaging server → disks over TCP, through the same pipeline as a session.
package import Blocks
internal import Disk
internal import ImageFormat
internal import Linux
internal import SessionProtocol
internal import Synchronization

/// A restore of an image that the imaging server holds.
package final class ServerRestore: Sendable {
    package struct Options: Sendable {
        package var server: WorkServer
        /// The image's name on the server.
        package var image: String
        /// The only image that is accepted; nil: whichever has the name.
        package var identifier: GUID?
        /// The words of disks=; nil without.
        package var disks: [String]?
        package var verify = false

        package init(server: WorkServer, image: String, disks: [String]? = nil) {
            self.server = server
            self.image = image
            self.disks = disks
        }
    }

    package struct Result: Sendable {
        package let image: GUID
        /// Bytes of content that were proven and written.
        package let contentBytes: UInt64
        /// The disks written to.
        package let disks: [String]
        /// What of the source could not be read: a sentence and then the places; empty where there is nothing.
        package let warnings: [String]
    }

    private let options: Options
    private let progress: Progress
    private let source: TCPFrameSource
    private let offer: ServerOffer
    private let plan: RestorePlan
    private let pipeline = Mutex<RestorePipeline?>(nil)
    private let cancelled = Mutex<String?>(nil)

    /// Asks the server and makes the plan; touches nothing.
    ///
    /// - Throws: Where the server or the image cannot be had, or it is not certain which disk gets what.
    package init(_ options: Options, stop: WorkStop = WorkStop(), progress: Progress) throws {
        self.options = options
        self.progress = progress
        guard (1...200).contains(options.image.utf8.count) else {
            throw ImagingError("an image's name has 1 to 200 bytes")
        }
        let local = try LocalDisks(DiskInventory.Context(), words: options.disks)
        progress.note("asking \(options.server.title) for the image \(options.image.onScreen)")
        let source = TCPFrameSource(
            TCPFrameSource.Request(
                server: options.server, image: options.image, identifier: options.identifier,
                mac: Hardware.firstMAC), progress: progress)
        self.source = source
        offer = try stop.whileStoppable(by: { source.cancel(because: ImagingError($0)) }) {
            try source.open()
        }
        do {
            plan = try RestorePlan(
                manifest: offer.manifest, disks: local.all,
                named: options.disks == nil ? nil : local.named, existing: offer.message.existing)
        } catch {
            source.abandon("\(error)")
            throw error
        }
    }

    /// The fingerprint of the server's key.
    package var serverKey: String { offer.message.serverKey.fingerprint.description }

    /// The server's key, and the plan, in lines.
    package var description: [String] {
        [
            "\(options.server.title) has the key \(serverKey)"
                + (options.server.pinned == nil ? " (key= pins it)" : ", which is pinned")
        ] + plan.description(of: offer.manifest)
    }

    /// Lets go of the image without restoring it.
    package func leave() { source.abandon("only the plan was asked for") }

    /// Ends the restore; `run` throws `reason`, and the disks are left without tables.
    package func cancel(_ reason: String) {
        cancelled.withLock { $0 = $0 ?? reason }
        if let pipeline = pipeline.withLock({ $0 }) {
            pipeline.cancel(reason)
        } else {
            source.cancel(because: ImagingError(reason))
        }
    }

    /// Restores; returns only when everything is on the disks, flushed, and the tables read back.
    package func run() throws -> Result {
        let (manifest, wanted) = (offer.manifest, offer.message.existing)
        progress.begin(
            .restoring, totalBytes: manifest.usedBytes, totalChunks: wanted.count,
            disks: plan.diskFigures(wanted, layout: offer.layout, manifest))
        let pipeline = RestorePipeline(
            layout: offer.layout, wanted: wanted, source: source,
            sink: DiskSink(plan, layout: offer.layout, progress: progress), progress: progress)
        self.pipeline.withLock { $0 = pipeline }
        if let reason = cancelled.withLock({ $0 }) { pipeline.cancel(reason) }
        do {
            source.start(offer, wanted: wanted)
            try pipeline.run(verify: options.verify)
        } catch {
            source.abandon("\(error)")
            throw error
        }
        let lost = UnreadableSectors(pipeline.unreadable, disks: manifest.disks)
        let warnings = lost.warnings(of: "on the disk") { disk in
            plan.assignments.first { $0.imageDisk == disk }?.target.path ?? "disk \(disk + 1)"
        }
        source.finish(
            chunks: UInt64(wanted.count), bytes: manifest.usedBytes,
            text: (["restored"] + warnings.prefix(1)).joined(separator: ", "))
        return Result(
            image: offer.message.image, contentBytes: manifest.usedBytes,
            disks: plan.assignments.map(\.target.path), warnings: warnings)
    }
}

extension Hardware {
    /// The MAC address of the first interface that has one, for the server's list of transfers; else zeros.
    static var firstMAC: [UInt8] {
        let interfaces = (try? NetworkInterface.all()) ?? []
        return interfaces.first { !$0.isLoopback && $0.isUp && $0.mac.count == 6 }?.mac
            ?? [UInt8](repeating: 0, count: 6)
    }
}
