// Other hosts that announce the session's name: they are told of, or this one gives way.
internal import Blocks

/// A host that announced a session under a key it holds.
package struct FoundHost: Equatable, Sendable, CustomStringConvertible {
    /// Where participants connect to.
    package let endpoint: Endpoint
    package let fingerprint: Fingerprint
    /// Whether the session has started.
    package let isRunning: Bool
    /// Registered participants, and how many are still needed; the latter is 0 where no number starts the session.
    package let joined: Int
    package let needed: Int

    /// The host of an announcement, whose signature the caller has checked, that came from `address`.
    package init(_ announce: AnnounceMessage, from address: Address) {
        endpoint = announce.endpoint(heardFrom: address)
        fingerprint = announce.hostKey.fingerprint
        isRunning = announce.state == .running
        joined = Int(announce.joined)
        needed = Int(announce.needed)
    }

    /// As sentences name it: address and fingerprint.
    package var description: String { "\(endpoint.address) (\(fingerprint))" }
}

/// Another host of the same name; its announcement was signed.
struct Rival {
    let key: PublicKey
    /// Whether its session has started, and whether anybody has registered there.
    var isRunning: Bool
    var hasParticipants: Bool
}

/// How many signatures of strangers may be checked now: a flood of announcements must cost little.
struct SignatureBudget {
    private var left = Tuning.signatureBurst
    private var filledAt: UInt64

    init(now: UInt64) { filledAt = now }

    /// Takes one check; false: it is not to be made.
    mutating func take(now: UInt64) -> Bool {
        let more = (max(now, filledAt) - filledAt) / Tuning.signatureInterval
        left = Int(min(UInt64(left) + more, UInt64(Tuning.signatureBurst)))
        filledAt += more * Tuning.signatureInterval
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}

extension HostMachine {
    /// Takes an announcement: another host's of this session's name, or anybody's of any.
    mutating func hearHost(_ bytes: RawSpan, from: Endpoint, now: UInt64) {
        guard let claim = try? AnnounceMessage(unverified: bytes), claim.name == configuration.name,
            claim.hostKey != hostKey, claim.state != .ended
        else { return }
        let known = rivals.firstIndex { $0.key == claim.hostKey }
        if let known {
            // All that can change what is to be done is that it starts, or that somebody registers there.
            guard
                !rivals[known].isRunning && claim.state == .running
                    || !rivals[known].hasParticipants && claim.joined > 0
            else { return }
        } else {
            guard rivals.count < Tuning.mostHosts else { return }
        }
        guard signatures.take(now: now), let announce = try? AnnounceMessage(from: bytes) else { return }
        let other = FoundHost(announce, from: from.address)
        if let known {
            rivals[known].isRunning = other.isRunning
            rivals[known].hasParticipants = other.joined > 0
        } else {
            rivals.append(
                Rival(
                    key: announce.hostKey, isRunning: other.isRunning, hasParticipants: other.joined > 0))
        }
        let isFirst = announce.hostKey.bytes.lexicographicallyPrecedes(hostKey.bytes)
        // A room that waits here is not led away by a newcomer nobody waits for.
        let yields =
            session.joined > 0
            ? other.joined > 0 && (other.isRunning || isFirst)
            : other.joined > 0 || other.isRunning || isFirst
        if configuration.yields, session.state == .registering, yields {
            otherHost = other
            return stop(
                .yielded, reason: "the session \(configuration.name) is hosted by \(other)", now: now)
        }
        guard known == nil else { return }
        notice("another host announces the session \(configuration.name): \(other)")
        // It is to know of this one at once, not within a second.
        emit(.datagram(.everyone, announcement()))
    }
}
