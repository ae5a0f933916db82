// Entering another network namespace.
internal import CLinux
internal import Glibc

/// A named network namespace, as `ip netns` makes them.
package enum NetworkNamespace {
    /// Moves the calling thread into namespace `name`; sockets it makes from then on live there (C function `setns`).
    ///
    /// Needs CAP_SYS_ADMIN. Other threads stay where they are; there is no way back but to end the thread.
    package static func enter(_ name: String) throws(SystemError) {
        let file = try Descriptor(opening: "/run/netns/\(name)", .readOnly)
        _ = try systemCall("enter network namespace \(name)") {
            clinux_setns(file.number, Int32(CLONE_NEWNET))
        }
    }
}
