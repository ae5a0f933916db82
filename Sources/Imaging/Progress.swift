// What a running capture or restore tells whoever shows it: counters that threads add to, read at any moment.
internal import Blocks
internal import Linux
internal import Synchronization

/// The figures of one running job; written by its threads, read by a display.
package final class Progress: Sendable {
    /// One moment's figures.
    package struct Snapshot: Equatable, Sendable {
        /// What is being done, in words: "capturing", "restoring", "verifying".
        package var phase: String
        /// Bytes of disk content done and in all; `totalBytes` is 0 until it is known.
        package var diskBytes: UInt64
        package var totalBytes: UInt64
        /// Bytes of encoded frames written, read or received.
        package var frameBytes: UInt64
        package var chunks: UInt64
        package var totalChunks: UInt64
        /// Nanoseconds since the phase began.
        package var elapsed: UInt64

        /// Disk bytes per second since the phase began.
        package var diskRate: Double { elapsed == 0 ? 0 : Double(diskBytes) * 1e9 / Double(elapsed) }
        /// Frame bytes per second since the phase began.
        package var frameRate: Double { elapsed == 0 ? 0 : Double(frameBytes) * 1e9 / Double(elapsed) }
        /// Seconds to go at the rate so far; nil while that cannot be said.
        package var secondsLeft: UInt64? {
            guard totalBytes > 0, diskBytes > 0, diskBytes <= totalBytes, diskRate > 0 else { return nil }
            return UInt64(Double(totalBytes - diskBytes) / diskRate + 0.5)
        }
    }

    private struct Phase: Sendable {
        var name = ""
        var began = MonotonicClock.now()
        var totalBytes: UInt64 = 0
        var totalChunks: UInt64 = 0
    }

    private let phase = Mutex(Phase())
    private let diskBytes = Atomic<UInt64>(0)
    private let frameBytes = Atomic<UInt64>(0)
    private let chunks = Atomic<UInt64>(0)

    package init() {}

    /// Starts a phase: counters and clock begin again.
    package func begin(_ name: String, totalBytes: UInt64, totalChunks: Int) {
        phase.withLock {
            $0 = Phase(name: name, totalBytes: totalBytes, totalChunks: UInt64(totalChunks))
            diskBytes.store(0, ordering: .relaxed)
            frameBytes.store(0, ordering: .relaxed)
            chunks.store(0, ordering: .relaxed)
        }
    }

    /// Counts a chunk whose content is done.
    func add(content: Int) {
        diskBytes.wrappingAdd(UInt64(content), ordering: .relaxed)
        chunks.wrappingAdd(1, ordering: .relaxed)
    }

    /// Counts bytes of frames.
    func add(frame: Int) { frameBytes.wrappingAdd(UInt64(frame), ordering: .relaxed) }

    package var snapshot: Snapshot {
        phase.withLock {
            Snapshot(
                phase: $0.name, diskBytes: diskBytes.load(ordering: .relaxed), totalBytes: $0.totalBytes,
                frameBytes: frameBytes.load(ordering: .relaxed), chunks: chunks.load(ordering: .relaxed),
                totalChunks: $0.totalChunks, elapsed: MonotonicClock.now() - $0.began)
        }
    }
}
