// Limits of this process.
internal import Glibc

/// What the kernel allows this process.
package enum ProcessLimits {
    /// Allows as many open descriptors as this user may have (C function `setrlimit(RLIMIT_NOFILE)`).
    ///
    /// Nothing is gained by failing: who runs out of descriptors learns it when opening one.
    package static func raiseDescriptors() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, 65_536)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
