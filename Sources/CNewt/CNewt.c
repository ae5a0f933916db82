// Running a form, and a terminal that is restored even by a signal that ends the process.
#include "CNewt.h"
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

struct cnewt_exit cnewt_run(newtComponent form) {
    struct newtExitStruct answer;
    memset(&answer, 0, sizeof answer);
    newtFormRun(form, &answer);
    struct cnewt_exit result = {.end = cnewt_end_lost};
    switch (answer.reason) {
    case NEWT_EXIT_COMPONENT:
        result.end = cnewt_end_component;
        result.component = answer.u.co;
        break;
    case NEWT_EXIT_HOTKEY:
        result.end = cnewt_end_key;
        result.key = answer.u.key;
        break;
    case NEWT_EXIT_TIMER: result.end = cnewt_end_timer; break;
    case NEWT_EXIT_FDREADY: result.end = cnewt_end_descriptor; break;
    case NEWT_EXIT_ERROR: break;
    }
    return result;
}

static const int crashes[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static const int terminations[] = {SIGINT, SIGTERM, SIGHUP};
enum { most_signals = 65 };

static struct termios settings;
static volatile sig_atomic_t is_remembered;
static struct sigaction previous[most_signals];
static volatile sig_atomic_t is_guarded[most_signals];

// Only what is allowed in a signal handler: no newt, no slang.
static void restore(int number) {
    // Plain letters, the usual character set and keys, a visible cursor, an empty screen, and then the usual screen
    // where there are two: what every terminal that newt works on understands or ignores.
    static const char usual[] = "\033[0m\033(B\017\033[?1l\033>\033[?25h\033[H\033[2J\033[?1049l\r\n";
    if (is_remembered) tcsetattr(STDIN_FILENO, TCSANOW, &settings);
    ssize_t written = write(STDOUT_FILENO, usual, sizeof usual - 1);
    (void)written;
    // A second request to end, of whatever kind, ends: the terminal has been given back, nothing may draw on it.
    if (number == SIGINT || number == SIGTERM || number == SIGHUP)
        signal(number, SIG_DFL);
    else if (number > 0 && number < most_signals && is_guarded[number])
        sigaction(number, &previous[number], NULL);
    raise(number);
}

static void guard(const int *numbers, size_t count) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = restore;
    action.sa_flags = SA_ONSTACK;
    for (size_t i = 0; i < count; i++) {
        if (is_guarded[numbers[i]]) continue;
        if (sigaction(numbers[i], &action, &previous[numbers[i]]) == 0) is_guarded[numbers[i]] = 1;
    }
}

void cnewt_remember_terminal(void) { is_remembered = tcgetattr(STDIN_FILENO, &settings) == 0; }
void cnewt_guard_crashes(void) { guard(crashes, sizeof crashes / sizeof crashes[0]); }
void cnewt_guard_termination(void) { guard(terminations, sizeof terminations / sizeof terminations[0]); }

void cnewt_unguard(void) {
    for (int number = 1; number < most_signals; number++) {
        if (!is_guarded[number]) continue;
        sigaction(number, &previous[number], NULL);
        is_guarded[number] = 0;
    }
}
