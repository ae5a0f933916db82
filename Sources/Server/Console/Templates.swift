// The console's templates, as they are embedded into the program, and how a page is made of them.
internal import Mustache

/// What a template is filled with: texts, flags, and lists of the same.
///
/// Templates escape every text; a text that a section tests is left out where it is empty, because Mustache takes an
/// empty text for something.
package typealias Fields = [String: Any]

/// The templates by their names.
package enum Templates {
    /// Every template in the program, as text.
    static let texts: [String: [UInt8]] = [
        "automatic": PackageResources.automatic_mustache, "catalogue": PackageResources.catalogue_mustache,
        "confirm": PackageResources.confirm_mustache, "counters": PackageResources.counters_mustache,
        "dashboard": PackageResources.dashboard_mustache, "ended": PackageResources.ended_mustache,
        "events": PackageResources.events_mustache, "figures": PackageResources.figures_mustache,
        "host": PackageResources.host_mustache, "image": PackageResources.image_mustache,
        "images": PackageResources.images_mustache, "inventory": PackageResources.inventory_mustache,
        "layout": PackageResources.layout_mustache, "log": PackageResources.log_mustache,
        "login": PackageResources.login_mustache, "preview": PackageResources.preview_mustache,
        "problem": PackageResources.problem_mustache, "rule-row": PackageResources.rule_row_mustache,
        "running": PackageResources.running_mustache,
        "running-detail": PackageResources.running_detail_mustache,
        "running-page": PackageResources.running_page_mustache,
        "session-form": PackageResources.session_form_mustache,
        "sessions": PackageResources.sessions_mustache, "settings": PackageResources.settings_mustache,
        "time": PackageResources.time_mustache, "transfers": PackageResources.transfers_mustache,
        "workstation": PackageResources.workstation_mustache,
        "workstation-detail": PackageResources.workstation_detail_mustache,
        "workstations": PackageResources.workstations_mustache,
    ]

    private static let library: MustacheLibrary = {
        var library = MustacheLibrary()
        for (name, text) in texts {
            do {
                try library.register(String(decoding: text, as: UTF8.self), named: name)
            } catch {
                // The templates are the program's own; a test renders each of them.
                preconditionFailure("template \(name): \(error)")
            }
        }
        return library
    }()

    /// The template's text with `fields` filled in.
    package static func render(_ name: String, _ fields: Fields) -> String {
        guard let text = library.render(fields, withTemplate: name) else {
            preconditionFailure("there is no template \(name)")
        }
        return text
    }
}
