// The console's pages: hostile names stay texts, figures are written for people, empty pages say what to do.
import Server
import Testing

@Suite("Console pages") struct ConsolePageTests {
    private let viewer = Viewer(user: "anna", csrf: "token-of-anna")

    /// Every page, filled with names of one kind.
    private func pages(_ name: String) -> [String: Page] {
        let (session, automatic) = (Samples.session(name), Samples.automatic(name))
        let (image, workstation) = (Samples.image(name), Samples.workstation(name))
        var form = SessionForm(automatic, known: [workstation.mac])
        form.rule = [ConditionView(attribute: "product", comparison: "contains", value: name)]
        form.others = name
        var host = HostForm(image: name)
        host.name = name
        host.interface = name
        let events = [
            EventView(
                id: 1, at: 1_700_000_000, level: "error", kind: "image", text: name, mac: workstation.mac)
        ]
        return [
            "dashboard": .dashboard(
                Samples.status(name, sessions: [session]), images: [image], now: 1_700_000_000),
            "sessions": .sessions(
                [session, Samples.session(name, state: "ended", id: 8)], automatic: [automatic], images: [],
                workstations: [workstation]),
            "session": .session(session), "ended": .session(Samples.session(name, state: "ended")),
            "form": form.page(
                number: 4, images: [image], workstations: [workstation],
                preview: .matches([workstation], known: 1), error: name),
            "preview": form.page(
                number: nil, images: [], workstations: [], preview: .problem(name), error: nil),
            "host": host.page(images: [image], directory: name, error: name),
            "workstations": .workstations([workstation], search: ""),
            "searched": .workstations([workstation], search: name),
            "workstation": .workstation(Samples.detail(name)),
            "images": .images([image, Samples.image(name, problem: name)], directory: name, freeBytes: 1),
            "image": .image(image), "problem": .image(Samples.image(name, problem: name)),
            "log": .log(events, mac: "", isNewest: true), "log of one": .log([], mac: name, isNewest: true),
            "settings": .settings(
                PolicyView(action: "restore", image: name),
                referrals: [ReferralView(workstations: name, server: name)], images: [image],
                policyError: name,
                referralsError: name),
            "stop": .confirmStop(session, error: name), "delete": .confirmDelete(automatic, error: name),
            "delete image": .confirmDelete(image, error: name),
            "forget": .confirmForget(workstation, error: name),
        ]
    }

