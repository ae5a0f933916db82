// Text that came by the network, made safe for a terminal.

extension String {
    /// The text without control characters: a participant's name must not move the host's cursor.
    package var onScreen: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: "?"
                    default: scalar
                    }
                }))
    }
}
