// libparted: deletes partitions and labels; one lock round it, because its exception handler is global.
internal import CParted
internal import Synchronization

/// libparted's global state: its exception handler and its list of devices.
enum Parted {
    /// The messages of the running call; what libparted says goes here and nowhere else.
    private static let messages = Mutex<[String]>([])
    private static let lock = Mutex<Void>(())

    /// Deletes every partition of the disk at `path` and clobbers its label.
    ///
    /// Returns how many partitions were deleted (extended containers not counted). A label that libparted does
    /// not understand, or cannot empty, is clobbered only. The device must not be mounted; a regular file will do.
    static func deleteAllPartitions(of path: String) throws(DiskError) -> Int {
        try lock.withLock { (_: inout Void) throws(DiskError) -> Int in
            messages.withLock { $0 = [] }
            unsafe ped_exception_set_handler { exception in
                guard let exception = unsafe exception else { return PED_EXCEPTION_UNHANDLED }
                if let text = unsafe exception.pointee.message {
                    let message = unsafe String(cString: text)
                    Parted.messages.withLock { $0.append(message) }
                }
                // Ignore what may be ignored and repair nothing: the label is about to go.
                let options = unsafe exception.pointee.options.rawValue
                for choice in [PED_EXCEPTION_IGNORE, PED_EXCEPTION_CANCEL, PED_EXCEPTION_NO]
                where options & choice.rawValue != 0 {
                    return choice
                }
                return PED_EXCEPTION_UNHANDLED
            }
            defer { ped_exception_set_handler(nil) }

            guard let device = unsafe ped_device_get(path) else { throw failure("open", path) }
            defer { unsafe ped_device_destroy(device) }
            guard unsafe ped_device_open(device) != 0 else { throw failure("open", path) }
            defer { unsafe ped_device_close(device) }

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

    private static func failure(_ action: String, _ path: String) -> DiskError {
        let said = messages.withLock { $0.last } ?? "libparted gives no reason"
        return DiskError(.parted, "cannot \(action) \(path): \(said)")
    }
}
