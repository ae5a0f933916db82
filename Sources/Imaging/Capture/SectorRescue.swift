// Reads disks with bad sectors: what fails is tried again in smaller pieces; what cannot be read is zeros.
package import Blocks
package import ImageFormat
internal import Linux
internal import Synchronization

/// Reads the items of a capture and finds out which of their bytes the disks do not give back.
///
/// What has been given up once stays zeros as long as the reader lives: whoever reads a chunk again (a later sweep)
/// gets the same bytes, and the disk is not asked for hopeless sectors twice. Its calls may come from several threads
/// where those of the source may.
package final class RescuingReader: Sendable {
    /// When a disk is given up; each bounds the work on a dying one.
    package struct Limits: Sendable {
        /// Pieces that fail without one between them that can be read: such a disk answers nothing any more.
        package var inARow = 4096
        /// Pieces of one disk that cannot be read; 65536 are 32 MiB of sectors of 512 bytes.
        package var total = 65_536
        /// Time that reads of one disk which fail may take in all, in nanoseconds: a drive tries for seconds.
        package var time: UInt64 = 3600 * 1_000_000_000

        package init() {}
    }

    /// What is known of one disk.
    private struct Standing: Sendable {
        var lost = ExtentSet()
        var lostPieces = 0
        var inARow = 0
        var failedFor: UInt64 = 0
    }

    private let source: any ContentSource
    private let sectorSizes: [UInt64]
    private let pieces: [UInt64]
    private let limits: Limits
    private let standing: Mutex<[Standing]>
    private let isEnding = Atomic<Bool>(false)

    /// Reads from `source`.
    ///
    /// - Parameters:
    ///   - source: The disks.
    ///   - sectorSizes: Bytes of each disk's logical sector; what messages count in.
    ///   - smallestPieces: Bytes of the smallest piece that each disk is asked for: its physical sector, which a drive
    ///     has whole or not at all. What is no multiple of the logical sector up to 64 KiB counts as the latter.
    ///   - limits: When to give up.
    package init(
        source: any ContentSource, sectorSizes: [UInt32], smallestPieces: [UInt32] = [],
        limits: Limits = Limits()
    ) {
        self.source = source
        self.sectorSizes = sectorSizes.map(UInt64.init)
        pieces = sectorSizes.enumerated().map { disk, sector in
            let piece = disk < smallestPieces.count ? smallestPieces[disk] : sector
            return UInt64(piece >= sector && piece <= 64 << 10 && piece % sector == 0 ? piece : sector)
        }
        self.limits = limits
        standing = Mutex(sectorSizes.map { _ in Standing() })
    }

    /// Reads from the disks of an image to be made.
    package convenience init(source: any ContentSource, disks: [Manifest.DiskEntry]) {
        self.init(
            source: source, sectorSizes: disks.map(\.logicalSectorSize),
            smallestPieces: disks.map(\.physicalSectorSize))
    }

    /// Fills the first bytes of `bytes` with the content of `item`.
    ///
    /// - Returns: What could not be read and is zeros: ascending and disjoint, each range inside one of the item's
    ///   extents, as a frame header takes it.
    /// - Throws: `ImagingError` where a partition table cannot be read, or so much else that the disk is given up;
    ///   whatever the source throws for other reasons than bad sectors, such as a disk that is gone.
    package func read(_ item: CaptureItem, into bytes: UnsafeMutableRawBufferPointer) throws -> [Extent] {
        var unreadable: [Extent] = []
        var position = 0
        for extent in item.extents {
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: bytes[position..<position + Int(extent.length)])
            position += Int(extent.length)
            let lost = lost(of: extent, item.disk)
            for known in lost.extents { unsafe zero(known, of: extent, in: part) }
            for piece in ExtentSet([extent]).subtracting(lost).extents {
                // Once more as it is: a busy drive or a reset of the bus fails only once.
                let target = unsafe slice(piece, of: extent, in: part)
                if try unsafe attempt(piece, item.disk, target) { continue }
                if try unsafe attempt(piece, item.disk, target) { continue }
                if item.kind == .table {
                    try unsafe readTable(piece, item.disk, target)
                } else {
                    try unsafe rescue(piece, item.disk, target)
                }
            }
            unreadable += self.lost(of: extent, item.disk).extents
        }
        return unreadable
    }

    /// Nobody waits for anything any more: reads that try again end with an error.
    package func end() { isEnding.store(true, ordering: .relaxed) }

    private func lost(of extent: Extent, _ disk: Int) -> ExtentSet {
        standing.withLock { $0[disk].lost.isEmpty ? ExtentSet() : $0[disk].lost.intersection(extent) }
    }

    /// Reads sector by sector: a table with a hole would lose whole partitions, so none is captured.
    private func readTable(_ extent: Extent, _ disk: Int, _ bytes: UnsafeMutableRawBufferPointer) throws {
        let unit = sectorSizes[disk]
        for offset in stride(from: extent.offset, to: extent.end, by: Int(unit)) {
            let sector = Extent(offset..<min(offset + unit, extent.end))
            let target = unsafe slice(sector, of: extent, in: bytes)
            guard try unsafe attempt(sector, disk, target) else {
                throw ImagingError(
                    "\(source.name(ofDisk: disk)) is not captured: sector \(offset / unit), which belongs to its "
                        + "partition table, cannot be read")
            }
        }
    }

    /// Halves what cannot be read until it is one piece, which is given up.
    private func rescue(_ extent: Extent, _ disk: Int, _ bytes: UnsafeMutableRawBufferPointer) throws {
        guard let middle = middle(of: extent, pieces[disk]) else {
            let known = unsafe source.patch(bytes, disk: disk, offset: extent.offset)
                .roundedInward(to: sectorSizes[disk])
            let lost = ExtentSet([extent]).subtracting(known)
            for hole in lost.extents { unsafe zero(hole, of: extent, in: bytes) }
            return try giveUp(lost, disk)
        }
        for half in [Extent(extent.offset..<middle), Extent(middle..<extent.end)] {
            let target = unsafe slice(half, of: extent, in: bytes)
            if try unsafe !attempt(half, disk, target) { try unsafe rescue(half, disk, target) }
        }
    }

    /// Where to cut `extent`: at a multiple of `unit` from the disk's start; nil where none lies inside.
    private func middle(of extent: Extent, _ unit: UInt64) -> UInt64? {
        let half = (extent.offset + extent.length / 2) / unit * unit
        if half > extent.offset { return half }
        let next = (extent.offset / unit + 1) * unit
        return next < extent.end ? next : nil
    }

    /// Whether the source can read `extent` now.
    private func attempt(
        _ extent: Extent, _ disk: Int, _ bytes: UnsafeMutableRawBufferPointer
    ) throws -> Bool {
        guard !isEnding.load(ordering: .relaxed) else { throw ImagingError("the capture was ended") }
        let began = MonotonicClock.now()
        do {
            try unsafe source.read(bytes, disk: disk, offset: extent.offset)
            standing.withLock { $0[disk].inARow = 0 }
            return true
        } catch let error as SystemError where error.isMediumError {
            let now = standing.withLock { standing in
                standing[disk].failedFor += MonotonicClock.now() - began
                return standing[disk]
            }
            if now.failedFor > limits.time {
                throw ImagingError(
                    "\(source.name(ofDisk: disk)) is given up: reading its bad sectors, \(now.lostPieces) so far, has "
                        + "taken more than \(limits.time / 1_000_000_000) s; the last is sector "
                        + "\(extent.offset / sectorSizes[disk])")
            }
            return false
        }
    }

    /// Notes what is zeros from now on, and ends the capture of a disk that gives back too little.
    private func giveUp(_ lost: ExtentSet, _ disk: Int) throws {
        guard !lost.isEmpty else { return }
        let now = standing.withLock { standing in
            for extent in lost.extents { standing[disk].lost.insert(extent) }
            standing[disk].inARow += 1
            standing[disk].lostPieces += 1
            return standing[disk]
        }
        let sector = (lost.extents.first?.offset ?? 0) / sectorSizes[disk]
        if now.inARow >= limits.inARow {
            throw ImagingError(
                "\(source.name(ofDisk: disk)) is given up: \(now.inARow) reads in a row failed, the last of sector "
                    + "\(sector)")
        }
        if now.lostPieces >= limits.total {
            throw ImagingError(
                "\(source.name(ofDisk: disk)) is given up: \(now.lostPieces) places cannot be read, the last is "
                    + "sector \(sector)")
        }
    }

    private func slice(
        _ piece: Extent, of extent: Extent, in bytes: UnsafeMutableRawBufferPointer
    ) -> UnsafeMutableRawBufferPointer {
        let from = Int(piece.offset - extent.offset)
        return unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[from..<from + Int(piece.length)])
    }

    private func zero(_ piece: Extent, of extent: Extent, in bytes: UnsafeMutableRawBufferPointer) {
        unsafe slice(piece, of: extent, in: bytes).initializeMemory(as: UInt8.self, repeating: 0)
    }
}
