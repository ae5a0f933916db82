// The words of the field and what they become.
import Testing

import img

struct GrammarTests {
    @Test(
        arguments: [
            (["makel", "a.img"], ["makel", "a.img"]),
            (["-makel", "a.img", "comp=speed"], ["makel", "a.img", "--compression", "speed"]),
            (["MAKEL", "a.img", "x2", "X13"], ["makel", "a.img", "--exclude", "2", "--exclude", "13"]),
            (
                ["makel", "a.img", "disks=/dev/a,/dev/b", "plan"],
                ["makel", "a.img", "--disks", "/dev/a,/dev/b", "--plan"]
            ),
            (["makel", "a.img", "whole", "pl"], ["makel", "a.img", "--whole", "--plan"]),
            (["makel", "x3"], ["makel", "x3"]),
            (["makel", "comp=1", "a.img"], ["makel", "--compression", "1", "a.img"]),
            (
                ["restorel", "a.img", "verify", "d=/dev/a"],
                ["restorel", "a.img", "--verify", "--disks", "/dev/a"]
            ),
            (["s", "lab1"], ["session", "lab1"]),
            (["session", "lab1", "c", "if=eth0"], ["session", "lab1", "--client", "--interface", "eth0"]),
            (["session", "lab1", "m"], ["session", "lab1", "--master"]),
            (["ses", "lab1", "MASTER", "clients=3"], ["session", "lab1", "--master", "--clients", "3"]),
            (
                ["session", "lab1", "m", "cl=3", "t=15", "co=size"],
                ["session", "lab1", "--master", "--clients", "3", "--wait", "15", "--compression", "size"]
            ),
            (
                ["session", "lab1", "clients=3", "time=1.5"],
                ["session", "lab1", "--clients", "3", "--wait", "1.5"]
            ),
            (
                ["session", "lab1", "clients=3", "ti=2"],
                ["session", "lab1", "--clients", "3", "--wait", "2"]
            ),
            (["session", "lab1", "m", "14:30"], ["session", "lab1", "--master", "--start", "14:30"]),
            (["session", "lab1", "42"], ["session", "lab1", "--start", "42"]),
            (["session", "42", "42"], ["session", "42", "--start", "42"]),
            (
                ["session", "lab1", "m", "disks=/dev/a", "rate=90", "ttl=4", "l=3", "whole", "plan"],
                [
                    "session", "lab1", "--master", "--disks", "/dev/a", "--rate", "90", "--ttl", "4",
                    "--linger", "3", "--whole", "--plan",
                ]
            ),
            (["session", "lab1", "v", "w", "p"], ["session", "lab1", "--verify", "--whole", "--plan"]),
            (["session", "a=b", "key=ABCD"], ["session", "a=b", "--key", "ABCD"]),
            (["session", "lab1", "fi=/a.img"], ["session", "lab1", "--file", "/a.img"]),
            (["dump", "g"], ["dump", "--geometry"]),
            (["auto"], ["auto"]),
            (["-auto", "k=ABCD", "server=10.0.0.1"], ["auto", "--key", "ABCD", "--server", "10.0.0.1"]),
            (["a", "d=/dev/a", "--insecure"], ["auto", "--disks", "/dev/a", "--insecure"]),
            (
                ["makep", "10.0.0.1", "win11", "x2", "c=3", "k=ABCD", "whole", "pl"],
                [
                    "makep", "10.0.0.1", "win11", "--exclude", "2", "--compression", "3", "--key", "ABCD",
                    "--whole", "--plan",
                ]
            ),
            (
                ["restorep", "server", "plan", "v", "d=/dev/a"],
                ["restorep", "server", "plan", "--verify", "--disks", "/dev/a"]
            ),
            (["help", "auto"], ["help", "auto"]),
            (["bootfix", "n"], ["bootfix", "--next"]),
            (["du", "--json"], ["dump", "--json"]),
            (["info", "plan"], ["info", "plan"]),
            (["help", "mak"], nil),
            (["help", "ses"], ["help", "session"]),
            (["makel", "--disks", "comp=3", "a.img"], ["makel", "--disks", "comp=3", "a.img"]),
            (["pd3"], ["pd", "3"]),
            (["-PA12", "disks=/dev/a", "pl"], ["pa", "12", "--disks", "/dev/a", "--plan"]),
            (["pd", "4"], ["pd", "4"]),
            (["help", "pd"], ["help", "pd"]),
            (["help", "pa2"], ["help", "pa"]),
            (["-bootfix"], ["bootfix"]),
            (["boot", "p"], ["bootfix", "--plan"]),
            (["bootfix", "kexec", "plan", "disks=a"], ["bootfix", "--kexec", "--plan", "--disks", "a"]),
            (["help", "bootfix"], ["help", "bootfix"]),
            (["--help"], ["--help"]),
        ] as [([String], [String]?)])
    func translates(_ words: [String], _ expected: [String]?) throws {
        if let expected {
            #expect(try Grammar.translate(words) == expected)
        } else {
            #expect(throws: UsageError.self) { try Grammar.translate(words) }
        }
    }

