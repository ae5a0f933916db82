// img makep, restorep and auto against a server of the tests' own.
import Blocks
import Imaging
import Linux
import SessionProtocol
import SessionTransport
import Synchronization
import Testing
import TestSupport

extension OnRealTargets {
    @Suite(.serialized) struct ServerTests {
        /// Calls `body` with a plain disk, a server that holds its image as "plain", and an empty target.
        private func withImageOnServer(
            _ body: (_ disk: String, _ server: FakeServer, _ target: String) throws -> Void
        ) throws {
            try withPlainDisk { disk in
                let server = try FakeServer()
                defer { server.close() }
                try imgSucceeds(
                    "makep", server.address, "plain", "disks=\(disk)", "comp=speed",
                    "key=\(server.fingerprint)")
                try withSparseFile(24 * MiB) { target in try body(disk, server, target) }
            }
        }

        @Test func throughTheServerAndBack() throws {
            try withImageOnServer { disk, server, target in
                let store = try #require(server.heard.stores.first)
                #expect(store.image == "plain" && store.order == 0)
                let image = try #require(server.image("plain"))
                #expect(image.isWhole && image.id == store.imageID)
                #expect(store.mostBytes >= image.frames.values.reduce(0) { $0 + UInt64($1.count) })
                let output = try imgSucceeds(
                    "restorep", server.address, "plain", "disks=\(target)", "verify",
                    "key=\(server.fingerprint)")
                #expect(output.contains("\(server.fingerprint), which is pinned"))
                #expect(output.contains("its hash proven, read back and compared"))
                #expect(output.contains("wire "))
                try expectPlainCopy(of: disk, on: target)
                // The server has heard of both ends.
                #expect(server.heard.done.count == 2 && server.heard.aborts.isEmpty)
                // Unpinned it works too, since somebody is there, and the key is shown.
                let plan = try imgSucceeds("restorep", server.address, "plain", "disks=\(target)", "plan")
                #expect(plan.contains("has the key \(server.fingerprint) (key= pins it)"))
            }
        }

        @Test func connectionsThatAreCutAreMadeAnew() throws {
            try withPlainDisk { disk in
                let server = try FakeServer()
                defer { server.close() }
                server.change { $0.cuts = [1, 2] }
                let made = try imgSucceeds("makep", server.address, "plain", "disks=\(disk)")
                #expect(
                    made.contains("lost the imaging server") && made.contains("back at the imaging server"))
                #expect(server.heard.stores.count == 3)
                #expect(Set(server.heard.stores.map(\.imageID)).count == 1)
                try withSparseFile(24 * MiB) { target in
                    server.change {
                        $0.cuts = [0, 2]
                        $0.wrongSeals = 2
                    }
                    let output = try imgSucceeds("restorep", server.address, "plain", "disks=\(target)")
                    #expect(output.contains("lost the imaging server"))
                    #expect(output.contains("arrived damaged"))
                    #expect(server.heard.fetches.count == 3)
                    #expect(server.heard.fetches.dropFirst().allSatisfy { $0.knownImage != nil })
                    try expectPlainCopy(of: disk, on: target)
                }
            }
        }

        @Test func nothingIsTouchedForAWrongServerOrImage() throws {
            try withImageOnServer { _, server, target in
                let wrong = try #require(PrivateKey(seed: [UInt8](repeating: 7, count: 32))).publicKey
                    .fingerprint
                try imgFails(
                    "restorep", server.address, "plain", "disks=\(target)", "key=\(wrong)",
                    saying: "not from the one with the key \(wrong)")
                try imgFails(
                    "restorep", server.address, "none", "disks=\(target)", saying: "there is no image none")
                try withPlainDisk { other in
                    try imgFails(
                        "makep", server.address, "plain", "disks=\(other)", saying: "plain exists already")
                }
                server.change { $0.wrongSeals = 1000 }
                try imgFails(
                    "restorep", server.address, "plain", "disks=\(target)", saying: "damaged 3 times", "seal")
                #expect(try sha256(target, 0..<24 * MiB) == sha256OfZeros(24 * MiB))
            }
        }

