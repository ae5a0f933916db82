// The one error of this target besides the kernel's own.

/// Why something could not be done with a disk; the text is one clause that names the disk.
package struct DiskError: Error, Hashable, CustomStringConvertible {
    package enum Code: Hashable, Sendable {
        /// The path does not name a whole disk or a regular file.
        case notADisk
        /// The disk is in use, read-only or of a kind that is never touched.
        case refused
        /// A range is outside the disk, misaligned, or a call came out of order: a mistake of this program.
        case misuse
        /// libparted refused; the text carries its message.
        case parted
        /// libblkid failed.
        case blkid
        /// What was read back is not what was written.
        case verification
    }

    package let code: Code
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
