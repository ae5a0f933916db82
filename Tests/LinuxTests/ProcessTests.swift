// Child processes, their descriptors, and messages between processes.
import Linux
import SystemPackage
import Testing

@Suite struct ProcessTests {
    @Test func outputAndStatus() throws {
        let result = try ExternalCommand.run(
            ["sh", "-c", "cat; echo err >&2; exit 3"], input: Array("in".utf8))
        #expect(result.status == 3)
        #expect(result.output == "in")
        #expect(result.errors == "err\n")
        #expect(try ExternalCommand.run(["sh", "-c", "kill -9 $$"]).status == 128 + 9)
        #expect(try ExternalCommand.run(["seq", "100000"], limit: 5).output == "1\n2\n3")
    }

    @Test func missingProgram() {
        let error = #expect(throws: SystemError.self) { try ExternalCommand.run(["/no/such/program"]) }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(error?.description.contains("/no/such/program") == true)
    }

    @Test func childHasOnlyTheDescriptorsItIsGiven() throws {
        let pipe = try Pipe()
        let other = try Descriptor(opening: "/dev/null", .readOnly)
        let child = try ChildProcess(
            "sh",
            [
                "-c", "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done; true",
            ],
            descriptors: [-1, pipe.writer.number, -1, other.number])
        let reader = try pipe.closeWriter()
        let text = String(decoding: try reader.readToEnd(limit: 4096), as: UTF8.self)
        #expect(try child.wait().isSuccess)
        #expect(text == "0\n1\n2\n3\n")
    }

    @Test func killedChild() throws {
        let child = try ChildProcess("sleep", ["1000"])
        #expect(try child.waitIfEnded() == nil)
        child.kill()
        #expect(try child.wait() == .signalled(9))
        #expect(try child.wait() == .signalled(9))
    }

    @Test func messages() throws {
        let ends = try MessageSocket.pair("a test")
        try ends.ours.send([])
        try ends.ours.send([1, 2, 3])
        #expect(try ends.theirs.receive(limit: 10) == [])
        #expect(try ends.theirs.receive(limit: 10) == [1, 2, 3])
        try ends.theirs.send([UInt8](repeating: 7, count: 11))
        #expect(throws: SystemError.self) { try ends.ours.receive(limit: 10) }
    }

    @Test func closedSocketIsTheEnd() throws {
        let ours = try MessageSocket.pair("a test").keepOurs()
        #expect(try ours.receive(limit: 10) == nil)
        #expect(throws: SystemError.self) { try ours.send([1]) }
    }
}
