// Unasked membership reports: what keeps a switch without a querier from forgetting a group.
internal import CLinux

/// IGMPv3 (RFC 3376) and MLDv2 (RFC 3810) reports.
package enum MembershipReport {
    /// Tells the switches on `interface` (an index) once more that this machine is a member of `group`.
    ///
    /// A snooping switch drops a group whose members it has not heard for some minutes. The kernel speaks only when
    /// it joins or is asked, and leaving to join again would lose datagrams.
    ///
    /// - Throws: `SystemError` without the right to open raw sockets (CAP_NET_RAW).
    package static func send(_ group: IPAddress, interface: UInt32) throws(SystemError) {
        var raw = SocketAddress(group, port: 0).raw
        _ = try systemCall("report membership of \(group)") {
            unsafe clinux_report_membership(&raw, interface)
        }
    }
}
