// Which kernel an installed Linux would start: pure readers of GRUB's configuration and of boot loader entries.

/// A kernel to start, with paths as the boot loader sees them.
package struct KernelEntry: Equatable, Sendable {
    package var title: String
    package var kernel: String
    package var initrds: [String]
    package var commandLine: String

    package init(title: String, kernel: String, initrds: [String] = [], commandLine: String = "") {
        self.title = title
        self.kernel = kernel
        self.initrds = initrds
        self.commandLine = commandLine
    }

    /// The first entry of a grub.cfg with a `linux` line; nil without one.
    ///
    /// GRUB's script is not run: words with variables in them are left out, and of several kernels in one entry the
    /// first counts, with the RAM disks up to the next kernel.
    package init?(grubConfiguration text: String) {
        var title = ""
        var found: KernelEntry?
        var hasAnother = false
        for line in text.split(whereSeparator: \.isNewline) {
            let words = KernelEntry.words(String(line))
            guard let command = words.first else { continue }
            switch command {
            case "menuentry":
                // The next entry begins: what is found is whole.
                if let found {
                    self = found
                    return
                }
                title = words.count > 1 ? words[1] : ""
            case "linux", "linuxefi", "linux16":
                guard found == nil else {
                    hasAnother = true
                    continue
                }
                guard words.count > 1, let kernel = KernelEntry.path(words[1]) else { continue }
                let rest = words.dropFirst(2).filter { !$0.contains("$") }
                found = KernelEntry(
                    title: title, kernel: kernel, commandLine: rest.joined(separator: " "))
            case "initrd", "initrdefi", "initrd16":
                // Behind both branches of an if a RAM disk belongs to either kernel.
                if hasAnother, found?.initrds.isEmpty == false { continue }
                found?.initrds += words.dropFirst().compactMap(KernelEntry.path)
            default: continue
            }
        }
        guard let found else { return nil }
        self = found
    }

    /// One file of /loader/entries (the Boot Loader Specification, type 1); nil without a `linux` line.
    package init?(loaderEntry text: String) {
        self.init(title: "", kernel: "")
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(maxSplits: 1, whereSeparator: { $0 == " " || $0 == "\t" })
            guard parts.count == 2, line.first != "#" else { continue }
            let value = parts[1].split(separator: " ").filter { !$0.contains("$") }
            switch parts[0] {
            case "title": title = String(parts[1])
            case "linux": kernel = value.first.map(String.init) ?? ""
            case "initrd": initrds += value.map(String.init)
            case "options":
                commandLine = ([commandLine].filter { !$0.isEmpty } + value.map(String.init)).joined(
                    separator: " ")
            default: continue
            }
        }
        if kernel.isEmpty { return nil }
    }

    /// A path without GRUB's device in front of it: "($root)/vmlinuz"; nil where nothing is left.
    private static func path(_ word: String) -> String? {
        var path = Substring(word)
        if path.first == "(", let end = path.firstIndex(of: ")") { path = path[path.index(after: end)...] }
        guard path.first == "/", !path.contains("$") else { return nil }
        return String(path)
    }

    /// The words of a line of GRUB's script: blanks part them, quotes and backslashes keep them together.
    static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" {
                if let done = word { words.append(done) }
                word = nil
            } else if character == "#", word == nil {
                break
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }
}
