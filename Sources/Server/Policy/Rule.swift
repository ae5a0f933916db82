// Rules by which workstations are chosen: conditions joined by AND and OR, strictly from left to right.
internal import Blocks
package import SessionProtocol

/// What of a workstation a condition looks at; the raw value is what the store and the API call it.
package enum Attribute: String, CaseIterable, Sendable, Codable {
    case memory, diskSize, cpu, mac, address, biosVendor, product, serial, assetTag, networkCard, video,
        diskModel,
        firmware

    /// As people read it in a rule.
    package var name: String {
        switch self {
        case .memory: "RAM"
        case .diskSize: "disk size"
        case .cpu: "CPU"
        case .mac: "MAC"
        case .address: "IP"
        case .biosVendor: "BIOS vendor"
        case .product: "product"
        case .serial: "serial"
        case .assetTag: "asset tag"
        case .networkCard: "NIC"
        case .video: "video"
        case .diskModel: "disk model"
        case .firmware: "firmware"
        }
    }

    /// The operators that have a meaning for it.
    package var operators: [Operator] {
        switch self {
        case .memory, .diskSize: [.equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual]
        case .address, .firmware: [.equal, .notEqual]
        default: [.equal, .notEqual, .contains, .containsNot, .begins, .ends]
        }
    }
}

/// How a condition compares; the raw value is what the store and the API call it.
package enum Operator: String, CaseIterable, Sendable, Codable {
    case equal = "="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contains
    case containsNot = "contains not"
    case begins = "begins with"
    case ends = "ends with"

    /// The operator whose answer is the opposite, for those that deny something.
    var denied: Operator? {
        switch self {
        case .notEqual: .equal
        case .containsNot: .contains
        default: nil
        }
    }
}

/// One comparison: attribute, operator, value.
///
/// Of what a workstation has several of (disks, interfaces, addresses) one that fits is enough; an operator that denies
/// ("!=", "contains not") wants that none of them fits. A workstation that did not say the attribute fits no condition
/// but one that denies.
package struct Condition: Equatable, Sendable, CustomStringConvertible {
    package let attribute: Attribute
    package let comparison: Operator
    /// As it was typed, without spaces around it.
    package let value: String
    private let operand: Operand

    /// The value as it is compared.
    private enum Operand: Equatable {
        /// Whole megabytes (10⁶ bytes for disks, 2²⁰ for RAM: as the shop and the firmware count them).
        case number(UInt64)
        /// Lower case; of a MAC address only the digits.
        case text(String)
        case network(Network)
    }

    /// - Throws: `PolicyError` where the operator has no meaning for the attribute, or the value is none of it.
    package init(_ attribute: Attribute, _ comparison: Operator, _ value: String) throws(PolicyError) {
        let value = value.trimmingSpaces
        guard attribute.operators.contains(comparison) else {
            throw PolicyError("\(attribute.name) is not compared by '\(comparison.rawValue)'")
        }
        guard !value.isEmpty, value.utf8.count <= 255 else {
            throw PolicyError("a condition on \(attribute.name) needs a value of 1 to 255 bytes")
        }
        self.attribute = attribute
        self.comparison = comparison
        self.value = value
        switch attribute {
        case .memory, .diskSize:
            guard value.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
                let number = UInt64(value)
            else {
                throw PolicyError("\(attribute.name) is compared with whole megabytes, not with '\(value)'")
            }
            operand = .number(number)
        case .address:
            guard let network = Network(value) else {
                throw PolicyError("'\(value)' is neither an IP address nor a network such as 10.1.0.0/16")
            }
            operand = .network(network)
        case .mac:
            let digits = value.lowercased().filter { !":-. ".contains($0) }
            let isWhole = comparison == .equal || comparison == .notEqual
            guard digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
                isWhole ? digits.count == 12 : digits.count <= 12
            else { throw PolicyError("'\(value)' is no MAC address: 12 hexadecimal digits, or some of them") }
            operand = .text(digits)
        case .firmware:
            guard let firmware = Workstation.Firmware(rawValue: value.lowercased()) else {
                throw PolicyError("firmware is bios or uefi, not '\(value)'")
            }
            operand = .text(firmware.rawValue)
        default: operand = .text(value.lowercased())
        }
    }

    /// "RAM > 4000".
    package var description: String { "\(attribute.name) \(comparison.rawValue) \(value)" }

    /// Whether the workstation fits.
    package func holds(for workstation: Workstation) -> Bool {
        if let denied = comparison.denied { return !anyFits(workstation, by: denied) }
        return anyFits(workstation, by: comparison)
    }

    private func anyFits(_ workstation: Workstation, by comparison: Operator) -> Bool {
        switch operand {
        case .number(let wanted):
            let numbers =
                attribute == .memory
                ? (workstation.memory > 0 ? [workstation.memory / MiB] : [])
                : workstation.disks.map { $0.size / 1_000_000 }
            return numbers.contains { Condition.compare($0, comparison, wanted) }
        case .network(let network): return workstation.addresses.contains { network.contains($0) }
        case .text(let wanted):
            return texts(workstation).contains { Condition.compare($0, comparison, wanted) }
        }
    }

    /// What the workstation has of the attribute, in the form in which it is compared.
    private func texts(_ workstation: Workstation) -> [String] {
        let all: [String] =
            switch attribute {
            case .cpu: [workstation.cpu]
            case .mac: ([workstation.mac] + workstation.otherMACs).map(\.hex)
            case .biosVendor: [workstation.biosVendor]
            case .product: [workstation.product]
            case .serial: [workstation.serial]
            case .assetTag: [workstation.assetTag]
            case .networkCard: workstation.networkCards
            case .video: workstation.video
            case .diskModel: workstation.disks.map(\.model)
            case .firmware: [workstation.firmware.rawValue]
            case .memory, .diskSize, .address: []
            }
        return all.map { $0.trimmingSpaces.lowercased() }.filter { !$0.isEmpty }
    }

    private static func compare(_ number: UInt64, _ comparison: Operator, _ wanted: UInt64) -> Bool {
        switch comparison {
        case .equal: number == wanted
        case .less: number < wanted
        case .lessOrEqual: number <= wanted
        case .greater: number > wanted
        case .greaterOrEqual: number >= wanted
        default: false
        }
    }

    private static func compare(_ text: String, _ comparison: Operator, _ wanted: String) -> Bool {
        switch comparison {
        case .equal: text == wanted
        case .contains: text.contains(wanted)
        case .begins: text.hasPrefix(wanted)
        case .ends: text.hasSuffix(wanted)
        default: false
        }
    }
}

