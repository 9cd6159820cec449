/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unix-domain streams: what small programs counted themselves against what the kernel side recorded. */
#include "tests/kernel/world_check.h"

#include <stddef.h>
#include <sys/un.h>

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

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(tracer_backend(w->tracer), "kprobe")) {
		printf("ok %d - unix-domain sockets # SKIP kprobes cannot use a socket's storage, and nothing tells them "
		       "when such a socket goes\n", ++w->tests);
		world_free(w);
		return !!status;
	}
	WORLD_TEST(w, status, local_pair, check_local(w, 1, "", false), "a pair of unix-domain sockets");
	WORLD_TEST(w, status, local_abstract, check_local(w, 2, "@some/name", true), "unix-domain sockets with an abstract name");
	WORLD_TEST(w, status, local_path, check_local(w, 2, NULL, true), "unix-domain sockets with a long path");
	WORLD_TEST(w, status, local_unused, check_unused(w), "a pair of unix-domain sockets at the address of a connection that nobody used");
	WORLD_TEST(w, status, local_splice, check_splice(w), "bytes that splice took from a unix-domain socket");
	WORLD_TEST_OF(w, status, world_run_transports(w, local_pair, TRACE_UDP), check_silent(w), "without unix-domain sockets");
	world_free(w);
	return !!status;
}
