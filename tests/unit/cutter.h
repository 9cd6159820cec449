/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stands between a client and a server that have Unix sockets, and cuts their connection at one moment, once: when the client sends for
 * the n-th time, before that gets there; or when it got there and was answered, before the answer gets back.
 */
#ifndef TESTS_UNIT_CUTTER_H
#define TESTS_UNIT_CUTTER_H

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CUTTER_LINKS = 16 };

struct cutter {
	pid_t pid;
	struct cutter_shared {
		unsigned sent; /* times that clients have sent */
		bool cut;
	} *shared;
};

struct cutter_link {
	int client, server; /* 0: no link */
};

static inline int cutter_socket(const char *path, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (listens ? bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, CUTTER_LINKS) :
		      connect(fd, (struct sockaddr *)&address, sizeof(address)))
		_exit(3);
	return fd;
}

static inline void cutter_close(struct cutter_link *link)
{
	close(link->client);
	close(link->server);
	*link = (struct cutter_link){ 0 };
}

/* One read of one side. */
static inline void cutter_pass(struct cutter_link *link, bool from_client, struct cutter_shared *shared, unsigned at, bool answered)
{
	static char bytes[1 << 18];
	ssize_t n = read(from_client ? link->client : link->server, bytes, sizeof(bytes));
	struct pollfd answer = { .fd = link->server, .events = POLLIN };
	int to = from_client ? link->server : link->client;
	bool cut = from_client && n > 0 && ++shared->sent == at;

	if (n <= 0 || (cut && !answered)) {
		shared->cut |= cut;
		cutter_close(link);
		return;
	}
	for (ssize_t done = 0, put; done < n; done += put) {
		put = send(to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
		if (put < 0)
			break;
	}
	if (!cut)
		return;
	poll(&answer, 1, 500);
	shared->cut = true;
	cutter_close(link);
}

static inline void cutter_work(int listener, const char *server, struct cutter_shared *shared, unsigned at, bool answered)
{
	struct cutter_link links[CUTTER_LINKS] = { 0 };
	struct pollfd items[1 + 2 * CUTTER_LINKS];

	for (;;) {
		items[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
		for (int i = 0; i < CUTTER_LINKS; i++) {
			items[1 + 2 * i] = (struct pollfd){ .fd = links[i].client ? links[i].client : -1, .events = POLLIN };
			items[2 + 2 * i] = (struct pollfd){ .fd = links[i].client ? links[i].server : -1, .events = POLLIN };
		}
		poll(items, 1 + 2 * CUTTER_LINKS, -1);
		for (int i = 0; i < CUTTER_LINKS; i++) {
			if (links[i].client && items[1 + 2 * i].revents)
				cutter_pass(&links[i], true, shared, at, answered);
			if (links[i].client && items[2 + 2 * i].revents)
				cutter_pass(&links[i], false, shared, at, answered);
		}
		for (int i = 0; items[0].revents && i < CUTTER_LINKS; i++)
			if (!links[i].client) {
				links[i] = (struct cutter_link){ accept(listener, NULL, NULL), cutter_socket(server, false) };
				break;
			}
	}
}

/* at: the how-many-th time, 0: never. */
static inline void cutter_start(struct cutter *cutter, const char *path, const char *server, unsigned at, bool answered)
{
	int listener = cutter_socket(path, true);

	cutter->shared = mmap(NULL, sizeof(*cutter->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(cutter->shared != MAP_FAILED);
	cutter->pid = fork();
	if (!cutter->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		cutter_work(listener, server, cutter->shared, at, answered);
	}
	close(listener);
}

/* Whether it has cut. */
static inline bool cutter_stop(struct cutter *cutter)
{
	bool cut = cutter->shared->cut;

	kill(cutter->pid, SIGKILL);
	waitpid(cutter->pid, NULL, 0);
	munmap(cutter->shared, sizeof(*cutter->shared));
	return cut;
}

#endif
