/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How an end becomes known: ports that listen() chooses, data in the SYN, connections that are older than the tracer.
 */
#include "tests/kernel/world_check.h"

#include <linux/io_uring.h>

/* --- listen() on a socket that nobody bound --- */

static int unbound(void *shared)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
	socklen_t size = sizeof(addr);
	uint16_t *ports = shared;

	for (int i = 0; i < 2; i++) {
		int fd = socket(i ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		size = sizeof(addr);
		must(fd >= 0 && !listen(fd, 1) && !listen(fd, 2)); /* a longer queue is nothing new */
		must(!getsockname(fd, (void *)&addr, &size));
		ports[i] = ntohs(addr.sin6_port);
		close(fd);
	}
	return 0;
}

static void check_unbound(struct world *w)
{
	const uint16_t *ports = (void *)w->shared;

	check_common(w);
	if (!expect(w, count_kind(w, REC_LISTEN) == 2))
		return;
	for (size_t i = 0; i < 2; i++) {
		const union record *r = find(w, REC_LISTEN, i);

		expect(w, r->listen.local.port == ports[i] && ports[i]);
		expect(w, r->head.flags == REC_F_EPHEMERAL && r->head.tgid == (uint32_t)w->root);
		expect(w, r->listen.local.family == (i ? AF_INET6 : AF_INET));
	}
}

/* --- Fast Open: a cookie first, then data in the SYN, which the server reads before the connection is established --- */

#define LARGE 200000

struct fast {
	uint16_t port;
	int data; /* connections whose SYN had data */
};

static void fast_client(struct fast *fast, int flags, size_t size)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(fast->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char buf[LARGE];
	struct tcp_info info;
	socklen_t info_size = sizeof(info);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	n = sendto(fd, buf, size, MSG_FASTOPEN | flags, (void *)&addr, sizeof(addr));
	must(n > 0 || errno == EINPROGRESS);
	must(poll(&p, 1, 10000) == 1);
	send_all(fd, buf, size - (n > 0 ? (size_t)n : 0));
	must(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size));
	fast->data += !!(info.tcpi_options & 0x20); /* TCPI_OPT_SYN_DATA */
	recv_all(fd, buf, 10);
	close(fd);
}

static int fast_open(void *shared)
{
	struct fast *fast = shared;
	int control = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC), queue = 16;
	int listener = listen_at(AF_INET, &fast->port);
	static char buf[LARGE];
	pid_t server;

	must(control >= 0 && write(control, "3", 1) == 1); /* of this namespace */
	must(!setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)));
	server = fork();
	if (!server) {
		for (int i = 0; i < 4; i++) {
			int fd = accept(listener, NULL, NULL);

			recv_all(fd, buf, i == 3 ? LARGE : 1000);
			send_all(fd, buf, 10);
			must(recv(fd, buf, 1, 0) == 0);
			close(fd);
		}
		_exit(0);
	}
	fast_client(fast, 0, 1000);
	fast_client(fast, 0, 1000);
	fast_client(fast, MSG_DONTWAIT, 1000);
	fast_client(fast, 0, LARGE);
	child_reap(server, 0);
	return 0;
}

static void check_fast_open(struct world *w)
{
	const struct fast *fast = (void *)w->shared;

	check_common(w);
	expect(w, fast->data >= 3); /* else nothing was tested */
	expect(w, count_kind(w, REC_OPEN) == 4 && count_kind(w, REC_CONNECT) == 4 && count_kind(w, REC_ACCEPT) == 4);
	expect(w, count_kind(w, REC_ESTABLISHED) == 8 && count_kind(w, REC_FAILED) == 0);
	for (size_t i = 0; i < 4 && find(w, REC_CONNECT, i); i++) {
		const struct rec_connect *connect = &find(w, REC_CONNECT, i)->connect;
		const union record **list;
		size_t n = transfers(w, REC_SEND, connect->cookie, &list);

		expect(w, connect->result == -EINPROGRESS && connect->ordinal == i + 1 && connect->remote.port == fast->port);
		expect(w, n >= 1 && list[0]->transfer.pos == 0);
		expect(w, check_messages(w, connect->cookie) == 1);
		if (i) /* without a cookie the first send may have had to be made again */
			expect(w, n == 1 && list[0]->transfer.result == (i == 3 ? LARGE : 1000));
		free(list);
		expect(w, find(w, REC_ACCEPT, i)->accept.cookie && find(w, REC_ACCEPT, i)->head.flags == 0);
	}
}

