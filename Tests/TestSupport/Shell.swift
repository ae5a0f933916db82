// Runs the tools that are not ours, as the authority tests compare with.
package import Linux

/// A tool that did not exit with status 0.
package struct CommandFailure: Error, CustomStringConvertible {
    package let description: String
}

/// Runs a command (searched in PATH) and returns its standard output; any exit status but 0 throws.
@discardableResult
package func run(_ arguments: String..., input: String = "") throws -> String {
    try run(arguments, input: input)
}

/// Runs a command (searched in PATH) and returns its standard output; any exit status but 0 throws.
@discardableResult
package func run(_ arguments: [String], input: String = "") throws -> String {
    var outcome = try runAnyway(arguments, input: input)
    // A child process that another test is just starting holds copies of all descriptors until it runs its
    // program: for that moment a device or mount of ours looks busy.
    let deadline = MonotonicClock.now() + 10_000_000_000
    while outcome.status != 0, outcome.errors.contains("busy"), MonotonicClock.now() < deadline,
        arguments.first == "mount" || arguments.first == "umount"
    {
        MonotonicClock.sleep(nanoseconds: 50_000_000)
        outcome = try runAnyway(arguments, input: input)
    }
    guard outcome.status == 0 else {
        let command = arguments.joined(separator: " ")
        throw CommandFailure(
            description: "\(command): status \(outcome.status): \(outcome.errors)\(outcome.output)")
    }
    return outcome.output
}

/// Runs a command whatever status it ends with.
package func runAnyway(_ arguments: [String], input: String = "") throws -> ExternalCommand.Outcome {
    try ExternalCommand.run(arguments, input: Array(input.utf8))
}
