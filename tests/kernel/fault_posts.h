/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datagrams between the boxes of a fault_world, which a test sends and takes itself: whether they pass. */
#ifndef TESTS_KERNEL_FAULT_POSTS_H
#define TESTS_KERNEL_FAULT_POSTS_H

#include "tests/kernel/fault_world.h"

struct datagram {
	uint32_t number, from;
	uint64_t sent_ns;
	unsigned char filler[84];
};

/* A socket of the test's in each box. */
struct posts {
	int fd[3];
	int home;
};

static inline void posts_open(struct fault_world *fw, struct posts *posts)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	int zero = 0, room = 4 << 20;

	posts->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		if (setns(fw->boxes->box[i].netns, CLONE_NEWNET))
			abort();
		posts->fd[i] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(posts->fd[i], IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		setsockopt(posts->fd[i], SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		if (bind(posts->fd[i], (void *)&six, sizeof(six)))
			abort();
	}
	if (setns(posts->home, CLONE_NEWNET))
		abort();
	close(posts->home);
}

static inline void posts_close(struct posts *posts)
{
	for (int i = 0; i < 3; i++)
		close(posts->fd[i]);
}

static inline void post(struct fault_world *fw, struct posts *posts, int from, int to, int family, uint32_t number)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct datagram datagram = { .number = number, .from = (uint32_t)from, .sent_ns = clock_monotonic_ns() };
	const struct box *box = &fw->boxes->box[to];

	memset(datagram.filler, 0x55, sizeof(datagram.filler));
	memcpy(&six.sin6_addr, family == AF_INET ? box->ip4 : box->ip6, 16);
	expect(fw->w, sendto(posts->fd[from], &datagram, sizeof(datagram), 0, (void *)&six, sizeof(six)) ==
			      sizeof(datagram));
}

/* The next datagram in that box, within some time. */
static inline bool post_read(struct posts *posts, int box, int wait_ms, struct datagram *ret)
{
	struct pollfd waiting = { .fd = posts->fd[box], .events = POLLIN };

	return poll(&waiting, 1, wait_ms) > 0 && recv(posts->fd[box], ret, sizeof(*ret), 0) == sizeof(*ret);
}

static inline bool passes(struct fault_world *fw, struct posts *posts, int from, int to, int family)
{
	struct datagram datagram;
	uint32_t number = (uint32_t)clock_monotonic_ns();

	post(fw, posts, from, to, family, number);
	while (post_read(posts, to, 5000, &datagram))
		if (datagram.number == number)
			return true;
	return false;
}

static inline uint64_t packets_of(struct fault_world *fw, uint32_t id)
{
	struct kernel_receipt receipt = { 0 };

	faults_receipt(fw->faults, id, &receipt);
	return receipt.packets;
}

/* It does not get there: what was sent for it is counted as lost. */
static inline bool is_blocked(struct fault_world *fw, struct posts *posts, int from, int to, int family, uint32_t id)
{
	struct timespec pause = { .tv_nsec = 1000 * 1000 };
	uint64_t before = packets_of(fw, id);
	struct datagram datagram;

	post(fw, posts, from, to, family, 1);
	for (int i = 0; i < 5000 && packets_of(fw, id) == before; i++)
		nanosleep(&pause, NULL);
	return packets_of(fw, id) > before && !post_read(posts, to, 0, &datagram);
}

static inline void arm(struct fault_world *fw, const struct kernel_fault *fault)
{
	struct error e = { "" };

	if (!expect(fw->w, !faults_arm(fw->faults, fault, 1, clock_monotonic_ns() + LEASE_NS, &e)))
		printf("# %s\n", e.text);
}

#endif
