// Which workstations a rule holds for.
import Blocks
import Server
import SessionProtocol
import Testing

/// A workstation of which everything is known.
func someWorkstation() -> Workstation {
    var station = Workstation(mac: [0x52, 0x54, 0, 0x12, 0x34, 0xab])
    station.otherMACs = [[2, 0, 0, 0, 0, 1]]
    station.addresses = [Address(ipv4: 0x0a01_0203), Address(ipv6High: 0xfd00_0000_0000_0001, low: 7)]
    station.cpu = "Intel(R) Core(TM) i5-8500"
    station.memory = 4096 * MiB
    station.disks = [
        .init(size: 256_060_514_304, model: "SAMSUNG MZVLB256"), .init(size: 2_000_398_934_016, model: "WDC"),
    ]
    station.biosVendor = "Dell Inc."
    station.product = "OptiPlex 7060"
    station.serial = "ABC1234"
    station.networkCards = ["8086:15bb e1000e"]
    station.firmware = .uefi
    return station
}

@Suite struct RuleTests {
    @Test(arguments: [
        (Attribute.memory, Operator.greater, "4000", true), (.memory, .greater, "4096", false),
        (.memory, .greaterOrEqual, "4096", true), (.memory, .less, "4097", true),
        (.memory, .equal, "4096", true),
        (.memory, .lessOrEqual, "4095", false), (.memory, .notEqual, "4096", false),
        (.memory, .notEqual, "1", true),
        // As numbers, not as texts: "900" > "4000" as texts.
        (.memory, .greater, "900", true),
        // One disk that fits is enough; an operator that denies wants none.
        (.diskSize, .greater, "1000000", true), (.diskSize, .less, "300000", true),
        (.diskSize, .equal, "256060", true), (.diskSize, .notEqual, "256060", false),
        (.cpu, .contains, "I5", true), (.cpu, .containsNot, "i5", false), (.cpu, .begins, "intel", true),
        (.cpu, .ends, "8500", true), (.cpu, .equal, "i5", false),
        (.mac, .equal, "52:54:00:12:34:AB", true), (.mac, .equal, "5254001234ab", true),
        (.mac, .equal, "52-54-00-12-34-ac", false), (.mac, .begins, "52:54", true),
        (.mac, .equal, "020000000001", true),
        (.mac, .notEqual, "020000000001", false),
        (.address, .equal, "10.1.2.3", true), (.address, .equal, "10.1.0.0/16", true),
        (.address, .equal, "10.1.2.2/31", true), (.address, .equal, "10.1.2.4/31", false),
        (.address, .equal, "10.1.2.3/0", true), (.address, .equal, "fd00::/8", true),
        (.address, .equal, "fe80::/10", false), (.address, .notEqual, "10.1.0.0/16", false),
        (.address, .notEqual, "192.168.0.0/16", true),
        (.biosVendor, .begins, "dell", true), (.product, .contains, "7060", true),
        (.serial, .equal, "abc1234", true),
        // It did not say its asset tag: only what denies holds.
        (.assetTag, .equal, "x", false), (.assetTag, .contains, "x", false),
        (.assetTag, .notEqual, "x", true),
        (.assetTag, .containsNot, "x", true),
        (.networkCard, .contains, "e1000e", true), (.video, .contains, "nvidia", false),
        (.diskModel, .begins, "samsung", true), (.firmware, .equal, "UEFI", true),
        (.firmware, .notEqual, "uefi", false),
    ]) func aConditionHolds(_ attribute: Attribute, _ comparison: Operator, _ value: String, _ holds: Bool)
        throws
    {
        #expect(try Condition(attribute, comparison, value).holds(for: someWorkstation()) == holds)
    }

    @Test func whatIsNotKnownFitsNoNumber() throws {
        let unknown = Workstation(mac: [2, 0, 0, 0, 0, 1])
        #expect(try !Condition(.memory, .less, "4000").holds(for: unknown))
        #expect(try !Condition(.diskSize, .less, "4000").holds(for: unknown))
        #expect(try Condition(.memory, .notEqual, "4000").holds(for: unknown))
    }

