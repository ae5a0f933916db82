// img alone: the menu. It asks for what the commands take as words, and calls the same code.
internal import Imaging
internal import Linux

/// The main menu and what lies behind it.
struct Menu {
    let screen: Screen

    /// Shows the menu until the person leaves it.
    ///
    /// - Throws: `MenuInterruption` after a signal, `MenuError` where the terminal is none the menu can use.
    static func run() throws {
        let screen = try Screen(
            title: "img \(programVersion), multicast disk imaging",
            help: " Tab, arrows: move   Space: mark   Enter: choose   Esc: back")
        defer { screen.close() }
        try Menu(screen: screen).main()
    }

    private enum Item: String, CaseIterable {
        case imaging = "Imaging"
        case partitions = "Partitions"
        case system = "System information"
        case help = "Help"
        case exit = "Exit to prompt"
    }

    private func main() throws {
        var current = 0
        while true {
            let items = Item.allCases
            let page = Page(
                title: "Main menu", fields: [.list(items.map(\.rawValue), current: current)],
                buttons: ["Choose"])
            let answer = try screen.ask(page)
            guard answer.button != nil else { return }
            current = answer.fields[0].index
            switch items[current] {
            case .imaging: try imaging()
            case .partitions: try partitions()
            case .system: try systemInformation()
            case .help: try screen.show("Help", Menu.help)
            case .exit: return
            }
        }
    }

    /// Shows a list of things to do until the person goes back.
    func choose(_ title: String, _ items: [(name: String, action: () throws -> Void)]) throws {
        var current = 0
        while true {
            let page = Page(
                title: title, fields: [.list(items.map(\.name), current: current)],
                buttons: ["Choose", "Back"])
            let answer = try screen.ask(page)
            guard answer.button == 0 else { return }
            current = answer.fields[0].index
            do { try items[current].action() } catch { try screen.tell(error) }
        }
    }

    private func systemInformation() throws {
        let progress = Progress()
        do {
            let lines = try screen.wait("Looking at this machine", progress, cancel: { _ in }) {
                try SystemInformation().lines
            }
            try screen.show("System information", lines)
        } catch { try screen.tell(error) }
    }

    private static let help = [
        "Keys", "  Tab, arrows   go from one field to the next, and through lists",
        "  Space         marks a box or one of several lines", "  Enter         chooses; in a line, goes on",
        "  Esc, Ctrl-C   go back; while something runs, ask whether to end it",
        "  PgUp, PgDn    scroll long texts", "",
        "Imaging", "  Make image: this machine's disks into an image file; the disks are only read.",
        "  Restore image: an image file onto this machine's disks; what is on them is lost.",
        "  Multicast session: the master sends its disks to every client that joins, all at once. Give all of them "
            + "the same session name.",
        "  ... -> server, <- server: the same with an image on the imaging server.",
        "  Query for work: the imaging server says what this machine is to do.",
        "", "Partitions", "  View, delete or activate partitions. Slots count partitions over all disks.", "",
        "Nothing is written to a disk before its plan has been shown and answered with Yes.", "",
        "Everything here can be typed as well: 'img help' at the prompt lists the words.",
    ]
}

extension String {
    /// The words of a line in which disks are typed, as in disks=; nil for an empty line.
    var asTypedDisks: [String]? {
        // A file that stands for a disk may have a blank in its name.
        let words = split(separator: ",").map { word in
            String(word.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        return words.allSatisfy(\.isEmpty) ? nil : words
    }
}
