// A window that changes by itself while the person watches: figures, a bar, a table.

/// What does not change in a live window.
struct LiveFrame: Equatable {
    var title: String
    /// Lines above the bar.
    var lineCount: Int
    var hasBar = true
    /// Rows of the table, its head not counted, 0 for none; longer tables scroll.
    var tableHeight = 0
    /// From left to right; the first has the focus.
    var buttons = ["Cancel"]
}

/// What a live window shows at one moment.
struct LiveContent {
    /// One line each; as many as the window has room for.
    var lines: [String] = []
    /// How far the bar is, 0 to 1; nil leaves it empty.
    var fraction: Double?
    /// The first row is the table's head.
    var table: [String] = []
}

extension Screen {
    /// How a live window ended.
    enum LiveEnd: Equatable {
        /// What was watched is over.
        case over
        /// A button, from 0.
        case button(Int)
        case escaped
        /// A signal asks the program to end: what is running is to be ended.
        case interrupted
    }

    /// Shows `content`, asked five times a second, until it is nil or the person does something; says which.
    func watch(_ frame: LiveFrame, _ content: () -> LiveContent?) throws -> LiveEnd {
        try window { open in
            guard let first = content() else { return .done(.over) }
            let hasTable = frame.tableHeight > 0
            let fixed = frame.lineCount + (frame.hasBar ? 2 : 0) + (hasTable ? 2 : 0) + 2
            let rows = max(1, min(frame.tableHeight, room.height - fixed))
            let height = min(fixed + (hasTable ? rows : 0), room.height)
            let form = try open(frame.title, room.width, height)
            let shown = ShownContent(frame, form, width: room.width, height: height, rows: rows)
            shown.show(first)
            while true {
                switch try happening(in: form) {
                case .tick:
                    guard let now = content() else { return .done(.over) }
                    shown.show(now)
                case .escaped: return .done(.escaped)
                case .pressed(let id): return .done(.button(shown.button(id)))
                case .resized: return .resized
                case .interrupted: return .done(.interrupted)
                }
            }
        }
    }
}

/// A live window's parts.
private struct ShownContent {
    private let width: Int
    private var labels: [Label] = []
    private var scale: Scale?
    private var head: Label?
    private var table: Listbox?
    private var buttons: [Button] = []

    init(_ frame: LiveFrame, _ form: Form, width: Int, height: Int, rows: Int) {
        self.width = width - 2
        // The buttons come first in the order of the focus, wherever they stand.
        let widths = frame.buttons.map(Button.width)
        var left = max(1, (width - widths.reduce(0, +) - 2 * (widths.count - 1)) / 2)
        for (text, own) in zip(frame.buttons, widths) {
            buttons.append(Button(form, left: left, top: height - 1, text))
            left += own + 2
        }
        labels = (0..<frame.lineCount).map { Label(form, left: 1, top: $0, "") }
        var top = frame.lineCount
        if frame.hasBar {
            scale = Scale(form, left: 1, top: top, width: width - 2)
            top += 2
        }
        if frame.tableHeight > 0 {
            head = Label(form, left: 1, top: top, "")
            table = Listbox(
                form, left: 1, top: top + 1, width: width - 2, height: rows, items: [],
                choosesByEnter: false)
        }
    }

    func show(_ content: LiveContent) {
        for (index, label) in labels.enumerated() {
            let text = content.lines.indices.contains(index) ? content.lines[index] : ""
            label.set(text.cut(to: width).padded(to: width))
        }
        scale?.set(content.fraction ?? 0)
        head?.set((content.table.first ?? "").cut(to: width).padded(to: width))
        table?.set(content.table.dropFirst().map { $0.cut(to: width - 2) })
    }

    func button(_ id: Int) -> Int { buttons.firstIndex { $0.id == id } ?? 0 }
}

extension String {
    /// One line of at most `width` characters; a longer text ends in "...".
    fileprivate func cut(to width: Int) -> String {
        let text = plain.split(separator: "\n").joined(separator: " ")
        return text.utf8.count <= width ? text : text.prefix(max(0, width - 3)) + "..."
    }

    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - utf8.count))
    }
}
