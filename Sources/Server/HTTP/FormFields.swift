// The fields of a posted form (application/x-www-form-urlencoded).
/// Names and values in the order of the form; a name may come several times.
package struct FormFields: Equatable, Sendable {
    /// More fields than any page of ours has.
    private static let limit = 5000

    package private(set) var fields: [(name: String, value: String)] = []

    package init() {}

    /// - Throws: `ServerError` for what no browser sends.
    package init(parsing text: String) throws {
        for part in text.split(separator: "&") {
            guard fields.count < Self.limit else {
                throw ServerError("the form has too many fields", .invalid)
            }
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            fields.append((try Self.decode(pair[0]), pair.count > 1 ? try Self.decode(pair[1]) : ""))
        }
    }

    private static func decode(_ text: Substring) throws -> String {
        guard let decoded = String(text.map { $0 == "+" ? " " : $0 }).percentDecoded else {
            throw ServerError("the form is not encoded as forms are", .invalid)
        }
        return decoded
    }

    /// The first value of that name; nil where there is none.
    package subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// Every value of that name.
    package func all(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    package static func == (left: FormFields, right: FormFields) -> Bool {
        left.fields.elementsEqual(right.fields) { $0 == $1 }
    }
}

extension String {
    /// The text with its "%41" made "A" (RFC 3986); nil where that is no UTF-8, or a "%" stands alone.
    package var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst(), let low = rest.popFirst(),
                let decoded = [UInt8](
                    hex: "\(Character(UnicodeScalar(high)))\(Character(UnicodeScalar(low)))")
            else { return nil }
            bytes += decoded
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
