// What Swift sees of newt, what it cannot call of it, and what must work inside a signal handler.
#pragma once
#include <newt.h>

// Keys for which newt has no name that Swift could import.
enum cnewt_key { cnewt_key_interrupt = 3, cnewt_key_escape = 27 };

// newtFormRun answers in a union with an unnamed enumeration: the same as a plain structure.
enum cnewt_end { cnewt_end_component, cnewt_end_key, cnewt_end_timer, cnewt_end_descriptor, cnewt_end_lost };
struct cnewt_exit {
    enum cnewt_end end;
    // The hot key, with cnewt_end_key.
    int key;
    // Which component, with cnewt_end_component.
    newtComponent component;
};
struct cnewt_exit cnewt_run(newtComponent form);

// Remembers how the terminal of standard input is set, to be restored by the guards below.
void cnewt_remember_terminal(void);
// From now on the signals of a crash, and SIGQUIT, restore the terminal before they do what they did.
void cnewt_guard_crashes(void);
// Likewise SIGINT, SIGTERM and SIGHUP, which end the process then.
void cnewt_guard_termination(void);
// Every guarded signal does again what it did before.
void cnewt_unguard(void);
