// The program at the machine whose disks are imaged.
internal import Imaging

if let status = runHiddenService(Array(CommandLine.arguments.dropFirst())) { exitProgram(status) }
print("img")
