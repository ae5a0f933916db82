// How fast FEC makes parity and rebuilds losses, in GB/s of source data, beside memcpy of the same data.

/// Runs of each case, in turn with memcpy; the median counts.
let runs = 5

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// A number with three digits behind the point.
func text(_ value: Double) -> String {
    let thousandths = Int(value * 1000 + 0.5)
    let fraction = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
}

func column(_ text: String) -> String { String(repeating: " ", count: max(1, 11 - text.count)) + text }

let isJSON = CommandLine.arguments.contains("--json")
let workload = Workload()
if !isJSON {
    print("far: in memory; near: one chunk, in the caches; MB, GB: 10^6, 10^9 bytes of source data")
    print("case                        GB/s  of memcpy  us/symbol  us/stripe")
}
var lines: [String] = []
for measured in Case.all {
    var times: [Double] = []
    var copies: [Double] = []
    for _ in 0..<runs {
        times.append(workload.secondsPerStripe(measured))
        copies.append(workload.copySecondsPerStripe(measured))
    }
    let seconds = median(times)
    let rate = text(Double(measured.sourceBytes) / seconds / 1e9)
    let ratio = text(median(copies) / seconds)
    let perSymbol = text(seconds * 1e6 / Double(measured.symbols))
    if isJSON {
        lines.append(
            "  {\"case\": \"\(measured.name)\", \"source_GBps\": \(rate), \"memcpy_ratio\": \(ratio), "
                + "\"us_per_symbol\": \(perSymbol), \"us_per_stripe\": \(text(seconds * 1e6))}")
    } else {
        let name = measured.name + String(repeating: " ", count: 22 - measured.name.count)
        print(name + column(rate) + column(ratio) + column(perSymbol) + column(text(seconds * 1e6)))
    }
}
if isJSON { print("[\n" + lines.joined(separator: ",\n") + "\n]") }
