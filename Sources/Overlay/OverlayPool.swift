// The memory that holds what mounting changed: one pool for all partitions of a capture.
internal import Blocks
package import Linux
internal import Synchronization

/// Bytes of a block: the unit in which the overlay keeps changes and tells free from used.
package let overlayBlockSize: UInt64 = 4096

/// A preallocated, locked pool of 4 KiB slots, shared with the service process.
///
/// The partitions of a capture use it one after the other; their content stays valid as long as the pool lives.
package final class OverlayPool: Sendable {
    let memory: SharedMemory
    private let nextSlot = Mutex<Int>(0)

    /// The smaller of 256 MiB and 1/8 of the machine's memory.
    package static var defaultByteCount: Int { Int(min(256 * MiB, physicalMemory() / 8)) }

    /// Reserves and locks `byteCount` bytes, rounded down to whole slots, at least one.
    package init(byteCount: Int = OverlayPool.defaultByteCount) throws(SystemError) {
        let slot = Int(overlayBlockSize)
        memory = try SharedMemory("img overlay pool", byteCount: max(byteCount / slot, 1) * slot)
    }

    /// Number of slots.
    package var slotCount: Int { unsafe memory.bytes.count / Int(overlayBlockSize) }

    /// Number of slots that hold changes of partitions mapped so far.
    package var usedSlots: Int { nextSlot.withLock { $0 } }

    /// Keeps the slots below `slot`: what the last partition needed.
    func keep(upTo slot: Int) { nextSlot.withLock { $0 = max($0, min(slot, slotCount)) } }
}
