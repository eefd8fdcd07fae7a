/* Opens many descriptors. Where there are too few of them it says how full the disk is, how long it ran, and
   looks whether its data is there: calls that it makes in no other case. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <unistd.h>

int main(void) {
    int last = -1;
    for (int count = 0; count < 200; count++) {
        int new = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (new < 0) {
            struct statfs full;
            struct tms spent;
            if (errno != EMFILE) {
                printf("errno %d\n", errno);
                return 4;
            }
            if (fstatfs(last, &full) != 0) {
                printf("refused: fstatfs: %s\n", strerror(errno));
                return 3;
            }
            if (times(&spent) == (clock_t) -1) {
                printf("refused: times: %s\n", strerror(errno));
                return 3;
            }
            if (syscall(SYS_faccessat, AT_FDCWD, "/dev/null", R_OK, 0) != 0) {
                printf("refused: faccessat: %s\n", strerror(errno));
                return 3;
            }
            printf("recovered at %d\n", count);
            return 0;
        }
        last = new;
    }
    printf("done\n");
    return 0;
}
