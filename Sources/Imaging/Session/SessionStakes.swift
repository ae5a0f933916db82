// What the menu shows of a session before it takes part in it: the host that was found, the disks at stake.
internal import Blocks
package import SessionProtocol

extension FoundHost {
    /// "10.0.0.1, key xfe4-euca-dnyn-6dvm".
    package var who: String { "\(endpoint.address), key \(fingerprint)" }

    /// The fingerprint of its key, as key= takes it.
    package var key: String { fingerprint.description }

    /// Whether its session has started.
    package var hasStarted: Bool { isRunning }
}

extension DiskListing {
    /// The disks that a restore may take, a line each.
    ///
    /// - Throws: `ImagingError` where there is none.
    package func targets(named: Bool) throws -> [String] {
        let taken = disks.filter { named || $0.notEligible.isEmpty }
        guard !taken.isEmpty else {
            throw ImagingError(
                "no disk of this machine is taken by itself: name the disks that are to be overwritten")
        }
        return taken.map { disk in
            let count = disk.partitions.filter { $0.slot > 0 }.count
            return "  \(disk.path): \(disk.model.isEmpty ? disk.bus : disk.model), \(disk.size.asBytes), "
                + (count == 0 ? "no partitions" : count.counted("partition"))
        }
    }
}
