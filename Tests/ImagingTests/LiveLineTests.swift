// The live line in terminals of every width, and the JSON lines to the byte.
import Imaging
import Testing
import img

/// A session's report in the middle of it.
private func sample(_ state: ProgressReport.State = .restoring) -> ProgressReport {
    var report = ProgressReport(state, session: "lab1")
    report.diskBytes = 4_194_304_000
    report.totalBytes = 9_980_000_000
    report.frameBytes = 1_900_000_000
    report.wireBytes = 2_000_000_000
    report.chunks = 1000
    report.totalChunks = 2380
    report.wireRate = 112e6
    report.diskRate = 223.4e6
    report.lossPercent = 0.05
    report.freeBuffers = 62
    report.buffers = 64
    report.secondsLeft = 185
    report.elapsed = 20_500_000_000
    report.transferTime = 18_774_000_000
    return report
}

private let whole =
    "restoring 42 %, 4.19 GB of 9.98 GB, wire 112 MB/s, disk 13.4 GB/min, lost 0.05 %, 62 of 64 buffers free, ETA 3:05"

struct LiveLineTests {
    @Test(arguments: [
        (200, whole),
        (80, "restoring 42 %, wire 112 MB/s, disk 13.4 GB/min, lost 0.05 %, ETA 3:05"),
        (62, "restoring 42 %, wire 112 MB/s, disk 13.4 GB/min, ETA 3:05"),
        (50, "42 %, wire 112 MB/s, disk 13.4 GB/min, ETA 3:05"),
        (40, "42 %, wire 112 MB/s, disk 13.4 GB/min"),
        (30, "42 %, disk 13.4 GB/min"), (10, "42 %"), (2, "4"), (1, ""),
    ]) func whatMattersLeastGoesFirst(_ columns: Int, _ line: String) {
        #expect(LiveLine.text(sample(), width: columns - 1) == line)
    }

    @Test func noLineIsTooLongAndBothRatesStay() {
        for state in ProgressReport.State.allCases {
            for width in -1...200 {
                let line = LiveLine.text(sample(state), width: width)
                #expect(line.count <= max(width, 0))
                guard width >= 39, ![.planning, .asking, .searching, .waiting, .verifying].contains(state)
                else {
                    continue
                }
                #expect(line.contains("wire 112 MB/s, disk 13.4 GB/min"), "\(state) \(width): \(line)")
            }
        }
    }

    @Test func nothingIsOnTheWireWhileADiskIsReadBack() {
        #expect(
            LiveLine.text(sample(.verifying), width: 200)
                == "verifying 42 %, 4.19 GB of 9.98 GB, disk 13.4 GB/min, ETA 3:05")
    }

    @Test func whileNothingMoves() {
        var report = ProgressReport(.waiting, session: "lab1")
        #expect(LiveLine.text(report, width: 79) == "waiting")
        report.joined = 3
        report.stillNeeded = 2
        report.startsIn = 42
        #expect(LiveLine.text(report, width: 79) == "waiting, registered/still needed 3/2, starts in 42 s")
        #expect(LiveLine.text(report, width: 39) == "waiting")
        #expect(
            LiveLine.text(ProgressReport(.searching, session: "lab1"), width: 79)
                == "searching for session lab1")
        report.stillNeeded = nil
        report.startsIn = 0
        #expect(LiveLine.text(report, width: 79) == "waiting, 3 registered, starts in 0 s")
        report.joined = 0
        #expect(LiveLine.text(report, width: 79) == "waiting, 0 registered, starts with the first")
        #expect(
            LiveLine.block(report, width: 79, rows: 24, hint: "press g to start")
                == ["waiting, 0 registered, starts with the first; press g to start"])
        #expect(LiveLine.block(report, width: 50, rows: 24, hint: "press g to start").first?.count == 44)
        #expect(LiveLine.text(ProgressReport(.planning), width: 79) == "")
        #expect(LiveLine.block(ProgressReport(.planning), width: 79, rows: 24).isEmpty)
        // Of a whole that is unknown there is nothing to say.
        #expect(LiveLine.text(ProgressReport(.restoring), width: 79) == "")
    }

    @Test func aBlockHasALineForEachMachineAsFarAsThereIsRoom() {
        var report = sample(.sending)
        report.machines = (1...30).map { number in
            ProgressReport.MachineFigures(
                name: "pc\(number)", address: "10.0.0.\(number)", mac: "52:54:00:00:00:01",
                state: "receiving", percent: Double(number), writeRate: 223_400_000)
        }
        let tall = LiveLine.block(report, width: 79, rows: 50)
        #expect(tall.count == 21)
        #expect(tall[0].hasPrefix("sending 42 %"))
        #expect(tall[1] == "  pc1 10.0.0.1 1 %, disk 13.4 GB/min")
        #expect(tall[20] == "  and 11 more")
        let low = LiveLine.block(report, width: 20, rows: 5)
        #expect(low.count == 5)
        #expect(low[4] == "  and 27 more")
        #expect(low.allSatisfy { $0.count <= 20 })
        #expect(LiveLine.block(report, width: 79, rows: 1).count == 1)
        report.machines.removeLast(28)
        report.machines[1].state = "failed"
        report.machines[1].problem = "sda is too small"
        #expect(
            LiveLine.block(report, width: 79, rows: 24).dropFirst() == [
                "  pc1 10.0.0.1 1 %, disk 13.4 GB/min",
                "  pc2 10.0.0.2 2 %, disk 13.4 GB/min, sda is too small",
            ])
        #expect(
            LiveLine.log(report)
                == "sending" + whole.dropFirst("restoring".count)
                + "; pc1 10.0.0.1 1 %; pc2 10.0.0.2 2 % failed")
    }

    @Test func severalDisksHaveALineEach() {
        var report = sample()
        var disk = ProgressReport.DiskFigures(name: "/dev/sda", totalBytes: 1000, totalChunks: 2)
        (disk.bytes, disk.rate) = (500, 100e6)
        report.disks = [disk]
        #expect(LiveLine.block(report, width: 79, rows: 24).count == 1)
        report.disks.append(ProgressReport.DiskFigures(name: "/dev/sdb", totalChunks: 4))
        #expect(
            LiveLine.block(report, width: 79, rows: 24).dropFirst() == [
                "  /dev/sda 50 %, disk 6.00 GB/min", "  /dev/sdb 0 %, disk 0.00 GB/min",
            ])
    }
}

