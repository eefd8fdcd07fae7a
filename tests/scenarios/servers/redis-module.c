/* What an attacker brings as a module: its code runs when it is loaded. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    close(open("/data/loaded", O_CREAT | O_WRONLY, 0600));
    if (system("exec 3>/data/shell") == -1) _exit(1);
}

int RedisModule_OnLoad(void *context, void **arguments, int count) {
    (void)context, (void)arguments, (void)count;
    return 1;
}
