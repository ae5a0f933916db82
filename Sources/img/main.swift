// img: the program on the workstation. Words are translated, parsed, and one command runs.
internal import ArgumentParser
internal import Imaging
internal import Linux

let words = Array(CommandLine.arguments.dropFirst())
if let status = runHiddenService(words) { ThisProcess.exit(status) }

do {
    let arguments = try Grammar.translate(words)
    var command = try Img.parseAsRoot(arguments)
    try command.run()
} catch let error as UsageError {
    Console.error("img: \(error)")
    ThisProcess.exit(2)
} catch {
    ThisProcess.exit(report(error))
}

/// Prints what an error has to say and gives the exit status: 0 for help, 2 for usage, 1 for everything else.
func report(_ error: any Error) -> Int32 {
    let code = Img.exitCode(for: error)
    if code == .success {
        Console.print(Img.fullMessage(for: error))
        return 0
    }
    if code == .validationFailure {
        Console.error("img: " + Img.message(for: error))
        return 2
    }
    if !(error is ExitCode) { Console.error("img: \(error)") }
    return 1
}
