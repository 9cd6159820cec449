/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datagrams: what small programs counted themselves against what the kernel side recorded. */
#include "tests/kernel/world_check.h"

#include <sys/uio.h>

struct count {
	uint32_t sent, taken;
	uint16_t port, other_port;
};

static const size_t sizes[] = {0, 1, 7, 15, 16, 17, 255, 256, 257, 1400, 9000};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

static int udp_bind(int family, struct sockaddr_in6 *address, socklen_t *size)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;

	must(fd >= 0);
	memset(address, 0, sizeof(*address));
	address->sin6_family = (sa_family_t)family;
	*size = family == AF_INET ? sizeof(*v4) : sizeof(*address);
	address->sin6_port = htons(5353);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	must(!bind(fd, (struct sockaddr *)address, *size));
	return fd;
}

static void fill(char *buf, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		buf[i] = (char)(seed * 31 + i * 7 + i / 256);
}

/* Every way to send one and to receive one; all have another content. */
static void send_way(int fd, unsigned way, char *buf, size_t size, struct sockaddr *to, socklen_t to_size)
{
	struct iovec piece[2] = {{buf, size / 3}, {buf + size / 3, size - size / 3}};
	struct msghdr msg = {.msg_name = to, .msg_namelen = to_size, .msg_iov = piece, .msg_iovlen = 2};

	if (way % 2)
		must(sendmsg(fd, &msg, 0) == (ssize_t)size);
	else
		must(sendto(fd, buf, size, 0, to, to_size) == (ssize_t)size);
}

static void take_way(int fd, unsigned way, char *buf, size_t size, struct sockaddr_in6 *from)
{
	struct iovec piece[3] = {{buf, 5}, {buf + 5, 200}, {buf + 205, 10000}};
	struct msghdr msg = {.msg_name = from, .msg_namelen = sizeof(*from), .msg_iov = piece, .msg_iovlen = 3};
	socklen_t length = sizeof(*from);

	must(recv(fd, buf, 20000, MSG_PEEK) == (ssize_t)size);
	if (way % 3 == 0)
		must(recvfrom(fd, buf, 20000, 0, (struct sockaddr *)from, &length) == (ssize_t)size);
	else if (way % 3 == 1)
		must(recvmsg(fd, &msg, 0) == (ssize_t)size);
	else
		must(readv(fd, piece, 3) == (ssize_t)size);
}

static int exchange(struct count *count, int family, const char *address)
{
	static char buf[20000];
	struct sockaddr_in6 to = {.sin6_family = (sa_family_t)family, .sin6_port = htons(5353)}, own, from;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
	socklen_t size, length = sizeof(own);
	int server = udp_bind(family, &own, &size), client = socket(family, SOCK_DGRAM, 0);

	must(inet_pton(family, address, family == AF_INET ? (void *)&v4->sin_addr : (void *)&to.sin6_addr) == 1);
	for (unsigned i = 0; i < 2 * SIZES; i++) {
		fill(buf, sizes[i % SIZES], i);
		send_way(client, i, buf, sizes[i % SIZES], (struct sockaddr *)&to, size);
		take_way(server, i, buf, sizes[i % SIZES], &from);
	}
	must(!getsockname(client, (struct sockaddr *)&own, &length));
	own.sin6_family = (sa_family_t)family;
	count->other_port = ntohs(own.sin6_port);
	/* answers, to a connected socket */
	must(!connect(client, (struct sockaddr *)&to, size));
	to.sin6_port = own.sin6_port;
	for (unsigned i = 0; i < 3; i++) {
		fill(buf, 100, 100 + i);
		must(sendto(server, buf, 100, 0, (struct sockaddr *)&to, size) == 100);
		must(read(client, buf, sizeof(buf)) == 100);
	}
	fill(buf, 100, 200);
	must(write(client, buf, 100) == 100 && read(server, buf, 200) == 100);
	fill(buf, 100, 201);
	must(writev(client, &(struct iovec){buf, 100}, 1) == 100 && read(server, buf, 200) == 100);
	count->sent = count->taken = 2 * SIZES + 5;
	return 0;
}

static int exchange_v4(void *shared)
{
	return exchange(shared, AF_INET, "127.0.0.1");
}

static int exchange_v6(void *shared)
{
	return exchange(shared, AF_INET6, "::1");
}

static int exchange_mapped(void *shared)
{
	return exchange(shared, AF_INET6, "::ffff:127.0.0.1");
}

