// The console's forms: what a browser posts becomes what the daemon is asked for, and mistakes become sentences.
import Server
import Testing

@Suite("Console forms") struct ConsoleFormTests {
    private func posted(_ text: String) throws -> FormFields { try FormFields(parsing: text) }

    @Test func sessionFormBecomesDraft() throws {
        let form = SessionForm(
            try posted(
                "csrf=x&name=+lab1+&source=image&image=win+11.img&master=525400000001&clients=20&minutes=15"
                    + "&junction=AND&attribute=memory&comparison=%3E&value=4000"
                    + "&junction=OR&attribute=product&comparison=contains+not&value=Opti%26Plex"
                    + "&member=52%3A54%3A00%3A00%3A00%3A01&others=525400000002%2C+525400000003&enabled=yes&do=save"
            ))
        let draft = try form.draft()
        #expect(draft.name == "lab1")
        #expect(draft.image == "win 11.img")
        #expect(draft.master == nil, "the master of the other choice must not go along")
        #expect(draft.clients == 20)
        #expect(draft.minutes == 15)
        #expect(draft.members == ["52:54:00:00:00:01", "525400000002", "525400000003"])
        #expect(
            draft.rule == [
                ConditionView(attribute: "memory", comparison: ">", value: "4000"),
                ConditionView(
                    junction: "OR", attribute: "product", comparison: "contains not", value: "Opti&Plex"),
            ])
        #expect(draft.enabled == true)
        #expect(draft.deleteWhenDone == false, "a box that is not ticked is not posted")
    }

    @Test func masterIsTakenOnlyWhereItIsChosen() throws {
        let draft = try SessionForm(
            try posted("name=a&source=master&image=x&master=525400000001&clients=5&minutes=15")
        ).draft()
        #expect(draft.master == "525400000001")
        #expect(draft.image == nil)
        #expect(draft.enabled == false)
    }

    @Test(arguments: [
        ("name=a&source=image&image=x&clients=many&minutes=15", "clients to join is a number"),
        ("name=a&source=image&image=x&clients=5&minutes=", "minutes since the last join is a number"),
        ("name=a&source=image&image=&clients=5&minutes=15", "choose the image"),
        ("name=a&source=master&master=&clients=5&minutes=15", "choose the master workstation"),
        (
            "name=a&source=image&image=x&clients=99999999999999999999&minutes=15",
            "clients to join is a number"
        ),
    ]) func mistakesAreNamed(text: String, sentence: String) throws {
        let form = SessionForm(try posted(text))
        let error = #expect(throws: ServerError.self) { try form.draft() }
        #expect(error?.description.contains(sentence) == true)
        #expect(error?.kind == .invalid)
    }

    @Test func formOfASessionIsTheSession() throws {
        var form = SessionForm()
        form.name = "lab1"
        form.image = "a.img"
        form.clients = "7"
        form.members = ["52:54:00:00:00:01"]
        form.others = "52:54:00:00:00:02"
        form.rule = [ConditionView(attribute: "memory", comparison: ">", value: "1")]
        let draft = try form.draft()
        let view = Samples.automatic(from: draft)
        #expect(SessionForm(view, known: ["52:54:00:00:00:01"]) == form)
    }

    @Test func conditionsComeAndGo() throws {
        var form = SessionForm(
            try posted(
                "junction=AND&attribute=cpu&comparison=contains&value=i5"
                    + "&junction=OR&attribute=memory&comparison=%3E&value="))
        #expect(form.rule.count == 2)
        #expect(form.wholeConditions.map(\.attribute) == ["cpu"], "one that is being typed is not looked at")
        form.edit("add")
        #expect(form.rule.count == 3)
        form.edit("remove-0")
        #expect(form.rule.map(\.attribute) == ["memory", "memory"])
        form.edit("remove-17")
        form.edit("remove-")
        form.edit("launch")
        #expect(form.rule.count == 2)
    }

    @Test func conditionsWithMissingPartsAreLeftOut() throws {
        let form = SessionForm(
            try posted("junction=AND&attribute=cpu&attribute=memory&comparison=%3E&value=1"))
        #expect(form.rule.count == 1)
    }

    @Test func hostFormBecomesRequest() throws {
        let request = try HostForm(
            try posted("name=lab1&image=a.img&clients=3&minutes=0.5&rate=400&ttl=&linger=&interface=+eth1+")
        ).request()
        #expect(request.name == "lab1")
        #expect(request.image == "a.img")
        #expect(request.path == nil)
        #expect(request.clients == 3)
        #expect(request.minutes == 0.5)
        #expect(request.rate == 400)
        #expect(request.ttl == nil)
        #expect(request.interface == "eth1")
    }

    @Test func pathCannotBeHostedFromThePage() throws {
        let request = try HostForm(try posted("name=a&path=%2Fetc%2Fshadow&image=&clients=1&minutes=5"))
            .request()
        #expect(request.path == nil)
        #expect(request.image == nil)
    }

    @Test func referralsWithoutWordsAreLeftOut() throws {
        let referrals = Page.referrals(
            try posted(
                "workstations=10.2.0.0%2F16&server=10.2.0.1&workstations=+&server=&workstations=&server=x"))
        #expect(
            referrals == [
                ReferralView(workstations: "10.2.0.0/16", server: "10.2.0.1"),
                ReferralView(workstations: "", server: "x"),
            ])
    }

    @Test func policyTakesAnImageOnlyToRestore() throws {
        #expect(
            Page.policy(try posted("action=restore&image=a.img&always=yes"))
                == PolicyView(action: "restore", image: "a.img", always: true))
        #expect(Page.policy(try posted("action=shell&image=a.img")) == PolicyView(action: "shell"))
    }
}
