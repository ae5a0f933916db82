// The form of an automatic session: from the posted fields, or a session, to a draft, and back to the page.
internal import Blocks

/// What stands in the form, as it was typed.
package struct SessionForm: Equatable, Sendable {
    package var name = ""
    package var isMaster = false
    package var image = ""
    package var master = ""
    package var clients = String(AutomaticSession.usualClients)
    package var minutes = String(AutomaticSession.usualMinutes)
    package var isDeletedWhenDone = false
    package var isEnabled = true
    /// MAC addresses that are ticked, and those that are typed, separated by commas or spaces.
    package var members: [String] = []
    package var others = ""
    package var rule: [ConditionView] = []

    /// The form of a session that is not there yet.
    package init() {}

    /// The form of a session as it is; members that are no known workstation are among the typed ones.
    package init(_ session: AutomaticSessionView, known: Set<String>) {
        name = session.name
        isMaster = session.master != nil
        image = session.image ?? ""
        master = session.master ?? ""
        clients = String(session.clients)
        minutes = String(session.minutes)
        isDeletedWhenDone = session.deleteWhenDone
        isEnabled = session.enabled
        members = session.members.filter { known.contains($0) }
        others = session.members.filter { !known.contains($0) }.joined(separator: ", ")
        rule = session.rule
    }

    /// What a browser has posted.
    package init(_ posted: FormFields) {
        name = posted["name"] ?? ""
        isMaster = posted["source"] == "master"
        image = posted["image"] ?? ""
        master = posted["master"] ?? ""
        clients = posted["clients"] ?? ""
        minutes = posted["minutes"] ?? ""
        isDeletedWhenDone = posted["delete"] != nil
        isEnabled = posted["enabled"] != nil
        members = posted.all("member")
        others = posted["others"] ?? ""
        let (junctions, attributes) = (posted.all("junction"), posted.all("attribute"))
        let (comparisons, values) = (posted.all("comparison"), posted.all("value"))
        let count = min(junctions.count, attributes.count, comparisons.count, values.count)
        rule = (0..<count).map {
            ConditionView(
                junction: junctions[$0], attribute: attributes[$0], comparison: comparisons[$0],
                value: values[$0])
        }
    }

    /// Everybody who is named: ticked or typed.
    package var allMembers: [String] {
        members + others.split { $0 == "," || $0 == ";" || $0.isWhitespace }.map(String.init)
    }

    /// The conditions that are filled in: what the preview goes by while one is being typed.
    package var wholeConditions: [ConditionView] { rule.filter { !$0.value.trimmingSpaces.isEmpty } }

    /// Does what a button of the form asks for without saving: "add", or "remove-2" for the third condition.
    package mutating func edit(_ word: String) {
        if word == "add" {
            rule.append(ConditionView(attribute: Attribute.memory.rawValue, comparison: ">", value: ""))
        } else if word.hasPrefix("remove-"), let index = Int(word.dropFirst(7)), rule.indices.contains(index)
        {
            rule.remove(at: index)
        }
    }

    /// What the daemon is asked for.
    ///
    /// - Throws: `ServerError` where a field is no number, or none is chosen.
    package func draft() throws -> AutomaticSessionDraft {
        func number(_ text: String, _ what: String, _ range: String) throws -> Int {
            guard let number = Int(text.trimmingSpaces) else {
                throw ServerError("\(what) is a number from 1 to \(range), not '\(text.onScreen)'", .invalid)
            }
            return number
        }
        var draft = AutomaticSessionDraft(name: name.trimmingSpaces)
        if isMaster {
            guard !master.isEmpty else { throw ServerError("choose the master workstation", .invalid) }
            draft.master = master
        } else {
            guard !image.isEmpty else { throw ServerError("choose the image", .invalid) }
            draft.image = image
        }
        draft.clients = try number(clients, "clients to join", "1000")
        draft.minutes = try number(minutes, "minutes since the last join", "1440")
        draft.deleteWhenDone = isDeletedWhenDone
        draft.enabled = isEnabled
        draft.members = allMembers
        draft.rule = rule
        return draft
    }
}

