// Stand-ins of helper http until the real ones are merged: to be removed.
package import Logging
package struct UserRecord: Sendable { package var name: String; package var passwordHash: String }
package struct TokenRecord: Sendable { package var name: String; package var digest: [UInt8]; package var at: Int64 }
package enum EventKind: String, Sendable { case session, workstation, image, administrator, server }
package final class Store: Sendable {
    package func users() throws -> [UserRecord] { [] }
    package func setUser(_ name: String, passwordHash: String) throws {}
    package func removeUser(_ name: String) throws {}
    package func tokens() throws -> [TokenRecord] { [] }
    package func addToken(name: String, digest: [UInt8], at: Int64) throws {}
    package func removeToken(_ name: String) throws {}
    package func counters() throws -> CountersView { CountersView() }
    init() {}
}
package final class Daemon: Sendable {
    package let configuration = ServerConfiguration()
    package let store = Store()
    package let logger = Logger(label: "x")
    package let changes = Changes()
    package func note(_ text: String, level: Logger.Level, kind: EventKind, mac: [UInt8]? = nil) {}
    init() {}
}
