// The processes that `img` starts of itself: what they are is decided before anything else in the program.
internal import Disk
internal import Linux
internal import Overlay

/// Runs a process of the overlay if `arguments`, without the program's name, ask for one.
///
/// Returns its exit status, or nil for everything else. No thread may have been started before.
package func runHiddenService(_ arguments: [String]) -> Int32? {
    runOverlayService(arguments) { device, size, sectorSize in
        FileSystemIdentity(of: device, size: size, sectorSize: sectorSize)?.type
    }
}
