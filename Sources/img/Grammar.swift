// The field's words turned into long options: pure, so that every form is tested without running anything.

/// A word that the command line does not take; the sentence is for the person who typed it.
package struct UsageError: Error, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

/// Translates the words of `img` (ZENworks Imaging's grammar) into the options of its commands.
package enum Grammar {
    /// A mode of img; the raw value is its full word.
    enum Mode: String, CaseIterable {
        case help, auto, info, dump, session, makel, makep, restorel, restorep, bootfix
        /// Delete, activate a partition: their words carry the slot's number, `pd3`.
        case pd, pa
    }

    /// What a word of a mode becomes.
    private enum Word {
        /// `key=VALUE` becomes `--option VALUE`.
        case value(option: String)
        /// The same where VALUE is a number from 0 up; the text says which ones are taken.
        case number(option: String, String, hasFraction: Bool = false)
        /// A bare word becomes `--option`, or `--option VALUE` where the option has one.
        case flag([String])
        /// A word of the grammar whose part does not exist yet.
        case missing
    }

    /// The arguments for the parser: the mode's full word, its positional arguments and long options.
    ///
    /// Words of the parser itself (beginning with `--`, or `-h`) pass unchanged.
    package static func translate(_ words: [String]) throws(UsageError) -> [String] {
        guard let first = words.first else {
            throw UsageError(
                "img alone shows the menu, which needs a terminal; 'img help' lists the commands")
        }
        if first.hasPrefix("--") || first == "-h" { return words }
        let mode = try self.mode(first)
        if mode == .help {
            return ["help"]
                + (try words.dropFirst().map { word throws(UsageError) in try self.mode(word).rawValue })
        }
        var arguments = [mode.rawValue]
        var positional = 0
        if let slot = partitionSlot(first) {
            arguments.append(slot)
            positional = 1
        }
        var takesValue = false
        var given: Set<String> = []
        for word in words.dropFirst() {
            if takesValue || (word.hasPrefix("-") && word.count > 1) {
                let option = String(word.prefix { $0 != "=" })
                if !takesValue, option != "--exclude", valueOptions.contains(option),
                    !given.insert(option).inserted
                {
                    throw UsageError("'\(word)' gives a second value for the same word")
                }
                takesValue = !takesValue && valueOptions.contains(word)
                arguments.append(word)
            } else if positional < positionalCount(mode), !isOptionWord(word, of: mode) {
                if mode == .info, word.lowercased() == "zisd" { throw missing(word, mode) }
                if mode == .session { try expectName(word) }
                positional += 1
                arguments.append(word)
            } else {
                let translated = try translate(word, of: mode)
                // The last one would win silently; of two disks= that may be the wrong disk.
                if translated.count == 2, translated[0] != "--exclude", !given.insert(translated[0]).inserted
                {
                    throw UsageError("'\(word)' gives a second value for the same word")
                }
                arguments += translated
            }
        }
        return arguments
    }

    /// The mode a word stands for: whole, abbreviated while unambiguous, with or without a leading dash.
    static func mode(_ word: String) throws(UsageError) -> Mode {
        var name = (word.hasPrefix("-") ? String(word.dropFirst()) : word).lowercased()
        if partitionSlot(word) != nil { name = String(name.prefix(2)) }
        let found = try match(name, among: Mode.allCases.map(\.rawValue), as: "mode")
        guard let mode = found.flatMap(Mode.init(rawValue:)) else {
            throw UsageError("img has no mode '\(word)'; 'img help' lists them")
        }
        return mode
    }

    /// The digits of `pdN` and `paN`: delete and activate a partition.
    private static func partitionSlot(_ word: String) -> String? {
        let name = word.hasPrefix("-") ? String(word.dropFirst()) : word
        return numbered(name, "pd") ?? numbered(name, "pa")
    }

    private static func positionalCount(_ mode: Mode) -> Int {
        switch mode {
        case .makel, .restorel, .session, .info, .pd, .pa: 1
        case .makep, .restorep: 2
        default: 0
        }
    }

    private static let valueOptions: Set<String> = [
        "--clients", "--compression", "--disks", "--exclude", "--file", "--interface", "--key", "--linger",
        "--questions", "--rate", "--restored", "--server", "--start", "--ttl", "--wait",
    ]

    /// Whether the word cannot be a file or session name: `key=value` with a known key, in a place for a name.
    private static func isOptionWord(_ word: String, of mode: Mode) -> Bool {
        guard let equals = word.firstIndex(of: "="), mode != .session else { return false }
        let key = word[..<equals].lowercased()
        return keys(mode)[String(key)] != nil
    }

    /// A forgotten name would turn a role into one: somebody who is to be the master would wait to be overwritten.
    private static func expectName(_ word: String) throws(UsageError) {
        let key = word.lowercased().prefix { $0 != "=" }
        let isKey = word.contains("=") && keys(.session)[String(key)] != nil
        guard !isKey, !["master", "client"].contains(word.lowercased()) else {
            throw UsageError("'session' lacks the session's name before '\(word)'")
        }
    }

    private static func keys(_ mode: Mode) -> [String: Word] {
        // The words that modes with disks have in common; each mode says which of them it knows.
        let common: [String: Word] = [
            "disks": .value(option: "--disks"), "wipe": .missing, "if": .missing, "rate": .missing,
            "ttl": .missing,
            "key": .missing, "linger": .missing,
        ]
        switch mode {
        case .makel: return common.adding(["comp": .value(option: "--compression")])
        case .restorel: return common
        case .makep:
            return common.adding([
                "comp": .value(option: "--compression"), "key": .value(option: "--key"),
            ])
        case .restorep: return common.adding(["key": .value(option: "--key")])
        case .auto:
            return [
                "disks": .value(option: "--disks"), "key": .value(option: "--key"),
                "server": .value(option: "--server"), "wait": .number(option: "--wait", "0 to 1440 minutes"),
            ]
        case .pd, .pa, .bootfix: return ["disks": .value(option: "--disks")]
        case .session:
            return common.adding([
                "if": .value(option: "--interface"), "key": .value(option: "--key"),
                "clients": .number(option: "--clients", "1 to 1000 machines"),
                "t": .value(option: "--wait"),
                "time": .value(option: "--wait"), "comp": .value(option: "--compression"),
                "rate": .number(option: "--rate", "Mbit/s from 1 up"),
                "ttl": .number(option: "--ttl", "1 to 255 routers"),
                "linger": .number(option: "--linger", "0 to 1440 minutes", hasFraction: true),
                "file": .value(option: "--file"),
            ])
        default: return [:]
        }
    }

    private static func bareWords(_ mode: Mode) -> [String: Word] {
        switch mode {
        case .makel, .makep: ["plan": .flag(["--plan"]), "whole": .flag(["--whole"])]
        case .restorel, .restorep: ["plan": .flag(["--plan"]), "verify": .flag(["--verify"])]
        case .session:
            [
                "client": .flag(["--client"]), "master": .flag(["--master"]), "plan": .flag(["--plan"]),
                "verify": .flag(["--verify"]), "whole": .flag(["--whole"]),
            ]
        case .dump: ["geometry": .flag(["--geometry"])]
        case .pd, .pa: ["plan": .flag(["--plan"])]
        case .bootfix: ["plan": .flag(["--plan"]), "kexec": .flag(["--kexec"]), "next": .flag(["--next"])]
        default: [:]
        }
    }

    private static func translate(_ word: String, of mode: Mode) throws(UsageError) -> [String] {
        if let equals = word.firstIndex(of: "=") {
            let key = word[..<equals].lowercased()
            let value = String(word[word.index(after: equals)...])
            let keys = keys(mode)
            guard let name = try match(key, among: Array(keys.keys), as: "word"), let meaning = keys[name]
            else {
                throw UsageError(
                    "'\(mode.rawValue)' does not take '\(word)'; 'img help \(mode.rawValue)' lists its words")
            }
            guard !value.isEmpty else { throw UsageError("'\(word)' lacks a value") }
            // To the parser it would be the next option.
            guard !value.hasPrefix("-") else {
                throw UsageError("'\(word)' gives a value that begins with '-'")
            }
            switch meaning {
            case .value(let option): return [option, value]
            case .number(let option, let range, let hasFraction):
                let isNumber = value.allSatisfy { $0.isASCIIDigit || (hasFraction && $0 == ".") }
                guard isNumber, hasFraction ? Double(value) != nil : Int(value) != nil else {
                    throw UsageError("\(name)= takes \(range), not '\(value)'")
                }
                return [option, value]
            case .flag, .missing: throw missing(word, mode)
            }
        }
        if mode == .makel || mode == .makep, let slot = numbered(word, "x") { return ["--exclude", slot] }
        if mode == .restorel || mode == .restorep, numbered(word, "s") != nil || isMapping(word) {
            throw missing(word, mode)
        }
        if mode == .session, isTime(word) { return ["--start", word] }
        let words = bareWords(mode)
        guard let name = try match(word.lowercased(), among: Array(words.keys), as: "word"),
            let meaning = words[name]
        else {
            throw UsageError(
                "'\(mode.rawValue)' does not take '\(word)'; 'img help \(mode.rawValue)' lists its words")
        }
        guard case .flag(let arguments) = meaning else { throw missing(word, mode) }
        return arguments
    }

    private static func missing(_ word: String, _ mode: Mode) -> UsageError {
        UsageError("'\(word)' of '\(mode.rawValue)' belongs to a part of img that does not exist yet")
    }

    /// The digits of words such as `x3` and `pd3`.
    private static func numbered(_ word: String, _ letters: String) -> String? {
        let digits = word.dropFirst(letters.count)
        guard word.lowercased().hasPrefix(letters), !digits.isEmpty, digits.allSatisfy(\.isASCIIDigit)
        else { return nil }
        return String(digits)
    }

    /// `aN:pM`: image partition N to local partition M.
    private static func isMapping(_ word: String) -> Bool {
        let parts = word.lowercased().split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        return parts.count == 2 && numbered(parts[0], "a") != nil && numbered(parts[1], "p") != nil
    }

    /// A bare start time: minutes, or HH:MM; whether there is such a time is the command's to say.
    private static func isTime(_ word: String) -> Bool {
        guard let first = word.first else { return false }
        return first.isASCIIDigit && word.allSatisfy { $0.isASCIIDigit || $0 == ":" || $0 == "." }
    }

    /// The one of `names` that `word` is or abbreviates; nil for none.
    private static func match(
        _ word: String, among names: [String], as what: String
    ) throws(UsageError) -> String? {
        if names.contains(word) { return word }
        let candidates = names.filter { !word.isEmpty && $0.hasPrefix(word) }.sorted()
        guard candidates.count < 2 else {
            throw UsageError("the \(what) '\(word)' may be \(candidates.joined(separator: " or "))")
        }
        return candidates.first
    }
}

extension Dictionary {
    fileprivate func adding(_ more: [Key: Value]) -> [Key: Value] { merging(more) { _, new in new } }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
