// imgserv: the server's program. Words are translated, parsed, and one command runs.
internal import ArgumentParser
internal import Linux

do {
    let arguments = try ServerGrammar.translate(Array(CommandLine.arguments.dropFirst()))
    var command = try Imgserv.parseAsRoot(arguments)
    try command.run()
    // Figures that nobody got are no success.
    if let failure = Console.outputFailure { throw failure }
} catch let error as ServerUsageError {
    Console.error("imgserv: \(error)")
    ThisProcess.exit(2)
} catch {
    ThisProcess.exit(report(error))
}

/// Prints what an error has to say and gives the exit status: 0 for help, 2 for usage, 1 for everything else.
func report(_ error: any Error) -> Int32 {
    let code = Imgserv.exitCode(for: error)
    if code == .success {
        Console.print(Imgserv.fullMessage(for: error))
        return 0
    }
    if code == .validationFailure {
        Console.error("imgserv: " + Imgserv.message(for: error))
        return 2
    }
    if !(error is ExitCode) { Console.error("imgserv: \(error)") }
    return 1
}
