// The thread that gets frames for the host: reading a disk must not hold up the network.
internal import Linux
internal import Synchronization

/// Where a host gets the frames of its image from; called from one thread at a time.
package protocol FrameProvider: Sendable {
    /// The frame of `chunk`: prefix, header and payload, without a seal.
    ///
    /// With room for 64 bytes more reserved it is not copied again.
    func frame(chunk: UInt32) throws -> [UInt8]
}

/// Loads frames in the order they were asked for.
final class FrameLoader: Sendable {
    /// What became of one request.
    enum Answer: Sendable {
        case loaded(UInt32, [UInt8])
        case failed(UInt32, String)
    }

    /// More requests than any host machine has under way.
    private static let capacity = 1024

    private let requests = BoundedQueue<UInt32>(capacity: FrameLoader.capacity)
    private let answers: Answers
    private let thread: Thread<Void>

    private final class Answers: Sendable {
        let list = Mutex<[Answer]>([])
    }

    /// Starts the thread, which signals `wakeup` whenever there is an answer.
    init(_ provider: any FrameProvider, waking wakeup: Wakeup) {
        let requests = self.requests
        let answers = Answers()
        self.answers = answers
        thread = Thread("load-frames") {
            while let chunk = requests.take() {
                let answer: Answer
                do { answer = .loaded(chunk, try provider.frame(chunk: chunk)) } catch {
                    answer = .failed(chunk, "\(error)")
                }
                answers.list.withLock { $0.append(answer) }
                wakeup.signal()
            }
        }
    }

    /// Asks for a frame.
    func load(_ chunk: UInt32) { _ = requests.put(chunk) }

    /// Takes the answers so far.
    func takeAnswers() -> [Answer] {
        answers.list.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// Lets the thread finish what it is reading and waits for its end.
    func stop() {
        requests.close()
        while requests.takeIfAvailable() != nil {}
        try? thread.join()
    }
}
