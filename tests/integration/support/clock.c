/* A wall clock with an offset, preloaded into a server. The file named by TIDINGS_TEST_CLOCK has the seconds to add, as text.
   The monotonic clock is not changed, because it does not advance while a machine is suspended. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("TIDINGS_TEST_CLOCK");
    if (failed || clock != CLOCK_REALTIME || !path) return failed;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atoll(text);
    close(file);
    return 0;
}
