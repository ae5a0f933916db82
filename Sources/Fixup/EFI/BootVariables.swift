// The boot entries of the firmware, read from and written to efivarfs.
//
// They are written here and not through efibootmgr: the device path is made from the partition table that was read
// anyway, the entry gets its exact place in the order in one step, every byte is read back, and a plain directory can
// stand in for the firmware in tests. The kernel leaves Boot#### and BootOrder mutable (they are on its list of
// variables that may be deleted), so no attribute of a file has to be changed.
internal import Linux
internal import SystemPackage

/// What the firmware's variables say about booting.
package struct BootVariables: Equatable, Sendable {
    /// The entries by their number: Boot0003 is 3.
    package var entries: [UInt16: LoadOption] = [:]
    /// Numbers of entries that cannot be read; they are never touched nor given to another entry.
    package var unreadable: Set<UInt16> = []
    /// BootOrder.
    package var order: [UInt16] = []
    /// Whether the firmware starts signed programs only.
    package var isSecureBoot = false

    package init() {}
}

/// A directory with one file per variable: four bytes of attributes, then the value.
package struct VariableStore: Sendable {
    private let tree: ConfinedTree

    /// EFI_GLOBAL_VARIABLE.
    private static let vendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    /// Non-volatile, boot service access, runtime access.
    private static let attributes: [UInt8] = [7, 0, 0, 0]
    /// No boot entry of a sane firmware comes near it.
    private static let largest = 64 << 10

    package init(_ directory: String) throws { tree = try ConfinedTree(directory) }

    /// Everything that concerns booting.
    ///
    /// - Throws: Where the list of variables or BootOrder cannot be read: a plan made of less than what is there
    ///   would take entries away from the machine. Only a BootOrder that does not exist is an empty one.
    package func read() throws -> BootVariables {
        var result = BootVariables()
        for name in try names() {
            guard let number = VariableStore.entryNumber(name) else { continue }
            guard let bytes = try? value(name), let option = try? LoadOption(decoding: bytes) else {
                result.unreadable.insert(number)
                continue
            }
            result.entries[number] = option
        }
        let order = try value(VariableStore.file("BootOrder")) ?? []
        guard order.count.isMultiple(of: 2) else {
            throw FixupError("the variable BootOrder has an odd number of bytes (\(order.count))")
        }
        result.order = stride(from: 0, to: order.count - 1, by: 2).map { index in
            UInt16(order[index]) | UInt16(order[index + 1]) << 8
        }
        result.isSecureBoot = (try? value(VariableStore.file("SecureBoot"))) == [1]
        return result
    }

    /// Writes an entry that does not exist yet, and reads it back.
    package func add(_ option: LoadOption, as number: UInt16) throws {
        try write(VariableStore.entryName(number), option.encoded, isNew: true)
    }

    /// Writes one entry over the one that exists, and reads it back.
    package func write(_ option: LoadOption, as number: UInt16) throws {
        try write(VariableStore.entryName(number), option.encoded)
    }

    /// Writes BootOrder and reads it back.
    package func write(order: [UInt16]) throws {
        try write("BootOrder", order.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] })
    }

    /// Writes BootNext, which names the entry of the next start alone, and reads it back.
    package func write(next number: UInt16) throws {
        try write("BootNext", [UInt8(number & 0xff), UInt8(number >> 8)])
    }

    /// Deletes one entry.
    package func remove(_ number: UInt16) throws {
        try tree.remove(VariableStore.file(VariableStore.entryName(number)))
    }

    /// "Boot000A" for 10.
    package static func entryName(_ number: UInt16) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return "Boot" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    private static func file(_ name: String) -> String { "\(name)-\(vendor)" }

    private static func entryNumber(_ file: String) -> UInt16? {
        guard file.hasPrefix("Boot"), file.lowercased().hasSuffix("-\(vendor)") else { return nil }
        let digits = file.dropFirst(4).dropLast(vendor.count + 1)
        guard digits.count == 4, digits.allSatisfy(\.isHexDigit) else { return nil }
        return UInt16(digits, radix: 16)
    }

    /// The names of all variables.
    private func names() throws -> [String] {
        let limit = 10_000
        let folder = try tree.open("/", [.readOnly, .directory])
        let names = try FileTree.entries(of: ConfinedTree.place(of: folder), limit: limit)
        guard names.count < limit else { throw FixupError("the firmware has \(limit) variables or more") }
        return names
    }

    /// The value without its attributes; nil only where there is no such variable.
    private func value(_ name: String) throws -> [UInt8]? {
        let file: Descriptor
        do throws(SystemError) { file = try tree.open(name) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return nil
        }
        let status = try FileStatus(of: file)
        guard status.kind == .regularFile, (4...UInt64(VariableStore.largest)).contains(status.size) else {
            throw FixupError("the variable \(name) is damaged: it has \(status.size) bytes")
        }
        return Array(try file.read(Int(status.size), at: 0)[4...])
    }

    /// `isNew` refuses a variable that exists.
    private func write(_ name: String, _ value: [UInt8], isNew: Bool = false) throws {
        let file = VariableStore.file(name)
        // One write is one call of the firmware: the variable changes as a whole or not at all.
        let mode: Descriptor.Options = isNew ? .exclusive : .truncate
        let descriptor = try tree.open(file, [.writeOnly, .create, mode], followLinks: false)
        try descriptor.write(VariableStore.attributes + value, at: 0)
        try descriptor.close()
        guard try self.value(file) == value else {
            throw FixupError("the firmware took the variable \(name) but gives another value back")
        }
    }
}
