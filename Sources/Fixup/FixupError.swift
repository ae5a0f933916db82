// The one error of this target.

/// Why something cannot be made bootable, in one sentence that names the disk or file.
package struct FixupError: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
