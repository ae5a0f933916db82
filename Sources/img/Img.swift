// The root command: what `img help` shows.
internal import ArgumentParser

/// The program's version, shown by --version and written into images.
let programVersion = "0.1.0"

struct Img: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "img",
        abstract:
            "Puts disk images on machines: from a multicast session, another machine's disks or a local file.",
        discussion: """
            Words may be abbreviated while they are unambiguous, and each mode also takes a leading dash.

              img                    (alone: the menu, by keyboard on any terminal)
              img session NAME [master|client] [clients=N [t=MIN]] [TIME] [comp=...] [if=INTERFACE] [disks=A,B]
              img makel FILE [comp=0-9|none|speed|balanced|size] [xN]... [disks=A,B] [whole] [plan]
              img restorel FILE [disks=A,B] [verify] [plan]
              img auto [server=ADDRESS] [key=FINGERPRINT] [disks=A,B] [wait=MIN]
              img makep SERVER NAME [comp=...] [xN]... [disks=A,B] [key=FINGERPRINT] [whole] [plan]
              img restorep SERVER NAME [disks=A,B] [key=FINGERPRINT] [verify] [plan]
              img dump [geometry]
              img info [FILE]
              img pdN [disks=A] [plan]
              img paN [disks=A] [plan]
              img bootfix [kexec|next] [disks=A,B] [plan]

            Exit status: 0 done, 1 failed, 2 wrong usage.
            """,
        version: programVersion,
        subcommands: [
            SessionCommand.self, MakeLocal.self, RestoreLocal.self, Auto.self, MakeOnServer.self,
            RestoreFromServer.self, Dump.self, Info.self,
            DeletePartition.self, ActivatePartition.self, BootFixCommand.self,
        ])
}
