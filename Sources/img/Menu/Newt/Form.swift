// A window of newt with its components: the only file that calls newt's components.
internal import CNewt

/// One open window and what stands in it; owns newt's form, which owns its components.
///
/// Components are used through this object while it is open; a use after `close` is a mistake that traps. Positions
/// and sizes are in characters, from the window's inner left top corner.
@safe final class Form {
    /// Why `run` returned.
    enum Event: Equatable {
        /// A button or list was chosen: its `id`.
        case pressed(Int)
        /// Escape or Ctrl-C.
        case escaped
        /// The time asked for has passed.
        case tick
        /// The watched descriptor is readable.
        case woken
        /// The terminal is gone.
        case lost
    }

    private var form: newtComponent?
    private var components: [newtComponent] = unsafe []

    /// Opens a window at `left`, `top` of the screen; throws where newt has no room for one more.
    init(left: Int, top: Int, width: Int, height: Int, title: String) throws {
        guard unsafe newtOpenWindow(Int32(left), Int32(top), UInt32(width), UInt32(height), title.plain) == 0,
            let form = unsafe newtForm(nil, nil, NEWT_FLAG_NOF12)
        else { throw MenuError("the menu cannot open another window") }
        unsafe self.form = form
        unsafe newtFormAddHotKey(form, Int32(cnewt_key_escape.rawValue))
        unsafe newtFormAddHotKey(form, Int32(cnewt_key_interrupt.rawValue))
    }

    deinit { close() }

    /// Takes the window from the screen with all its components.
    func close() {
        guard let form = unsafe form else { return }
        unsafe self.form = nil
        unsafe components = []
        unsafe newtFormDestroy(form)
        newtPopWindow()
    }

    /// Lets the person work until something happens, and says what.
    ///
    /// `.tick` comes after that many milliseconds, nil for never; `.woken` when `descriptor`, if given, has something
    /// to read.
    func run(ticking milliseconds: Int? = nil, watching descriptor: Int32? = nil) -> Event {
        let form = unsafe opened
        if let milliseconds { unsafe newtFormSetTimer(form, Int32(milliseconds)) }
        if let descriptor { unsafe newtFormWatchFd(form, descriptor, NEWT_FD_READ) }
        let exit = unsafe cnewt_run(form)
        switch unsafe exit.end {
        case cnewt_end_component:
            let index = unsafe components.firstIndex { unsafe $0 == exit.component }
            return .pressed(index ?? -1)
        case cnewt_end_key: return .escaped
        case cnewt_end_timer: return .tick
        case cnewt_end_descriptor: return .woken
        default: return .lost
        }
    }

    /// Gives a component the focus.
    func focus(_ id: Int) { unsafe newtFormSetCurrent(opened, components[id]) }

    private var opened: newtComponent {
        guard let form = unsafe form else { preconditionFailure("a closed window is used") }
        return unsafe form
    }

    fileprivate func pointer(_ id: Int) -> newtComponent {
        precondition(unsafe form != nil, "a component of a closed window is used")
        return unsafe components[id]
    }

    fileprivate func add(_ component: newtComponent?) -> Int {
        guard let component = unsafe component else { preconditionFailure("no memory for a menu") }
        unsafe newtFormAddComponent(opened, component)
        unsafe components.append(component)
        return unsafe components.count - 1
    }
}

/// One line of text.
struct Label {
    private let form: Form
    private let id: Int

    init(_ form: Form, left: Int, top: Int, _ text: String) {
        self.form = form
        id = unsafe form.add(newtLabel(Int32(left), Int32(top), text.plain))
    }

    func set(_ text: String) { unsafe newtLabelSetText(form.pointer(id), text.plain) }
}

/// Lines of text; with more of them than its height it scrolls and takes the focus.
struct Textbox {
    let id: Int

    init(_ form: Form, left: Int, top: Int, width: Int, height: Int, lines: [String]) {
        let scrolls = lines.count > height
        // newt puts the bar beside the width that it is given.
        let own = Int32(scrolls ? width - 2 : width)
        let box = unsafe newtTextbox(
            Int32(left), Int32(top), own, Int32(height), scrolls ? NEWT_FLAG_SCROLL : 0)
        id = unsafe form.add(box)
        unsafe newtTextboxSetText(form.pointer(id), lines.joined(separator: "\n").plain)
    }
}

/// Lines of which one is current; Enter chooses it if `choosesByEnter`.
struct Listbox {
    private let form: Form
    let id: Int

