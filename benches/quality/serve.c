/* A small server of files, for musl: a thread for each connection, a log, a counter that survives, and a
   reload by SIGHUP. serve PORT FOLDER STATE */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder, *state;
static volatile sig_atomic_t reload, end;
static FILE *messages;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void noted(int number)
{
	if (number == SIGHUP)
		reload = 1;
	else
		end = 1;
}

static void open_log(void)
{
	char name[512];
	snprintf(name, sizeof name, "%s/log", state);
	if (messages)
		fclose(messages);
	messages = fopen(name, "ae");
	if (!messages)
		exit(2);
	setvbuf(messages, NULL, _IOLBF, 0);
}

static void answer(int to, int code, const void *body, size_t length)
{
	char head[128];
	int size = snprintf(head, sizeof head, "HTTP/1.0 %d X\r\nContent-Length: %zu\r\n\r\n", code, length);
	struct iovec parts[2] = { { head, size }, { (void *)body, length } };
	if (writev(to, parts, 2) < 0)
		return;
}

static void send_file(int to, const char *path)
{
	char name[512];
	struct stat about;
	snprintf(name, sizeof name, "%s%s", folder, strcmp(path, "/") ? path : "/index.html");
	int file = strstr(path, "..") ? -1 : open(name, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &about)) {
		answer(to, 404, "none\n", 5);
	} else {
		char *text = malloc(about.st_size + 1);
		ssize_t got = text ? pread(file, text, about.st_size, 0) : -1;
		answer(to, got < 0 ? 500 : 200, text, got < 0 ? 0 : got);
		free(text);
	}
	if (file >= 0)
		close(file);
}

/* Writes a new file in the place of the old one. */
static void count(int to)
{
	char name[512], made[512], text[32] = "0";
	snprintf(name, sizeof name, "%s/count", state);
	snprintf(made, sizeof made, "%s/count.new", state);
	pthread_mutex_lock(&lock);
	int old = open(name, O_RDONLY | O_CLOEXEC);
	if (old >= 0) {
		ssize_t got = read(old, text, sizeof text - 1);
		text[got > 0 ? got : 0] = 0;
		close(old);
	}
	int size = snprintf(text, sizeof text, "%d\n", atoi(text) + 1);
	int new = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (new < 0 || write(new, text, size) != size || fsync(new) || close(new) || rename(made, name))
		size = snprintf(text, sizeof text, "error %d\n", errno);
	pthread_mutex_unlock(&lock);
	answer(to, 200, text, size);
}

static void list(int to)
{
	char text[4096] = "";
	DIR *all = opendir(folder);
	struct dirent *one;
	while (all && (one = readdir(all)))
		strncat(text, one->d_name, sizeof text - strlen(text) - 1);
	if (all)
		closedir(all);
	answer(to, 200, text, strlen(text));
}

static void *serve(void *argument)
{
	int to = (int)(long)argument;
	char request[2048], path[1024] = "";
	size_t length = 0;
	ssize_t got;
	request[0] = 0;
	while (!strstr(request, "\r\n\r\n") && length < sizeof request - 1 &&
	       (got = recv(to, request + length, sizeof request - 1 - length, 0)) > 0)
		request[length += got] = 0;
	if (sscanf(request, "GET %1023s", path) != 1)
		answer(to, 400, "what?\n", 6);
	else if (!strcmp(path, "/count"))
		count(to);
	else if (!strcmp(path, "/list"))
		list(to);
	else
		send_file(to, path);
	fprintf(messages, "%s\n", path);
	shutdown(to, SHUT_WR);
	close(to);
	return NULL;
}

int main(int count, char **words)
{
	if (count != 4)
		return 1;
	folder = words[2];
	state = words[3];
	open_log();
	struct sigaction action = { .sa_handler = noted };
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	int on = 1, at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(atoi(words[1])) };
	setsockopt(at, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(at, (void *)&here, sizeof here) || listen(at, 128)) {
		perror("serve");
		return 2;
	}
	puts("listening");
	fflush(stdout);
	while (!end) {
		struct pollfd ready = { at, POLLIN, 0 };
		if (poll(&ready, 1, 500) <= 0) {
			if (reload) {
				reload = 0;
				open_log();
			}
			continue;
		}
		pthread_t thread;
		int from = accept4(at, NULL, NULL, SOCK_CLOEXEC);
		if (from < 0)
			continue;
		setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (pthread_create(&thread, NULL, serve, (void *)(long)from))
			close(from);
		else
			pthread_detach(thread);
	}
	return 0;
}
