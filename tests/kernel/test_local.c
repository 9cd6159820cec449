/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Datagrams and unix-domain streams: what small programs counted themselves against what the kernel side recorded.
 */
#include "bpf/state.h"
#include "tests/kernel/world_check.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

/* --- datagrams --- */

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

/* --- unix-domain streams --- */

#define LOCAL_ROUNDS 30

static void local_talk(int fd, bool first)
{
	static char buf[100000];

	for (unsigned i = 0; i < LOCAL_ROUNDS; i++) {
		size_t size = i * i * 97 % 90000 + 1;

		if (first) {
			must(send(fd, buf, size, 0) == (ssize_t)size);
			must(recv(fd, buf, 1, MSG_WAITALL) == 1);
		} else {
			must(recv(fd, buf, 1, MSG_PEEK) == 1);
			for (size_t n = 0; n < size;) {
				ssize_t got = i % 2 ? read(fd, buf, size - n) : recv(fd, buf, size - n > 700 ? 700 : size - n, 0);

				must(got > 0);
				n += (size_t)got;
			}
			must(write(fd, "y", 1) == 1);
		}
	}
}

static int local_pair(void *shared)
{
	int fds[2];
	pid_t child;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	child = fork();
	if (!child) {
		close(fds[0]);
		local_talk(fds[1], false);
		must(read(fds[1], shared, 1) == 0);
		_exit(0);
	}
	close(fds[1]);
	local_talk(fds[0], true);
	close(fds[0]);
	child_reap(child, 0);
	return 0;
}

static int local_named_as(const char *name, size_t length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	pid_t child;

	memcpy(address.sun_path, name, length);
	length += offsetof(struct sockaddr_un, sun_path);
	must(!bind(listener, (struct sockaddr *)&address, (socklen_t)length) && !listen(listener, 4));
	child = fork();
	if (!child) {
		for (int i = 0; i < 2; i++) {
			fd = accept(listener, NULL, NULL);
			must(fd >= 0);
			local_talk(fd, false);
			close(fd);
		}
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(!connect(fd, (struct sockaddr *)&address, (socklen_t)length));
		local_talk(fd, true);
		close(fd);
	}
	child_reap(child, 0);
	return 0;
}

static int local_abstract(void *shared)
{
	return local_named_as("\0some/name", 10);
}

static int local_path(void *shared)
{
	char path[108]; /* longer than a record has room for */
	int n = snprintf(path, sizeof(path), "/tmp/bop.test.%060d.sock", getpid()), err;

	unlink(path);
	err = local_named_as(path, (size_t)n + 1);
	unlink(path);
	return err;
}

static void check_local(struct world *w, size_t n, const char *name, bool connected)
{
	uint64_t all = 0;
	size_t ends = 0;

	for (unsigned i = 0; i < LOCAL_ROUNDS; i++)
		all += i * i * 97 % 90000 + 1;
	check_lost(w);
	check_orders(w);
	expect(w, count_kind(w, REC_ACCEPT) == (connected ? n : 0) && count_kind(w, REC_CONNECT) == (connected ? n : 0));
	for (size_t i = 0; find(w, REC_LOCAL, i); i++) {
		const struct rec_local *end = &find(w, REC_LOCAL, i)->local, *peer = NULL;
		bool acceptor = end->head.flags & REC_F_ACCEPTOR;

		if (!end->number)
			continue;
		ends++;
		for (size_t k = 0; find(w, REC_LOCAL, k); k++)
			if (find(w, REC_LOCAL, k)->local.number == end->peer)
				peer = &find(w, REC_LOCAL, k)->local;
		if (!expect(w, peer && peer->peer == end->number && peer->head.tgid != end->head.tgid))
			return;
		expect(w, acceptor == !(peer->head.flags & REC_F_ACCEPTOR));
		if (name)
			expect(w, !strcmp(end->name, name));
		else
			expect(w, strlen(end->name) == REC_NAME_MAX - 1 && !strcmp(end->name + REC_NAME_MAX - 6, ".sock"));
		expect(w, acceptor ? !end->ordinal : end->ordinal == (ends + 1) / 2);
		expect(w, connected == !!(end->head.flags & REC_F_CONTINUED));
		if (n > 1)
			continue; /* an address may have been used again */
		expect(w, check_tiles(w, REC_SEND, end->id) == (acceptor ? LOCAL_ROUNDS : all));
		expect(w, check_tiles(w, REC_RECV, end->id) == (acceptor ? all : LOCAL_ROUNDS));
		expect(w, check_messages(w, end->id) == LOCAL_ROUNDS);
	}
	expect(w, ends == 2 * n);
}

