// The changing disk behind the FUSE file: reads come from the source, writes and holes are kept here.
package import Blocks
package import Linux
internal import SystemPackage

/// A partition that may be changed without changing it; any thread may call it.
package final class OverlayDisk: @unchecked Sendable {
    /// Where a partition is in its life; only holes of `trimming` are free space.
    package enum Phase: Equatable {
        case before, trimming, after
    }

    private let lock = Condition()
    private let source: OverlaySource
    private let pool: SharedMemory
    private let slotLimit: UInt32

    private var phase = Phase.before
    private var nextSlot: UInt32
    private var returnedSlots: [UInt32] = []
    /// A block is in at most one of these: free, zeroed, patched; otherwise it is as in the source.
    private var free: BlockBitmap
    private var zeroed: BlockBitmap
    private var patches: [UInt64: Patch.Content] = [:]
    private var full = false

    /// Serves `extent` of `source`; changes go to slots of `pool` from `firstSlot` upwards.
    package convenience init(
        source: consuming Descriptor, extent: Extent, pool: SharedMemory, firstSlot: UInt32
    ) {
        self.init(OverlaySource(source, extent), pool: pool, firstSlot: firstSlot)
    }

    /// Serves one or several partitions as `source` lays them out; changes go to slots of `pool` from `firstSlot` up.
    init(_ source: OverlaySource, pool: SharedMemory, firstSlot: UInt32) {
        self.source = source
        self.pool = pool
        slotLimit = UInt32(clamping: unsafe pool.bytes.count / blockBytes)
        nextSlot = firstSlot
        let blocks = (source.size + overlayBlockSize - 1) / overlayBlockSize
        free = BlockBitmap(count: blocks)
        zeroed = BlockBitmap(count: blocks)
    }

    /// Bytes of the partition, or of all of them with the gaps between.
    package var size: UInt64 { source.size }

    /// Whether a write found no slot.
    package var isPoolFull: Bool { lock.locked { full } }

    /// Holes count as free space from now on, or no longer.
    package func enter(_ phase: Phase) { lock.locked { self.phase = phase } }

    /// Fills `buffer` from `offset`; the range must lie inside the partition.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) {
        try unsafe source.read(buffer, at: offset)
        lock.locked {
            forEachBlock(offset..<offset + UInt64(buffer.count)) { block, part in
                let start = Int(block * overlayBlockSize + part.lowerBound - offset)
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: buffer[start..<start + part.count])
                if let content = patches[block] {
                    unsafe apply(content, part, to: target)
                } else if free.contains(block) || zeroed.contains(block) {
                    unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
                }
            }
        }
    }

    /// Keeps `bytes` written at `offset`: those blocks are used again.
    ///
    /// Throws ENOSPC when the pool is full.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        try lock.locked { () throws(SystemError) in
            try forEachBlock(offset..<offset + UInt64(bytes.count)) { (block, part) throws(SystemError) in
                let start = Int(block * overlayBlockSize + part.lowerBound - offset)
                let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + part.count])
                if part.count == blockBytes, unsafe piece.bytes.isZero {
                    forget(block)
                    zeroed.insert(block..<block + 1)
                    return
                }
                let slot = try slotForWriting(block, keepContent: part.count < blockBytes)
                let to = Int(slot) * blockBytes + Int(part.lowerBound)
                unsafe UnsafeMutableRawBufferPointer(rebasing: pool.bytes[to..<to + part.count])
                    .copyMemory(from: piece)
            }
        }
    }

    /// Makes a hole, which reads as zeros; it is free space when `mayBeFree` and the trim is running.
    ///
    /// `offset` and `length` are multiples of 512 or end with the partition. Throws ENOSPC when the pool is full.
    package func punch(offset: UInt64, length: UInt64, mayBeFree: Bool) throws(SystemError) {
        guard offset < size else { return }
        let end = offset + min(length, size - offset)
        try lock.locked { () throws(SystemError) in
            let first = (offset + overlayBlockSize - 1) / overlayBlockSize
            let whole = first..<max(first, end / overlayBlockSize)
            if whole.isEmpty {
                try forEachBlock(offset..<end) { (block, part) throws(SystemError) in
                    try zeroPart(part, of: block, mayBeFree)
                }
                return
            }
            try forEachBlock(offset..<whole.lowerBound * overlayBlockSize) {
                (block, part) throws(SystemError) in
                try zeroPart(part, of: block, mayBeFree)
            }
            forget(whole)
            if mayBeFree, phase == .trimming { free.insert(whole) } else { zeroed.insert(whole) }
            try forEachBlock(whole.upperBound * overlayBlockSize..<end) { (block, part) throws(SystemError) in
                try zeroPart(part, of: block, mayBeFree)
            }
        }
    }

    /// What the overlay knows at the end: free blocks, changes, and the first slot nobody uses.
    package func result() -> (free: ExtentSet, changes: Changes, nextSlot: UInt32) {
        lock.locked {
            func extents(_ bitmap: BlockBitmap) -> ExtentSet {
                ExtentSet(
                    bitmap.ranges.map { range in
                        let end = min(range.upperBound * overlayBlockSize, size)
                        return Extent(range.lowerBound * overlayBlockSize..<end)
                    })
            }
            let sorted = patches.map { Patch(block: $0.key, content: $0.value) }.sorted {
                $0.block < $1.block
            }
            let changes = Changes(patches: sorted, zeroed: extents(zeroed))
            return (extents(free), changes, nextSlot)
        }
    }

    private func forEachBlock<E: Error>(
        _ range: Range<UInt64>, _ body: (UInt64, Range<UInt64>) throws(E) -> Void
    ) throws(E) {
        var next = range.lowerBound
        while next < range.upperBound {
            let block = next / overlayBlockSize
            let start = block * overlayBlockSize
            let end = min(start + overlayBlockSize, range.upperBound)
            try body(block, next - start..<end - start)
            next = end
        }
    }

    /// Puts a patch over `target`, which holds the source's bytes of `part` of the block.
    private func apply(
        _ content: Patch.Content, _ part: Range<UInt64>, to target: UnsafeMutableRawBufferPointer
    ) {
        switch content {
        case .slot(let slot):
            let from = Int(slot) * blockBytes + Int(part.lowerBound)
            unsafe target.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: pool.bytes[from..<from + part.count]))
        case .zeroSectors(let mask):
            for sector in zeroSectors(mask) {
                let zero = (sector..<sector + sectorUnit).clamped(to: part)
                let from = Int(zero.lowerBound - part.lowerBound)
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[from..<from + zero.count])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
        }
    }

    private func slotForWriting(_ block: UInt64, keepContent: Bool) throws(SystemError) -> UInt32 {
        if case .slot(let slot) = patches[block] { return slot }
        let slot: UInt32
        if let returned = returnedSlots.popLast() {
            slot = returned
        } else if nextSlot < slotLimit {
            slot = nextSlot
            nextSlot += 1
        } else {
            full = true
            throw SystemError("keep a change: the overlay's memory is full", .noSpace)
        }
        if keepContent {
            do throws(SystemError) {
                try fill(slot, with: block)
            } catch {
                returnedSlots.append(slot)
                throw error
            }
        }
        forget(block)
        patches[block] = .slot(slot)
        return slot
    }

    private func fill(_ slot: UInt32, with block: UInt64) throws(SystemError) {
        let from = Int(slot) * blockBytes
        let memory = unsafe UnsafeMutableRawBufferPointer(rebasing: pool.bytes[from..<from + blockBytes])
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        if free.contains(block) || zeroed.contains(block) { return }
        let start = block * overlayBlockSize
        let count = Int(min(overlayBlockSize, size - start))
        try unsafe source.read(UnsafeMutableRawBufferPointer(rebasing: memory[0..<count]), at: start)
        if let content = patches[block] { unsafe apply(content, 0..<overlayBlockSize, to: memory) }
    }

    /// Zeroes a part of a block; a free block becomes used by it unless the hole may itself be free space.
    private func zeroPart(_ part: Range<UInt64>, of block: UInt64, _ mayBeFree: Bool) throws(SystemError) {
        var mask: UInt8 = 0
        switch patches[block] {
        case .slot:
            let slot = try slotForWriting(block, keepContent: true)
            let from = Int(slot) * blockBytes + Int(part.lowerBound)
            unsafe UnsafeMutableRawBufferPointer(rebasing: pool.bytes[from..<from + part.count])
                .initializeMemory(as: UInt8.self, repeating: 0)
            return
        case .zeroSectors(let before): mask = before
        case nil:
            if free.contains(block), !mayBeFree || phase != .trimming {
                free.remove(block..<block + 1)
                zeroed.insert(block..<block + 1)
            }
            if free.contains(block) || zeroed.contains(block) { return }
        }
        for sector in 0..<overlayBlockSize / sectorUnit where part.contains(sector * sectorUnit) {
            mask |= 1 << sector
        }
        patches[block] = .zeroSectors(mask)
    }

    private func forget(_ block: UInt64) {
        forgetPatch(block)
        free.remove(block..<block + 1)
        zeroed.remove(block..<block + 1)
    }

    private func forget(_ blocks: Range<UInt64>) {
        // A hole may span terabytes, the changes inside it are few.
        if blocks.upperBound - blocks.lowerBound > UInt64(patches.count) {
            for block in patches.keys where blocks.contains(block) { forgetPatch(block) }
        } else {
            for block in blocks { forgetPatch(block) }
        }
        free.remove(blocks)
        zeroed.remove(blocks)
    }

    private func forgetPatch(_ block: UInt64) {
        if case .slot(let slot) = patches.removeValue(forKey: block) { returnedSlots.append(slot) }
    }
}

private let blockBytes = Int(overlayBlockSize)
