/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counting, see count.h. Few connections and few threads: a table that is searched from its beginning is enough. */
#include "tests/torture/count.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#define FDS 1024
#define ROWS 4096
#define ENDS_MAX 140

struct row {
	unsigned thread;
	bool accepted;
	char ends[ENDS_MAX]; /* "local","remote" as JSON has them */
	uint64_t sent, received;
};

static struct row rows[ROWS];
static size_t n_rows;
static char ends[FDS][ENDS_MAX];
static const char *way = "?";
static __thread unsigned thread_number;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void count_begin(const char *name)
{
	way = name;
	count_forked();
}

const char *count_way(void)
{
	return way;
}

void count_forked(void)
{
	n_rows = 0;
	thread_number = 0;
}

void count_thread(unsigned number)
{
	thread_number = number;
}

static void end_text(const struct sockaddr_in6 *addr, char text[64])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (addr->sin6_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, ip, sizeof(ip));
		snprintf(text, 64, "%s:%u", ip, ntohs(addr->sin6_port));
	} else if (IN6_IS_ADDR_V4MAPPED(&addr->sin6_addr)) {
		inet_ntop(AF_INET, addr->sin6_addr.s6_addr + 12, ip, sizeof(ip));
		snprintf(text, 64, "%s:%u", ip, ntohs(addr->sin6_port));
	} else {
		inet_ntop(AF_INET6, &addr->sin6_addr, ip, sizeof(ip));
		snprintf(text, 64, "[%s]:%u", ip, ntohs(addr->sin6_port));
	}
}

int count_ends(int number, const struct sockaddr_in6 *local, const struct sockaddr_in6 *remote)
{
	char text[2][64];

	must(number >= 0 && number < FDS);
	end_text(local, text[0]);
	end_text(remote, text[1]);
	snprintf(ends[number], sizeof(ends[number]), "\"%s\", \"%s\"", text[0], text[1]);
	return number;
}

int count_connection(int fd)
{
	struct sockaddr_in6 local = { 0 }, remote = { 0 };
	socklen_t local_size = sizeof(local), remote_size = sizeof(remote);

	must(fd >= 0 && fd < FDS);
	must(!getsockname(fd, (struct sockaddr *)&local, &local_size));
	must(!getpeername(fd, (struct sockaddr *)&remote, &remote_size));
	return count_ends(fd, &local, &remote);
}

int count_same(int fd, int other)
{
	must(fd >= 0 && fd < FDS);
	memcpy(ends[fd], ends[other], sizeof(ends[fd]));
	return fd;
}

static struct row *row_of(int fd)
{
	struct row *row;
	size_t i = 0;

	must(fd >= 0 && fd < FDS && ends[fd][0]);
	while (i < n_rows && (rows[i].thread != thread_number || strcmp(rows[i].ends, ends[fd])))
		i++;
	must(i < ROWS);
	row = &rows[i];
	if (i == n_rows) {
		*row = (struct row){ .thread = thread_number };
		memcpy(row->ends, ends[fd], sizeof(row->ends));
		n_rows++;
	}
	return row;
}

ssize_t count_sent(int fd, ssize_t n)
{
	pthread_mutex_lock(&lock);
	if (n > 0)
		row_of(fd)->sent += (uint64_t)n;
	pthread_mutex_unlock(&lock);
	return n;
}

ssize_t count_received(int fd, ssize_t n)
{
	pthread_mutex_lock(&lock);
	if (n > 0)
		row_of(fd)->received += (uint64_t)n;
	pthread_mutex_unlock(&lock);
	return n;
}

int count_accepted(int fd)
{
	if (!ends[fd][0] || fd < FDS / 2)
		count_connection(fd);
	pthread_mutex_lock(&lock);
	row_of(fd)->accepted = true;
	pthread_mutex_unlock(&lock);
	return fd;
}

/* One write a line, so that lines of several processes do not mix. */
static void line(const char *text)
{
	size_t size = strlen(text);

	must(write(STDOUT_FILENO, text, size) == (ssize_t)size);
}

void count_connect(uint16_t port, int error)
{
	char text[200];

	snprintf(text, sizeof(text), "{\"way\": \"%s\", \"pid\": %d, \"connect\": %u, \"error\": \"%s\"}\n", way,
		 getpid(), port, error ? strerrorname_np(error) : "");
	line(text);
}

void count_skip(const char *reason)
{
	char text[300];

	snprintf(text, sizeof(text), "{\"way\": \"%s\", \"skip\": \"%s\"}\n", way, reason);
	line(text);
	_exit(0);
}

void count_end(void)
{
	char text[400];

	for (size_t i = 0; i < n_rows; i++) {
		snprintf(text, sizeof(text),
			 "{\"way\": \"%s\", \"pid\": %d, \"thread\": %u, \"ends\": [%s], \"accepted\": %s, \"sent\": %llu, "
			 "\"received\": %llu}\n",
			 way, getpid(), rows[i].thread, rows[i].ends, rows[i].accepted ? "true" : "false",
			 (unsigned long long)rows[i].sent, (unsigned long long)rows[i].received);
		line(text);
	}
	n_rows = 0;
}
