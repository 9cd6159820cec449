/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pipes and FIFOs: what small programs counted themselves against what the kernel side recorded. */
#include "tests/kernel/world_check.h"

#include <sys/stat.h>
#include <sys/uio.h>

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

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	signal(SIGPIPE, SIG_IGN);
	WORLD_TEST_OF(w, status, world_run_transports(w, pipe_between, TRACE_PIPE), check_pipe(w), "a pipe, every way to write and to read");
	WORLD_TEST_OF(w, status, world_run_transports(w, pipe_many, TRACE_PIPE), check_many(w),
		      "a pipe in use is not forgotten for others; those beyond the limit are counted");
	WORLD_TEST_OF(w, status, world_run_transports(w, fifo_between, TRACE_PIPE), check_fifo(w), "a FIFO has its name");
	WORLD_TEST(w, status, pipe_between, check_silent(w), "pipes are traced only when asked for");
	world_free(w);
	return !!status;
}
