// Text that came from a peer, an image or a device, made safe for a terminal.

extension String {
    /// The text with "?" for control characters and the like: a name must not move somebody's cursor.
    package var onScreen: String {
        guard unicodeScalars.contains(where: \.steersTerminals) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { $0.steersTerminals ? "?" : $0 }))
    }
}

extension Unicode.Scalar {
    fileprivate var steersTerminals: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: true
        default: false
        }
    }
}
