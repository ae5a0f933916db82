// What boot loaders are told: the texts, the names, and the files in a TFTP root.
import Linux
import Server
import Testing
import TestSupport

private let goldens = GoldenFolder("Golden", beside: #filePath)
private let mac: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0xab]
private let other: [UInt8] = [2, 0, 0, 0, 0, 1]

private func text(_ path: String) throws -> String { try FileTree.text(of: path) }

@Suite struct BootTests {
    @Test(arguments: [true, false])
    func theTextsAreTheGoldenOnes(_ imaging: Bool) throws {
        for (loader, text) in [
            ("grub", BootConfiguration.grub(imaging: imaging)),
            ("pxelinux", BootConfiguration.pxelinux(imaging: imaging)),
        ] {
            let name = "boot-\(loader)-\(imaging ? "imaging" : "local").cfg"
            if GoldenFolder.isWriting { try goldens.write(name, Array(text.utf8)) }
            #expect(try String(decoding: goldens.read(name), as: UTF8.self) == text)
        }
    }

    @Test func filesAreNamedAsTheLoadersAsk() {
        #expect(BootConfiguration.grubName(mac) == "52-54-00-12-34-ab.cfg")
        #expect(BootConfiguration.pxelinuxName(mac) == "01-52-54-00-12-34-ab")
        #expect(BootConfiguration.mac(ofGrubName: "52-54-00-12-34-AB.cfg") == mac)
        for name in [
            "default.cfg", "52-54-00-12-34.cfg", "52-54-00-12-34-ab", "52-54-00-12-34-ab-cd.cfg",
            "5-254-00-12-34-ab.cfg", "+5-54-00-12-34-ab.cfg", "52--54-00-12-34.cfg", "../etc/passwd.cfg",
            ".cfg", "",
            "52:54:00:12:34:ab.cfg",
        ] { #expect(BootConfiguration.mac(ofGrubName: name) == nil) }
    }

    @Test func filesSayWhatTheyWereToldToSay() throws {
        try withTemporaryDirectory { root in
            try run("mkdir", "\(root)/grub")
            let files = try BootFiles(directory: root)
            try files.set(mac, imaging: true)
            try files.set(other, imaging: false)
            try files.setDefault(imaging: true)
            let (grub, pxelinux) = ("\(root)/grub/mac", "\(root)/pxelinux.cfg")
            let own = "52-54-00-12-34-ab"
            #expect(try text("\(grub)/\(own).cfg") == BootConfiguration.grub(imaging: true))
            #expect(try text("\(pxelinux)/01-\(own)") == BootConfiguration.pxelinux(imaging: true))
            #expect(try text("\(grub)/02-00-00-00-00-01.cfg") == BootConfiguration.grub(imaging: false))
            #expect(try text("\(grub)/default.cfg") == BootConfiguration.grub(imaging: true))
            #expect(try text("\(pxelinux)/default") == BootConfiguration.pxelinux(imaging: true))
            // Another user's TFTP server reads them.
            for path in [grub, pxelinux] { #expect(try run("stat", "-c", "%a", path) == "755\n") }
            #expect(try run("stat", "-c", "%a", "\(grub)/\(own).cfg") == "644\n")

            // Only a change is written.
            let before = try FileStatus(of: "\(grub)/\(own).cfg").inode
            try files.set(mac, imaging: true)
            #expect(try FileStatus(of: "\(grub)/\(own).cfg").inode == before)
            try files.set(mac, imaging: false)
            #expect(try text("\(grub)/\(own).cfg") == BootConfiguration.grub(imaging: false))
            try files.remove(mac)
            #expect(try FileTree.entries(of: grub).sorted() == ["02-00-00-00-00-01.cfg", "default.cfg"])
            #expect(try FileTree.entries(of: pxelinux).sorted() == ["01-02-00-00-00-00-01", "default"])
        }
    }

    @Test func whatIsOfNoMachineAnyMoreGoes() throws {
        try withTemporaryDirectory { root in
            do {
                let files = try BootFiles(directory: root)
                try files.set(mac, imaging: true)
                try files.set(other, imaging: true)
            }
            // What an administrator put there, and what a crash left half written.
            try run("sh", "-c", "echo mine >\(root)/grub/mac/02-00-00-00-00-09.cfg")
            try run("sh", "-c", "echo mine >\(root)/pxelinux.cfg/default")
            try run("sh", "-c", "echo mine >\(root)/pxelinux.cfg/graphics.conf")
            try run("sh", "-c", "echo '# Wri' >\(root)/grub/mac/.02-00-00-00-00-01.cfg.1234.new")
            try run("cp", "\(root)/grub/mac/02-00-00-00-00-01.cfg", "\(root)/grub/mac/02-00-00-00-00-AA.cfg")
            let third: [UInt8] = [2, 0, 0, 0, 0, 3]
            try BootFiles(directory: root).replaceAll([mac: false, third: true], unknown: true)
            #expect(
                try FileTree.entries(of: "\(root)/grub/mac").sorted() == [
                    "02-00-00-00-00-03.cfg", "02-00-00-00-00-09.cfg", "52-54-00-12-34-ab.cfg", "default.cfg",
                ])
            #expect(
                try FileTree.entries(of: "\(root)/pxelinux.cfg").sorted() == [
                    "01-02-00-00-00-00-03", "01-52-54-00-12-34-ab", "default", "graphics.conf",
                ])
            #expect(try text("\(root)/pxelinux.cfg/default") == "mine\n")
            #expect(
                try text("\(root)/grub/mac/52-54-00-12-34-ab.cfg") == BootConfiguration.grub(imaging: false))
        }
    }

    @Test func linksAreNotFollowed() throws {
        try withTemporaryDirectory { root in
            try run("mkdir", "\(root)/root", "\(root)/elsewhere")
            try run("ln", "-s", "../elsewhere", "\(root)/root/grub")
            let error = #expect(throws: ServerError.self) { try BootFiles(directory: "\(root)/root") }
            #expect(error?.description.contains("\(root)/root/grub") == true)
            #expect(try FileTree.entries(of: "\(root)/elsewhere") == [])
        }
    }

    @Test func aRootThatIsNotThereIsNamed() {
        let error = #expect(throws: ServerError.self) { try BootFiles(directory: "/nowhere/tftp") }
        #expect(error?.description == "cannot open /nowhere/tftp: No such file or directory")
    }
}