/* --- connections that were there before --- */

static int older_pairs[4][2];

/* Both ends have moved bytes; some are on their way. The last pair is half closed. */
static void older_before(void *shared)
{
	static char buf[1000];

	for (int i = 0; i < 4; i++) {
		pair_open(older_pairs[i]);
		send_all(older_pairs[i][0], buf, 700);
		recv_all(older_pairs[i][1], buf, 600);
		send_all(older_pairs[i][1], buf, 50);
		recv_all(older_pairs[i][0], buf, 50);
		for (int j = 0; j < 2; j++) { /* a kprobe cannot give it one */
			uint64_t cookie;
			socklen_t size = sizeof(cookie);

			must(!getsockopt(older_pairs[i][j], SOL_SOCKET, SO_COOKIE, &cookie, &size));
		}
	}
	must(!shutdown(older_pairs[3][0], SHUT_WR));
	recv_all(older_pairs[3][1], buf, 100);
	must(recv(older_pairs[3][1], buf, 1, 0) == 0);
}

static int older(void *shared)
{
	static char buf[1000];

	for (int i = 0; i < 3; i++) { /* the first used by a send, the second by a receive, the third by its close */
		int *pair = older_pairs[i];

		if (i == 1)
			recv_all(pair[1], buf, 100);
		if (i < 2) {
			send_all(pair[0], buf, 200);
			recv_all(pair[1], buf, i ? 200 : 300);
			send_all(pair[1], buf, 20);
			recv_all(pair[0], buf, 20);
		}
		close(pair[0]);
		if (i < 2)
			must(recv(pair[1], buf, 1, 0) == 0);
		close(pair[1]);
	}
	send_all(older_pairs[3][1], buf, 30);
	recv_all(older_pairs[3][0], buf, 30);
	close(older_pairs[3][1]);
	must(recv(older_pairs[3][0], buf, 1, 0) == 0);
	close(older_pairs[3][0]);
	return 0;
}

/* Ranges of one direction lie end to end from `from`. */
static void expect_tiles(struct world *w, unsigned kind, uint64_t cookie, uint64_t from, uint64_t to)
{
	const union record **list;
	size_t n = transfers(w, kind, cookie, &list);

	for (size_t i = 0; i < n; i++) {
		expect(w, list[i]->transfer.pos == from);
		from = list[i]->transfer.pos + (uint64_t)list[i]->transfer.result;
	}
	expect(w, from == to);
	free(list);
}

static void check_older(struct world *w)
{
	size_t connectors = 0;

	check_lost(w);
	check_orders(w);
	expect(w, count_kind(w, REC_ESTABLISHED) == 8 && count_kind(w, REC_ACCEPT) == 0);
	expect(w, count_kind(w, REC_OPEN) == 0 && count_kind(w, REC_DESTROY) == 8);
	for (size_t i = 0; i < 8 && find(w, REC_ESTABLISHED, i); i++) {
		const struct rec_established *end = &find(w, REC_ESTABLISHED, i)->established;
		const struct rec_close *gone = close_of(w, REC_DESTROY, end->cookie);
		bool acceptor = end->head.flags & REC_F_ACCEPTOR, half = i >= 6;
		uint64_t sent = half ? (acceptor ? 80 : 700) : i < 4 ? (acceptor ? 70 : 900) : acceptor ? 50 : 700;
		uint64_t taken = half ? (acceptor ? 700 : 80) : i < 4 ? (acceptor ? 900 : 70) : acceptor ? 600 : 50;

		expect(w, (end->head.flags & ~REC_F_ACCEPTOR) == REC_F_OLDER && end->head.tgid == (uint32_t)w->root);
		connectors += !acceptor;
		if (!expect(w, gone && peer_of(w, end)))
			continue;
		expect(w, peer_of(w, end)->local.port == end->remote.port);
		expect(w, gone->sent == sent && gone->received == taken);
		if (i < 4 || (half && acceptor))
			expect_tiles(w, REC_SEND, end->cookie, acceptor ? 50 : 700, sent);
		if (i < 4 || (half && !acceptor))
			expect_tiles(w, REC_RECV, end->cookie, acceptor ? 600 : 50, taken);
	}
	expect(w, connectors == 4);
}