/* The k-th one sent and the k-th one taken are one: in one process nothing is lost or overtaken. */
static void check_pairs(struct world *w, const struct count *count)
{
	expect(w, count_kind(w, REC_DATAGRAM_SENT) == count->sent);
	expect(w, count_kind(w, REC_DATAGRAM_TAKEN) == count->taken);
	for (uint32_t i = 0; i < count->sent; i++) {
		const union record *sent = find(w, REC_DATAGRAM_SENT, i), *taken = find(w, REC_DATAGRAM_TAKEN, i);

		if (!expect(w, sent && taken))
			return;
		expect(w, sent->datagram.result == taken->datagram.result && sent->datagram.digest);
		expect(w, sent->datagram.digest == taken->datagram.digest);
		expect(w, !(taken->head.flags & REC_F_TRUNCATED));
		for (uint32_t k = 0; k < i; k++)
			expect(w, find(w, REC_DATAGRAM_SENT, k)->datagram.digest != sent->datagram.digest ||
					  !sent->datagram.result);
	}
}

static void check_exchange(struct world *w, const char *address)
{
	const struct count *count = (void *)w->shared;
	uint8_t ip[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	uint32_t n = 2 * SIZES;

	if (!strcmp(address, "::1"))
		inet_pton(AF_INET6, address, ip);
	check_lost(w);
	check_orders(w);
	check_pairs(w, count);
	for (uint32_t i = 0; i < count->sent; i++) {
		const union record *sent = find(w, REC_DATAGRAM_SENT, i), *taken = find(w, REC_DATAGRAM_TAKEN, i);
		bool answer = i >= n && i < n + 3;

		if (!expect(w, sent && taken))
			return;
		expect(w, !!(sent->head.flags & REC_F_REPLY) == answer && !!(taken->head.flags & REC_F_REPLY) == answer);
		expect(w, !memcmp(sent->datagram.remote.ip, ip, 16));
		expect(w, sent->datagram.remote.port == (answer ? count->other_port : 5353));
		expect(w, sent->datagram.local.port == (answer ? 5353 : count->other_port));
		expect(w, sent->datagram.message == (answer ? i - n : i < n ? i : i - 3) + 1);
		expect(w, sent->datagram.asker == sent->head.tgid);
		expect(w, taken->datagram.local.port == sent->datagram.remote.port);
		expect(w, taken->datagram.remote.port == (answer ? 5353 : 0));
	}
}

/* Several with one call, twice in the same thread: each is found in its place. */
static int many_at_once(void *shared)
{
	static char out[5][64], in[5][200];
	struct iovec to[5], from[5];
	struct mmsghdr send[5] = {{{0}}}, take[5] = {{{0}}};
	struct count *count = shared;
	struct sockaddr_in6 own;
	socklen_t size;
	int server = udp_bind(AF_INET, &own, &size), client = socket(AF_INET, SOCK_DGRAM, 0);

	((struct sockaddr_in *)&own)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 5; i++) {
			fill(out[i], 64, round * 10 + i);
			to[i] = (struct iovec){out[i], 40 + i};
			from[i] = (struct iovec){in[i], 200};
			send[i].msg_hdr = (struct msghdr){.msg_name = &own, .msg_namelen = size, .msg_iov = &to[i],
							  .msg_iovlen = 1};
			take[i].msg_hdr = (struct msghdr){.msg_iov = &from[i], .msg_iovlen = 1};
		}
		must(sendmmsg(client, send, 5, 0) == 5);
		must(recvmmsg(server, take, 5, MSG_WAITFORONE, NULL) == 5);
	}
	count->sent = count->taken = 15;
	return 0;
}

/* A buffer that is too small, with and without MSG_TRUNC. */
static int cut_off(void *shared)
{
	static char buf[600];
	struct count *count = shared;
	struct sockaddr_in6 own;
	socklen_t size;
	int server = udp_bind(AF_INET, &own, &size), client = socket(AF_INET, SOCK_DGRAM, 0);

	((struct sockaddr_in *)&own)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fill(buf, 600, 3);
	for (int i = 0; i < 3; i++)
		must(sendto(client, buf, 600, 0, (struct sockaddr *)&own, size) == 600);
	must(recv(server, buf, 50, 0) == 50);
	must(recv(server, buf, 50, MSG_TRUNC) == 600);
	must(recv(server, buf, 600, 0) == 600);
	count->sent = count->taken = 3;
	return 0;
}

static void check_cut(struct world *w)
{
	uint64_t digest;

	check_lost(w);
	if (!expect(w, count_kind(w, REC_DATAGRAM_SENT) == 3 && count_kind(w, REC_DATAGRAM_TAKEN) == 3))
		return;
	digest = find(w, REC_DATAGRAM_SENT, 0)->datagram.digest;
	for (size_t i = 0; i < 3; i++) {
		const union record *taken = find(w, REC_DATAGRAM_TAKEN, i);

		expect(w, taken->head.flags & REC_F_TRUNCATED); /* the last one fills its buffer, too */
		expect(w, taken->datagram.digest >> 32 == digest >> 32);
		expect(w, (taken->datagram.digest == digest) == (i == 2));
		expect(w, taken->datagram.result == (i ? 600 : 50));
	}
}

