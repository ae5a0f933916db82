// Waiting between two tries of something the kernel refuses for a moment.
internal import Glibc

package enum Pause {
    /// Blocks the calling thread for `count` milliseconds (C function `nanosleep`), or less after a signal.
    package static func milliseconds(_ count: Int) {
        var time = timespec(tv_sec: count / 1000, tv_nsec: count % 1000 * 1_000_000)
        unsafe nanosleep(&time, nil)
    }
}