/// Who a rule and a list of members would take now, or why that cannot be told.
package enum Preview {
    case matches([WorkstationView], known: Int)
    case problem(String)

    /// Names that are shown; the rest is counted.
    private static let shown = 60

    package var fields: Fields {
        switch self {
        case .problem(let text): return ["previewError": Words.sentence(text)]
        case .matches(let workstations, let known):
            let rest = workstations.count - Preview.shown
            var fields: Fields = [
                "matchCount": workstations.count, "knownCount": known, "hasMatches": !workstations.isEmpty,
                "matches": workstations.prefix(Preview.shown).map { one -> Fields in
                    ["label": one.label, "detail": one.detail, "mac": one.name.isEmpty ? "" : one.mac]
                },
            ]
            if rest > 0 { fields["more"] = "and \(rest) more" }
            return fields
        }
    }
}

extension SessionForm {
    /// What stands in an empty value's field, by attribute.
    private static func hint(_ attribute: Attribute) -> String {
        switch attribute {
        case .memory: "MB, such as 4000"
        case .diskSize: "MB, such as 250000"
        case .address: "10.1.0.0/16"
        case .mac: "525400123456, or a part of it"
        case .firmware: "uefi or bios"
        default: ""
        }
    }

    private static func row(_ condition: ConditionView, index: String) -> Fields {
        let chosen = Attribute(rawValue: condition.attribute) ?? .memory
        return [
            "index": index, "isOr": condition.junction == Rule.Junction.or.rawValue, "value": condition.value,
            "placeholder": hint(chosen),
            "attributes": Attribute.allCases.map { one -> Fields in
                [
                    "value": one.rawValue, "label": one.name, "hint": hint(one), "selected": one == chosen,
                    "operators": one.operators.map(\.rawValue).joined(separator: "|"),
                ]
            },
            "comparisons": chosen.operators.map { one -> Fields in
                ["value": one.rawValue, "selected": one.rawValue == condition.comparison]
            },
        ]
    }

    /// The page of the form; `number` is that of the session it changes, nil for a new one.
    package func page(
        number: Int64?, images: [ImageView], workstations: [WorkstationView], preview: Preview,
        error: String? = nil
    ) -> Page {
        func options(_ chosen: String) -> [Fields] {
            workstations.map { one in
                [
                    "value": one.mac, "label": "\(one.label) (\(one.mac))", "selected": one.mac == chosen,
                ]
            }
        }
        let ticked = Set(members)
        let heading = number == nil ? "New automatic session" : "Session \(name)"
        var fields: Fields = [
            "heading": heading, "isNew": number == nil,
            "action": number.map { "/sessions/automatic/\($0)" } ?? "/sessions/new",
            "name": name, "isMaster": isMaster, "clients": clients, "minutes": minutes,
            "imageOptions": Page.options(images, chosen: image),
            "hasImages": !images.isEmpty || !image.isEmpty,
            "masterOptions": options(master), "hasWorkstations": !workstations.isEmpty,
            "memberOptions": workstations.map { one -> Fields in
                [
                    "anchor": Words.anchor(one.mac), "value": one.mac, "label": one.label,
                    "detail": one.detail, "selected": ticked.contains(one.mac),
                ]
            },
            "others": others, "rows": rule.enumerated().map { SessionForm.row($1, index: String($0)) },
            "hasRows": !rule.isEmpty,
            "blank": [
                SessionForm.row(
                    ConditionView(attribute: Attribute.memory.rawValue, comparison: ">", value: ""),
                    index: "n")
            ],
            "deleteWhenDone": isDeletedWhenDone, "enabled": isEnabled,
            "save": number == nil ? "Create the session" : "Save the session",
        ]
        fields.merge(preview.fields) { own, _ in own }
        fields["error"] = error.map(Words.sentence)
        fields["delete"] = number.map { "/sessions/automatic/\($0)/delete" }
        return Page("session-form", heading, .sessions, fields)
    }
}

extension Page {
    /// The images to choose from; one that is chosen and gone stays in the list.
    static func options(_ images: [ImageView], chosen: String) -> [Fields] {
        var options = images.filter { $0.problem == nil }.map { one -> Fields in
            [
                "value": one.name, "label": "\(one.name) (\(one.fileBytes.asBytes))",
                "selected": one.name == chosen,
            ]
        }
        if !chosen.isEmpty, !images.contains(where: { $0.name == chosen && $0.problem == nil }) {
            options.insert(["value": chosen, "label": "\(chosen) (no such image)", "selected": true], at: 0)
        }
        return options
    }
}

extension WorkstationView {
    /// Its name, or its MAC address where it has none.
    var label: String { name.isEmpty ? mac : name }
    /// What tells it from others in a list.
    var detail: String { product.isEmpty ? mac : "\(product), \(mac)" }
}
