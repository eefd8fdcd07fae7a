/* A program that works, and one trouble after its name: what C libraries and programs call then. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <execinfo.h>
#endif

static void trace(void)
{
#ifdef __GLIBC__
	void *frames[16];
	backtrace_symbols_fd(frames, backtrace(frames, 16), 2);
#endif
	struct utsname name;
	struct rusage use;
	if (uname(&name) || getrusage(RUSAGE_SELF, &use))
		_exit(41);
	dprintf(2, "on %s: %ld kB\n", name.sysname, use.ru_maxrss);
}

/* Prints a trace, and ends the process by the signal that came. */
static void crashed(int number)
{
	trace();
	signal(number, SIG_DFL);
	raise(number);
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_handler = crashed, .sa_flags = flags };
	if (sigaction(number, &action, NULL))
		_exit(42);
}

static volatile char *volatile deep;

static int overflow(int depth)
{
	volatile char frame[4096];
	frame[0] = depth;
	deep = frame;
	return overflow(depth + 1) + frame[0];
}

static void *thread(void *number)
{
	return malloc(*(int *)number * 1000);
}

/* Opens a file, writes one, and has threads that allocate. */
static void work(void)
{
	char text[64];
	int conf = open("/etc/app.conf", O_RDONLY | O_CLOEXEC);
	if (conf < 0 || read(conf, text, sizeof text) <= 0)
		_exit(43);
	close(conf);
	FILE *log = fopen("/data/log", "a");
	if (!log || fputs("a line\n", log) < 0 || fclose(log))
		_exit(44);
	pthread_t threads[4];
	int numbers[] = { 1, 2, 3, 4 };
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, thread, &numbers[i]))
			_exit(45);
	for (int i = 0; i < 4; i++) {
		void *got;
		pthread_join(threads[i], &got);
		free(got);
	}
}

/* Writes until the disk is full, takes back what was written in part, and writes the rest back. */
static int full(void)
{
	static char block[4096];
	int file = open("/data/log", O_WRONLY | O_APPEND);
	off_t whole = lseek(file, 0, SEEK_END);
	ssize_t wrote;
	while ((wrote = write(file, block, sizeof block)) == sizeof block)
		whole += wrote;
	if (wrote < 0 && errno != ENOSPC)
		return 1;
	return ftruncate(file, 16) || fsync(file) || fdatasync(file);
}

static int descriptors(void)
{
	int count = 0, last = -1, one;
	while ((one = open("/etc/app.conf", O_RDONLY)) >= 0)
		last = one, count++;
	int why = errno;
	/* Room for the message: the last one is closed. */
	close(last);
	struct rlimit limit;
	if (why != EMFILE || getrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	printf("%d of %d descriptors\n", count > 0, limit.rlim_cur > 0);
	return !fopen("/etc/app.conf", "r");
}

static int memory(void)
{
	size_t much = (size_t)1 << 46;
	if (malloc(much) || errno != ENOMEM)
		return 1;
	struct sysinfo machine;
	return sysinfo(&machine) || !malloc(100) || !malloc(1 << 20);
}

/* The log is opened anew on the descriptor of the old one. */
static int rotated(void)
{
	int file = open("/data/log", O_WRONLY | O_APPEND);
	int new = open("/data/log", O_WRONLY | O_APPEND);
	return dup2(new, file) != file || dup3(new, file, O_CLOEXEC) != file;
}

int main(int count, char **args)
{
	const char *trouble = count > 1 ? args[1] : "none";
	work();
	if (!strcmp(trouble, "full") && full())
		return 51;
	if (!strcmp(trouble, "descriptors") && descriptors())
		return 52;
	if (!strcmp(trouble, "memory") && memory())
		return 53;
	if (!strcmp(trouble, "rotated") && rotated())
		return 54;
	if (!strcmp(trouble, "processors") && sysconf(_SC_NPROCESSORS_ONLN) < 1)
		return 55;
	if (!strcmp(trouble, "abort")) {
		handle(SIGABRT, 0);
		abort();
	}
	if (!strcmp(trouble, "twice")) {
		char *volatile one = malloc(100), *volatile same = one;
		free(one);
		free(same);
	}
	if (!strcmp(trouble, "overflow")) {
		stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
		if (sigaltstack(&stack, NULL))
			return 56;
		handle(SIGSEGV, SA_ONSTACK);
		return overflow(0);
	}
	if (!strcmp(trouble, "denied")) {
		/* Not harmless, and never made while learning. */
		printf("%s\n", fork() < 0 ? "no process" : "a process");
		return 0;
	}
	puts("done");
	return 0;
}
