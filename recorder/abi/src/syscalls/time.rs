//! Clocks, timers and sleep.

use super::names::*;
use super::rows::*;
use Ty::*;

/// `struct timespec`, `struct timeval`.
const TIME: u32 = 16;
/// `struct itimerval`, `struct itimerspec`.
const INTERVAL: u32 = 32;
/// `struct timex`.
const TIMEX: u32 = 208;

pub(super) const CALLS: &[Call] = calls! {
    35 nanosleep(req: reads(TIME), rem: always(TIME)).sleeps();
    36 getitimer(which: Enum(ITIMERS), curr_value: out(INTERVAL));
    37 alarm(seconds: Uint);
    38 setitimer(which: Enum(ITIMERS), new_value: reads(INTERVAL), old_value: out(INTERVAL));
    96 gettimeofday(tv: out(TIME), tz: out(8));
    100 times(buf: out(32));
    159 adjtimex(buf: inout(TIMEX));
    164 settimeofday(tv: reads(TIME), tz: reads(8)).publishes();
    201 time(tloc: out(8));
    222 timer_create(clockid: Enum(CLOCKS), sevp: reads(64), timerid: out(4));
    223 timer_settime(timerid: Int, flags: Flags(TIMER_FLAGS), new_value: reads(INTERVAL),
        old_value: out(INTERVAL));
    224 timer_gettime(timerid: Int, curr_value: out(INTERVAL));
    225 timer_getoverrun(timerid: Int);
    226 timer_delete(timerid: Int);
    227 clock_settime(clockid: Enum(CLOCKS), tp: reads(TIME)).publishes();
    228 clock_gettime(clockid: Enum(CLOCKS), tp: out(TIME));
    229 clock_getres(clockid: Enum(CLOCKS), res: out(TIME));
    230 clock_nanosleep(clockid: Enum(CLOCKS), flags: Flags(TIMER_FLAGS), request: reads(TIME),
        remain: always(TIME)).sleeps();
    283 timerfd_create(clockid: Enum(CLOCKS), flags: Flags(FD_FLAGS)).gives(Ret::Fd);
    286 timerfd_settime(fd: Fd, flags: Flags(TIMER_FLAGS), new_value: reads(INTERVAL),
        old_value: out(INTERVAL)).publishes();
    287 timerfd_gettime(fd: Fd, curr_value: out(INTERVAL));
    305 clock_adjtime(clockid: Enum(CLOCKS), buf: inout(TIMEX));
};