/* Whoever is not traced stays so, and nothing is adopted unless that was asked for. */
static void check_not_adopted(struct world *w)
{
	check_lost(w);
	expect(w, count_kind(w, REC_ESTABLISHED) + count_kind(w, REC_SEND) + count_kind(w, REC_RECV) == 0);
}

/*
 * A connection waits to be accepted while very many others come and go that never are; then it is accepted in a way that
 * nothing tells of.
 */
#define WAITING 60
#define ROUNDS 550 /* times WAITING: more than can be noted at once */

struct ring {
	int fd;
	unsigned char *queue;
	struct io_uring_params p;
	struct io_uring_sqe *sqe;
};

static int ring_open(struct ring *ring)
{
	int files[1] = {-1};

	ring->p = (struct io_uring_params){0};
	ring->fd = (int)syscall(SYS_io_uring_setup, 1, &ring->p);
	if (ring->fd < 0 || !(ring->p.features & IORING_FEAT_SINGLE_MMAP))
		return -1;
	ring->queue = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->sqe = mmap(NULL, sizeof(*ring->sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	must(ring->queue != MAP_FAILED && ring->sqe != MAP_FAILED);
	must(!syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, files, 1));
	return 0;
}

static int ring_do(struct ring *ring, const struct io_uring_sqe *request)
{
	uint32_t *tail = (uint32_t *)(ring->queue + ring->p.sq_off.tail), *head = (uint32_t *)(ring->queue + ring->p.cq_off.head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(ring->queue + ring->p.cq_off.cqes);
	uint32_t mask = *(uint32_t *)(ring->queue + ring->p.cq_off.ring_mask);
	int result;

	*ring->sqe = *request;
	((uint32_t *)(ring->queue + ring->p.sq_off.array))[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	result = done[*head & mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static int unaccepted(void *shared)
{
	struct io_uring_sqe accept = {.opcode = IORING_OP_ACCEPT, .file_index = 1};
	struct io_uring_sqe send = {.opcode = IORING_OP_SEND, .flags = IOSQE_FIXED_FILE, .addr = (uintptr_t)"x", .len = 1};
	int listener, other, client, fds[WAITING];
	struct ring ring;
	uint16_t port;
	char byte;

	listener = listen_at(AF_INET, &port);
	client = connect_to("127.0.0.1", port);
	for (int i = 0; i < ROUNDS; i++) {
		other = listen_at(AF_INET, &port);
		for (int k = 0; k < WAITING; k++)
			fds[k] = connect_to("127.0.0.1", port);
		for (int k = 0; k < WAITING; k++)
			close(fds[k]);
		close(other);
	}
	accept.fd = listener;
	if (ring_open(&ring) || ring_do(&ring, &accept)) {
		*(int *)shared = 1;
		return 0;
	}
	must(ring_do(&ring, &send) == 1 && recv(client, &byte, 1, 0) == 1);
	return 0;
}

static void check_unaccepted(struct world *w)
{
	const union record *accept = find(w, REC_ACCEPT, 0), *send = find(w, REC_SEND, 0);

	check_lost(w);
	if (*(int *)w->shared) {
		puts("# this kernel has no io_uring that accepts into its own table: only that nothing is lost was looked at");
		return;
	}
	expect(w, count_kind(w, REC_ACCEPT) == 1 && accept->head.flags == REC_F_INFERRED);
	expect(w, send && accept->accept.cookie == send->transfer.cookie);
}

static void world_run_older(struct world *w, int adopt)
{
	struct gate gate;

	w->before = older_before;
	world_start(w, older, &gate);
	if (adopt)
		tracer_adopt(w->tracer);
	world_finish_well(w, &gate);
	w->before = NULL;
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	WORLD_TEST(w, status, unbound, check_unbound(w), "a port that listen() chooses is told when it is known");
	WORLD_TEST(w, status, fast_open, check_fast_open(w), "Fast Open: data in the SYN is the first bytes of the first message");
	WORLD_TEST(w, status, unaccepted, check_unaccepted(w), "a connection waits to be accepted while many others never are");
	WORLD_TEST_OF(w, status, world_run_older(w, 1), check_older(w), "connections older than the tracer go on from where they are");
	WORLD_TEST_OF(w, status, world_run_older(w, 0), check_not_adopted(w), "older connections are left alone unless asked for");
	world_free(w);
	return !!status;
}
