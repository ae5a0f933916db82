// A person at a terminal: runs a program on a pseudo terminal and presses keys when the screen shows what they wait for.
package import Linux

/// A program on a terminal of its own, with somebody who reads its screen and presses keys.
package final class Typist: Sendable {
    /// Keys that are pressed once all of some texts have been on the screen.
    package struct Step: Sendable {
        let texts: [String]
        let keys: String

        /// Presses `keys` ("\u{3}" is Ctrl-C) once each of `texts` has been shown, after the steps before this one.
        package init(when texts: String..., press keys: String) {
            self.texts = texts
            self.keys = keys
        }
    }

    private let program: RunningProgram

    /// Starts `words` on a terminal of 80×25; after `seconds` it is killed, which is a failure.
    package init(_ words: [String], seconds: Int = 60, _ steps: Step...) throws {
        var arguments = ["python3", "-c", Typist.script, "\(seconds)", "\(steps.count)"]
        for step in steps {
            arguments += [step.keys, "\(step.texts.count)"] + step.texts
        }
        program = try RunningProgram(arguments + words)
    }

    /// Waits for the end: the exit status, everything that was on the screen, and whether the terminal was then as it had
    /// been before the program.
    package func wait() throws -> (status: ExitStatus, screen: String, isTerminalAsBefore: Bool) {
        let (status, output) = try program.wait()
        let mark = "\nTERMINAL AS BEFORE\n"
        return (
            status, output.hasSuffix(mark) ? String(output.dropLast(mark.count)) : output,
            output.hasSuffix(mark)
        )
    }

    private static let script = """
        import fcntl, os, pty, select, signal, struct, subprocess, sys, termios, time
        words = sys.argv[1:]
        deadline = time.monotonic() + int(words.pop(0))
        steps = []
        for _ in range(int(words.pop(0))):
            keys = words.pop(0)
            steps.append((keys, [words.pop(0) for _ in range(int(words.pop(0)))]))
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        before = termios.tcgetattr(theirs)
        def own_the_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        child = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                 preexec_fn=own_the_terminal)
        def give_up(*_):
            child.kill()
            child.wait()
            sys.exit(125)
        signal.signal(signal.SIGTERM, give_up)
        seen = ""
        while True:
            readable, _, _ = select.select([ours], [], [], 0.05)
            if readable:
                data = os.read(ours, 65536)
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
                seen += data.decode(errors="replace")
                while steps and all(text in seen for text in steps[0][1]):
                    os.write(ours, steps.pop(0)[0].encode())
            elif child.poll() is not None:
                break
            if time.monotonic() > deadline:
                print("\\nthe time is over; not pressed:", steps)
                give_up()
        if termios.tcgetattr(theirs) == before:
            print("\\nTERMINAL AS BEFORE")
        sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)
        """
}
