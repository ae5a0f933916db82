// Hands libFuzzer's inputs to a closure: each fuzz target is one main.swift that calls `fuzz`.
internal import CFuzzer

nonisolated(unsafe) private var probe: ([UInt8]) -> Void = { _ in }

/// Runs libFuzzer with this process's arguments on `body`, which must neither crash nor take long.
package func fuzz(_ body: @escaping ([UInt8]) -> Void) -> Int32 {
    unsafe probe = body
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv as UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    return unsafe LLVMFuzzerRunDriver(&count, &arguments) { data, size in
        unsafe probe([UInt8](UnsafeBufferPointer(start: data, count: size)))
        return 0
    }
}
