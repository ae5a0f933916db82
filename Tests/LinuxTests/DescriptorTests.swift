// Owned descriptors: reading, writing, sizes, errors of closing.
import Linux
import SystemPackage
import TestSupport
import Testing

@Suite struct DescriptorTests {
    /// A file without a name (O_TMPFILE), gone when it is closed.
    private static func unnamedFile() throws(SystemError) -> Descriptor {
        try Descriptor(opening: "/tmp", [.readWrite, Descriptor.Options(rawValue: 0o20200000)])
    }

    @Test func readsBackWhatItWrote() throws {
        let file = try Self.unnamedFile()
        var random = SeededRandom(seed: 3)
        let bytes = random.bytes(10_000)
        try file.write(bytes, at: 5)
        #expect(try file.size() == 10_005)
        #expect(try file.read(10_000, at: 5) == bytes)
        #expect(try file.read(5, at: 0) == [0, 0, 0, 0, 0])
        try file.synchronize()
        try file.close()
    }

    @Test func saysWhereAFileEnds() throws {
        let file = try Self.unnamedFile()
        try file.write([1, 2, 3], at: 0)
        let error = #expect(throws: SystemError.self) { try file.read(4, at: 1) }
        // A disk that was pulled out has no bad sectors: its end is not to be taken for zeros.
        #expect(error?.errno == .noSuchAddressOrDevice && error?.isMediumError == false)
        #expect(error?.description.hasPrefix("cannot read 4 bytes at 1 of /tmp: it ends after 2: ") == true)
        let count = try unsafe withUnsafeTemporaryAllocation(byteCount: 8, alignment: 1) { buffer in
            try unsafe file.read(buffer, at: 2)
        }
        #expect(count == 1)
        #expect(try file.read(0, at: 100) == [])
        try file.close()
    }

    @Test func saysWhatItCouldNotOpen() {
        let error = #expect(throws: SystemError.self) {
            _ = try Descriptor(opening: "/nonexistent/file", .readOnly)
        }
        #expect(error?.description == "cannot open /nonexistent/file: No such file or directory")
        let refusal = #expect(throws: SystemError.self) {
            _ = try Descriptor(opening: "/proc/x", [.create, .writeOnly])
        }
        #expect(refusal?.operation == "create /proc/x")
    }

    @Test func reportsThatClosingFailed() {
        let descriptor = Descriptor(owning: 1_000_000_000, name: "the disk")
        do throws(SystemError) {
            try descriptor.close()
            Issue.record("closing a number that is not open succeeded")
        } catch { #expect(error.description == "cannot close the disk: Bad file descriptor") }
    }

    @Test func reportsThatWritingFailed() throws {
        let full = try Descriptor(opening: "/dev/full", .readWrite)
        let error = #expect(throws: SystemError.self) { try full.write([1], at: 0) }
        #expect(error?.description == "cannot write /dev/full at 0: No space left on device")
        try full.close()
    }

    @Test func isClosedByItsEnd() throws {
        var number: Int32 = -1
        do {
            let file = try Self.unnamedFile()
            number = file.number
            // A copy shares the open file; both see the same bytes.
            let copy = try file.duplicate()
            try copy.write([7], at: 0)
            #expect(try file.read(1, at: 0) == [7])
            #expect(copy.number != file.number)
            try copy.close()
        }
        // Another test may have got the number since; what it must not be is our file of one byte.
        let again = try? Descriptor(opening: "/proc/self/fd/\(number)", .readOnly)
        #expect(try again?.size() != 1)
    }

    @Test func isClosedOnExec() throws {
        let file = try Self.unnamedFile()
        let info = try Descriptor(opening: "/proc/self/fdinfo/\(file.number)", .readOnly)
        let text = try unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
            let count = try unsafe info.read(buffer, at: 0)
            return unsafe String(decoding: buffer[..<count], as: UTF8.self)
        }
        let flags = text.split(separator: "\n").first { $0.hasPrefix("flags:") }
        let value = try #require(flags.flatMap { Int($0.dropFirst(6).drop { $0 == "\t" }, radix: 8) })
        #expect(value & 0o2000000 != 0, "O_CLOEXEC is missing from \(text)")
    }

    @Test func readsTheErrnoOfTheCall() throws {
        #expect(try systemCall("try") { () -> Int32 in 0 } == 0)
        let error = #expect(throws: SystemError.self) {
            try systemCall("try \("hard")") { () -> Int32 in
                // Leaves EBADF in errno, as the failing call it is.
                try? FileDescriptor(rawValue: -1).close()
                return -1
            }
        }
        #expect(error?.description == "cannot try hard: Bad file descriptor")
    }
}
