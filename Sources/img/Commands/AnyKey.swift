// A key that somebody may press while an unattended command waits: at the terminal, or at one of the boot media's consoles.
internal import Linux
internal import Synchronization

/// Waits for keys; without a terminal and without a directory nobody can press one, and waiting is only waiting.
///
/// The boot media's consoles read keys themselves while the file `question` exists, and leave the first one as `answer`
/// (initrd/root/usr/lib/img/console).
final class AnyKey: Sendable {
    private let directory: String?
    private let isCancelled = Atomic(false)
    private let isWaiting = Atomic(false)

    /// How soon an answer or a cancellation is noticed, in nanoseconds.
    private static let attention: UInt64 = 100_000_000

    init(directory: String?) { self.directory = directory }

    /// Whether somebody could press a key.
    var isThere: Bool { directory != nil || Keyboard.isThere }

    /// What somebody at the terminal can do now.
    var hint: String {
        isWaiting.load(ordering: .relaxed) && directory == nil && isThere ? "press a key for a prompt" : ""
    }

    /// Ends the wait that goes on and all later ones.
    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    /// Waits for a key so many nanoseconds, nil: for ever; true when there was one.
    func wait(_ question: String, nanoseconds: UInt64?) throws -> Bool {
        let deadline = nanoseconds.map { MonotonicClock.now() + $0 }
        isWaiting.store(true, ordering: .relaxed)
        defer { isWaiting.store(false, ordering: .relaxed) }
        if let directory { return try wait(question, directory, deadline) }
        let isPressed = Pressed()
        let keyboard = try Keyboard { _ in isPressed.now.store(true, ordering: .relaxed) }
        defer { keyboard?.end() }
        return attend(deadline) { isPressed.now.load(ordering: .relaxed) }
    }

    private func wait(_ question: String, _ directory: String, _ deadline: UInt64?) throws -> Bool {
        let (asked, answered) = ("\(directory)/question", "\(directory)/answer")
        let tree = try ConfinedTree(directory)
        try? tree.remove("answer")
        let file = try Descriptor(opening: asked, [.writeOnly, .create, .truncate])
        try file.write(Array("\(question)\n".utf8), at: 0)
        try file.close()
        defer {
            try? tree.remove("question")
            try? tree.remove("answer")
        }
        return attend(deadline) { FileTree.exists(answered) }
    }

    private func attend(_ deadline: UInt64?, _ isPressed: () -> Bool) -> Bool {
        while !isCancelled.load(ordering: .relaxed) {
            if isPressed() { return true }
            let now = MonotonicClock.now()
            guard deadline.map({ now < $0 }) ?? true else { return false }
            MonotonicClock.sleep(
                nanoseconds: min(AnyKey.attention, deadline.map { $0 - now } ?? AnyKey.attention))
        }
        return false
    }
}

private final class Pressed: Sendable {
    let now = Atomic(false)
}
