// The field's words turned into long options: pure, so that every form is tested without running anything.

/// A word that the command line does not take; the sentence is for the person who typed it.
package struct ServerUsageError: Error, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

/// Translates the words of `imgserv` into the options of its commands.
package enum ServerGrammar {
    private static let modes = [
        "help", "key", "list", "mcast", "serve", "status", "stop", "token", "user",
    ]
    /// Modes whose next word says what is to be done, and those words.
    private static let parted: Set<String> = ["token", "user"]
    private static let parts = ["add", "list", "remove"]
    /// Words `word=VALUE` of mcast.
    private static let values = ["if", "key", "linger", "rate", "ttl"]
    /// Options of any mode whose next word is their value.
    private static let valueOptions: Set<String> = [
        "-p", "-i", "-f", "-t", "-c", "--state", "--socket", "--token-file", "--ca", "--config",
    ]

    /// The arguments for the parser; words of the parser itself (beginning with `--`, or `-h`) pass unchanged.
    package static func translate(_ words: [String]) throws(ServerUsageError) -> [String] {
        guard let first = words.first else { return ["--help"] }
        if first.hasPrefix("--") || first == "-h" { return words }
        let mode = try self.mode(first)
        var arguments = [mode]
        var takesValue = false
        for word in words.dropFirst() {
            if takesValue {
                takesValue = false
                arguments.append(word)
            } else if let last = arguments.last, parted.contains(last), last == mode || mode == "help",
                arguments.count == (mode == "help" ? 2 : 1)
            {
                arguments.append(try part(word, of: last))
            } else if mode == "help" {
                arguments.append(try self.mode(word))
            } else if word.hasPrefix("-") {
                takesValue = valueOptions.contains(word)
                arguments.append(word)
            } else if mode == "mcast", let equals = word.firstIndex(of: "="), arguments.count > 1 {
                let key = word[..<equals].lowercased()
                let value = String(word[word.index(after: equals)...])
                guard let name = try match(key, among: values, as: "word") else {
                    throw ServerUsageError(
                        "'mcast' does not take '\(word)'; 'imgserv help mcast' lists its words")
                }
                guard name != "key" else {
                    throw ServerUsageError(
                        "'key=' is for participants; the host's own key is its state directory's")
                }
                guard !value.isEmpty else { throw ServerUsageError("'\(word)' lacks a value") }
                arguments += [name == "if" ? "--interface" : "--\(name)", value]
            } else {
                arguments.append(word)
            }
        }
        return arguments
    }

    /// The mode a word stands for: whole, abbreviated while unambiguous, with or without a leading dash.
    private static func mode(_ word: String) throws(ServerUsageError) -> String {
        let name = (word.hasPrefix("-") ? String(word.dropFirst()) : word).lowercased()
        guard let found = try match(name, among: modes, as: "mode") else {
            throw ServerUsageError("imgserv has no mode '\(word)'; 'imgserv help' lists them")
        }
        return found
    }

    /// What is to be done with tokens or users, likewise; words of the parser itself pass unchanged.
    private static func part(_ word: String, of mode: String) throws(ServerUsageError) -> String {
        if word.hasPrefix("-") { return word }
        guard let found = try match(word.lowercased(), among: parts, as: "word") else {
            throw ServerUsageError("'\(mode)' takes \(parts.joined(separator: ", ")), not '\(word)'")
        }
        return found
    }

    /// The one of `names` that `word` is or abbreviates; nil for none.
    private static func match(
        _ word: String, among names: [String], as what: String
    ) throws(ServerUsageError) -> String? {
        if names.contains(word) { return word }
        let candidates = names.filter { !word.isEmpty && $0.hasPrefix(word) }
        guard candidates.count < 2 else {
            throw ServerUsageError("the \(what) '\(word)' may be \(candidates.joined(separator: " or "))")
        }
        return candidates.first
    }
}