    @Test(arguments: [
        (Attribute.memory, Operator.contains, "4", "RAM is not compared by 'contains'"),
        (.memory, .greater, "4 GB", "RAM is compared with whole megabytes, not with '4 GB'"),
        (.memory, .greater, "-1", "RAM is compared with whole megabytes"),
        (.memory, .greater, "99999999999999999999", "RAM is compared with whole megabytes"),
        (.cpu, .greater, "i5", "CPU is not compared by '>'"), (.cpu, .contains, " ", "needs a value"),
        (.mac, .equal, "52:54", "is no MAC address"), (.mac, .begins, "xyz", "is no MAC address"),
        (.mac, .contains, "0000000000000", "is no MAC address"),
        (.address, .equal, "10.1.2", "is neither an IP address nor"),
        (.address, .equal, "10.1.2.0/33", "is neither"),
        (.address, .equal, "10.1.2.0/", "is neither"), (.address, .equal, "fd00::/129", "is neither"),
        (.address, .equal, "10.0.0.0/8/8", "is neither"), (.address, .equal, "10.0.0.0/+8", "is neither"),
        (.firmware, .equal, "efi", "firmware is bios or uefi, not 'efi'"),
    ]) func whatHasNoMeaningIsRefused(
        _ attribute: Attribute, _ comparison: Operator, _ value: String, _ reason: String
    ) {
        let error = #expect(throws: PolicyError.self) { try Condition(attribute, comparison, value) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    /// T OR T AND F is false from left to right, and true in the mathematicians' way.
    @Test(arguments: [
        ("T", true), ("F", false), ("T OR T AND F", false), ("F AND T OR T", true), ("T AND F OR F", false),
        ("F OR T AND T", true), ("T OR F AND F OR T", true), ("T OR F AND F", false),
    ]) func junctionsGoFromLeftToRight(_ text: String, _ holds: Bool) throws {
        let words = text.split(separator: " ").map(String.init)
        func condition(_ word: String) throws -> Condition {
            try Condition(.memory, word == "T" ? .greater : .less, "4000")
        }
        var rest: [(Rule.Junction, Condition)] = []
        for index in stride(from: 1, to: words.count, by: 2) {
            rest.append(
                (try #require(Rule.Junction(rawValue: words[index])), try condition(words[index + 1])))
        }
        let rule = try Rule(condition(words[0]), rest)
        #expect(rule.holds(for: someWorkstation()) == holds)
    }

    @Test func aRuleReadsAsItWasWritten() throws {
        let rule = try Rule(
            Condition(.memory, .greater, "4000"),
            [(.and, Condition(.cpu, .contains, " i5 ")), (.or, Condition(.mac, .begins, "52:54"))])
        #expect(rule.description == "RAM > 4000 AND CPU contains i5 OR MAC begins with 52:54")
    }

    @Test func aRuleHasAnEnd() throws {
        let one = try Condition(.memory, .greater, "1")
        #expect(
            try Rule(one, .init(repeating: (.or, one), count: Rule.longest - 1)).conditions.count
                == Rule.longest)
        #expect(throws: PolicyError.self) { try Rule(one, .init(repeating: (.or, one), count: Rule.longest)) }
    }

    /// Every operator that an attribute offers is taken, and no other.
    @Test(arguments: Attribute.allCases) func operatorsAreThoseOffered(_ attribute: Attribute) {
        let value = [
            .memory: "1", .diskSize: "1", .mac: "525400123456", .address: "10.0.0.1", .firmware: "bios",
        ][attribute, default: "x"]
        for comparison in Operator.allCases {
            let isTaken = (try? Condition(attribute, comparison, value)) != nil
            #expect(isTaken == attribute.operators.contains(comparison), "\(attribute) \(comparison)")
        }
    }
}
