/* What an attacker would have loaded: a process that loads it exits with 42. It needs no
 * library of its own, and so can be loaded where none is yet. */
static void leave(void) {
#ifdef __aarch64__
    register long number __asm__("x8") = 94; /* exit_group */
    register long code __asm__("x0") = 42;
    __asm__ volatile("svc #0" : : "r"(number), "r"(code));
#else
    __asm__ volatile("syscall" : : "a"(231), "D"(42)); /* exit_group */
#endif
}

__attribute__((constructor)) static void loaded(void) { leave(); }

/* Asked of a library that audits the loader, before anything else of it runs. */
unsigned la_version(unsigned version) {
    leave();
    return version;
}

/* The victim's own library by another's hand; the loader looks for its symbol. */
int spare(void) { return 42; }
