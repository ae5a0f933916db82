// The terminal while the menu has it: taken once, and given back however the program ends.
internal import CNewt
internal import Linux

/// Why the menu cannot go on.
struct MenuError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A signal asked the program to end; whatever was running has ended.
struct MenuInterruption: Error, CustomStringConvertible {
    let description: String
}

/// The whole screen; one at a time, used by one thread.
///
/// One window is open at a time, so that a terminal that changes its size is simply drawn anew.
final class Screen {
    /// Below this nothing that the menu shows would be readable.
    private static let smallest = (columns: 40, rows: 12)
    /// How often a changed size is looked for, in milliseconds.
    static let tick = 200

    private let title: String
    private let help: String
    private let wakeup: Wakeup
    private var isOpen = false
    private var size: (columns: Int, rows: Int)?
    /// What asked the program to end: "interrupted by SIGTERM".
    private(set) var interruption: String?

    /// Takes the terminal; `title` stands at the top, `help` in the last line.
    ///
    /// - Throws: `MenuError` in one sentence where standard input and output are no terminal the menu can use.
    init(title: String, help: String) throws {
        self.title = title
        self.help = help
        guard Console.isTerminal, Console.isInputTerminal else {
            throw MenuError("the menu needs a terminal; 'img help' lists the commands")
        }
        guard let kind = environmentVariable("TERM"), !kind.isEmpty, kind != "dumb" else {
            throw MenuError(
                "the menu needs a terminal that can place its cursor: set TERM, as to linux or vt100")
        }
        wakeup = try Wakeup()
        cnewt_remember_terminal()
        try open()
        cnewt_guard_crashes()
        try TerminationSignals.catchThem(waking: wakeup)
    }

    deinit { close() }

    /// Gives the terminal back as it was; later calls do nothing.
    func close() {
        guard isOpen else { return }
        isOpen = false
        newtFinished()
        cnewt_unguard()
    }

    private func open() throws {
        guard newtInit() == 0 else { throw MenuError("the terminal cannot be set up for the menu") }
        isOpen = true
        size = Console.size
        newtCls()
        unsafe newtDrawRootText(0, 0, title.plain)
        unsafe newtPushHelpLine(help.plain)
    }

    /// Columns and rows as newt draws them.
    private var extent: (columns: Int, rows: Int) {
        var columns: Int32 = 0
        var rows: Int32 = 0
        unsafe newtGetScreenSize(&columns, &rows)
        return (max(Int(columns), Screen.smallest.columns), max(Int(rows), Screen.smallest.rows))
    }

    /// Room for the inside of a window: borders, its shadow, the title and the help line taken off.
    var room: (width: Int, height: Int) {
        let extent = extent
        return (min(extent.columns - 6, 76), extent.rows - 5)
    }

    /// Draws everything anew if the terminal has another size by now; the window must be closed.
    private func adapt() throws {
        newtFinished()
        isOpen = false
        try open()
    }

    /// What `body` of a window came to.
    enum Outcome<R> {
        case done(R)
        /// The terminal has another size: everything is to be laid out again.
        case resized
    }

    /// Opens a window of an inside of `width` by `height`, calls `body`, and closes it; again while `body` says that
    /// the terminal was resized.
    func window<R>(
        _ body: (_ open: (_ title: String, _ width: Int, _ height: Int) throws -> Form) throws -> Outcome<R>
    )
        throws -> R
    {
        while true {
            var opened: Form?
            let outcome = Result {
                try body { title, width, height in
                    let extent = extent
                    let form = try Form(
                        left: max(2, (extent.columns - width) / 2), top: max(2, (extent.rows - height) / 2),
                        width: width, height: height, title: title)
                    opened = form
                    return form
                }
            }
            opened?.close()
            switch try outcome.get() {
            case .done(let value): return value
            case .resized: try adapt()
            }
        }
    }

    /// What happened in a window, after the screen has looked at it.
    enum Happening {
        case pressed(Int)
        case escaped
        case tick
        case resized
        /// A signal asks the program to end: told once, `interruption` names it.
        case interrupted
    }

    /// Lets the person work in `form` until something happens, a fifth of a second at most.
    func happening(in form: Form) throws -> Happening {
        switch form.run(ticking: Screen.tick, watching: wakeup.number) {
        case .pressed(let id): return .pressed(id)
        case .escaped: return .escaped
        case .lost: throw MenuError("the terminal is gone")
        case .woken:
            wakeup.clear()
            interruption = "interrupted by \(TerminationSignals.received ?? "a signal")"
            // The next signal of that kind ends the process at once, but not without restoring the terminal.
            cnewt_guard_termination()
            return .interrupted
        case .tick:
            let now = Console.size
            guard let now, let size, now != size else { return .tick }
            return .resized
        }
    }
}
