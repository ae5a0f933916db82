// Around every request: errors become answers, answers get the headers that protect browsers, and the log its line.
internal import Blocks
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore

/// Makes an answer of whatever a handler throws.
struct Answering: RouterMiddleware {
    let site: Site
    /// The routes, once all are known.
    let routes: RouteList

    typealias Context = ServerContext

    // Hummingbird's functions run on the pool wherever they are called from.
    @concurrent func handle(
        _ request: Request, context: ServerContext,
        next: @concurrent (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            response = refusal(error, request, context)
        }
        // An answer to HEAD that had a body would be read as the beginning of the next answer.
        if request.method == .head { response = response.createHeadResponse() }
        protect(&response)
        site.logger.debug(
            "\(request.method.rawValue) \(request.uri.path.onScreen): \(response.status.code)",
            metadata: [
                "from": "\(context.origin)", "ms": "\((ContinuousClock.now - start) / .milliseconds(1))",
            ])
        return response
    }

    private func refusal(_ error: any Error, _ request: Request, _ context: ServerContext) -> Response {
        var problem: HTTPProblem
        if let known = HTTPProblem(error) {
            problem = known
        } else {
            // What went wrong inside is for the log, not for the client.
            site.logger.error("\(request.method.rawValue) \(request.uri.path.onScreen): \(error)")
            problem = HTTPProblem(.internalServerError, "the server failed; its log says more")
        }
        if problem.status == .notFound, !(error is ServerError) {
            let methods = routes.value.methods(of: request.uri.path)
            if !methods.isEmpty, !methods.contains(request.method.rawValue) {
                problem = HTTPProblem(
                    .methodNotAllowed, "this address does not take \(request.method.rawValue.onScreen)",
                    headers: [.allow: methods.joined(separator: ", ")])
            }
        }
        var response = site.refusal(problem, request, context)
        if mayHaveMore(request) { end(&response, context.channel) }
        return response
    }

    /// Whether more of the request's body may come than is worth reading.
    private func mayHaveMore(_ request: Request) -> Bool {
        if request.headers[.transferEncoding] != nil { return true }
        guard let text = request.headers[.contentLength] else { return false }
        return Int(text).map { $0 > site.limits.bodyBytes } ?? true
    }

    /// Ends the connection a moment after the answer: whoever sends an image that is refused would go on for long.
    private func end(_ response: inout Response, _ channel: any Channel) {
        response.headers[.connection] = "close"
        let (body, wait) = (response.body, TimeAmount.seconds(site.limits.refusedBodySeconds))
        response.body = ResponseBody(contentLength: body.contentLength) { writer in
            try await body.write(writer)
            channel.eventLoop.scheduleTask(in: wait) { channel.close(promise: nil) }
        }
    }

    private func protect(_ response: inout Response) {
        func set(_ name: HTTPField.Name, _ value: String) {
            if response.headers[name] == nil { response.headers[name] = value }
        }
        set(.xContentTypeOptions, "nosniff")
        set(.frameOptions, "DENY")
        set(.referrerPolicy, "same-origin")
        set(
            .contentSecurityPolicy,
            "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        set(.cacheControl, "no-store")
    }
}
