// The list of what the server answers, each with who may ask.
internal import HTTPTypes
package import Hummingbird

/// Adds handlers to the router, each behind the check of who asks.
package final class Routes {
    /// Who may ask.
    package enum Access: String, Sendable {
        /// Everybody, strangers too.
        case anybody
        /// Programs of administrators (socket, token) and administrators who have logged in.
        case administrator
        /// The same, for pages: a stranger is sent to the login page.
        case page
        /// Programs of root on the server itself.
        case socket
    }

    package typealias Handler = @Sendable (Request, ServerContext) async throws -> Response

    /// A route, for the contract's test and for "405".
    package struct Route: Equatable, Sendable {
        package let method: String
        /// With parameters in braces: "/api/v1/sessions/{name}".
        package let path: String
        package let access: Access
    }

    package let site: Site
    package private(set) var list: [Route] = []
    private let router: Router<ServerContext>

    init(site: Site, router: Router<ServerContext>) {
        self.site = site
        self.router = router
    }

    /// Answers requests of `method` for `path`; parts of the path in braces are `context.parameter`s.
    ///
    /// The handler runs for nobody whom `access` does not let in; requests that change something and come with a
    /// browser's cookie have shown their CSRF token.
    package func add(
        _ method: HTTPRequest.Method, _ path: String, for access: Access, _ handler: @escaping Handler
    ) {
        list.append(Route(method: method.rawValue, path: path, access: access))
        let site = site
        router.on(RouterPath(path), method: method) { request, context in
            var request = request
            var context = context
            if let elsewhere = try await site.admit(&request, &context, access) { return elsewhere }
            return try await handler(request, context)
        }
    }
}

extension [Routes.Route] {
    /// The methods that a path takes; empty for a path that leads nowhere.
    func methods(of path: String) -> [String] {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        return filter { route in
            let pattern = route.path.split(separator: "/", omittingEmptySubsequences: true)
            guard pattern.count == parts.count else { return false }
            return zip(pattern, parts).allSatisfy { $0.contains("{") || $0 == $1 }
        }.map(\.method)
    }
}
