// Mounts that one thread alone sees.
import Linux
import Testing

@Suite struct MountTests {
    /// `img auto` repairs the boot loader on a thread of its own: what that mounts is in no list but that thread's.
    @Test func aThreadWithANamespaceSeesItsOwnMounts() throws {
        let source = "img-mount-test"
        let inside = try Thread("mounts") {
            try Mount.unshareNamespace()
            try Mount.attach(source, at: "/mnt", type: "tmpfs", [], data: "size=64k")
            return try Mount.entries().contains { $0.source == source && $0.mountPoint == "/mnt" }
        }.join()
        #expect(inside)
        #expect(try !Mount.entries().contains { $0.source == source })
    }
}
