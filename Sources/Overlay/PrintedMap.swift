// `overlay-map`: the outcome of a mapping as lines, for tests and for looking into a report.
internal import Blocks
internal import Linux

/// `overlay-map PATH OFFSET LENGTH SECTOR TYPE [stall]`: prints the outcome as one line per fact.
///
/// Physical volumes of LVM are mapped together: their paths, offsets and lengths may follow each other, the sector and
/// the type stand at the end.
func printMaps(_ arguments: [String]) -> Int32 {
    let stalls = arguments.last == "stall"
    let words = stalls ? Array(arguments.dropLast()) : arguments
    guard words.count >= 5, words.count % 3 == 2, let sector = UInt32(words[words.count - 2]) else {
        return 2
    }
    var sources: [PartitionSource] = []
    for at in stride(from: 0, to: words.count - 2, by: 3) {
        guard let offset = UInt64(words[at + 1]), let length = UInt64(words[at + 2]),
            length <= UInt64.max - offset
        else { return 2 }
        sources.append(
            PartitionSource(
                path: words[at], extent: Extent(offset: offset, length: length), sectorSize: sector))
    }
    let faults = OverlayFaults(stallsWhenMounted: stalls)
    let type = words[words.count - 1]
    do {
        let pool = try OverlayPool()
        if type == physicalVolumeType {
            for volume in try mapVolumeGroups(of: sources, pool: pool, faults: faults) {
                printOutcome(volume.outcome)
                for notice in volume.notices { print("notice: \(notice)") }
            }
        } else {
            for source in sources {
                printOutcome(try mapUsedBlocks(of: source, fileSystem: type, pool: pool, faults: faults))
            }
        }
        return 0
    } catch {
        print("\(error)")
        return 1
    }
}

private func printOutcome(_ outcome: MapOutcome) {
    switch outcome {
    case .mapped(let content):
        print("mapped: used \(content.used.byteCount), changed \(content.changedByteCount)")
        for extent in content.used.extents { print("used \(extent)") }
    case .whole(let reason): print("whole: \(reason)")
    case .hibernated(let what, let remedy): print("hibernated: \(what); \(remedy)")
    }
}
