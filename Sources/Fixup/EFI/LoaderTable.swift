// BOOT*.CSV: what a system's installer says about its own loader (shim's fallback reads the same file).

/// The lines of a BOOTX64.CSV: "loader,label,optional data,comment" in UTF-16LE, one loader per line.
package struct LoaderTable: Equatable, Sendable {
    package struct Line: Equatable, Sendable {
        /// The loader's file in the table's own directory.
        package let loader: String
        /// The name for the boot entry.
        package let label: String
    }

    package private(set) var lines: [Line] = []

    /// The longest table that is read, in bytes.
    package static let limit = 64 << 10
    /// The longest label that becomes the name of an entry, in characters.
    static let labelLimit = 64

    /// Lines that make no sense are left out; garbage gives a table without lines.
    ///
    /// UTF-8 is taken too where the text has no zero byte: some installers write it.
    package init(_ bytes: [UInt8]) {
        let text: String
        if bytes.contains(0) || bytes.starts(with: [0xff, 0xfe]) {
            let units = stride(from: 0, to: bytes.count - 1, by: 2).map { index in
                UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8
            }
            text = String(decoding: units, as: UTF16.self)
        } else {
            text = String(decoding: bytes, as: UTF8.self)
        }
        for line in text.split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false).map {
                String($0).filter { $0 != "\u{feff}" && $0 != "\0" }
            }
            guard fields.count >= 2, LoaderTable.isFileName(fields[0]) else { continue }
            let label = LoaderTable.label(fields[1])
            guard !label.isEmpty else { continue }
            lines.append(Line(loader: fields[0], label: label))
        }
    }

    /// A name within the table's directory, of characters that FAT knows.
    private static func isFileName(_ name: String) -> Bool {
        guard name.lowercased().hasSuffix(".efi"), name.count <= 255 else { return false }
        return name.unicodeScalars.allSatisfy { scalar in
            scalar.value >= 0x20 && scalar.value != 0x7f && !"\\/:*?\"<>|".unicodeScalars.contains(scalar)
        }
    }

    /// A label without control characters, not longer than a firmware's menu shows.
    static func label(_ text: String) -> String {
        let scalars = text.unicodeScalars.filter { $0.properties.generalCategory != .control }
        let trimmed = String(String.UnicodeScalarView(scalars)).split(separator: " ").joined(separator: " ")
        return String(trimmed.prefix(labelLimit))
    }
}
