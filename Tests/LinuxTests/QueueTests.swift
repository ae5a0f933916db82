// Queues, pools and threads of the data path.
import Linux
import Synchronization
import Testing

@Suite struct QueueTests {
    @Test func keepsOrder() {
        let queue = BoundedQueue<Int>(capacity: 3)
        for round in 0..<5 {
            for value in 0..<3 { #expect(queue.put(round * 3 + value)) }
            for value in 0..<3 { #expect(queue.take() == round * 3 + value) }
        }
        #expect(queue.takeIfAvailable() == nil)
    }

    @Test func givesWhatIsInsideAfterClosing() {
        let queue = BoundedQueue<Int>(capacity: 2)
        #expect(queue.put(1))
        queue.close()
        #expect(!queue.put(2))
        #expect(queue.take() == 1)
        #expect(queue.take() == nil)
        #expect(queue.takeIfAvailable() == nil)
    }

    /// Nothing is lost or doubled between several producers and consumers.
    @Test(.timeLimit(.minutes(10)), arguments: [1, 2, 7]) func losesNothing(capacity: Int) throws {
        let queue = BoundedQueue<Int>(capacity: capacity)
        let perProducer = 5000
        let producers = (0..<3).map { producer in
            Thread<Void>("producer") { [queue] in
                for value in 0..<perProducer { _ = queue.put(producer * perProducer + value) }
            }
        }
        let consumers = (0..<2).map { _ in
            Thread<[Int]>("consumer") { [queue] in
                var taken: [Int] = []
                while let value = queue.take() { taken.append(value) }
                return taken
            }
        }
        for producer in producers { try producer.join() }
        queue.close()
        let taken = try consumers.map { try $0.join() }
        #expect(taken.joined().sorted() == Array(0..<3 * perProducer))
        // Each consumer sees each producer's values in their order.
        for values in taken {
            for producer in 0..<3 {
                let own = values.filter { $0 / perProducer == producer }
                #expect(own == own.sorted())
            }
        }
    }

    @Test(.timeLimit(.minutes(10))) func aFullQueueMakesTheProducerWait() throws {
        let queue = BoundedQueue<Int>(capacity: 2)
        #expect(queue.put(0))
        #expect(queue.put(1))
        let isIn = Mutex(false)
        let producer = Thread<Bool>("producer") {
            let accepted = queue.put(2)
            isIn.withLock { $0 = true }
            return accepted
        }
        #expect(!isIn.withLock { $0 }, "nobody has made room yet")
        #expect(queue.take() == 0)
        #expect(try producer.join())
        #expect(queue.take() == 1)
        #expect(queue.take() == 2)
    }

    @Test(.timeLimit(.minutes(10))) func closingWakesWhoWaits() throws {
        let empty = BoundedQueue<Int>(capacity: 1)
        let full = BoundedQueue<Int>(capacity: 1)
        #expect(full.put(0))
        let taker = Thread<Int?>("taker") { empty.take() }
        let putter = Thread<Bool>("putter") { full.put(1) }
        empty.close()
        full.close()
        #expect(try taker.join() == nil)
        #expect(try !putter.join())
    }

    @Test func lettersGoWhenTheyAreTaken() {
        final class Parcel: Sendable {}
        let queue = BoundedQueue<Parcel>(capacity: 2)
        weak var watched: Parcel?
        do {
            let parcel = Parcel()
            watched = parcel
            #expect(queue.put(parcel))
        }
        #expect(watched != nil)
        _ = queue.take()
        #expect(watched == nil, "the queue keeps what was taken")
    }

    @Test func aPoolHasAFixedNumberOfBuffers() {
        let pool = BufferPool(count: 2, bufferSize: 5000)
        let first = pool.takeIfAvailable()
        let second = pool.takeIfAvailable()
        #expect(first?.capacity == 5000)
        #expect(second != nil)
        #expect(pool.takeIfAvailable() == nil)
        if let first { pool.giveBack(first) }
        #expect(pool.take() === first)
        if let first { pool.giveBack(first) }
        pool.close()
        #expect(pool.take() == nil)
        #expect(pool.takeIfAvailable() == nil)
    }

    @Test func buffersArePageAligned() {
        for capacity in [0, 1, 4096, 4 << 20] {
            let buffer = AlignedBuffer(capacity: capacity)
            #expect(unsafe UInt(bitPattern: buffer.bytes.baseAddress) % 4096 == 0)
            #expect(buffer.withBytes(capacity) { $0.byteCount } == capacity)
        }
    }
}

@Suite struct ThreadTests {
    private struct Failure: Error {}

    @Test func givesItsValue() throws {
        #expect(try Thread<Int>("worker") { 42 }.join() == 42)
    }

    @Test func givesItsError() {
        #expect(throws: Failure.self) { try Thread<Int>("worker") { throw Failure() }.join() }
    }

    @Test func isNamed() throws {
        let name = try Thread<[UInt8]>("a name longer than the kernel takes") {
            let file = try Descriptor(opening: "/proc/thread-self/comm", .readOnly)
            return try file.read(15, at: 0)
        }.join()
        #expect(String(decoding: name, as: UTF8.self) == "a name longer t")
    }

    @Test func aSecondJoinIsAProgrammingError() async {
        await #expect(processExitsWith: .failure) {
            let thread = Thread<Int>("worker") { 1 }
            _ = try thread.join()
            _ = try thread.join()
        }
    }

    @Test(.timeLimit(.minutes(10))) func conditionsWakeAndTimeOut() throws {
        let condition = Condition()
        let turn = Mutex(0)
        let other = Thread<Void>("other") {
            for round in 0..<100 {
                condition.locked {
                    while turn.withLock({ $0 }) != round * 2 + 1 { condition.wait() }
                    turn.withLock { $0 += 1 }
                    condition.signalAll()
                }
            }
        }
        for round in 0..<100 {
            condition.locked {
                turn.withLock { $0 += 1 }
                condition.signalAll()
                while turn.withLock({ $0 }) != round * 2 + 2 { condition.wait() }
            }
        }
        try other.join()
        let start = MonotonicClock.now()
        let deadline = start + 20_000_000
        condition.locked { while MonotonicClock.now() < deadline { condition.wait(until: deadline) } }
        #expect(MonotonicClock.now() - start >= 20_000_000)
        condition.locked { condition.wait(until: 0) }
    }
}

@Suite struct ClockTests {
    /// From `date -u -d @SECONDS +%FT%TZ`.
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"), (951_868_800, "2000-03-01T00:00:00Z"),
            (1_078_012_800, "2004-02-29T00:00:00Z"), (1_109_635_199, "2005-02-28T23:59:59Z"),
            (1_109_635_200, "2005-03-01T00:00:00Z"), (1_795_253_719, "2026-11-21T09:35:19Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"), (-1, "1969-12-31T23:59:59Z"),
            (-2_203_891_200, "1900-03-01T00:00:00Z"),
        ] as [(Int64, String)])
    func isGregorian(seconds: Int64, text: String) { #expect(WallClock.text(seconds) == text) }

    @Test func clocksRun() {
        let first = MonotonicClock.now()
        #expect(MonotonicClock.now() >= first)
        #expect(WallClock.now() > 1_700_000_000)
        #expect(processorCount() >= 1)
    }

    @Test func randomBytesDiffer() {
        #expect(Random.bytes(0) == [])
        #expect(Random.bytes(256).count == 256)
        #expect(Random.bytes(32) != Random.bytes(32))
        #expect(Set(Random.bytes(256)).count > 64)
    }
}
