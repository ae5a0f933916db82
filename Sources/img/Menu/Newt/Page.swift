// A window that shows something and asks something, described by its content; the layout is found here.

/// One window with a text, fields and buttons.
struct Page {
    /// Something to fill in or to choose.
    enum Field {
        /// Lines of which one is chosen by Enter, which also ends the page.
        case list([String], current: Int = 0)
        /// A line to type into.
        case entry(String, String)
        /// Lines of which exactly one is chosen.
        case choice([String], selected: Int)
        /// A box to tick.
        case box(String, Bool)
        /// A line of text above other fields.
        case heading(String)
    }

    var title: String
    /// Shown above the fields; lines are wrapped, and scroll where the screen has no room for all.
    var text: [String] = []
    var fields: [Field] = []
    /// From left to right; the first has the focus where there is nothing else.
    var buttons: [String]
}

extension Page.Field {
    /// What was typed; "" for everything that is not typed.
    var text: String { if case .entry(_, let value) = self { value } else { "" } }

    /// Which line was chosen, from 0.
    var index: Int {
        switch self {
        case .list(_, let current): current
        case .choice(_, let selected): selected
        case .entry, .box, .heading: 0
        }
    }

    var isOn: Bool { if case .box(_, let isOn) = self { isOn } else { false } }

    fileprivate var height: Int {
        switch self {
        case .list(let items, _): items.count
        case .choice(let options, _): options.count
        case .entry, .box, .heading: 1
        }
    }

    fileprivate var width: Int {
        switch self {
        case .list(let items, _): (items.map(\.plain.utf8.count).max() ?? 0) + 3
        case .choice(let options, _): (options.map(\.plain.utf8.count).max() ?? 0) + 4
        case .entry(let label, _): label.plain.utf8.count + 2 + Page.shortestEntry
        case .box(let text, _): text.plain.utf8.count + 4
        case .heading(let text): text.plain.utf8.count
        }
    }

    fileprivate var isEntry: Bool { if case .entry = self { true } else { false } }
}

extension Page {
    fileprivate static let shortestEntry = 40
    fileprivate static let leastList = 4
    fileprivate static let leastText = 4

    /// What the person did.
    struct Answer {
        /// Which button, from 0, nil for Escape; choosing in a list counts as the first one.
        let button: Int?
        /// The fields of the page with what was filled in.
        let fields: [Field]
    }
}

extension Screen {
    /// Shows a page until it is answered.
    ///
    /// - Throws: `MenuInterruption` when a signal asks the program to end.
    func ask(_ page: Page) throws -> Page.Answer {
        var page = page
        return try window { open in
            let layout = Layout(page, room: room)
            let form = try open(page.title, layout.width, layout.height)
            let shown = ShownPage(page, layout, form)
            while true {
                switch try happening(in: form) {
                case .tick: continue
                case .escaped: return .done(Page.Answer(button: nil, fields: shown.filled(page.fields)))
                case .pressed(let id):
                    return .done(Page.Answer(button: shown.button(id), fields: shown.filled(page.fields)))
                case .resized:
                    page.fields = shown.filled(page.fields)
                    return .resized
                case .interrupted: throw MenuInterruption(description: interruption ?? "interrupted")
                }
            }
        }
    }

    /// Shows lines of text until the person has read them.
    func show(_ title: String, _ lines: [String]) throws {
        _ = try ask(Page(title: title, text: lines, buttons: ["OK"]))
    }

    /// Asks whether to do something that cannot be undone; the answer that is ready to be given is No.
    func confirm(_ title: String, _ lines: [String], _ yes: String) throws -> Bool {
        try ask(Page(title: title, text: lines, buttons: ["No", yes])).button == 1
    }
}

/// Where the parts of a page stand, in characters from the window's inside.
private struct Layout {
    let width: Int
    let height: Int
    let text: [String]
    let textHeight: Int
    /// The height of each list, by field.
    let listHeights: [Int: Int]
    let labelWidth: Int

    /// Columns of a window that an entry, its frame and the gaps need at least.
    private static let leastEntry = 16

    init(_ page: Page, room: (width: Int, height: Int)) {
        let longestLabel =
            page.fields.filter(\.isEntry).map { field in
                if case .entry(let label, _) = field { label.plain.utf8.count + 1 } else { 0 }
            }.max() ?? 0
        // An entry keeps some columns, whatever its label says; newt does not survive a negative width.
        labelWidth = max(0, min(longestLabel, room.width - Layout.leastEntry))
        let buttons = page.buttons.reduce(0) { $0 + Button.width($1) + 2 }
        let wanted =
            ([page.title.plain.utf8.count + 4, buttons, 30] + page.fields.map(\.width)
            + page.text.map(\.plain.utf8.count)).max() ?? 0
        width = min(room.width, wanted + 2)
        // Everything but texts and lists has its size; what is left of the room is theirs.
        let lists = page.fields.indices.filter { if case .list = page.fields[$0] { true } else { false } }
        let fixed = page.fields.indices.reduce(0) { $0 + (lists.contains($1) ? 0 : page.fields[$1].height) }
        let gaps = (page.text.isEmpty || page.fields.isEmpty ? 0 : 1) + 1
        var left = room.height - fixed - gaps - 1
        let needed = lists.reduce(0) { $0 + page.fields[$1].height }
        let forText = max(left - min(needed, lists.count * Page.leastList), Page.leastText)
        let lines = page.text.flatMap { $0.plain.wrapped(to: room.width - 2) }
        // The bar beside a text that scrolls takes two columns.
        text = lines.count <= forText ? lines : page.text.flatMap { $0.plain.wrapped(to: room.width - 4) }
        textHeight = min(text.count, forText)
        left -= textHeight
        var heights: [Int: Int] = [:]
        for index in lists {
            heights[index] = max(1, min(page.fields[index].height, left))
            left -= heights[index] ?? 0
        }
        listHeights = heights
        height = min(room.height, textHeight + fixed + heights.values.reduce(0, +) + gaps + 1)
    }
}

