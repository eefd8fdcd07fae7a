/* The library that the victim is linked with. */
int spare(void) { return 7; }