    @Test(
        arguments: [
            ([], "img alone shows the menu, which needs a terminal"),
            (["frobnicate"], "img has no mode 'frobnicate'"),
            (["make", "a"], "the mode 'make' may be makel or makep"),
            (["auto", "srv"], "'auto' does not take 'srv'"),
            (["auto", "disks=a", "d=b"], "'d=b' gives a second value"),
            (["-makep", "srv", "x", "verify"], "'makep' does not take 'verify'"),
            (["restorep", "srv", "x", "s1"], "'s1' of 'restorep' belongs to a part"),
            (["restorep", "srv", "x", "a1:p2"], "'a1:p2' of 'restorep' belongs to a part"),
            (["restorep", "srv", "x", "comp=3"], "'restorep' does not take 'comp=3'"),
            (["p", "3"], "the mode 'p' may be pa or pd"),
            (["pdx"], "img has no mode 'pdx'"),
            (["pd3", "4"], "'pd' does not take '4'"),
            (["pa1", "whole"], "'pa' does not take 'whole'"),
            (["bootfix", "now"], "'bootfix' does not take 'now'"),
            (["restorel", "a", "s1"], "'s1' of 'restorel' belongs to a part"),
            (["restorel", "a", "a1:p2"], "'a1:p2' of 'restorel' belongs to a part"),
            (["restorel", "a", "comp=3"], "'restorel' does not take 'comp=3'"),
            (["session", "lab1", "c=3"], "the word 'c' may be clients or comp"),
            (["session", "lab1", "clients="], "'clients=' lacks a value"),
            (["session", "lab1", "clients=3", "cl=4"], "'cl=4' gives a second value"),
            (["session", "lab1", "t=3", "time=4"], "'time=4' gives a second value"),
            (["session", "lab1", "14:30", "15:30"], "'15:30' gives a second value"),
            (["session", "lab1", "--clients", "2", "clients=3"], "'clients=3' gives a second value"),
            (["restorel", "a", "disks=/dev/a", "--disks=/dev/b"], "'--disks=/dev/b' gives a second value"),
            (["session", "master"], "'session' lacks the session's name before 'master'"),
            (["session", "clients=2", "master"], "'session' lacks the session's name before 'clients=2'"),
            (["session", "lab1", "x2"], "'session' does not take 'x2'"),
            (["session", "lab1", "slave"], "'session' does not take 'slave'"),
            (["info", "zisd"], "'zisd' of 'info' belongs to a part"),
            (["restorel", "a", "wipe=all"], "'wipe=all' of 'restorel' belongs to a part"),
            (["makel", "a", "rate=5"], "'rate=5' of 'makel' belongs to a part"),
            (["makel", "a", "comp="], "'comp=' lacks a value"),
            (["restorel", "a", "disks=/dev/a", "d=/dev/b"], "'d=/dev/b' gives a second value"),
            (["makel", "a", "comp=1", "comp=2"], "'comp=2' gives a second value"),
            (["makel", "a", "b"], "'makel' does not take 'b'"),
            (["makel", "a", "x"], "'makel' does not take 'x'"),
        ] as [([String], String)])
    func refuses(_ words: [String], _ sentence: String) throws {
        let error = try #require(throws: UsageError.self) { try Grammar.translate(words) }
        #expect(error.description.hasPrefix(sentence), "\(error)")
    }
}
