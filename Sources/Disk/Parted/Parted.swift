// libparted: deletes partitions and labels; one lock round it, because its exception handler is global.
internal import Blocks
internal import CParted
internal import Synchronization

/// libparted's global state: its exception handler and its list of devices.
enum Parted {
    /// The messages of the running call; what libparted says goes here and nowhere else.
    private static let messages = Mutex<[String]>([])
    private static let lock = Mutex<Void>(())

    /// What is answered when libparted asks.
    private enum Answer {
        /// What may be ignored is ignored, nothing is repaired: the label is about to go.
        case ignoreEverything
        /// Only warnings are ignored: a table that is to live on must be sound.
        case ignoreWarnings
    }

    /// Deletes every partition of the disk at `path` and clobbers its label.
    ///
    /// Returns how many partitions were deleted (extended containers not counted). A label that libparted does
    /// not understand, or cannot empty, is clobbered only. The device must not be mounted; a regular file will do.
    static func deleteAllPartitions(of path: String) throws(DiskError) -> Int {
        try unsafe withDevice(path, .ignoreEverything) { device throws(DiskError) -> Int in
            var deleted = 0
            // libparted calls a file system on the whole disk the label "loop": there is nothing to delete.
            if let type = unsafe ped_disk_probe(device), let label = unsafe type.pointee.name,
                unsafe String(cString: label) != "loop", let disk = unsafe ped_disk_new(device)
            {
                defer { unsafe ped_disk_destroy(disk) }
                var entry = unsafe ped_disk_next_partition(disk, nil)
                while let partition = unsafe entry {
                    let type = unsafe partition.pointee.type.rawValue
                    let skipped =
                        PED_PARTITION_EXTENDED.rawValue | PED_PARTITION_FREESPACE.rawValue
                        | PED_PARTITION_METADATA.rawValue
                    if type & skipped == 0 { deleted += 1 }
                    unsafe entry = ped_disk_next_partition(disk, partition)
                }
                // Some labels (Apple's) cannot be emptied in libparted: clobbering them is then all there is.
                if unsafe ped_disk_delete_all(disk) == 0 || ped_disk_commit_to_dev(disk) == 0 { deleted = 0 }
            }
            guard unsafe ped_disk_clobber(device) != 0 else { throw failure("clear the label of", path) }
            return deleted
        }
    }

    /// Deletes partition `number`, or makes it the active one, and writes the table; the kernel is not told.
    ///
    /// libparted also writes boot code and a new disk signature into an MBR that begins with a zero.
    ///
    /// - Parameters:
    ///   - edit: What is done.
    ///   - number: The partition's number in the table.
    ///   - extent: Its place in bytes: a libparted that counts differently must not hit a neighbour.
    ///   - path: The disk; it must not be in use.
    /// - Throws: `DiskError` with libparted's message.
    static func apply(
        _ edit: PartitionEdit, to number: Int, at extent: Extent, of path: String
    ) throws(DiskError) {
        try unsafe withDevice(path, .ignoreWarnings) { device throws(DiskError) -> Void in
            guard let disk = unsafe ped_disk_new(device) else {
                throw failure("read the partition table of", path)
            }
            defer { unsafe ped_disk_destroy(disk) }
            let sector = unsafe UInt64(clamping: device.pointee.sector_size)
            guard let partition = unsafe ped_disk_get_partition(disk, Int32(clamping: number)),
                unsafe UInt64(clamping: partition.pointee.geom.start) == extent.offset / sector,
                unsafe UInt64(clamping: partition.pointee.geom.length) == extent.length / sector
            else {
                throw DiskError(
                    .parted, "cannot change \(path): libparted does not find partition \(number) at its place"
                )
            }
            switch edit {
            case .delete:
                guard unsafe ped_disk_delete_partition(disk, partition) != 0 else {
                    throw failure("delete partition \(number) of", path)
                }
            case .activate, .activateWithStartCode:
                // libparted clears the mark of all others.
                guard unsafe ped_partition_set_flag(partition, PED_PARTITION_BOOT, 1) != 0 else {
                    throw failure("activate partition \(number) of", path)
                }
            }
            guard unsafe ped_disk_commit_to_dev(disk) != 0 else {
                throw failure("write the partition table of", path)
            }
        }
    }

    /// Runs `body` with the open device, nobody else inside libparted, and its questions answered.
    private static func withDevice<R: Sendable>(
        _ path: String, _ answer: Answer,
        _ body: (UnsafeMutablePointer<PedDevice>) throws(DiskError) -> R
    ) throws(DiskError) -> R {
        try lock.withLock { (_: inout Void) throws(DiskError) -> R in
            messages.withLock { $0 = [] }
            switch answer {
            case .ignoreEverything:
                unsafe ped_exception_set_handler { exception in
                    unsafe Parted.answer(
                        exception, [PED_EXCEPTION_IGNORE, PED_EXCEPTION_CANCEL, PED_EXCEPTION_NO])
                }
            case .ignoreWarnings:
                unsafe ped_exception_set_handler { exception in
                    let severity = unsafe exception?.pointee.type.rawValue ?? PED_EXCEPTION_FATAL.rawValue
                    let harmless = severity <= PED_EXCEPTION_WARNING.rawValue
                    return unsafe Parted.answer(exception, harmless ? [PED_EXCEPTION_IGNORE] : [])
                }
            }
            defer { ped_exception_set_handler(nil) }

            guard let device = unsafe ped_device_get(path) else { throw failure("open", path) }
            defer { unsafe ped_device_destroy(device) }
            guard unsafe ped_device_open(device) != 0 else { throw failure("open", path) }
            defer { unsafe ped_device_close(device) }
            return try unsafe body(device)
        }
    }

    /// Keeps the message and gives the first of `choices` that libparted offers.
    private static func answer(
        _ exception: UnsafeMutablePointer<PedException>?, _ choices: [PedExceptionOption]
    ) -> PedExceptionOption {
        guard let exception = unsafe exception else { return PED_EXCEPTION_UNHANDLED }
        if let text = unsafe exception.pointee.message {
            let message = unsafe String(cString: text)
            messages.withLock { $0.append(message) }
        }
        let options = unsafe exception.pointee.options.rawValue
        return choices.first { options & $0.rawValue != 0 } ?? PED_EXCEPTION_UNHANDLED
    }

    private static func failure(_ action: String, _ path: String) -> DiskError {
        let said = messages.withLock { $0.last } ?? "libparted gives no reason"
        return DiskError(.parted, "cannot \(action) \(path): \(said)")
    }
}
