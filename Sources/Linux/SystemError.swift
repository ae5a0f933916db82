// The one error of this target: what was being done, to what, and the kernel's answer.
internal import Glibc
package import SystemPackage

/// A failed system call, worded for the person at the machine.
package struct SystemError: Error, CustomStringConvertible {
    /// What was attempted, with the device, file or peer: "open /dev/sdb".
    package let operation: String
    package let errno: Errno

    package init(_ operation: String, _ errno: Errno) {
        self.operation = operation
        self.errno = errno
    }

    /// Whether a read failed because of the medium or the way to it, so that other sectors may well be read.
    ///
    /// The block layer says EIO for most, and for some ENODATA (the medium), EREMOTEIO (the target), EILSEQ (its
    /// checksums) or ETIMEDOUT; file systems say EBADMSG for a bad checksum. A device that is gone says ENXIO or
    /// ENODEV, which are none of these.
    package var isMediumError: Bool {
        [EIO, ENODATA, EREMOTEIO, EILSEQ, ETIMEDOUT, EBADMSG].contains(errno.rawValue)
    }

    package var description: String { "cannot \(operation): \(errno.description)" }
}

/// Calls a C function that reports failure as −1 and errno, again while it is interrupted by a signal.
///
/// `errno` is read in the same expression as the call.
package func systemCall<T: FixedWidthInteger & SignedInteger>(
    _ operation: @autoclosure () -> String, _ body: () -> T
) throws(SystemError) -> T {
    while true {
        let (result, error) = withErrno(body)
        if result != -1 { return result }
        if error != .interrupted { throw SystemError(operation(), error) }
    }
}

/// The result of `body` together with the errno it left.
package func withErrno<T>(_ body: () -> T) -> (T, Errno) {
    let result = body()
    return (result, Errno(rawValue: currentErrno))
}
