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
    private let source: Descriptor
    private let extent: Extent
    private let pool: SharedMemory
    private let slotLimit: UInt32

    private var phase = Phase.before
    private var nextSlot: UInt32
    private var returnedSlots: [UInt32] = []
    /// The whole blocks' states exclude each other: free, zeroed, in a slot, partly zeroed, or as in the source.
    private var free: BlockBitmap
    private var zeroed: BlockBitmap
    private var slots: [UInt64: UInt32] = [:]
    private var zeroMasks: [UInt64: UInt8] = [:]
    private var full = false

    /// Serves `extent` of `source`; changes go to slots of `pool` from `firstSlot` upwards.
    package init(source: consuming Descriptor, extent: Extent, pool: SharedMemory, firstSlot: UInt32) {
        self.source = source
        self.extent = extent
        self.pool = pool
        slotLimit = UInt32(clamping: unsafe pool.bytes.count / blockBytes)
        nextSlot = firstSlot
        let blocks = (extent.length + overlayBlockSize - 1) / overlayBlockSize
        free = BlockBitmap(count: blocks)
        zeroed = BlockBitmap(count: blocks)
    }

    /// Bytes of the partition.
    package var size: UInt64 { extent.length }

    /// Whether a write found no slot.
    package var isPoolFull: Bool { lock.locked { full } }

    /// Holes count as free space from now on, or no longer.
    package func enter(_ phase: Phase) { lock.locked { self.phase = phase } }

    /// Fills `buffer` from `offset`; the range must lie inside the partition.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) {
        try unsafe source.readFully(buffer, at: extent.offset + offset)
        lock.locked {
            forEachBlock(offset..<offset + UInt64(buffer.count)) { block, part in
                let start = Int(block * overlayBlockSize + part.lowerBound - offset)
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: buffer[start..<start + part.count])
                if let slot = slots[block] {
                    let from = Int(slot) * blockBytes + Int(part.lowerBound)
                    unsafe target.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: pool.bytes[from..<from + part.count]))
                } else if free.contains(block) || zeroed.contains(block) {
                    unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
                } else if let mask = zeroMasks[block] {
                    for sector in 0..<sectorsPerBlock where mask >> sector & 1 != 0 {
                        let zero = (sector * sectorUnit..<(sector + 1) * sectorUnit).clamped(to: part)
                        let from = Int(zero.lowerBound - part.lowerBound)
                        unsafe UnsafeMutableRawBufferPointer(rebasing: target[from..<from + zero.count])
                            .initializeMemory(as: UInt8.self, repeating: 0)
                    }
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
    /// `offset` and `length` are multiples of 512 or end with the partition.
    package func punch(offset: UInt64, length: UInt64, mayBeFree: Bool) {
        guard offset < size else { return }
        let end = offset + min(length, size - offset)
        lock.locked {
            let whole =
                (offset + overlayBlockSize - 1)
                / overlayBlockSize..<max(
                    end / overlayBlockSize, (offset + overlayBlockSize - 1) / overlayBlockSize)
            if whole.isEmpty {
                forEachBlock(offset..<end) { zeroPart($1, of: $0) }
                return
            }
            forEachBlock(offset..<whole.lowerBound * overlayBlockSize) { zeroPart($1, of: $0) }
            forget(whole)
            if mayBeFree, phase == .trimming { free.insert(whole) } else { zeroed.insert(whole) }
            forEachBlock(whole.upperBound * overlayBlockSize..<end) { zeroPart($1, of: $0) }
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
            let patches =
                slots.map { Patch(block: $0.key, slot: $0.value, zeroMask: 0) }
                + zeroMasks.map { Patch(block: $0.key, slot: nil, zeroMask: $0.value) }
            let changes = Changes(patches: patches.sorted { $0.block < $1.block }, zeroed: extents(zeroed))
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

    private func slotForWriting(_ block: UInt64, keepContent: Bool) throws(SystemError) -> UInt32 {
        if let slot = slots[block] { return slot }
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
        slots[block] = slot
        return slot
    }

    private func fill(_ slot: UInt32, with block: UInt64) throws(SystemError) {
        let from = Int(slot) * blockBytes
        let memory = unsafe UnsafeMutableRawBufferPointer(rebasing: pool.bytes[from..<from + blockBytes])
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        if free.contains(block) || zeroed.contains(block) { return }
        let start = block * overlayBlockSize
        let count = Int(min(overlayBlockSize, size - start))
        try unsafe source.readFully(
            UnsafeMutableRawBufferPointer(rebasing: memory[0..<count]), at: extent.offset + start)
        let mask = zeroMasks[block] ?? 0
        for sector in 0..<Int(sectorsPerBlock) where mask >> sector & 1 != 0 {
            unsafe UnsafeMutableRawBufferPointer(rebasing: memory[sector * 512..<(sector + 1) * 512])
                .initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    private func zeroPart(_ part: Range<UInt64>, of block: UInt64) {
        if let slot = slots[block] {
            let from = Int(slot) * blockBytes + Int(part.lowerBound)
            unsafe UnsafeMutableRawBufferPointer(rebasing: pool.bytes[from..<from + part.count])
                .initializeMemory(as: UInt8.self, repeating: 0)
            return
        }
        if free.contains(block) || zeroed.contains(block) { return }
        var mask = zeroMasks[block] ?? 0
        for sector in 0..<sectorsPerBlock where part.contains(sector * sectorUnit) { mask |= 1 << sector }
        zeroMasks[block] = mask
    }

    private func forget(_ block: UInt64) {
        if let slot = slots.removeValue(forKey: block) { returnedSlots.append(slot) }
        zeroMasks[block] = nil
        free.remove(block..<block + 1)
        zeroed.remove(block..<block + 1)
    }

    private func forget(_ blocks: Range<UInt64>) {
        // A hole may span terabytes, the changes inside it are few.
        if blocks.upperBound - blocks.lowerBound > UInt64(slots.count + zeroMasks.count) {
            for (block, slot) in slots where blocks.contains(block) {
                returnedSlots.append(slot)
                slots[block] = nil
            }
            zeroMasks = zeroMasks.filter { !blocks.contains($0.key) }
        } else {
            for block in blocks {
                if let slot = slots.removeValue(forKey: block) { returnedSlots.append(slot) }
                zeroMasks[block] = nil
            }
        }
        free.remove(blocks)
        zeroed.remove(blocks)
    }
}

private let blockBytes = Int(overlayBlockSize)
private let sectorsPerBlock = overlayBlockSize / sectorUnit
