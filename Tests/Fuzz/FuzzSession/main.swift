// Fuzzes everything a session reads from the network: each input is a datagram, a control stream and a frame.
internal import Blocks
internal import FuzzDriver
internal import SessionProtocol

/// The messages at the start of a control stream that comes in pieces of `size` bytes.
func messages(in stream: [UInt8], pieces size: Int) -> [ControlMessage] {
    var framer = MessageFramer(longestBody: 1 << 20)
    var found: [ControlMessage] = []
    do throws(DecodeError) {
        var offset = 0
        while offset < stream.count {
            let end = min(offset + size, stream.count)
            stream.withBytes(in: offset..<end) { framer.append($0) }
            while let message = try framer.next() { found.append(message) }
            offset = end
        }
    } catch {
        precondition(!error.description.isEmpty)
    }
    return found
}

/// The bytes of a message; nil for ACCEPT, which only a host's key can write.
func encoded(_ message: ControlMessage) -> [UInt8]? {
    switch message {
    case .join(let message): message.encode()
    case .accept: nil
    case .refuse(let message): message.encode()
    case .need(let message): message.encode()
    case .report(let message): message.encode()
    case .chunk(let message): message.encode()
    case .start(let message): message.encode()
    case .notice(let message): message.encode()
    case .done(let message): message.encode()
    case .abort(let message): message.encode()
    case .end(let message): message.encode()
    }
}

/// The messages at the start of a stream of the work plane that comes in pieces of `size` bytes.
func workMessages(in stream: [UInt8], pieces size: Int) -> [WorkMessage] {
    var framer = WorkFramer()
    var found: [WorkMessage] = []
    do throws(DecodeError) {
        for offset in stride(from: 0, to: stream.count, by: size) {
            stream.withBytes(in: offset..<min(offset + size, stream.count)) { framer.append($0) }
            while let message = try framer.next() { found.append(message) }
        }
    } catch {
        precondition(!error.description.isEmpty)
    }
    return found
}

func run() -> Int32 {
    guard let key = PrivateKey(seed: Array(32..<64))?.publicKey else { return 1 }
    let verifier = SealVerifier(session: 1, image: GUID(Array(0..<16)), key: key)
    return fuzz { input in
        input.withBytes { bytes in
            _ = try? SymbolHeader(from: bytes)
            _ = try? Beacon(from: bytes)
            _ = try? SeekMessage(from: bytes)
            _ = try? AnnounceMessage(from: bytes)
            _ = try? verifier.check(bytes, chunk: 300)
        }
        let whole = messages(in: input, pieces: max(1, input.count))
        precondition(whole == messages(in: input, pieces: 7), "the pieces of a stream changed its messages")
        precondition(
            workMessages(in: input, pieces: max(1, input.count)) == workMessages(in: input, pieces: 7),
            "the pieces of a stream changed its messages")
        for message in whole {
            guard let again = encoded(message) else { continue }
            precondition(
                messages(in: again, pieces: again.count) == [message], "a message changed its meaning")
        }
    }
}

_ = run()
