// What a workstation says of itself when it asks for work, and what the server decides by.

/// The hardware of a workstation as it reported it; every text comes from firmware or a stranger and is only compared.
package struct Workstation: Equatable, Sendable {
    /// A local disk that could be imaged.
    package struct Disk: Equatable, Sendable {
        /// Bytes.
        package var size: UInt64
        package var model: String

        package init(size: UInt64, model: String) {
            self.size = size
            self.model = model
        }
    }

    /// How the machine was started.
    package enum Firmware: String, Sendable {
        case bios, uefi
    }

    /// The MAC address by which the server knows the machine: that of the interface it asks from, 6 bytes.
    package var mac: [UInt8]
    /// The name it calls itself by.
    package var name = ""
    /// The MAC addresses of its other interfaces.
    package var otherMACs: [[UInt8]] = []
    package var addresses: [Address] = []
    package var cpu = ""
    /// Bytes of RAM.
    package var memory: UInt64 = 0
    package var disks: [Disk] = []
    package var biosVendor = ""
    package var product = ""
    package var serial = ""
    package var assetTag = ""
    /// A text for each network interface: its maker, model and driver.
    package var networkCards: [String] = []
    package var video: [String] = []
    package var firmware: Firmware = .bios

    package init(mac: [UInt8]) { self.mac = mac }
}
