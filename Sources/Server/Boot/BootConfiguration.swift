// What a workstation's boot loader is told: imaging, or its local disk.

/// The configuration files by which the server decides what a machine starts that boots from the network first.
///
/// GRUB's are read into the boot menu of `initrd/grub.cfg` and choose one of its entries; pxelinux's stand alone.
/// Whoever gets none of them has the menu, and its local disk when the menu's time is over.
package enum BootConfiguration {
    /// How long the menu stays open for a person, in seconds.
    package static let seconds = 2
    /// The folder of GRUB's files in the TFTP root, beside the menu.
    package static let grubFolder = "grub/mac"
    /// The folder of pxelinux's files: pxelinux looks nowhere else.
    package static let pxelinuxFolder = "pxelinux.cfg"
    /// GRUB's file for machines that have none of their own.
    package static let grubDefault = "default.cfg"
    /// pxelinux's file for machines that have none of their own.
    package static let pxelinuxDefault = "default"

    /// How each of the files begins: one that does not is not this server's.
    static let mark = "# Written by imgserv"

    /// GRUB's file of the machine with this MAC address: "52-54-00-12-34-56.cfg".
    package static func grubName(_ mac: [UInt8]) -> String { "\(dashed(mac)).cfg" }

    /// pxelinux's file of the machine: hardware type 1 (Ethernet) and its MAC address, "01-52-54-00-12-34-56".
    package static func pxelinuxName(_ mac: [UInt8]) -> String { "01-\(dashed(mac))" }

    /// The MAC address in a name that `grubName` makes, in digits of either case; nil for any other name.
    package static func mac(ofGrubName name: String) -> [UInt8]? {
        guard name.hasSuffix(".cfg") else { return nil }
        return mac(dashed: name.dropLast(4))
    }

    /// The MAC address in a name that `pxelinuxName` makes; nil for any other name.
    static func mac(ofPxelinuxName name: String) -> [UInt8]? {
        name.hasPrefix("01-") ? mac(dashed: name.dropFirst(3)) : nil
    }

    /// What GRUB reads: which entry of the menu starts.
    package static func grub(imaging: Bool) -> String {
        """
        \(mark): \(reason(imaging)).
        set default=\(imaging ? "auto" : "local")
        set timeout=\(seconds)

        """
    }

    /// What pxelinux reads: a whole menu, whose times are tenths of a second.
    package static func pxelinux(imaging: Bool) -> String {
        """
        \(mark): \(reason(imaging)).
        DEFAULT \(imaging ? "auto" : "local")
        PROMPT 1
        TIMEOUT \(seconds * 10)
        SAY auto: imaging, manual: maintenance, local: the disk of this machine

        LABEL auto
        \(kernel("auto"))

        LABEL manual
        \(kernel("manual"))

        LABEL local
          LOCALBOOT 0

        """
    }

    /// Kernel, initrd and the settings beside them, as `make pxe` lays them out.
    private static func kernel(_ mode: String) -> String {
        """
          KERNEL /img/vmlinuz
          INITRD /img/initrd,/img/settings.head,/settings.txt,/img/settings.tail
          APPEND img.mode=\(mode) img.NETWORKFIRST=1 console=ttyS0,115200 console=tty0 quiet loglevel=4
        """
    }

    private static func reason(_ imaging: Bool) -> String {
        imaging ? "there is work, or may be" : "there is no work"
    }

    private static func dashed(_ mac: [UInt8]) -> String {
        mac.asMAC.split(separator: ":").joined(separator: "-")
    }

    private static func mac(dashed text: some StringProtocol) -> [UInt8]? {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        let bytes = groups.compactMap { group in
            group.utf8.count == 2 && group.allSatisfy(\.isHexDigit) ? UInt8(group, radix: 16) : nil
        }
        return groups.count == 6 && bytes.count == 6 ? bytes : nil
    }
}
