// What the host's screen says of participants that multicast does not reach.

/// Who has told the host's screen that multicast does not reach a participant.
enum DeafnessTeller {
    case nobody
    /// The participant, which knows the reason and will also say when multicast is back.
    case participant
    /// The host, because the participant has not said anything.
    case host
}

extension HostMachine {
    /// Says that a participant is served over TCP, if it has had its time to say why and has not.
    mutating func tellDeafness(of index: Int, now: UInt64) {
        guard seats[index].isDeaf, seats[index].deafnessTeller == .nobody, let since = seats[index].deafSince,
            now >= since + 2 * Tuning.unseenPatience
        else { return }
        seats[index].deafnessTeller = .host
        notice("multicast does not reach \(label(index)): it is served over TCP")
    }
}