/// Conditions with what joins each to those before it.
package struct Rule: Equatable, Sendable, CustomStringConvertible {
    /// What joins a condition to all that stand before it.
    package enum Junction: String, Sendable, Codable {
        case and = "AND"
        case or = "OR"
    }

    /// A rule longer than this is a mistake, or somebody's attack.
    package static let longest = 64

    /// At least one; the first one's junction says nothing.
    package let conditions: [(junction: Junction, condition: Condition)]

    /// - Throws: `PolicyError` for no or more than `longest` conditions.
    package init(_ first: Condition, _ rest: [(Junction, Condition)] = []) throws(PolicyError) {
        guard rest.count < Rule.longest else {
            throw PolicyError("a rule has at most \(Rule.longest) conditions")
        }
        conditions = [(.and, first)] + rest.map { (junction: $0.0, condition: $0.1) }
    }

    /// Whether the workstation fits: A OR B AND C is (A OR B) AND C, whatever mathematics binds more tightly.
    package func holds(for workstation: Workstation) -> Bool {
        var result = conditions[0].condition.holds(for: workstation)
        for (junction, condition) in conditions.dropFirst() {
            switch junction {
            case .and: result = result && condition.holds(for: workstation)
            case .or: result = result || condition.holds(for: workstation)
            }
        }
        return result
    }

    /// "RAM > 4000 AND CPU contains i5".
    package var description: String {
        conditions.dropFirst().reduce(conditions[0].condition.description) {
            "\($0) \($1.junction.rawValue) \($1.condition)"
        }
    }

    package static func == (left: Rule, right: Rule) -> Bool {
        left.conditions.elementsEqual(right.conditions) {
            $0.junction == $1.junction && $0.condition == $1.condition
        }
    }
}

/// Why a rule, a session or a policy is not taken: one sentence for the administrator.
package struct PolicyError: Error, Equatable, CustomStringConvertible {
    package let description: String
    /// Whether it contradicts what is there; otherwise it could never be.
    package let isConflict: Bool

    package init(_ description: String, isConflict: Bool = false) {
        self.description = description
        self.isConflict = isConflict
    }
}

extension String {
    /// Without the spaces and tabs around it.
    var trimmingSpaces: String {
        func isSpace(_ character: Character) -> Bool { character == " " || character == "\t" }
        guard let end = lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(self[...end].drop(while: isSpace))
    }
}