/*
 * Connections that nobody uses, and then pairs at the addresses where their sockets were: each is an end of its own, the
 * k-th pair.
 */
#define UNUSED 50
#define PAIRS 200

static int local_unused(void *shared)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0nobody uses it"};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[2 * UNUSED], pair[2];

	must(!bind(listener, (struct sockaddr *)&address, sizeof(address)) && !listen(listener, UNUSED));
	for (int i = 0; i < UNUSED; i++) {
		fds[2 * i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(!connect(fds[2 * i], (struct sockaddr *)&address, sizeof(address)));
		fds[2 * i + 1] = accept(listener, NULL, NULL);
		must(fds[2 * i + 1] >= 0);
	}
	for (int i = 0; i < 2 * UNUSED; i++)
		close(fds[i]);
	for (int i = 0; i < PAIRS; i++) {
		must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		must(send(pair[0], "x", 1, 0) == 1 && recv(pair[1], shared, 1, 0) == 1);
	}
	return 0;
}

static void check_unused(struct world *w)
{
	size_t pairs = 0, again = 0;

	check_lost(w);
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_local *end = &w->records[i].local;

		if (end->head.kind != REC_LOCAL || !end->number)
			continue;
		expect(w, !(end->head.flags & REC_F_CONTINUED) && !end->name[0]);
		if (!(end->head.flags & REC_F_ACCEPTOR))
			expect(w, end->ordinal == ++pairs);
		for (size_t k = 0; k < i; k++)
			again += (w->records[k].head.kind == REC_CONNECT && w->records[k].connect.cookie == end->id) ||
				 (w->records[k].head.kind == REC_ACCEPT && w->records[k].accept.cookie == end->id);
	}
	expect(w, pairs == PAIRS && again);
}

/* What splice takes is not seen; what comes after it is in its place all the same. */
static int local_splice(void *shared)
{
	int fds[2], way[2];
	char buf[100];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) && !pipe(way));
	must(send(fds[0], buf, 60, 0) == 60 && recv(fds[1], buf, 10, 0) == 10);
	must(splice(fds[1], NULL, way[1], NULL, 50, 0) == 50);
	must(send(fds[0], buf, 70, 0) == 70 && recv(fds[1], buf, 100, 0) == 70);
	(void)shared;
	return 0;
}

static void check_splice(struct world *w)
{
	check_lost(w);
	if (!expect(w, count_kind(w, REC_RECV) == 2 && count_kind(w, REC_SEND) == 2))
		return;
	expect(w, find(w, REC_RECV, 0)->transfer.pos == 0 && find(w, REC_RECV, 1)->transfer.pos == 60);
	expect(w, find(w, REC_SEND, 1)->transfer.pos == 60);
}

/* --- pipes --- */

#define PIPE_ROUNDS 20

static void pipe_write(int fd, int null)
{
	static char buf[30000];
	static char page[4096] __attribute__((aligned(4096))); /* of two pages a nearly full pipe takes the first only */
	struct iovec piece[2] = {{buf, 1000}, {buf + 1000, 2000}}, whole = {page, 1000};
	int way[2];

	(void)null;
	for (int i = 0; i < PIPE_ROUNDS; i++) {
		must(write(fd, buf, 30000) == 30000);
		must(writev(fd, piece, 2) == 3000);
		must(vmsplice(fd, &whole, 1, 0) == 1000);
	}
	must(!pipe(way) && write(way[1], buf, 500) == 500);
	must(splice(way[0], NULL, fd, NULL, 500, 0) == 500);
}

#define PIPE_BYTES (PIPE_ROUNDS * 34000 + 500)