/* Nobody there: the send is one, the refusal is an error of the next call. Queue full: the rest is not taken. */
static int lost_ones(void *shared)
{
	static char buf[1000];
	struct count *count = shared;
	struct sockaddr_in6 own;
	socklen_t size;
	int server = udp_bind(AF_INET, &own, &size), client = socket(AF_INET, SOCK_DGRAM, 0), small = 1;

	((struct sockaddr_in *)&own)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (unsigned i = 0; i < 50; i++) {
		fill(buf, 900, i);
		must(sendto(client, buf, 900, 0, (struct sockaddr *)&own, size) == 900);
	}
	while (recv(server, buf, 1000, MSG_DONTWAIT) == 900)
		count->taken++;
	must(errno == EAGAIN && count->taken && count->taken < 50);
	own.sin6_port = htons(9);
	must(!connect(client, (struct sockaddr *)&own, size));
	must(send(client, "x", 1, 0) == 1);
	must(recv(client, buf, 10, 0) < 0 && errno == ECONNREFUSED);
	count->sent = 51;
	return 0;
}

static void check_lost_ones(struct world *w)
{
	const struct count *count = (void *)w->shared;
	size_t found = 0;

	check_lost(w);
	expect(w, count_kind(w, REC_DATAGRAM_SENT) == 51);
	expect(w, count_kind(w, REC_DATAGRAM_TAKEN) == count->taken + 1u);
	for (size_t i = 0; i < count->taken; i++)
		for (size_t k = 0; k < 51; k++)
			found += find(w, REC_DATAGRAM_SENT, k)->datagram.digest ==
				 find(w, REC_DATAGRAM_TAKEN, i)->datagram.digest;
	expect(w, found == count->taken);
	if (expect(w, find(w, REC_DATAGRAM_TAKEN, count->taken)))
		expect(w, find(w, REC_DATAGRAM_TAKEN, count->taken)->datagram.result == -ECONNREFUSED);
}

/* A server at a port that the kernel chose is one that is asked: it received before it sent. */
static int chosen_port(void *shared)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
	socklen_t size = sizeof(own);
	int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[10];

	must(!bind(server, (struct sockaddr *)&own, sizeof(own)));
	must(!getsockname(server, (struct sockaddr *)&own, &size));
	for (int i = 0; i < 2; i++) {
		must(sendto(client, "ask", 3, 0, (struct sockaddr *)&own, size) == 3);
		must(recvfrom(server, buf, 10, 0, (struct sockaddr *)&from, &size) == 3);
		must(sendto(server, "answer", 6, 0, (struct sockaddr *)&from, size) == 6);
		must(recv(client, buf, 10, 0) == 6);
	}
	(void)shared;
	return 0;
}

static void check_chosen(struct world *w)
{
	check_lost(w);
	if (!expect(w, count_kind(w, REC_DATAGRAM_SENT) == 4))
		return;
	for (size_t i = 0; i < 4; i++) {
		const union record *sent = find(w, REC_DATAGRAM_SENT, i), *taken = find(w, REC_DATAGRAM_TAKEN, i);

		expect(w, !!(sent->head.flags & REC_F_REPLY) == (i % 2 == 1));
		expect(w, !!(sent->head.flags & REC_F_EPHEMERAL) == (i % 2 == 1));
		expect(w, !!(taken->head.flags & REC_F_EPHEMERAL) == (i % 2 == 0));
		expect(w, sent->datagram.message == i / 2 + 1);
	}
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	WORLD_TEST(w, status, exchange_v4, check_exchange(w, "127.0.0.1"), "datagrams over IPv4, every way to send and receive");
	WORLD_TEST(w, status, exchange_v6, check_exchange(w, "::1"), "datagrams over IPv6");
	WORLD_TEST(w, status, exchange_mapped, check_exchange(w, "::ffff:127.0.0.1"), "datagrams over IPv4 between IPv6 sockets");
	WORLD_TEST(w, status, many_at_once, check_pairs(w, (void *)w->shared), "sendmmsg and recvmmsg: each datagram in its place");
	WORLD_TEST(w, status, cut_off, check_cut(w), "a datagram that was cut off keeps the digest of its beginning");
	WORLD_TEST(w, status, lost_ones, check_lost_ones(w), "datagrams that nobody took");
	WORLD_TEST(w, status, chosen_port, check_chosen(w), "a server at a port that the kernel chose");
	WORLD_TEST_OF(w, status, world_run_transports(w, exchange_v4, 0), check_silent(w), "without datagrams");
	world_free(w);
	return !!status;
}
