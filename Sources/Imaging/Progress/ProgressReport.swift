// One moment of a job in figures; whoever shows a job, shows these.

/// What a job has done, how fast it is and what is left, at one moment.
package struct ProgressReport: Equatable, Sendable {
    /// What the job is doing; the raw value is the word that people and scripts see.
    package enum State: String, CaseIterable, Sendable {
        /// Looks at disks and asks file systems which blocks are used.
        case planning
        /// Asks the imaging server what is to be done.
        case asking
        /// Looks for the host of a session.
        case searching
        /// Waits for the start of a session.
        case waiting
        /// Disks → image file.
        case capturing
        /// Disks → session, as its master.
        case sending
        /// Session → nowhere: what arrives is thrown away.
        case receiving
        /// Image file or session → disks.
        case restoring
        /// Session → image file.
        case recording
        /// Reads back from the disks what was written.
        case verifying
        /// Flushes, writes tables, tells the host.
        case finishing
        case done
        case failed

        /// Whether content is on its way: the rates at the end are averages over such a state.
        package var isTransfer: Bool {
            switch self {
            case .capturing, .sending, .receiving, .restoring, .recording: true
            case .planning, .asking, .searching, .waiting, .verifying, .finishing, .done, .failed:
                false
            }
        }

        /// Whether nothing more comes.
        package var isEnd: Bool { self == .done || self == .failed }
    }

    /// One of the disks that a job reads or writes.
    package struct DiskFigures: Equatable, Sendable {
        /// Its device or file: "/dev/sda".
        package var name: String
        /// Bytes of content done.
        package var bytes: UInt64 = 0
        /// Bytes of content in all; nil where only the sum over all disks is known.
        package var totalBytes: UInt64?
        /// Chunks done and in all, table frames included.
        package var chunks: UInt64 = 0
        package var totalChunks: UInt64
        /// Bytes of content per second, smoothed; the average of the transfer at the end.
        package var rate: Double = 0
        /// What went wrong with it, in one sentence.
        package var error: String?

        package init(name: String, totalBytes: UInt64? = nil, totalChunks: UInt64) {
            self.name = name
            self.totalBytes = totalBytes
            self.totalChunks = totalChunks
        }
    }

    /// One of the machines that a master sends to.
    package struct MachineFigures: Equatable, Sendable {
        /// As it calls itself, without control characters.
        package var name: String
        package var address: String
        /// "52:54:00:12:34:56".
        package var mac: String
        /// What it calls its disks, with their sizes, without control characters.
        package var disks: [String]
        /// Whether the image fits its disks, as its own plan found; nil while it has not said so.
        package var fits: Bool?
        /// joined, receiving, silent, finished, failed or lost.
        package var state: String
        /// How much of what it needs is on its disks, 0 to 100; nil while it has not said what it needs.
        package var percent: Double?
        /// Bytes per second it writes, as it last reported.
        package var writeRate: UInt64
        /// Datagrams it did not get, in percent of those that were for it; nil before the first.
        package var lossPercent: Double?
        /// Chunk buffers it has free, as it last reported.
        package var freeBuffers: Int
        /// What went wrong with it, in one sentence.
        package var problem: String?

        package init(
            name: String, address: String, mac: String, disks: [String] = [], fits: Bool? = nil,
            state: String, percent: Double? = nil, writeRate: UInt64 = 0, lossPercent: Double? = nil,
            freeBuffers: Int = 0, problem: String? = nil
        ) {
            self.name = name
            self.address = address
            self.mac = mac
            self.disks = disks
            self.fits = fits
            self.state = state
            self.percent = percent
            self.writeRate = writeRate
            self.lossPercent = lossPercent
            self.freeBuffers = freeBuffers
            self.problem = problem
        }
    }

    package var state: State
    /// The session's name; nil for a job without one.
    package var session: String?
    /// Whether what has no session comes from the imaging server, or goes there, and not a local file.
    package var isWithServer = false
    /// Bytes of disk content done and in all; `totalBytes` is 0 until it is known.
    ///
    /// A master's are those that its machines have on their disks, on average.
    package var diskBytes: UInt64 = 0
    package var totalBytes: UInt64 = 0
    /// Bytes of encoded frames that were made, read or received.
    package var frameBytes: UInt64 = 0
    /// Bytes on the wire: of datagrams, their headers included, and of frames over TCP; without a session, of frames.
    package var wireBytes: UInt64 = 0
    /// Chunks done and in all, table frames included.
    package var chunks: UInt64 = 0
    package var totalChunks: UInt64 = 0
    /// Bytes on the wire per second, smoothed over about 2 s; at the end the average of the transfer.
    package var wireRate: Double = 0
    /// Bytes of disk content per second, likewise.
    package var diskRate: Double = 0
    /// Datagrams lost, in percent of those that were sent to us (or to all machines) so far; nil without any.
    package var lossPercent: Double?
    /// Chunk buffers that are free, and all of them; nil where nothing is received.
    package var freeBuffers: Int?
    package var buffers: Int?
    /// Seconds to go at the rate of the last 10 s; nil while that cannot be said.
    package var secondsLeft: UInt64?
    /// Nanoseconds since the job began.
    package var elapsed: UInt64 = 0
    /// Nanoseconds in which content was on its way, so far.
    package var transferTime: UInt64 = 0
    /// Nanoseconds in which it was read back, so far.
    package var verifyTime: UInt64 = 0
    package var disks: [DiskFigures] = []
    /// Only on a master.
    package var machines: [MachineFigures] = []
    /// Machines registered; nil outside a session that registers.
    package var joined: Int?
    /// How many of them the start still waits for; nil where their number does not start it.
    package var stillNeeded: Int?
    /// Seconds until the session starts with whoever is there; nil where it does not wait for a time.
    package var startsIn: UInt64?
    /// Seconds until the imaging server is asked again; nil where it is not waited for.
    package var asksAgainIn: UInt64?
    /// Why the job has failed.
    package var error: String?

    package init(_ state: State, session: String? = nil) {
        self.state = state
        self.session = session
    }
}
