// The threads that get frames for the host: reading a disk must not hold up the network.
internal import Linux
internal import Synchronization

/// Where a host gets the frames of its image from; called from `concurrency` threads at a time.
package protocol FrameProvider: Sendable {
    /// The frame of `chunk`: prefix, header and payload, without a seal.
    ///
    /// With room for `HostMachine.sealReserve` bytes more reserved it is not copied again. Each chunk is asked for whenever
    /// the host no longer has it in memory, never twice at the same time; a call may take as long as it must.
    ///
    /// - Throws: Why the chunk cannot be had, which ends the session.
    func frame(chunk: UInt32) throws -> [UInt8]

    /// How many frames are got at the same time, 1 to 64; read once, when the session begins.
    ///
    /// The host then asks for as many more ahead, as far as its memory for frames goes.
    var concurrency: Int { get }

    /// No frame is wanted any more: calls under way may end with an error, so that nobody waits for a dying disk.
    func end()
}

extension FrameProvider {
    /// One at a time, as a file is read best.
    package var concurrency: Int { 1 }

    /// A file's reads end soon by themselves.
    package func end() {}
}

/// Loads frames in the order they were asked for; the answers come in any order.
final class FrameLoader: Sendable {
    /// What became of one request.
    enum Answer: Sendable {
        case loaded(UInt32, [UInt8])
        case failed(UInt32, String)
    }

    /// More requests than any host machine has under way.
    private static let capacity = 1024
    private static let mostThreads = 64

    private let requests = BoundedQueue<UInt32>(capacity: FrameLoader.capacity)
    private let answers: Answers
    private let threads: [Thread<Void>]

    private final class Answers: Sendable {
        let list = Mutex<[Answer]>([])
    }

    /// Starts the provider's threads, which signal `wakeup` whenever there is an answer.
    init(_ provider: any FrameProvider, waking wakeup: Wakeup) {
        let requests = self.requests
        let answers = Answers()
        self.answers = answers
        threads = (1...FrameLoader.threads(provider)).map { number in
            Thread("load-\(number)") {
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
    }

    /// How many threads a provider gets.
    static func threads(_ provider: any FrameProvider) -> Int {
        min(max(provider.concurrency, 1), mostThreads)
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

    /// Lets the threads finish what they are reading and waits for their end.
    func stop() {
        requests.close()
        while requests.takeIfAvailable() != nil {}
        for thread in threads { try? thread.join() }
    }
}
