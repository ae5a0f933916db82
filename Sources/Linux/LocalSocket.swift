// The file by which programs of this machine reach a service: nobody but its owner and root ever may.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A Unix domain socket that appears under its name only when nobody else can use it any more.
package enum LocalSocket {
    /// The longest path the kernel takes (`sun_path`, less the zero).
    package static let maximumPathBytes = 107

    /// Makes a directory of mode 0700 beside `path` and gives the path in it at which to bind.
    ///
    /// - Throws: `SystemError` where the path is too long, or the directory cannot be made.
    package static func prepare(_ path: String) throws(SystemError) -> String {
        let directory = "\(path).new"
        let temporary = "\(directory)/s"
        guard temporary.utf8.count <= maximumPathBytes else {
            throw SystemError("make a socket at \(path)", .fileNameTooLong)
        }
        let (result, error) = withErrno { unsafe mkdir(directory, 0o700) }
        guard result == 0 || error == .fileExists else {
            throw SystemError("create the directory \(directory)", error)
        }
        // What a killed service left, with whatever mode, is not trusted.
        _ = try systemCall("protect \(directory)") { unsafe chmod(directory, 0o700) }
        return temporary
    }

    /// Gives the socket bound at `temporary` mode 0600 and the name `path`, in place of what had it.
    package static func publish(_ temporary: String, as path: String) throws(SystemError) {
        _ = try systemCall("protect \(path)") { unsafe chmod(temporary, 0o600) }
        _ = try systemCall("create \(path)") { unsafe rename(temporary, path) }
        unsafe _ = rmdir("\(path).new")
    }

    /// Removes the socket's name, and what `prepare` made, where they are.
    package static func remove(_ path: String) {
        unsafe _ = unlink(path)
        unsafe _ = unlink("\(path).new/s")
        unsafe _ = rmdir("\(path).new")
    }

    /// Whether a service takes connections at `path`, where this process may connect to it.
    ///
    /// - Throws: `SystemError` where there is a socket that this process may not use.
    package static func answers(_ path: String) throws(SystemError) -> Bool {
        guard path.utf8.count <= maximumPathBytes else { return false }
        let number = try systemCall("make a socket") {
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        }
        let descriptor = Descriptor(owning: number, name: path)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let (result, error) = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                withErrno { unsafe connect(descriptor.number, pointer, size) }
            }
        }
        try descriptor.close()
        if result == 0 { return true }
        switch error {
        case .noSuchFileOrDirectory, .connectionRefused, .notDirectory: return false
        default: throw SystemError("talk to the service at \(path)", error)
        }
    }
}
