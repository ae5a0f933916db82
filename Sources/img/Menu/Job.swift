// Work that goes on while the menu shows it: on a thread of its own, ended only by its own means.
internal import Imaging
internal import Linux
internal import Synchronization

/// Something that runs on its own thread; asked for its result, never waited for.
final class Job<Value: Sendable>: Sendable {
    private final class Box: Sendable {
        let result = Mutex<Result<Value, any Error>?>(nil)
    }

    private let box = Box()
    private let thread: Thread<Void>

    /// Starts `body` on a thread called `name`.
    init(_ name: String, _ body: @escaping @Sendable () throws -> Value) {
        let box = box
        thread = Thread(name) {
            let result = Result { try body() }
            box.result.withLock { $0 = result }
        }
    }

    /// What `body` returned or threw; nil while it runs.
    var result: Result<Value, any Error>? { box.result.withLock { $0 } }
}

/// A job that failed, with all that went wrong on the way: a disk that is left empty above all.
struct JobFailure: Error {
    let text: String
    let problems: [String]
}

/// How a job is ended before its time.
struct Cancellation {
    /// What is asked before; nil asks nothing.
    let question: [String]?
    /// Tells the job to end; it then throws the sentence that it is given.
    let cancel: @Sendable (String) -> Void
}

/// The sentences of a job for a window: the last ones.
final class Notices {
    private let inbox: ProgressInbox
    private(set) var lines: [String] = []
    /// Every warning and error so far, for the page that tells how it ended.
    private(set) var problems: [String] = []

    init(_ progress: Progress) { inbox = progress.inbox() }

    /// Takes what has come in the meantime.
    func update() {
        for event in inbox.wait(until: 0).events {
            switch event {
            case .notice(let text): lines.append(text)
            case .warning(let text), .error(let text):
                lines.append(text)
                problems.append(text)
            case .report, .finished, .failed: continue
            }
        }
        lines = lines.suffix(Notices.kept)
    }

    /// What `error`, with which the job ended, is to be told as: with every warning and error that came before.
    func failure(_ error: any Error) -> any Error {
        if error is MenuInterruption || error is MenuError { return error }
        update()
        let text = "\(error)"
        return JobFailure(text: text, problems: problems.filter { $0 != text })
    }

    deinit { inbox.close() }

    private static let kept = 100
}

extension Screen {
    /// The reason that a job is given when the person ends it.
    static let cancelled = "cancelled"

    /// Runs `body` and shows how it goes until it has ended, whatever the person does meanwhile.
    ///
    /// - Parameters:
    ///   - frame: The window; asked again and again, so that a job can go from one to the next.
    ///   - cancellation: How the job is ended: by the last button, Escape, or a signal.
    ///   - pressed: Called for the other buttons, counted from 0.
    ///   - content: What the window shows now.
    ///   - body: The job.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws; `MenuInterruption` when a signal asked the program to end, after `body` has
    ///   ended.
    func run<Value: Sendable>(
        _ frame: () -> LiveFrame, _ cancellation: Cancellation, pressed: (Int) -> Void = { _ in },
        showing content: () -> LiveContent, _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        let job = Job("job", body)
        var isEnding = false
        func end(_ reason: String) {
            isEnding = true
            cancellation.cancel(reason)
        }
        while job.result == nil {
            do {
                let shown = frame()
                var titled = shown
                if isEnding { titled.title += ": ending" }
                let happened = try watch(titled) {
                    job.result == nil && frame() == shown ? content() : nil
                }
                switch happened {
                case .over: break
                case .interrupted: end(interruption ?? Screen.cancelled)
                // Cancel is the last button; the others are the caller's.
                case .button(let index) where index < shown.buttons.count - 1: pressed(index)
                case .button, .escaped:
                    guard !isEnding else { continue }
                    if let question = cancellation.question,
                        try !confirm(shown.title, question, "Yes, end it")
                    {
                        continue
                    }
                    end(Screen.cancelled)
                }
            } catch {
                // Nothing may go on behind a terminal that is gone, or a program that is to end.
                end(interruption ?? "\(error)")
                while job.result == nil { MonotonicClock.sleep(nanoseconds: 50_000_000) }
                throw error
            }
        }
        if let interruption { throw MenuInterruption(description: interruption) }
        guard let result = job.result else { preconditionFailure("a job ended without a result") }
        return try result.get()
    }

    /// Runs something that takes a moment and has no figures.
    func wait<Value: Sendable>(
        _ title: String, _ progress: Progress, cancel: @escaping @Sendable (String) -> Void,
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        let notices = Notices(progress)
        return try run(
            { LiveFrame(title: title, lineCount: 2, hasBar: false) },
            Cancellation(question: nil, cancel: cancel),
            showing: {
                notices.update()
                return LiveContent(lines: notices.lines.suffix(1))
            }, body)
    }

    /// Tells an error in a window; a job that the person ended needs no more than that.
    func tell(_ error: any Error) throws {
        if let error = error as? MenuInterruption { throw error }
        if let error = error as? MenuError { throw error }
        let failure = error as? JobFailure ?? JobFailure(text: "\(error)", problems: [])
        try show(
            failure.text == Screen.cancelled ? "Cancelled" : "Error",
            [failure.text] + (failure.problems.isEmpty ? [] : [""] + failure.problems))
    }
}
