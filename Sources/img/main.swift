// img: the program on the workstation. Words are translated, parsed, and one command runs.
internal import ArgumentParser
internal import Imaging
internal import Linux

let words = Array(CommandLine.arguments.dropFirst())
if let status = runHiddenService(words) { ThisProcess.exit(status) }
if words.isEmpty { ThisProcess.exit(menu()) }

do {
    let arguments = try Grammar.translate(words)
    var command = try Img.parseAsRoot(arguments)
    try command.run()
    // Figures that nobody got are no success.
    if let failure = Console.outputFailure { throw failure }
} catch let error as UsageError {
    Console.error("img: \(error)")
    ThisProcess.exit(2)
} catch {
    ThisProcess.exit(report(error))
}

/// Shows the menu and gives the exit status; where there is no terminal, wrong usage with the help on standard error.
func menu() -> Int32 {
    guard Console.isTerminal, Console.isInputTerminal else {
        Console.error("img: img alone shows the menu, which needs a terminal\n\n\(Img.helpMessage())")
        return 2
    }
    do {
        try Menu.run()
        return 0
    } catch {
        Console.error("img: \(error)")
        return 1
    }
}

/// Prints what an error has to say and gives the exit status: 0 for help, 2 for usage, a command's own, else 1.
func report(_ error: any Error) -> Int32 {
    if let status = error as? ExitCode, status.rawValue > 2 { return status.rawValue }
    let code = Img.exitCode(for: error)
    if code == .success {
        Console.print(Img.fullMessage(for: error))
        return 0
    }
    if code == .validationFailure {
        Console.error("img: " + Img.message(for: error))
        return 2
    }
    // A command that has said everything itself.
    if error is ExitCode { return code.rawValue }
    Console.error("img: \(error)")
    return 1
}