    init(
        _ form: Form, left: Int, top: Int, width: Int, height: Int, items: [String], current: Int = 0,
        choosesByEnter: Bool
    ) {
        self.form = form
        let scrolls = items.count > height || !choosesByEnter
        let flags = (choosesByEnter ? NEWT_FLAG_RETURNEXIT : 0) | (scrolls ? NEWT_FLAG_SCROLL : 0)
        id = unsafe form.add(newtListbox(Int32(left), Int32(top), Int32(height), flags))
        unsafe newtListboxSetWidth(form.pointer(id), Int32(width))
        for item in items { append(item) }
        if items.indices.contains(current) { unsafe newtListboxSetCurrent(form.pointer(id), Int32(current)) }
    }

    private func append(_ item: String) {
        let number = unsafe UInt(newtListboxItemCount(form.pointer(id))) + 1
        unsafe newtListboxAppendEntry(form.pointer(id), item.plain, UnsafeRawPointer(bitPattern: number))
    }

    /// Which item is current, from 0; nil in an empty list.
    var current: Int? {
        guard let key = unsafe newtListboxGetCurrent(form.pointer(id)) else { return nil }
        return Int(bitPattern: key) - 1
    }

    /// Shows these items; where the person is in the list stays.
    func set(_ items: [String]) {
        let count = unsafe Int(newtListboxItemCount(form.pointer(id)))
        if count > items.count {
            unsafe newtListboxClear(form.pointer(id))
            for item in items { append(item) }
            return
        }
        for (index, item) in items.prefix(count).enumerated() {
            unsafe newtListboxSetEntry(form.pointer(id), Int32(index), item.plain)
        }
        for item in items.dropFirst(count) { append(item) }
    }
}

/// A line to type into; longer text scrolls.
struct Entry {
    private let form: Form
    private let id: Int

    init(_ form: Form, left: Int, top: Int, width: Int, value: String) {
        self.form = form
        id = unsafe form.add(newtEntry(Int32(left), Int32(top), value, Int32(width), nil, NEWT_FLAG_SCROLL))
    }

    var value: String {
        guard let text = unsafe newtEntryGetValue(form.pointer(id)) else { return "" }
        return unsafe String(cString: text)
    }
}

/// Lines of which exactly one is chosen.
struct Radio {
    private let form: Form
    private let ids: [Int]

    init(_ form: Form, left: Int, top: Int, options: [String], selected: Int) {
        self.form = form
        var ids: [Int] = []
        for (index, option) in options.enumerated() {
            let previous = unsafe ids.last.map { unsafe form.pointer($0) }
            ids.append(
                unsafe form.add(
                    newtRadiobutton(
                        Int32(left), Int32(top + index), option.plain, index == selected ? 1 : 0, previous)))
        }
        self.ids = ids
    }

    var selected: Int {
        guard let first = ids.first else { return 0 }
        let current = unsafe newtRadioGetCurrent(form.pointer(first))
        return ids.firstIndex { unsafe form.pointer($0) == current } ?? 0
    }
}

/// A box with a cross or without.
struct Checkbox {
    private let form: Form
    private let id: Int

    init(_ form: Form, left: Int, top: Int, _ text: String, isOn: Bool) {
        self.form = form
        let value = CChar(isOn ? UInt8(ascii: "*") : UInt8(ascii: " "))
        id = unsafe form.add(newtCheckbox(Int32(left), Int32(top), text.plain, value, nil, nil))
    }

    var isOn: Bool { unsafe newtCheckboxGetValue(form.pointer(id)) == CChar(UInt8(ascii: "*")) }
}

/// A bar that fills.
struct Scale {
    private static let whole: UInt64 = 1000
    private let form: Form
    private let id: Int

    init(_ form: Form, left: Int, top: Int, width: Int) {
        self.form = form
        id = unsafe form.add(newtScale(Int32(left), Int32(top), Int32(width), Int64(Scale.whole)))
    }

    /// Fills `fraction`, 0 to 1, of the bar.
    func set(_ fraction: Double) {
        unsafe newtScaleSet(form.pointer(id), UInt64(min(max(fraction, 0), 1) * Double(Scale.whole)))
    }
}

/// A button of one line.
struct Button {
    let id: Int

    init(_ form: Form, left: Int, top: Int, _ text: String) {
        id = unsafe form.add(newtCompactButton(Int32(left), Int32(top), text.plain))
    }

    /// Characters that a button with this text takes: newt puts it in brackets.
    static func width(_ text: String) -> Int { text.plain.utf8.count + 2 }
}

extension String {
    /// The text in ASCII: a serial console shows nothing else, and newt counts its bytes as columns.
    var plain: String {
        String(
            flatMap { character -> String in
                switch character {
                case "…": "..."
                case "–", "—": "-"
                case "→": "->"
                case "\n": "\n"
                case _ where character.isASCII && !character.isNewline && (character.asciiValue ?? 0) >= 32:
                    String(character)
                default: "?"
                }
            })
    }
}