    @Test func hostileNamesStayTexts() {
        let plain = pages("plain")
        for (title, page) in pages(Samples.hostile) {
            let html = page.html(for: viewer)
            #expect(!html.contains("<script>alert"), "\(title) lets a name become markup")
            #expect(html.contains("&lt;script&gt;alert(&#39;1&#39;)"), "\(title) does not show the name")
            // A quotation mark that is not escaped would end an attribute: the number of tags would be another.
            let tags = { (text: String?) in
                text?.split(separator: "<", omittingEmptySubsequences: false).count
            }
            #expect(
                tags(html) == tags(plain[title]?.html(for: viewer)),
                "\(title) has other tags for a hostile name")
        }
    }

    @Test func everyFormCarriesTheToken() {
        for (title, page) in pages("lab1") {
            let html = page.html(for: viewer)
            let forms = html.split(separator: "<form").dropFirst()
            #expect(!forms.isEmpty, "\(title) has not even the form to log out")
            for form in forms where form.contains("method=\"post\"") {
                let body = form.firstRange(of: "</form>").map { form[..<$0.lowerBound] } ?? form
                #expect(
                    body.contains("name=\"csrf\" value=\"token-of-anna\""), "\(title): \(form.prefix(80))")
            }
        }
    }

    @Test func pagesHaveOneHeadingAndNoInlineCode() {
        for (title, page) in pages("lab1") {
            let html = page.html(for: viewer)
            #expect(html.split(separator: "<h1").count == 2, "\(title) has not one h1")
            for forbidden in [" style=\"", "<style", " onclick=", "javascript:"] {
                #expect(
                    !html.contains(forbidden),
                    "\(title) contains \(forbidden), which the browser would refuse")
            }
            #expect(!html.contains("{{"), "\(title) shows a template's tag")
        }
    }

    @Test func livingPartsAreOnTheirPages() {
        for (title, page) in pages("lab1") {
            let html = page.html(for: viewer)
            for part in page.parts(for: viewer) {
                #expect(
                    html.contains("<div id=\"\(part.id)\">\(part.html)"), "\(title) lacks its part \(part.id)"
                )
            }
            #expect(html.contains("data-live=\"") == !page.parts(for: viewer).isEmpty, "\(title)")
        }
    }

    @Test func runningSessionIsShownAsTheFieldWritesIt() {
        let html = Page.session(Samples.session("lab1")).html(for: viewer)
        #expect(html.contains(">3/2</span>"))
        #expect(html.contains("3 registered, 2 still needed"))
        #expect(html.contains("<progress max=\"100\" value=\"63.7\""))
        #expect(html.contains(">63 %<"), "percent are not rounded up: 100 % means done")
        #expect(html.contains(">99 %<"))
        #expect(html.contains("116 MB/s"))
        #expect(html.contains("in 4 min 10 s"))
    }

    @Test func stoppedSessionShowsWhatItsMachinesHave() {
        var session = Samples.session("lab1", state: "ended", registered: 0)
        session.percent = 100
        session.participants[0].percent = 40
        let html = Page.session(session).html(for: viewer)
        #expect(html.contains("<progress max=\"100\" value=\"40.0\""))
        #expect(!html.contains("still needed"))
        #expect(!html.contains("100 %"))
    }

    @Test func onlyARegisteringSessionCanBeStarted() {
        func html(_ state: String, _ registered: Int) -> String {
            Page.session(Samples.session("lab1", state: state, registered: registered)).html(for: viewer)
        }
        #expect(html("registering", 1).contains("/sessions/running/7/start"))
        #expect(html("registering", 0).contains("disabled>Start now"))
        #expect(!html("running", 3).contains("/start"))
        #expect(!html("ended", 3).contains("/stop"))
    }

    @Test func emptyPagesSayWhatToDo() {
        let images = Page.images([], directory: "/srv/imgserv/images", freeBytes: 1).html(for: viewer)
        #expect(
            images.contains("No image yet: copy one to <code>/srv/imgserv/images</code>, upload it here, or"))
        #expect(images.contains("img makep SERVER NAME"))
        let workstations = Page.workstations([], search: "").html(for: viewer)
        #expect(workstations.contains("No workstation has asked for work yet"))
        let sessions = Page.sessions([], automatic: [], images: [], workstations: []).html(for: viewer)
        #expect(sessions.contains("No session is running"))
        #expect(sessions.contains("No automatic session yet"))
    }

    @Test func sessionWithAMissingImageIsMarked() {
        func html(_ images: [ImageView]) -> String {
            Page.sessions([], automatic: [Samples.automatic("lab1")], images: images, workstations: [])
                .html(for: viewer)
        }
        #expect(html([]).contains("no such image"))
        #expect(html([Samples.image("lab1", problem: "cut")]).contains("no such image"))
        #expect(!html([Samples.image("lab1")]).contains("no such image"))
    }

    @Test func operatorsOfEachAttributeAreThoseOfRules() {
        var form = SessionForm()
        for attribute in Attribute.allCases {
            form.rule = [ConditionView(attribute: attribute.rawValue, comparison: "=", value: "x")]
            let html = form.page(
                number: nil, images: [], workstations: [], preview: .matches([], known: 0)
            ).html(for: viewer)
            let row = html.split(separator: "id=\"comparison-0\"").dropFirst().first?.split(
                separator: "</select>"
            ).first
            let offered = (row ?? "").split(separator: "<option value=\"").dropFirst().compactMap {
                $0.split(separator: "\"").first.map(String.init)
            }
            let escaped = attribute.operators.map {
                $0.rawValue.replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            }
            #expect(offered == escaped, "\(attribute)")
        }
    }

    @Test(
        arguments: [
            (0, "0 s"), (59, "59 s"), (60, "1 min"), (250, "4 min 10 s"), (659, "10 min"), (3600, "1 h"),
            (7500, "2 h 5 min"), (86_400, "1 day"), (180_000, "2 days 2 h"),
        ] as [(UInt64, String)]) func durations(seconds: UInt64, text: String)
    {
        #expect(Words.duration(seconds) == text)
    }

    @Test(arguments: [
        ("name or password is wrong", "Name or password is wrong."), ("lab1 is done.", "lab1 is done."),
        ("/dev/sda is too small", "/dev/sda is too small."), ("", ""), ("x", "X."),
        ("broken.img ends early", "broken.img ends early."),
    ]) func sentences(text: String, sentence: String) { #expect(Words.sentence(text) == sentence) }

    @Test func countsAndPercent() {
        #expect(Words.count(1, "machine") == "1 machine")
        #expect(Words.count(0, "machine") == "0 machines")
        #expect(Words.grouped(1_204_000) == "1\u{202f}204\u{202f}000")
        #expect(Words.percent(99.99) == "99 %")
        #expect(Words.percent(.nan) == "0 %")
        #expect(Words.percent(100) == "100 %")
    }

    @Test func searchWantsEveryWord() {
        let one = Samples.workstation("OptiPlex")
        #expect(one.matches("opti 10.1.0"))
        #expect(one.matches("525400123456"))
        #expect(!one.matches("opti 10.2.0"))
        #expect(one.matches(""))
    }
}
