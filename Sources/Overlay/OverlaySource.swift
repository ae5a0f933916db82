// What lies behind the overlay: one partition, or the physical volumes of an LVM one after the other.
package import Blocks
internal import Linux
internal import SystemPackage

/// Where one partition lies: on its disk, and in the one file that the overlay serves.
package struct OverlaySegment: Equatable, Sendable {
    /// Which of the service's disks it lies on.
    package var disk: UInt8
    /// Its place on that disk.
    package var extent: Extent
    /// Its place in the file; a multiple of 1 MiB, so that blocks of the overlay never hold bytes of two partitions.
    package var start: UInt64
    /// Bytes of the disk's logical sector.
    package var sectorSize: UInt32

    package init(disk: UInt8, extent: Extent, start: UInt64, sectorSize: UInt32) {
        self.disk = disk
        self.extent = extent
        self.start = start
        self.sectorSize = sectorSize
    }

    /// The partition's bytes in the file.
    package var place: Extent { Extent(offset: start, length: extent.length) }

    /// The places of partitions that follow each other in one file; nil where 64 bits do not hold them.
    package static func starts(_ lengths: [UInt64]) -> [UInt64]? {
        var starts: [UInt64] = []
        var next: UInt64 = 0
        for length in lengths {
            starts.append(next)
            guard length <= longestFile - next else { return nil }
            next = (next + length + MiB - 1) / MiB * MiB
        }
        return starts
    }
}

/// Bytes of a file that the kernel still serves, with room for rounding.
private let longestFile = UInt64(Int64.max) - MiB

/// The disks behind an overlay, open for reading.
final class OverlaySource: Sendable {
    private final class Disk: Sendable {
        let file: Descriptor
        init(_ file: consuming Descriptor) { self.file = file }
    }

    private let disks: [Disk]
    /// Ascending by `start`.
    private let segments: [OverlaySegment]

    /// One partition that begins where the overlay's file begins.
    init(_ file: consuming Descriptor, _ extent: Extent) {
        disks = [Disk(file)]
        segments = [OverlaySegment(disk: 0, extent: extent, start: 0, sectorSize: 512)]
    }

    /// Partitions on the disks that a parent process handed down as descriptors from `first` upwards.
    init(_ segments: [OverlaySegment], inheritedFrom first: Int32) throws(MountFailure) {
        var end: UInt64 = 0
        for segment in segments {
            guard segment.start >= end, segment.start <= UInt64(Int64.max) - segment.extent.length else {
                throw MountFailure("the overlay was asked for partitions out of order")
            }
            end = segment.place.end
        }
        let count = (segments.map { Int($0.disk) }.max() ?? -1) + 1
        disks = (0..<count).map { index in
            Disk(Descriptor(owning: first + Int32(index), name: "the source"))
        }
        self.segments = segments
    }

    /// Bytes of the overlay's file.
    var size: UInt64 { segments.last?.place.end ?? 0 }

    /// Fills `buffer` from `offset` of the file; between partitions there are zeros.
    func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) {
        let window = Extent(offset: offset, length: UInt64(buffer.count))
        if segments.count > 1 { unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0) }
        for segment in segments {
            guard let part = segment.place.intersection(window) else { continue }
            let from = Int(part.offset - offset)
            try unsafe disks[Int(segment.disk)].file.readFully(
                UnsafeMutableRawBufferPointer(rebasing: buffer[from..<from + Int(part.length)]),
                at: segment.extent.offset + (part.offset - segment.start))
        }
    }
}
