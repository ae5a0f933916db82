// The menu's pages for the imaging server: what they look like, and what they say while there is none.
import Linux
import Testing
import TestSupport

@Suite(.serialized) struct ServerMenuTests {
    /// An address of this machine at which nobody listens.
    private static let nowhere = "127.0.0.1:9"

    /// From the main menu to a line of the page Imaging.
    private func open(_ menu: Terminal, _ line: Int) throws {
        try menu.press("Enter")
        try menu.expect("Query for work")
        for _ in 0..<line { try menu.press("Down") }
        try menu.press("Enter")
    }

    @Test func makingAnImageThere() throws {
        try withTemporaryDirectory { directory in
            try run("truncate", "-s", "64M", "\(directory)/source")
            try withMenu(directory) { menu in
                try open(menu, 3)
                try expectGolden("server-make", menu.expect("Image's name"))
                try menu.press("Enter", "Enter", "Enter", "Enter")
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
                try menu.expect("the imaging server needs an address or a name")
                try menu.press("Enter")
                try menu.expect("Image's name")
                try menu.type(ServerMenuTests.nowhere)
                try menu.press("Tab", "Tab")
                try menu.type("room")
                try menu.press("Tab")
                try menu.type("source")
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
                try expectGolden("server-make-plan", menu.expect("Make image -> server: plan"))
                try menu.press("Enter")
                try menu.expect("cannot connect to \(ServerMenuTests.nowhere)")
                try menu.press("Enter")
                try menu.expect("Image's name", "room")
                try menu.press("Escape")
                try menu.expect("Restore image <- local file")
            }
        }
    }

    @Test func restoringAnImageFromThere() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try open(menu, 4)
                try expectGolden("server-restore", menu.expect("Read everything back"))
                try menu.type(ServerMenuTests.nowhere)
                try menu.press("Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
                try menu.expect("its name is empty")
                try menu.press("Enter")
                try menu.expect("Read everything back")
                try menu.press("Tab", "Tab")
                try menu.type("room")
                try menu.press("Tab", "Tab", "Tab", "Enter")
                try expectGolden("server-refused", menu.expect("cannot connect to"))
            }
        }
    }

    @Test func askingForWork() throws {
        try withTemporaryDirectory { directory in
            try withMenu(directory) { menu in
                try open(menu, 5)
                try expectGolden("server-query", menu.expect("imgserv key"))
                try menu.type(ServerMenuTests.nowhere)
                try menu.press("Tab")
                try menu.type("none")
                try menu.press("Tab", "Enter")
                try menu.expect("the server's key takes a fingerprint", "'none'")
                try menu.press("Enter")
                try menu.expect("imgserv key")
                try menu.press("Tab", "BSpace", "BSpace", "BSpace", "BSpace", "Tab", "Enter")
                try menu.expect("Go on?", "Yes, ask")
                // The way back has the focus: nothing is asked by pressing Enter once too often.
                try menu.press("Tab", "Enter")
                try menu.expect("asking", "the imaging server is asked again in", "gives no order")
                try menu.press("Escape")
                try menu.expect("End it now?")
                try menu.press("Tab", "Enter")
                try menu.expect("Cancelled")
            }
        }
    }
}
