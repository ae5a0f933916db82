// placeholder until merged
final class BootFiles: Sendable { init(directory: String) throws {}
  func replaceAll(_ all: [[UInt8]: Bool], unknown: Bool) throws {} }