        @Test func anotherImageAfterALostConnectionIsRefused() throws {
            try withImageOnServer { _, server, target in
                var other = try #require(server.image("plain"))
                other.id = GUID(random: Random.bytes(16))
                let exchanged = other
                server.change {
                    $0.cuts = [1]
                    $0.exchanged = exchanged
                }
                try imgFails(
                    "restorep", server.address, "plain", "disks=\(target)", saying: "which is asked for")
            }
            try withImageOnServer { _, server, target in
                server.change {
                    $0.cuts = [1]
                    $0.refusal = "the server ends"
                }
                try imgFails(
                    "restorep", server.address, "plain", "disks=\(target)", saying: "the server ends")
            }
        }

        /// Messages of later versions: those that may be skipped hold nothing up, the others end the transfer for good.
        @Test func messagesOfLaterVersions() throws {
            let (skippable, critical): ([UInt8], [UInt8]) = (
                [2, 0, 0, 0, 99, 0, 0, 0, 7, 7], [0, 0, 0, 0, 99, 0, 1, 0]
            )
            try withPlainDisk { disk in
                let server = try FakeServer()
                defer { server.close() }
                server.change { $0.aside = skippable }
                let made = try imgSucceeds("makep", server.address, "plain", "disks=\(disk)", "comp=speed")
                #expect(!made.contains("lost the imaging server"), "\(made)")
                try withSparseFile(24 * MiB) { target in
                    try imgSucceeds("restorep", server.address, "plain", "disks=\(target)")
                    try expectPlainCopy(of: disk, on: target)
                    server.change { $0.aside = critical }
                    try imgFails(
                        "restorep", server.address, "plain", "disks=\(target)",
                        saying: "a message that cannot be read", "type 99")
                    try imgFails(
                        "makep", server.address, "other", "disks=\(disk)",
                        saying: "a message that cannot be read", "type 99")
                }
            }
        }

        // MARK: img auto

        private func auto(_ server: FakeServer, _ words: String...) throws -> ExternalCommand.Outcome {
            try runAnyway([imgPath(), "auto", "server=\(server.address)"] + words)
        }

        @Test func anOrderToRestoreIsDoneAndReported() throws {
            try withImageOnServer { disk, server, target in
                let id = try #require(server.image("plain")).id
                server.change {
                    $0.orders = [
                        { order in
                            (order.verb, order.imageName, order.image) = (.restore, "plain", id)
                            order.reason = "session lab1: rule 'RAM > 4000' matched"
                        }
                    ]
                    $0.deafToOutcomes = 1
                }
                let done = try auto(
                    server, "key=\(server.fingerprint)", "disks=\(target)", "--no-bootfix")
                #expect(done.status == 0, "\(done)")
                #expect(done.output.contains("restore an image: session lab1: rule 'RAM > 4000' matched"))
                try expectPlainCopy(of: disk, on: target)
                // The first report was not heard, so it came again.
                #expect(server.heard.outcomes.count == 2)
                let outcome = try #require(server.heard.outcomes.last)
                #expect(outcome.isDone && outcome.order == 42 && outcome.image == id && outcome.bytes > 0)
                let asked = try #require(server.heard.asks.first).workstation
                #expect(asked.disks.map(\.size) == [24 * MiB])
                #expect(asked.memory > 0 && !asked.cpu.isEmpty)
                #expect(outcome.mac == asked.mac)
            }
        }

