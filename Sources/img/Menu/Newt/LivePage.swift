// A window that changes by itself while the person watches: figures, a bar, a table.

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

    /// Shows `content` as it changes until it is nil, or the person does something.
    ///
    /// - Parameters:
    ///   - title: The window's title.
    ///   - lineCount: Lines above the bar.
    ///   - hasBar: Whether there is a bar.
    ///   - tableHeight: Rows of the table, its head not counted; 0 for none. Longer tables scroll.
    ///   - buttons: From left to right; the first has the focus.
    ///   - content: Asked five times a second.
    func watch(
        _ title: String, lineCount: Int, hasBar: Bool, tableHeight: Int = 0, buttons: [String],
        _ content: () -> LiveContent?
    ) throws -> LiveEnd {
        try window { open in
            guard let first = content() else { return .done(.over) }
            let rest = room.height - lineCount - (hasBar ? 2 : 0) - 2 - (tableHeight > 0 ? 2 : 0)
            let rows = max(0, min(tableHeight, rest))
            let height = lineCount + (hasBar ? 2 : 0) + (tableHeight > 0 ? rows + 2 : 0) + 2
            let form = try open(title, room.width, min(height, room.height))
            let shown = ShownContent(
                form, width: room.width, height: min(height, room.height), lineCount: lineCount, hasBar: hasBar,
                rows: tableHeight > 0 ? rows : nil, buttons: buttons)
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

    init(
        _ form: Form, width: Int, height: Int, lineCount: Int, hasBar: Bool, rows: Int?, buttons: [String]
    ) {
        self.width = width - 2
        // The buttons come first in the order of the focus, wherever they stand.
        let widths = buttons.map(Button.width)
        var left = max(1, (width - widths.reduce(0, +) - 2 * (widths.count - 1)) / 2)
        for (text, own) in zip(buttons, widths) {
            self.buttons.append(Button(form, left: left, top: height - 1, text))
            left += own + 2
        }
        labels = (0..<lineCount).map { Label(form, left: 1, top: $0, "") }
        var top = lineCount
        if hasBar {
            scale = Scale(form, left: 1, top: top, width: width - 2)
            top += 2
        }
        if let rows {
            head = Label(form, left: 1, top: top, "")
            table = Listbox(
                form, left: 1, top: top + 1, width: width - 2, height: max(rows, 1), items: [],
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
    /// The first `width` characters; a longer text ends in "...".
    fileprivate func cut(to width: Int) -> String {
        let text = plain
        return text.utf8.count <= width ? text : text.prefix(max(0, width - 3)) + "..."
    }

    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - utf8.count))
    }
}