struct JSONLineTests {
    @Test func theFirstLine() {
        #expect(
            JSONLine.start(command: "session", session: "lab \"1\"\n", version: "0.1.0")
                == #"{"command":"session","event":"start","session":"lab \"1\"\n","version":"0.1.0"}"#)
        #expect(
            JSONLine.start(command: "makel", session: nil, version: "0.1.0")
                == #"{"command":"makel","event":"start","version":"0.1.0"}"#)
    }

    @Test func everyFigureHasItsKey() {
        var report = sample()
        var disk = ProgressReport.DiskFigures(name: "/dev/sda", totalBytes: 1000, totalChunks: 2)
        (disk.bytes, disk.chunks, disk.rate, disk.error) = (500, 1, 100e6, "/dev/sda: no")
        report.disks = [disk, ProgressReport.DiskFigures(name: "b", totalChunks: 4)]
        report.machines = [
            ProgressReport.MachineFigures(
                name: "pc1", address: "10.0.0.1", mac: "52:54:00:00:00:01", state: "failed", percent: 12.3456,
                writeRate: 1_000_000, lossPercent: 0.5, freeBuffers: 3, problem: "sda is full"),
            ProgressReport.MachineFigures(
                name: "pc2", address: "fe80::1", mac: "52:54:00:00:00:02", state: "joined"),
        ]
        (report.joined, report.stillNeeded, report.startsIn) = (2, 1, 9)
        report.verifyTime = 1_500_000_000
        #expect(
            JSONLine.progress(report)
                == #"{"buffers":64,"bytes":4194304000,"chunks":1000,"disk_GB_per_min":13.404,"disk_MBps":223.4,"#
                + #""disks":[{"bytes":500,"chunks":1,"disk_GB_per_min":6,"disk_MBps":100,"error":"/dev/sda: no","#
                + #""name":"/dev/sda","total_bytes":1000,"total_chunks":2},"#
                + #"{"bytes":0,"chunks":0,"disk_GB_per_min":0,"disk_MBps":0,"name":"b","total_chunks":4}],"#
                + #""elapsed_s":20.5,"eta_s":185,"event":"progress","frame_bytes":1900000000,"free_buffers":62,"#
                + #""joined":2,"loss_percent":0.05,"#
                + #""machines":[{"address":"10.0.0.1","disk_GB_per_min":0.06,"disk_MBps":1,"free_buffers":3,"#
                + #""loss_percent":0.5,"mac":"52:54:00:00:00:01","name":"pc1","percent":12.346,"#
                + #""problem":"sda is full","state":"failed"},"#
                + #"{"address":"fe80::1","disk_GB_per_min":0,"disk_MBps":0,"free_buffers":0,"#
                + #""mac":"52:54:00:00:00:02","name":"pc2","state":"joined"}],"#
                + #""session":"lab1","starts_in_s":9,"state":"restoring","still_needed":1,"total_bytes":9980000000,"#
                + #""total_chunks":2380,"transfer_s":18.774,"verify_s":1.5,"wire_MBps":112,"wire_bytes":2000000000}"#
        )
    }

    @Test func theLastLineSaysWhetherItWorked() {
        var report = ProgressReport(.done)
        let figures =
            #""bytes":0,"chunks":0,"command":"makel","disk_GB_per_min":0,"disk_MBps":0,"elapsed_s":0,"#
        let more = #""total_bytes":0,"total_chunks":0,"transfer_s":0,"wire_MBps":0,"wire_bytes":0}"#
        #expect(
            JSONLine.result(command: "makel", report, text: "all of it")
                == "{" + figures
                + #""event":"result","frame_bytes":0,"ok":true,"state":"done","text":"all of it","#
                + more)
        report.state = .failed
        report.error = "no disk"
        #expect(
            JSONLine.result(command: "makel", report, text: nil)
                == "{" + figures
                + #""error":"no disk","event":"result","frame_bytes":0,"ok":false,"state":"failed","# + more)
    }

    /// JSON knows neither; a job must not end because of a figure.
    @Test(arguments: [Double.nan, .infinity, -.infinity]) func whatIsNoNumberIsNothing(_ figure: Double) {
        var report = sample()
        report.wireRate = figure
        report.diskRate = figure
        report.lossPercent = figure
        #expect(JSONLine.progress(report).contains(#""disk_GB_per_min":0,"disk_MBps":0,"#))
    }

    @Test func aSentenceIsOneLine() {
        let line = JSONLine.sentence("notice", "one\ntwo\u{7}\u{2028}/dev/sda \"x\"")
        #expect(!line.contains("\n"))
        #expect(line.hasPrefix(#"{"event":"notice","text":"one\ntwo\u0007"#), "\(line)")
        #expect(line.contains("/dev/sda"))
    }
}
