/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What scenarios are made of: namespaces, sockets, children. They give up with a status of their own. */
#ifndef TESTS_KERNEL_SCENARIO_H
#define TESTS_KERNEL_SCENARIO_H

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "# scenario: line %d: %s: %s\n", __LINE__, #cond,          \
				strerror(errno));                                                  \
			_exit(98);                                                                 \
		}                                                                                  \
	} while (0)

/* Network namespace of our own with the loopback up. */
static inline int netns_new(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	err = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return err;
}

static inline uint64_t netns_cookie(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &size);
	close(fd);
	return cookie;
}

static inline int listen_at(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t size = family == AF_INET ? sizeof(four) : sizeof(six);
	struct sockaddr *addr = family == AF_INET ? (void *)&four : (void *)&six;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	must(fd >= 0);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	must(!bind(fd, addr, size));
	must(!listen(fd, 64));
	must(!getsockname(fd, addr, &size));
	*ret_port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

/* Connects a socket to text (an address) and port; the result of connect() with errno. */
static inline int connect_fd(int fd, const char *text, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return connect(fd, (void *)&four, sizeof(four));
	must(inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
	return connect(fd, (void *)&six, sizeof(six));
}

static inline int connect_to(const char *text, uint16_t port)
{
	int fd = socket(strchr(text, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	must(!connect_fd(fd, text, port));
	return fd;
}

static inline void send_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		must(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

static inline void recv_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = recv(fd, at, size, 0);

		must(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

/* A connected pair of TCP sockets over 127.0.0.1. */
static inline void pair_open(int pair[2])
{
	uint16_t port;
	int listener = listen_at(AF_INET, &port);

	pair[0] = connect_to("127.0.0.1", port);
	pair[1] = accept(listener, NULL, NULL);
	must(pair[1] >= 0);
	close(listener);
}

static inline void child_reap(pid_t pid, int expected)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	must(status == expected);
}

#endif