        @Test func nothingIsDestroyedWithoutAPinnedKeyOrForAnotherImage() throws {
            try withImageOnServer { _, server, target in
                let id = try #require(server.image("plain")).id
                server.change {
                    $0.orders = [{ ($0.verb, $0.imageName, $0.image) = (.restore, "plain", id) }]
                }
                let refused = try auto(server, "disks=\(target)", "--no-bootfix")
                #expect(refused.status == 1)
                #expect(
                    refused.errors.contains("put SERVERKEY= with the fingerprint that 'imgserv key' shows"))
                #expect(server.heard.outcomes.last?.isDone == false)
                server.change { $0.orders = [{ ($0.verb, $0.imageName) = (.restore, "plain") }] }
                let vague = try auto(server, "key=\(server.fingerprint)", "disks=\(target)", "--no-bootfix")
                #expect(vague.status == 1 && vague.errors.contains("does not say which image"))
                let wrong = GUID(random: Random.bytes(16))
                server.change {
                    $0.orders = [{ ($0.verb, $0.imageName, $0.image) = (.restore, "plain", wrong) }]
                }
                let other = try auto(server, "key=\(server.fingerprint)", "disks=\(target)", "--no-bootfix")
                #expect(other.status == 1 && other.errors.contains("not \(wrong)"))
                server.change { $0.orders = [{ ($0.verb, $0.session) = (.takePart, "lab1") }] }
                let keyless = try auto(server, "key=\(server.fingerprint)", "disks=\(target)", "--no-bootfix")
                #expect(keyless.status == 1 && keyless.errors.contains("does not name its host's key"))
                let anybody = server.key.publicKey
                server.change {
                    $0.orders = [{ ($0.verb, $0.session, $0.hostKey) = (.takePart, "lab1", anybody) }]
                }
                let imageless = try auto(
                    server, "key=\(server.fingerprint)", "disks=\(target)", "--no-bootfix")
                #expect(imageless.status == 1 && imageless.errors.contains("does not say which image it has"))
                #expect(try sha256(target, 0..<24 * MiB) == sha256OfZeros(24 * MiB))
                // The test room's way: said on the screen, and done.
                server.change {
                    $0.orders = [{ ($0.verb, $0.imageName, $0.image) = (.restore, "plain", id) }]
                }
                let insecure = try auto(server, "--insecure", "disks=\(target)", "--no-bootfix")
                #expect(insecure.status == 0, "\(insecure)")
                #expect(insecure.output.contains("WARNING: img.insecure"))
            }
        }

        @Test func anOrderToCaptureNamesItself() throws {
            try withPlainDisk { disk in
                let server = try FakeServer()
                defer { server.close() }
                server.change { $0.orders = [{ ($0.verb, $0.imageName) = (.capture, "pc1") }] }
                let done = try auto(server, "key=\(server.fingerprint)", "disks=\(disk)")
                #expect(done.status == 0, "\(done)")
                #expect(server.image("pc1")?.isWhole == true)
                #expect(server.heard.stores.first?.order == 42)
                #expect(server.heard.outcomes.last?.image == server.image("pc1")?.id)
            }
        }

        @Test func nothingShellWaitAndReferral() throws {
            let first = try FakeServer()
            defer { first.close() }
            #expect(try auto(first, "key=\(first.fingerprint)").status == 3)
            #expect(first.heard.outcomes.isEmpty)
            first.change {
                $0.orders = [
                    { _ in }, { ($0.verb, $0.seconds, $0.reason) = (.wait, 1, "the room is full") },
                    { ($0.verb, $0.reason) = (.shell, "policy") },
                ]
            }
            let shell = try auto(first, "key=\(first.fingerprint)")
            #expect(shell.status == 4, "\(shell)")
            #expect(shell.output.contains("wait: the room is full"))
            // A room does not wait for ever for a master that is switched off.
            first.change { $0.orders = [{ ($0.verb, $0.seconds, $0.reason) = (.wait, 1, "no master") }] }
            let tired = try auto(first, "key=\(first.fingerprint)", "wait=0")
            #expect(tired.status == 3 && tired.output.contains("no work has come"), "\(tired)")
            #expect(first.heard.outcomes.last?.isDone == true)
            // Sent on to a server with the same key, which has nothing to do either.
            let second = try FakeServer(key: first.key)
            defer { second.close() }
            let place = second.address
            first.change { $0.orders = [{ ($0.verb, $0.server) = (.refer, place) }] }
            let referred = try auto(first, "key=\(first.fingerprint)")
            #expect(referred.status == 3, "\(referred)")
            #expect(second.heard.asks.count == 1)
            #expect(first.heard.outcomes.count == 2)
            // Nor when it is told there to wait, and no work comes.
            second.change { $0.orders = [{ ($0.verb, $0.seconds) = (.wait, 1) }] }
            let waited = try auto(first, "key=\(first.fingerprint)", "wait=0")
            #expect(waited.status == 3 && first.heard.outcomes.count == 3, "\(waited)")
        }

        /// Who sent the machine on hears what came of it too, under the number of its own order.
        @Test func bothServersHearOfReferredWork() throws {
            try withPlainDisk { disk in
                let first = try FakeServer()
                defer { first.close() }
                let second = try FakeServer(key: first.key)
                defer { second.close() }
                let place = second.address
                first.change { $0.orders = [{ ($0.verb, $0.server, $0.order) = (.refer, place, 41) }] }
                second.change { $0.orders = [{ ($0.verb, $0.imageName) = (.capture, "pc1") }] }
                let done = try auto(first, "key=\(first.fingerprint)", "disks=\(disk)")
                #expect(done.status == 0, "\(done)")
                #expect(second.image("pc1")?.isWhole == true && first.heard.stores.isEmpty)
                for (server, order) in [(first, 41), (second, 42)] as [(FakeServer, UInt64)] {
                    let outcome = try #require(server.heard.outcomes.first)
                    #expect(server.heard.outcomes.count == 1 && outcome.isDone && outcome.order == order)
                }
                // A failure is told to both as well: the name is taken now.
                let failed = try auto(first, "key=\(first.fingerprint)", "disks=\(disk)")
                #expect(failed.status == 1, "\(failed)")
                for server in [first, second] {
                    #expect(server.heard.outcomes.count == 2 && server.heard.outcomes.last?.isDone == false)
                }
            }
        }

        @Test func aServerThatCannotBeBelievedIsAskedAgain() throws {
            let server = try FakeServer()
            defer { server.close() }
            server.change { $0.replays = 1 }
            let program = try RunningProgram(
                [imgPath(), "auto", "server=\(server.address)", "key=\(server.fingerprint)"])
            let (status, output) = try program.wait()
            #expect(status == .exited(3), "\(output)")
            #expect(output.contains("somebody else's question"))
            #expect(server.heard.asks.count == 2)
            #expect(server.heard.asks[0].nonce != server.heard.asks[1].nonce)
        }

        /// What is wrong here stays wrong however often the server is asked.
        @Test func wrongDisksAreNotTheServersSilence() throws {
            let server = try FakeServer()
            defer { server.close() }
            let refused = try auto(server, "key=\(server.fingerprint)", "disks=/nowhere")
            #expect(refused.status == 1 && refused.errors.contains("/nowhere"), "\(refused)")
            #expect(server.heard.asks.isEmpty)
        }

        /// The boot media's way to ask for a key, while the server does not answer and before the restart.
        @Test func aKeyGivesAPrompt() throws {
            try withTemporaryDirectory { directory in
                func press() throws {
                    try waitUntil("a key is asked for") { FileTree.exists("\(directory)/question") }
                    try run(
                        "sh", "-ec", "echo enter >\"$1/answer.x\"; mv \"$1/answer.x\" \"$1/answer\"", "sh",
                        directory)
                }
                let lonely = try RunningProgram(
                    [imgPath(), "auto", "server=127.0.0.1:9", "--questions", directory])
                try press()
                #expect(try lonely.wait().status == .exited(4))
                #expect(try FileTree.entries(of: directory).isEmpty)
                try withPlainDisk { disk in
                    let server = try FakeServer()
                    defer { server.close() }
                    server.change { $0.orders = [{ ($0.verb, $0.imageName) = (.capture, "pc1") }] }
                    let program = try RunningProgram([
                        imgPath(), "auto", "server=\(server.address)", "key=\(server.fingerprint)",
                        "disks=\(disk)", "--questions", directory,
                    ])
                    try press()
                    let (status, output) = try program.wait()
                    #expect(status == .exited(4), "\(output)")
                    #expect(output.contains("Restarting in 10 s; press a key for a prompt."))
                    // The outcome was reported before: the work is done whatever the person does now.
                    #expect(server.heard.outcomes.count == 1)
                    server.change { $0.orders = [{ ($0.verb, $0.imageName) = (.capture, "pc2") }] }
                    let patient = try RunningProgram([
                        "env", "MANUALREBOOT=1", imgPath(), "auto", "server=\(server.address)",
                        "key=\(server.fingerprint)", "disks=\(disk)", "--questions", directory,
                    ])
                    try press()
                    let (end, said) = try patient.wait()
                    #expect(end.isSuccess, "\(said)")
                    #expect(said.contains("Press a key to restart.") && !said.contains("Restarting in"))
                }
            }
        }

        /// A room without anybody: one machine becomes the master, the others wait until its key is known.
        @Test func aMasterAndItsParticipantsWithoutAnybody() throws {
            try withPlainDisk { disk in
                let lan = try NamespaceLAN(stations: 3)
                let address = lan.hostAddress
                let server = try lan.thread(on: lan.host) { try FakeServer(on: address) }.join()
                defer { server.close() }
                server.change {
                    $0.decide = { ask, heard, order in
                        order.session = "lab1"
                        if ask.workstation.addresses.contains(Address(ipv4: 0x0a4d_000b)) {
                            (order.verb, order.clients) = (.master, 2)
                        } else if let role = heard.roles.last {
                            (order.verb, order.hostKey, order.image) = (.takePart, role.hostKey, role.image)
                        } else {
                            (order.verb, order.seconds) = (.wait, 1)
                        }
                    }
                }
                try withTemporaryDirectory { directory in
                    let machines = try lan.stations.enumerated().map { number, station in
                        let target = "\(directory)/disk\(number)"
                        try run("truncate", "-s", "\(24 * MiB)", target)
                        return try RunningProgram(
                            lan.command(on: station) + [
                                imgPath(), "auto", "server=\(server.address)", "key=\(server.fingerprint)",
                                "disks=\(number == 0 ? disk : target)", "--no-bootfix",
                            ])
                    }
                    for machine in machines {
                        let (status, output) = try machine.wait()
                        #expect(status.isSuccess, "\(output)")
                    }
                    for number in 1...2 { try expectPlainCopy(of: disk, on: "\(directory)/disk\(number)") }
                }
                let heard = server.heard
                #expect(heard.roles.count == 1)
                #expect(heard.outcomes.count == 3 && heard.outcomes.allSatisfy(\.isDone))
                #expect(Set(heard.outcomes.map(\.image)).count == 1 && heard.outcomes[0].image != nil)
                // Machines are known by the address they ask from.
                #expect(Set(heard.outcomes.map(\.mac)).count == 3)
            }
        }

        @Test func onlyTheHostOfTheOrderMayWrite() throws {
            try withPlainDisk { disk in
                let lan = try NamespaceLAN(stations: 1)
                let address = lan.hostAddress
                let server = try lan.thread(on: lan.host) { try FakeServer(on: address) }.join()
                defer { server.close() }
                let stranger = try #require(PrivateKey(seed: [UInt8](repeating: 9, count: 32))).publicKey
                server.change {
                    $0.decide = { _, _, order in
                        (order.verb, order.session, order.hostKey) = (.takePart, "lab1", stranger)
                        order.image = GUID(random: [UInt8](repeating: 1, count: 16))
                    }
                }
                let master = try RunningProgram(
                    lan.command(on: lan.host) + [
                        imgPath(), "session", "lab1", "master", "disks=\(disk)", "clients=1",
                    ])
                defer { _ = try? master.signal("KILL") }
                try withSparseFile(24 * MiB) { target in
                    let machine = try RunningProgram(
                        lan.command(on: lan.stations[0]) + [
                            imgPath(), "auto", "server=\(server.address)", "key=\(server.fingerprint)",
                            "disks=\(target)", "--no-bootfix",
                        ])
                    try waitUntil("it has been told") { server.heard.asks.count == 1 }
                    // A participant joins after 2.5 s at the latest; this one must still be looking for its host.
                    try waitUntil("the session has been announced for long", seconds: 20) {
                        _ = try? lan.thread(on: lan.stations[0]) {
                            try HostSearch.find(
                                session: "lab1", interface: nil, patience: 4_000_000_000,
                                isCancelled: { false })
                        }.join()
                        return true
                    }
                    try machine.signal("INT")
                    let (status, output) = try machine.wait()
                    #expect(status == .exited(1), "\(output)")
                    #expect(!output.contains("joined the session"))
                    #expect(try sha256(target, 0..<24 * MiB) == sha256OfZeros(24 * MiB))
                    #expect(server.heard.outcomes.last?.isDone == false)
                }
                try master.signal("INT")
                _ = try master.wait()
            }
        }

        private func sha256OfZeros(_ count: UInt64) throws -> Digest {
            try withSparseFile(count) { try sha256($0, 0..<count) }
        }
    }
}
