// Puts API, console and boot files together.
internal import Hummingbird
internal import Synchronization

/// The routes for those who are made before the last of them is known.
final class RouteList: Sendable {
    private let routes = Mutex<[Routes.Route]>([])

    var value: [Routes.Route] {
        get { routes.withLock { $0 } }
        set { routes.withLock { $0 = newValue } }
    }
}

extension Site {
    /// The router with every route of the server, and their list.
    func makeRouter() -> (Router<ServerContext>, [Routes.Route]) {
        let router = Router(context: ServerContext.self)
        let known = RouteList()
        router.add(middleware: Answering(site: self, routes: known))
        let routes = Routes(site: self, router: router)
        routes.addLogin()
        routes.addAPI()
        ConsolePages.add(to: routes)
        known.value = routes.list
        return (router, routes.list)
    }

    /// Every route of the server: what the OpenAPI document has to describe.
    package var routes: [Routes.Route] { makeRouter().1 }
}