/* A traced reader and a traced writer; splice is one of the ways to read. */
static int pipe_between(void *shared)
{
	static char buf[20000];
	int fds[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t all = 0;
	ssize_t n = 1;
	pid_t child;

	must(!pipe(fds));
	child = fork();
	if (!child) {
		close(fds[0]);
		pipe_write(fds[1], null);
		_exit(0);
	}
	close(fds[1]);
	for (int i = 0; n > 0; i++, all += (size_t)n) {
		struct iovec piece[2] = {{buf, 10}, {buf + 10, 5000}};

		n = i % 3 == 0 ? read(fds[0], buf, sizeof(buf)) :
		    i % 3 == 1 ? readv(fds[0], piece, 2) : splice(fds[0], NULL, null, NULL, 7000, 0);
	}
	must(all == PIPE_BYTES);
	child_reap(child, 0);
	(void)shared;
	return 0;
}

static int fifo_between(void *shared)
{
	char path[64], buf[100];
	int fd;
	pid_t child;

	snprintf(path, sizeof(path), "/tmp/bop.test.%d.fifo", getpid());
	must(!mkfifo(path, 0600));
	child = fork();
	if (!child) {
		fd = open(path, O_RDONLY);
		must(read(fd, buf, 100) == 5 && read(fd, buf, 100) == 0);
		_exit(0);
	}
	fd = open(path, O_WRONLY);
	must(write(fd, "hello", 5) == 5);
	close(fd);
	child_reap(child, 0);
	unlink(path);
	(void)shared;
	return 0;
}

/* As many as can be followed come and go: one that stays is the same all the time. */
#define PIPES 65600

static int pipe_many(void *shared)
{
	int kept[2], fds[2];

	must(!pipe(kept) && write(kept[1], "one", 3) == 3 && read(kept[0], shared, 3) == 3);
	for (int i = 0; i < PIPES; i++) {
		must(!pipe(fds) && write(fds[1], "x", 1) == 1);
		close(fds[0]);
		close(fds[1]);
	}
	must(write(kept[1], "more", 4) == 4 && read(kept[0], shared, 4) == 4);
	return 0;
}

static void check_many(struct world *w)
{
	uint64_t now[COUNTER_COUNT], lost, ids[2] = {0}, pos[2] = {0};
	size_t others = 0;

	tracer_counters(w->tracer, now);
	lost = now[COUNTER_LOST_PIPE] - w->counters[COUNTER_LOST_PIPE];
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_transfer *t = &w->records[i].transfer;
		int send = t->head.kind == REC_SEND;

		if (!send && t->head.kind != REC_RECV)
			continue;
		if (t->result == 1) {
			others++;
			continue;
		}
		if (!ids[send])
			ids[send] = t->cookie;
		expect(w, t->cookie == ids[send] && t->pos == pos[send]);
		pos[send] += (uint64_t)t->result;
	}
	expect(w, pos[0] == 7 && pos[1] == 7);
	expect(w, lost && others + lost == PIPES);
}

/* The end with so many bytes that some record of LOCAL names, and its number of messages. */
static const struct rec_local *pipe_end(const struct world *w, bool reads, size_t nth)
{
	for (size_t i = 0; find(w, REC_LOCAL, i); i++) {
		const struct rec_local *end = &find(w, REC_LOCAL, i)->local;

		if (end->kind == REC_LOCAL_PIPE && reads == !!(end->head.flags & REC_F_ACCEPTOR) && !nth--)
			return end;
	}
	return NULL;
}

static void check_pipe(struct world *w)
{
	const struct rec_local *writer = pipe_end(w, false, 0), *reader = pipe_end(w, true, 0), *inner = pipe_end(w, false, 1);

	check_lost(w);
	check_orders(w);
	if (!expect(w, writer && reader && inner))
		return;
	expect(w, writer->number == reader->peer && writer->peer == reader->number && writer->ordinal == 1);
	expect(w, inner->ordinal == 2 && writer->head.tgid != reader->head.tgid && !writer->name[0]);
	expect(w, check_tiles(w, REC_SEND, writer->id) == PIPE_BYTES);
	expect(w, check_tiles(w, REC_RECV, reader->id) == PIPE_BYTES);
	expect(w, check_messages(w, writer->id) == 3 * PIPE_ROUNDS + 1);
	expect(w, check_tiles(w, REC_SEND, inner->id) == 500 && check_tiles(w, REC_RECV, inner->peer) == 500);
}

