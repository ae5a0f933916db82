// The pages of the console; for the moment the two that every visitor may see.
internal import HTTPTypes
internal import Hummingbird

/// The web console.
package enum ConsolePages {
    /// Adds the console's pages and static files; every page is `for: .page`.
    static func add(to routes: Routes) {}

    /// The login page: a form that posts name, password and next to /login.
    ///
    /// - Parameters:
    ///   - problem: Why the last attempt was refused.
    ///   - next: The path to go on to.
    ///   - hasAdministrators: Without any, the page says what to type on the server.
    static func login(
        problem: String?, next: String, hasAdministrators: Bool, site: Site, context: ServerContext
    ) -> Response {
        var response = site.text(
            hasAdministrators ? "log in" : "type: imgserv user add NAME", type: "text/html")
        response.status = .ok
        return response
    }

    /// The page that tells of an error; the caller sets its status.
    static func problem(
        _ status: HTTPResponse.Status, _ sentence: String, site: Site, context: ServerContext
    ) -> Response? { nil }
}
