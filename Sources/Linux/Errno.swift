// Reads the calling thread's errno.
internal import CLinux
internal import Glibc

/// The calling thread's errno; meaningless after any other call.
@inline(__always)
var currentErrno: Int32 { Glibc.errno }
