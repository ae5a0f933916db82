// A terminal that gives single keys without echo, and is put back however the program ends or stops.
#define _GNU_SOURCE
#include "CLinux.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

// The signals that end a program at once; what they did before is done once the terminal is as it was.
static const int fatal[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
#define FATAL (sizeof fatal / sizeof *fatal)

static int terminal = -1;
static volatile sig_atomic_t is_on;
static struct termios before, during;
static struct sigaction fatal_before[FATAL], stop_before, continue_before;

// A job in the background may not change the terminal; where nobody controls jobs, everybody may.
int clinux_keyboard_is_ours(void) {
    pid_t owner = tcgetpgrp(terminal);
    return owner == -1 || owner == getpgrp();
}

static void apply(void) {
    if (terminal >= 0 && clinux_keyboard_is_ours()) is_on = tcsetattr(terminal, TCSANOW, &during) == 0;
}

// A shell that brings a running job to the foreground sends no signal.
void clinux_keyboard_resume(void) {
    if (!is_on) apply();
}

void clinux_keyboard_put_back(void) {
    if (is_on && clinux_keyboard_is_ours()) tcsetattr(terminal, TCSANOW, &before);
    is_on = 0;
}

static void end_by(int signal) {
    clinux_keyboard_put_back();
    for (size_t i = 0; i < FATAL; i++)
        if (fatal[i] == signal) sigaction(signal, &fatal_before[i], NULL);
    raise(signal);
}

static void stop_by(int signal) {
    int saved = errno;
    struct sigaction ours;
    sigset_t set;
    clinux_keyboard_put_back();
    sigaction(signal, &stop_before, &ours);
    sigemptyset(&set);
    sigaddset(&set, signal);
    raise(signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    // Here the program stands until somebody continues it.
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigaction(signal, &ours, NULL);
    // Whoever ignored the signal before was not stopped at all.
    apply();
    errno = saved;
}

static void go_on_by(int signal) {
    int saved = errno;
    (void)signal;
    apply();
    errno = saved;
}

static int handle(int signal, void (*handler)(int), struct sigaction *previous) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    return sigaction(signal, &action, previous);
}

int clinux_keyboard_begin(int fd) {
    static int registered;
    if (tcgetattr(fd, &before) != 0) return -1;
    during = before;
    during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    during.c_cc[VMIN] = 1;
    during.c_cc[VTIME] = 0;
    if (!registered && atexit(clinux_keyboard_end) != 0) return -1;
    registered = 1;
    terminal = fd;
    for (size_t i = 0; i < FATAL; i++) handle(fatal[i], end_by, &fatal_before[i]);
    handle(SIGTSTP, stop_by, &stop_before);
    handle(SIGCONT, go_on_by, &continue_before);
    apply();
    return 0;
}

void clinux_keyboard_end(void) {
    if (terminal < 0) return;
    clinux_keyboard_put_back();
    for (size_t i = 0; i < FATAL; i++) sigaction(fatal[i], &fatal_before[i], NULL);
    sigaction(SIGTSTP, &stop_before, NULL);
    sigaction(SIGCONT, &continue_before, NULL);
    terminal = -1;
}
