// Values for the console's pages, with names that would be markup if they were not escaped.
import Foundation
import Server

enum Samples {
    /// What somebody may have called a machine, an image or a session.
    static let hostile = "<script>alert('1')</script>&\"x\""

    /// A value of what only the API decodes, made from its JSON.
    static func decoded<T: Decodable>(_ json: [String: Any]) -> T {
        do {
            return try JSONDecoder().decode(T.self, from: JSONSerialization.data(withJSONObject: json))
        } catch {
            preconditionFailure("a sample does not fit \(T.self): \(error)")
        }
    }

    static func workstation(_ name: String, mac: String = "52:54:00:12:34:56") -> WorkstationView {
        decoded([
            "mac": mac, "otherMACs": [String](), "name": name, "addresses": ["10.1.0.7"], "cpu": "Core i5",
            "memory": 17_179_869_184, "disks": [["size": 512_110_190_592, "model": name]],
            "biosVendor": name, "product": name, "serial": "S1", "assetTag": name, "networkCards": ["I219"],
            "video": [String](), "firmware": "uefi", "firstSeen": 1_700_000_000, "lastSeen": 1_700_000_100,
            "lastWork": name, "lastWorkAt": 1_700_000_050, "lastOutcome": name, "lastIsDone": false,
            "forced": true,
            "next": name,
        ])
    }

    static func detail(_ name: String) -> WorkstationDetail {
        decoded([
            "workstation": json(workstation(name)),
            "orders": [
                [
                    "at": 1_700_000_000, "work": name, "reason": name, "outcome": name, "isDone": true,
                    "endedAt": 1_700_000_250,
                ]
            ],
        ])
    }

    static func session(
        _ name: String, state: String = "running", registered: Int = 3, needed: Int = 2, id: Int = 7
    ) -> SessionView {
        decoded([
            "id": id, "name": name, "state": state, "image": name, "registered": registered, "needed": needed,
            "standing": "\(registered)/\(needed)", "percent": 63.7, "rate": 116_000_000, "eta": 250,
            "createdAt": 1_700_000_000, "automatic": 4, "outcome": name, "isComplete": false,
            "endedAt": 1_700_000_400,
            "participants": [
                [
                    "name": name, "mac": "52:54:00:12:34:56", "address": "10.1.0.7", "state": "receiving",
                    "percent": 99.9, "chunksNeeded": 10, "chunksDone": 9, "writeRate": 112_000_000,
                    "lost": 0.25,
                    "result": name,
                ]
            ],
        ])
    }

    static func automatic(_ name: String, number: Int64 = 4) -> AutomaticSessionView {
        decoded([
            "number": number, "name": name, "image": name, "clients": 20, "minutes": 15,
            "deleteWhenDone": false,
            "enabled": true, "members": [String](), "run": 1, "ruleText": "RAM > 4000 AND \(name)",
            "rule": [["junction": "AND", "attribute": "memory", "comparison": ">", "value": "4000"]],
        ])
    }

    /// What the daemon makes of a draft.
    static func automatic(from draft: AutomaticSessionDraft) -> AutomaticSessionView {
        var view = automatic(draft.name)
        view.image = draft.image
        view.master = draft.master
        view.clients = draft.clients ?? 0
        view.minutes = draft.minutes ?? 0
        view.members = draft.members ?? []
        view.rule = draft.rule ?? []
        return view
    }

    static func image(_ name: String, problem: String? = nil) -> ImageView {
        var json: [String: Any] = [
            "name": name, "id": "7f9c2ba4-e88f-827d-6160-45507605853e", "fileBytes": 42_100_000_000,
            "usedBytes": 88_000_000_000, "modifiedAt": 1_700_000_000, "createdAt": "2026-11-20T10:00:00Z",
            "creator": name, "firmware": "uefi", "usedBy": [name],
            "disks": [["size": 512_110_190_592, "table": "gpt", "model": name]],
            "partitions": [
                [
                    "slot": 1, "disk": 0, "type": name, "name": name, "fileSystem": name, "label": name,
                    "size": 100_000_000, "used": 32_000_000,
                ]
            ],
        ]
        json["problem"] = problem
        return decoded(json)
    }

    static func status(_ name: String, sessions: [SessionView]) -> ServerStatus {
        var counters = CountersView()
        counters.requests = 1204
        counters.failures = 3
        return decoded([
            "version": name, "key": name, "uptime": 90_061, "images": name, "freeBytes": 1_420_000_000_000,
            "counters": json(counters), "sessions": sessions.map(json),
            "transfers": [
                [
                    "image": name, "workstation": name, "direction": "receive", "percent": 12.5,
                    "bytes": 1_000_000,
                ]
            ],
        ])
    }

    private static func json(_ value: some Encodable) -> Any {
        do {
            return try JSONSerialization.jsonObject(with: JSONEncoder().encode(value))
        } catch {
            preconditionFailure("a sample is no JSON: \(error)")
        }
    }
}
