// Digests, GUIDs and sizes as text.
import Blocks
import TestSupport
import Testing

@Suite struct DigestTests {
    /// The examples of FIPS 180-4 (NIST's "SHA256.pdf" and the long message of 180-2).
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            String(repeating: "a", count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ])
    func isSHA256(text: String, expected: String) {
        #expect(Digest.of(Array(text.utf8)).description == expected)
    }

    @Test func growsPieceByPiece() {
        var random = SeededRandom(seed: 2)
        let bytes = random.bytes(1000)
        var hasher = DigestHasher()
        var offset = 0
        while offset < bytes.count {
            let count = min(Int.random(in: 0...100, using: &random), bytes.count - offset)
            hasher.update(Array(bytes[offset..<offset + count]))
            offset += count
            #expect(hasher.finish() == Digest.of(Array(bytes[..<offset])))
        }
    }

    @Test func survivesBytes() throws {
        let digest = Digest.of(Array("abc".utf8))
        #expect(Digest(digest.bytes) == digest)
        let padded: [UInt8] = [0] + digest.bytes
        let read = try padded.withBytes { span throws(DecodeError) in
            var offset = 1
            return try Digest(from: span, at: &offset)
        }
        #expect(read == digest)
        #expect(throws: DecodeError.truncated("a SHA-256 value")) {
            try padded.withBytes { span throws(DecodeError) in
                var offset = 2
                return try Digest(from: span, at: &offset)
            }
        }
    }

    @Test func everyByteCounts() {
        let bytes = Digest.of([1]).bytes
        for index in bytes.indices {
            var other = bytes
            other[index] ^= 1
            #expect(Digest(other) != Digest(bytes))
        }
    }
}

@Suite struct GUIDTests {
    @Test func readsAndWritesText() throws {
        let text = "00112233-4455-6677-8899-aabbccddeeff"
        let id = try #require(GUID(text))
        #expect(id.description == text)
        #expect(id.bytes == (0..<16).map { $0 * 0x11 })
        #expect(GUID(id.bytes) == id)
        #expect(GUID(text.uppercased()) == id)
    }

    @Test(arguments: [
        "", "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0", "+0112233-4455-6677-8899-aabbccddeeff",
        "g0112233-4455-6677-8899-aabbccddeeff", "００112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff ", "0011223-34455-6677-8899-aabbccddeeff",
    ])
    func refuses(text: String) { #expect(GUID(text) == nil) }

    @Test func marksRandomOnesAsVersion4() {
        let ones = GUID(random: [UInt8](repeating: 0xff, count: 16))
        let zeros = GUID(random: [UInt8](repeating: 0, count: 16))
        #expect(ones.description == "ffffffff-ffff-4fff-bfff-ffffffffffff")
        #expect(zeros.description == "00000000-0000-4000-8000-000000000000")
    }
}

@Suite struct UnitTests {
    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (4_190_000, "4.19 MB"), (9_994_999, "9.99 MB"),
            (9_995_001, "10.0 MB"), (99_950_000, "100 MB"), (999_499_999, "999 MB"), (999_500_000, "1.00 GB"),
            (500_107_862_016, "500 GB"), (UInt64.max, "18.4 EB"),
        ] as [(UInt64, String)])
    func readsLikeADiskLabel(bytes: UInt64, text: String) { #expect(bytes.asBytes == text) }

    @Test func writesDecimals() {
        #expect(1.005.fixed(1) == "1.0")
        #expect((-1.25).fixed(2) == "-1.25")
        #expect((-0.001).fixed(2) == "0.00")
        #expect(12.0.fixed(0) == "12")
        #expect(0.000001.fixed(6) == "0.000001")
        #expect(Double.nan.fixed(2) == "?")
        #expect((1e300).fixed(2) == "?")
        #expect(Double.infinity.withThreeDigits == "?")
        #expect(0.05.withThreeDigits == "0.05")
        #expect((-125.4).withThreeDigits == "-125")
    }
}

@Suite struct ScreenTextTests {
    @Test func nothingMovesTheCursor() {
        #expect("pc7 \u{1B}[2J\r\nä 日本".onScreen == "pc7 ?[2J??ä 日本")
        // Right-to-left override, zero-width joiner, line separator.
        #expect("a\u{202E}b\u{200D}c\u{2028}d".onScreen == "a?b?c?d")
        #expect("".onScreen.isEmpty)
        #expect("/dev/sda is too small".onScreen == "/dev/sda is too small")
    }
}
