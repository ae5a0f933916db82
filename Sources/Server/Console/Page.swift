// A page of the console before it is HTML: which template, what it is filled with, which parts of it live.

/// Who looks at a page.
package struct Viewer: Sendable {
    package let user: String
    /// What the page's forms carry.
    package let csrf: String

    package init(user: String, csrf: String) {
        self.user = user
        self.csrf = csrf
    }
}

/// A page's content.
package struct Page {
    /// The pages that the navigation leads to.
    package enum Section: String, CaseIterable {
        case dashboard, sessions, workstations, images, log, settings

        var path: String { self == .dashboard ? "/" : "/\(rawValue)" }
        var title: String { rawValue.prefix(1).uppercased() + rawValue.dropFirst() }
    }

    let template: String
    let title: String
    let section: Section
    var fields: Fields
    /// Templates that are parts of this one, each within an element with the id "live-" and its name.
    var live: [String] = []
    /// Whether something on it moves by itself, such as a session's progress, without being told as a change.
    var isMoving = false
    /// Its own address, by which `/events` makes it anew; nil for a page that stays as it is.
    var address: String?
    /// What has just been done, and what could not be.
    var done: String?
    var failed: String?

    package init(_ template: String, _ title: String, _ section: Section, _ fields: Fields) {
        self.template = template
        self.title = title
        self.section = section
        self.fields = fields
    }

    /// The whole document.
    package func html(for viewer: Viewer) -> String {
        var frame: Fields = [
            "title": title, "csrf": viewer.csrf, "user": viewer.user,
            "nav": Section.allCases.map { one -> Fields in
                ["href": one.path, "label": one.title, "icon": one.rawValue, "current": one == section]
            },
            "body": Templates.render(template, filled(for: viewer)),
        ]
        frame["live"] = live.isEmpty ? nil : address
        frame["done"] = done
        frame["failed"] = failed
        return Templates.render("layout", frame)
    }

    /// The parts that live, by their elements' ids.
    package func parts(for viewer: Viewer) -> [(id: String, html: String)] {
        let fields = filled(for: viewer)
        return live.map { ("live-\($0)", Templates.render($0, fields)) }
    }

    private func filled(for viewer: Viewer) -> Fields {
        fields.merging(["csrf": viewer.csrf]) { own, _ in own }
    }

    /// A document for somebody who has not logged in.
    static func bare(_ template: String, title: String, _ fields: Fields) -> String {
        Templates.render("layout", ["title": title, "body": Templates.render(template, fields)])
    }
}