/// A page that is on the screen.
private struct ShownPage {
    private enum Part {
        case list(Listbox)
        case entry(Entry)
        case choice(Radio)
        case box(Checkbox)
        case none
    }

    private var parts: [Part] = []
    private var buttons: [Button] = []

    init(_ page: Page, _ layout: Layout, _ form: Form) {
        var top = 0
        var text: Textbox?
        if !layout.text.isEmpty {
            text = Textbox(
                form, left: 1, top: 0, width: layout.width - 2, height: layout.textHeight, lines: layout.text)
            top = layout.textHeight + (page.fields.isEmpty ? 0 : 1)
        }
        for (index, field) in page.fields.enumerated() {
            switch field {
            case .list(let items, let current):
                let height = layout.listHeights[index] ?? 1
                parts.append(
                    .list(
                        Listbox(
                            form, left: 1, top: top, width: layout.width - 2, height: height, items: items,
                            current: current, choosesByEnter: true)))
                top += height
            case .entry(let label, let value):
                _ = Label(form, left: 1, top: top, String(label.plain.prefix(layout.labelWidth)))
                let left = 1 + layout.labelWidth + 1
                parts.append(
                    .entry(
                        Entry(
                            form, left: left, top: top, width: max(1, layout.width - left - 1), value: value))
                )
                top += 1
            case .choice(let options, let selected):
                parts.append(.choice(Radio(form, left: 1, top: top, options: options, selected: selected)))
                top += options.count
            case .box(let text, let isOn):
                parts.append(.box(Checkbox(form, left: 1, top: top, text, isOn: isOn)))
                top += 1
            case .heading(let text):
                _ = Label(form, left: 1, top: top, text)
                parts.append(.none)
                top += 1
            }
        }
        let widths = page.buttons.map(Button.width)
        var left = max(1, (layout.width - widths.reduce(0, +) - 2 * (widths.count - 1)) / 2)
        for (text, width) in zip(page.buttons, widths) {
            buttons.append(Button(form, left: left, top: layout.height - 1, text))
            left += width + 2
        }
        // A text that scrolls has the focus first otherwise, and Enter does nothing there.
        if page.fields.isEmpty, text != nil, let first = buttons.first { form.focus(first.id) }
    }

    /// Which button has this id; a list counts as the first.
    func button(_ id: Int) -> Int { buttons.firstIndex { $0.id == id } ?? 0 }

    /// The fields with what stands in them now.
    func filled(_ fields: [Page.Field]) -> [Page.Field] {
        zip(fields, parts).map { field, part in
            switch (field, part) {
            case (.list(let items, let current), .list(let list)):
                .list(items, current: list.current ?? current)
            case (.entry(let label, _), .entry(let entry)): .entry(label, entry.value)
            case (.choice(let options, _), .choice(let radio)): .choice(options, selected: radio.selected)
            case (.box(let text, _), .box(let box)): .box(text, box.isOn)
            case (_, _): field
            }
        }
    }
}

extension String {
    /// The text in lines of at most `width` characters, broken at blanks.
    ///
    /// Lines of a list go on indented; sentences, which end with a point or a question mark, do not.
    func wrapped(to width: Int) -> [String] {
        split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
            guard line.count > width else { return [String(line)] }
            let isProse = line.last == "." || line.last == "?"
            let indentation = line.prefix { $0 == " " }.count + (isProse ? 0 : 2)
            let indent = String(repeating: " ", count: min(indentation, width / 2))
            var lines: [String] = []
            var current = String(line.prefix { $0 == " " })
            var isEmpty = true
            for word in line.split(separator: " ") {
                var word = String(word)
                if !isEmpty, current.count + 1 + word.count > width {
                    lines.append(current)
                    current = indent
                    isEmpty = true
                }
                while current.count + word.count + (isEmpty ? 0 : 1) > width {
                    let part = word.prefix(width - current.count)
                    lines.append(current + part)
                    word.removeFirst(part.count)
                    current = indent
                    isEmpty = true
                }
                current += (isEmpty ? "" : " ") + word
                isEmpty = false
            }
            return lines + [current]
        }
    }
}
