// Pages that ask before something is stopped, deleted or forgotten; each names the thing and what it means.
internal import Blocks

extension Page {
    /// A question with one button that does it and one that goes back.
    private static func confirm(
        _ question: String, _ consequence: String, verb: String, action: String,
        back: (path: String, label: String),
        _ section: Section, error: String?
    ) -> Page {
        var fields: Fields = [
            "question": question, "consequence": consequence, "verb": verb, "action": action,
            "back": back.path, "backLabel": back.label,
        ]
        fields["error"] = error.map(Words.sentence)
        return Page("confirm", question, section, fields)
    }

    package static func confirmStop(_ session: SessionView, error: String? = nil) -> Page {
        let machines = Words.count(session.registered, "machine")
        let state =
            session.state == .running
            ? "It sends \(session.image) to \(machines) (\(Words.percent(session.percent)) done): disks that are not "
                + "finished stay unusable until an image is restored to them."
            : "\(machines) registered; nothing has been written to a disk yet."
        return confirm(
            "Stop session \(session.name)?", state, verb: "Stop session \(session.name)",
            action: "/sessions/running/\(session.id)/stop",
            back: ("/sessions/running/\(session.id)", "Session \(session.name)"), .sessions, error: error)
    }

    package static func confirmDelete(_ session: AutomaticSessionView, error: String? = nil) -> Page {
        confirm(
            "Delete the automatic session \(session.name)?",
            session.session == nil
                ? "Its rule and its list of workstations are lost. The image and the workstations stay."
                : "It is running: its run is stopped, too. Its rule and its list of workstations are lost.",
            verb: "Delete session \(session.name)", action: "/sessions/automatic/\(session.number)/delete",
            back: ("/sessions", "Sessions"), .sessions, error: error)
    }

    package static func confirmDelete(_ image: ImageView, error: String? = nil) -> Page {
        let users = image.usedBy.isEmpty ? "" : " It is in use: \(image.usedBy.joined(separator: "; "))."
        return confirm(
            "Delete the image \(image.name)?",
            "Its file (\(image.fileBytes.asBytes)) is removed from the server for good.\(users)",
            verb: "Delete \(image.name)", action: "/images/\(image.name.asQueryValue)/delete",
            back: ("/images/\(image.name.asQueryValue)", image.name), .images, error: error)
    }

    package static func confirmForget(_ workstation: WorkstationView, error: String? = nil) -> Page {
        confirm(
            "Forget the workstation \(workstation.label)?",
            "What is known of \(workstation.mac), its history and the image that is on it are lost: when it asks for "
                + "work again, it is a new workstation, and may get an image that it already has.",
            verb: "Forget \(workstation.label)", action: "/workstations/\(workstation.mac)/forget",
            back: ("/workstations/\(workstation.mac)", workstation.label), .workstations, error: error)
    }
}