static void check_fifo(struct world *w)
{
	const struct rec_local *writer = pipe_end(w, false, 0), *reader = pipe_end(w, true, 0);
	const union record *eof = find(w, REC_RECV, 1);

	check_lost(w);
	if (!expect(w, writer && reader && eof))
		return;
	expect(w, writer->number == reader->peer && !strncmp(writer->name, "bop.test.", 9));
	expect(w, check_tiles(w, REC_RECV, reader->id) == 5 && eof->transfer.result == 0 && eof->transfer.pos == 5);
}

/* Pipes are traced only when asked for; the ones that the world itself uses are not in any case. */
static void pipe_world(struct world *w, int (*scenario)(void *shared), uint32_t transports)
{
	struct error e = {""};
	struct gate gate;

	world_start(w, scenario, &gate);
	if (tracer_transports(w->tracer, transports, &e)) {
		printf("# %s\n", e.text);
		w->failures++;
	}
	tracer_ignore_pipe(w->tracer, gate.go[0]);
	tracer_ignore_pipe(w->tracer, gate.cookie[0]);
	world_finish(w, &gate);
	expect(w, WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0);
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	signal(SIGPIPE, SIG_IGN);
#define TEST(scenario, check, name)                                                                \
	do {                                                                                       \
		world_run(w, scenario);                                                            \
		check;                                                                             \
		status |= w->failures;                                                             \
		test_end(w, name);                                                                 \
	} while (0)
	TEST(exchange_v4, check_exchange(w, "127.0.0.1"), "datagrams over IPv4, every way to send and receive");
	TEST(exchange_v6, check_exchange(w, "::1"), "datagrams over IPv6");
	TEST(exchange_mapped, check_exchange(w, "::ffff:127.0.0.1"), "datagrams over IPv4 between IPv6 sockets");
	TEST(many_at_once, check_pairs(w, (void *)w->shared), "sendmmsg and recvmmsg: each datagram in its place");
	TEST(cut_off, check_cut(w), "a datagram that was cut off keeps the digest of its beginning");
	TEST(lost_ones, check_lost_ones(w), "datagrams that nobody took");
	TEST(chosen_port, check_chosen(w), "a server at a port that the kernel chose");
	if (!strcmp(tracer_backend(w->tracer), "kprobe")) {
		printf("ok %d - unix-domain sockets # SKIP kprobes cannot use a socket's storage, and nothing tells them "
		       "when such a socket goes\n", ++w->tests);
		world_free(w);
		return !!status;
	}
	TEST(local_pair, check_local(w, 1, "", false), "a pair of unix-domain sockets");
	TEST(local_abstract, check_local(w, 2, "@some/name", true), "unix-domain sockets with an abstract name");
	TEST(local_path, check_local(w, 2, NULL, true), "unix-domain sockets with a long path");
	TEST(local_unused, check_unused(w), "a pair of unix-domain sockets at the address of a connection that nobody used");
	TEST(local_splice, check_splice(w), "bytes that splice took from a unix-domain socket");
#undef TEST
#define TEST(scenario, transports, check, name)                                                    \
	do {                                                                                       \
		pipe_world(w, scenario, transports);                                               \
		check;                                                                             \
		status |= w->failures;                                                             \
		test_end(w, name);                                                                 \
	} while (0)
	TEST(pipe_between, TRACE_PIPE, check_pipe(w), "a pipe, every way to write and to read");
	TEST(pipe_many, TRACE_PIPE, check_many(w), "a pipe in use is not forgotten for others; those beyond the limit are counted");
	TEST(fifo_between, TRACE_PIPE, check_fifo(w), "a FIFO has its name");
	TEST(pipe_between, TRACE_DEFAULT, check_silent(w), "pipes are traced only when asked for");
	TEST(local_pair, TRACE_UDP, check_silent(w), "without unix-domain sockets");
	TEST(exchange_v4, TRACE_UNIX, check_silent(w), "without datagrams");
#undef TEST
	world_free(w);
	return !!status;
}
