// Who has logged in: random cookies, kept in memory only, so that a restart logs everybody out.
internal import Blocks
internal import Linux
internal import Synchronization

/// One person's login.
package struct LoginSession: Equatable, Sendable {
    package let user: String
    /// What changing requests of this person's pages must carry.
    package let csrf: String
}

/// The logins of the running server.
package final class LoginSessions: Sendable {
    /// Nanoseconds without a request after which a login has ended.
    package static let idleLimit: UInt64 = 12 * 3600 * 1_000_000_000
    /// Logins at once; the one that was idle longest makes room.
    package static let maximum = 1000
    /// Bytes of a cookie and of a CSRF token.
    private static let secretBytes = 32

    private struct Entry: Sendable {
        let session: LoginSession
        var lastUsed: UInt64
    }

    /// By the digest of the cookie: a lookup then tells nothing about how much of a guess was right.
    private let entries = Mutex<[Digest: Entry]>([:])
    private let clock: @Sendable () -> UInt64

    /// - Parameter clock: Nanoseconds of a clock that is never set.
    package init(clock: @escaping @Sendable () -> UInt64 = MonotonicClock.now) { self.clock = clock }

    /// Begins a login and gives the cookie's value: 64 hexadecimal digits.
    package func begin(_ user: String) -> String {
        let cookie = Random.bytes(Self.secretBytes).hex
        let session = LoginSession(user: user, csrf: Random.bytes(Self.secretBytes).hex)
        let now = clock()
        entries.withLock { entries in
            entries = entries.filter { now < $0.value.lastUsed + Self.idleLimit }
            if entries.count >= Self.maximum,
                let oldest = entries.min(by: { $0.value.lastUsed < $1.value.lastUsed })
            {
                entries[oldest.key] = nil
            }
            entries[Digest.of(Array(cookie.utf8))] = Entry(session: session, lastUsed: now)
        }
        return cookie
    }

    /// The login of a cookie, which is thereby used; nil for none or one that has ended.
    package func session(of cookie: String) -> LoginSession? {
        let key = Digest.of(Array(cookie.utf8))
        let now = clock()
        return entries.withLock { entries in
            guard let entry = entries[key] else { return nil }
            guard now < entry.lastUsed + Self.idleLimit else {
                entries[key] = nil
                return nil
            }
            entries[key]?.lastUsed = now
            return entry.session
        }
    }

    /// Whether the login of a cookie lasts; asking does not use it: a page that is left open does not keep it.
    package func isOpen(_ cookie: String) -> Bool {
        let now = clock()
        return entries.withLock { entries in
            entries[Digest.of(Array(cookie.utf8))].map { now < $0.lastUsed + Self.idleLimit } ?? false
        }
    }

    /// Ends the login of a cookie.
    package func end(_ cookie: String) {
        entries.withLock { _ = $0.removeValue(forKey: Digest.of(Array(cookie.utf8))) }
    }

    /// Ends every login of a user: the user is gone, or has another password.
    package func endAll(of user: String) {
        entries.withLock { entries in entries = entries.filter { $0.value.session.user != user } }
    }
}
