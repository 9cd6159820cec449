/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is recorded and what is not: who is traced, in which box, until when; and that what found no room is counted. */
#include "tests/kernel/world_check.h"

/* --- who is not traced --- */

static void exchange(void)
{
	char buf[8];
	int pair[2];

	pair_open(pair);
	send_all(pair[0], "ping", 4);
	recv_all(pair[1], buf, 4);
	close(pair[0]);
	close(pair[1]);
}

/*
 * The traced process talks; another one, in a namespace of its own that is no box, does the same at
 * the same time.
 */
static int talk_alone(void *shared)
{
	exchange();
	return 0;
}

static void check_elsewhere(struct world *w)
{
	struct gate gate;
	pid_t other;

	world_start(w, talk_alone, &gate);
	other = fork();
	if (!other) {
		if (netns_new())
			_exit(99);
		for (int i = 0; i < 50; i++)
			exchange();
		_exit(0);
	}
	world_finish(w, &gate);
	waitpid(other, NULL, 0);
	world_drain(w);
	check_common(w);
	expect(w, w->status == 0 && count_kind(w, REC_SEND) == 1 &&
			  count_kind(w, REC_ESTABLISHED) == 2);
	for (size_t i = 0; i < w->n; i++)
		expect(w, w->records[i].head.tgid != (uint32_t)other);
}

struct visit {
	uint16_t port;
	volatile int ready;
};

/* Serves two visitors that did not come from here. */
static int host_visitors(void *shared)
{
	struct visit *visit = shared;
	int listener = listen_at(AF_INET, &visit->port), fd;
	char byte;

	visit->ready = 1;
	for (int i = 0; i < 2; i++) {
		fd = accept(listener, NULL, NULL);
		must(fd >= 0);
		recv_all(fd, &byte, 1);
		send_all(fd, &byte, 1);
		must(read(fd, &byte, 1) == 0);
		close(fd);
	}
	return 0;
}

static void visitor_main(struct visit *visit, pid_t host)
{
	char path[64], byte = 'v';
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", host);
	fd = open(path, O_RDONLY);
	must(fd >= 0 && !setns(fd, CLONE_NEWNET));
	if (!fork()) { /* ignored, or not, like its parent */
		fd = connect_to("127.0.0.1", visit->port);
		send_all(fd, &byte, 1);
		recv_all(fd, &byte, 1);
		close(fd);
		_exit(0);
	}
	wait(NULL);
	_exit(0);
}

static pid_t visitor_start(struct world *w, bool ignored)
{
	struct visit *visit = (void *)w->shared;
	int go[2], pidfd;
	pid_t pid;
	char byte;

	must(!pipe(go));
	pid = fork();
	if (!pid) {
		must(read(go[0], &byte, 1) == 1);
		while (!visit->ready)
			sched_yield();
		visitor_main(visit, w->root);
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ignored)
		must(!tracer_ignore_task(w->tracer, pidfd, NULL));
	close(pidfd);
	must(write(go[1], "g", 1) == 1);
	close(go[0]);
	close(go[1]);
	return pid;
}

/* Both visitors ignored: nothing but the host's own life is seen. */
static void check_ignored(struct world *w)
{
	struct gate gate;
	pid_t visitors[2];

	world_start(w, host_visitors, &gate);
	visitors[0] = visitor_start(w, true);
	visitors[1] = visitor_start(w, true);
	world_finish(w, &gate);
	waitpid(visitors[0], NULL, 0);
	waitpid(visitors[1], NULL, 0);
	world_drain(w);
	check_lost(w);
	expect(w, w->status == 0);
	for (size_t i = 0; i < w->n; i++)
		expect(w, w->records[i].head.kind == REC_LISTEN ||
				  w->records[i].head.kind == REC_EXIT);
	expect(w, w->n == 2);
}

/*
 * Beside an ignored visitor one that nobody told us about: it appears, and its connection is like
 * any other.
 */
static void check_appears(struct world *w)
{
	const union record *appear, *open;
	struct gate gate;
	pid_t visitors[2];

	world_start(w, host_visitors, &gate);
	visitors[0] = visitor_start(w, true);
	visitors[1] = visitor_start(w, false);
	world_finish(w, &gate);
	waitpid(visitors[0], NULL, 0);
	waitpid(visitors[1], NULL, 0);
	world_drain(w);
	check_common(w);
	appear = find(w, REC_APPEAR, 0);
	open = find(w, REC_OPEN, 0);
	expect(w, w->status == 0 && count_kind(w, REC_APPEAR) == 1 &&
			  count_kind(w, REC_ESTABLISHED) == 2);
	expect(w, count_kind(w, REC_ACCEPT) == 1 && count_kind(w, REC_SEND) == 2);
	expect(w, appear && open && appear->head.tgid == open->head.tgid &&
			  appear->head.order < open->head.order);
	expect(w, appear && appear->exec.parent_tgid == (uint32_t)visitors[1]);
}

/* --- forgetting --- */

static int talk_on(void *shared)
{
	volatile int *step = shared;
	char byte;
	int pair[2];

	pair_open(pair);
	send_all(pair[0], "a", 1);
	recv_all(pair[1], &byte, 1);
	step[0] = 1;
	while (!step[1])
		sched_yield();
	send_all(pair[0], "b", 1);
	recv_all(pair[1], &byte, 1);
	exchange();
	return 0;
}

static void check_clear(struct world *w)
{
	volatile int *step = (void *)w->shared;
	struct gate gate;
	size_t before;

	world_start(w, talk_on, &gate);
	if (write(gate.go[1], "g", 1) != 1)
		abort();
	while (!step[0])
		sched_yield();
	tracer_clear(w->tracer);
	world_drain(w);
	before = w->n;
	step[1] = 1;
	waitpid(w->root, &w->status, 0);
	world_drain(w);
	expect(w, w->status == 0 && before >= 6 && w->n == before);
	gate_close(&gate);
}

/* --- ordinals by box --- */

static int connect_addresses(void *shared)
{
	static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "127.0.0.1",
						"::ffff:127.0.0.3"};
	uint16_t *port = shared;
	int listener = listen_at(AF_INET6, port);

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		close(connect_to(addresses[i], *port));
	if (!fork()) { /* another process counts for itself */
		close(connect_to("127.0.0.1", *port));
		_exit(0);
	}
	wait(NULL);
	close(listener);
	return 0;
}

static void check_ordinals(struct world *w)
{
	static const uint32_t wanted[] = {1, 2, 3, 4, 1};

	for (size_t i = 0; i < 5; i++) {
		const union record *open = find(w, REC_OPEN, i);

		expect(w, open && open->open.ordinal == wanted[i]);
	}
	expect(w, count_kind(w, REC_OPEN) == 5);
}

/* --- two boxes --- */

struct link {
	volatile int linked;
	uint16_t ports[2];
	volatile int listening;
};

static int talk_across(void *shared)
{
	struct link *link = shared;
	char byte = 'x';
	int fd;

	while (!link->listening)
		sched_yield();
	for (int i = 0; i < 4; i++) { /* two addresses and two ports of the other box */
		fd = connect_to(i % 2 ? "10.77.0.3" : "10.77.0.2", link->ports[i / 2]);
		send_all(fd, &byte, 1);
		recv_all(fd, &byte, 1);
		close(fd);
	}
	return 0;
}

static void other_main(struct link *link)
{
	int listeners[2], fd;
	char byte;

	while (!link->linked)
		sched_yield();
	for (int i = 0; i < 2; i++)
		listeners[i] = listen_at(AF_INET, &link->ports[i]);
	link->listening = 1;
	for (int i = 0; i < 4; i++) {
		fd = accept(listeners[i / 2], NULL, NULL);
		must(fd >= 0);
		recv_all(fd, &byte, 1);
		send_all(fd, &byte, 1);
		must(read(fd, &byte, 1) == 0);
		close(fd);
	}
	_exit(0);
}

/* A traced process in box 2, waiting for the link. */
static pid_t other_start(struct world *w)
{
	int ready[2], go[2], pidfd;
	uint64_t cookie;
	pid_t pid;
	char byte;

	must(!pipe(ready) && !pipe(go));
	pid = fork();
	if (!pid) {
		must(!netns_new());
		cookie = netns_cookie();
		must(write(ready[1], &cookie, sizeof(cookie)) == sizeof(cookie));
		must(read(go[0], &byte, 1) == 1);
		other_main((struct link *)w->shared);
	}
	must(read(ready[0], &cookie, sizeof(cookie)) == sizeof(cookie));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	must(!tracer_add_box(w->tracer, cookie, 2, NULL) &&
	     !tracer_add_process(w->tracer, pidfd, 2, 0, NULL));
	must(write(go[1], "g", 1) == 1);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	close(pidfd);
	return pid;
}

/* Needs the kernel's veth and the ip of iproute2. */
static bool veth_works(void)
{
	return !system("unshare -n sh -c 'ip link add va netns $$ type veth peer name vb netns $$' 2>/dev/null");
}

static void check_boxes(struct world *w)
{
	static const uint8_t addresses[2][16] = {{[10] = 0xff, 0xff, 10, 77, 0, 2},
						 {[10] = 0xff, 0xff, 10, 77, 0, 3}};
	static const uint32_t ordinals[] = {1, 2, 1, 2};
	struct link *link = (void *)w->shared;
	char command[512];
	struct gate gate;
	pid_t other;
	int status;

	world_start(w, talk_across, &gate);
	w->other_box = 2;
	other = other_start(w);
	for (int i = 0; i < 2; i++)
		expect(w, !tracer_add_address(w->tracer, 2, addresses[i], NULL));
	snprintf(command, sizeof(command),
		 "ip link add va netns %d type veth peer name vb netns %d && "
		 "nsenter -t %d -n sh -c 'ip addr add 10.77.0.1/24 dev va && ip link set va up' && "
		 "nsenter -t %d -n sh -c 'ip addr add 10.77.0.2/24 dev vb && ip addr add "
		 "10.77.0.3/24 dev vb && "
		 "ip link set vb up'",
		 w->root, other, w->root, other);
	if (!expect(w, system(command) == 0)) {
		kill(w->root, SIGKILL);
		kill(other, SIGKILL);
	}
	link->linked = 1;
	world_finish(w, &gate);
	waitpid(other, &status, 0);
	world_drain(w);
	expect(w, w->status == 0 && status == 0);
	check_common(w);
	expect(w, count_kind(w, REC_OPEN) == 4 && count_kind(w, REC_ESTABLISHED) == 8 &&
			  count_kind(w, REC_ACCEPT) == 4);
	for (size_t i = 0; i < 4 && find(w, REC_OPEN, i); i++)
		expect(w, find(w, REC_OPEN, i)->open.ordinal == ordinals[i]);
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_head *r = &w->records[i].head;

		if (r->kind == REC_ESTABLISHED)
			expect(w, r->box == (r->flags & REC_F_ACCEPTOR ? 2u : 1u));
		if (r->tgid)
			expect(w, r->box == (r->tgid == (uint32_t)other ? 2u : 1u));
	}
	w->other_box = 0;
}

/* --- a ring buffer that is too small --- */

static int talk_much(void *shared)
{
	char buf[8];
	int pair[2];

	pair_open(pair);
	for (int i = 0; i < 2000; i++) {
		send_all(pair[0], "ping", 4);
		recv_all(pair[1], buf, 4);
	}
	return 0;
}

/* Every record that found no room is counted, and leaves a gap in the numbers of its CPU. */
static void check_overflow(struct world *w)
{
	struct tracer *usual = w->tracer;
	uint64_t counters[COUNTER_COUNT], gaps = 0, last[2] = {0};
	struct gate gate;
	struct error e;

	if (tracer_open(getenv("BOP_BACKEND"), 4096, true, world_record, w, &w->tracer, &e) || tracer_attach(w->tracer, &e)) {
		printf("# %s\n", e.text);
		expect(w, false);
		w->tracer = usual;
		return;
	}
	tracer_detach(usual);
	tracer_rest(usual);
	world_start(w, talk_much, &gate);
	if (write(gate.go[1], "g", 1) != 1)
		abort();
	waitpid(w->root, &w->status, 0); /* nobody drains */
	tracer_counters(w->tracer, counters);
	world_drain(w);
	for (size_t i = 0; i < w->n; i++) {
		uint64_t cpu = w->records[i].head.seq >> 48,
			 seq = w->records[i].head.seq << 16 >> 16;

		if (cpu > 1)
			continue;
		gaps += seq - last[cpu] - 1;
		last[cpu] = seq;
	}
	expect(w, counters[COUNTER_LOST_RING] > 3000 && w->n > 10);
	expect(w, counters[COUNTER_EMITTED] == w->n && gaps <= counters[COUNTER_LOST_RING]);
	tracer_close(w->tracer);
	w->tracer = usual;
	if (tracer_attach(w->tracer, &e)) {
		printf("# %s\n", e.text);
		expect(w, false);
	}
	gate_close(&gate);
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	signal(SIGPIPE, SIG_IGN);
	WORLD_TEST(w, status, connect_addresses, check_ordinals(w), "ordinals count for a process, a box and a port");
	WORLD_TEST_OF(w, status, check_elsewhere(w), (void)0, "nothing is recorded of a namespace that is no box");
	WORLD_TEST_OF(w, status, check_ignored(w), (void)0, "ignored tasks, their children and their connections are invisible");
	WORLD_TEST_OF(w, status, check_appears(w), (void)0, "a stranger in a box appears");
	WORLD_TEST_OF(w, status, check_clear(w), (void)0, "after a clear nothing is recorded any more");
	if (veth_works())
		WORLD_TEST_OF(w, status, check_boxes(w), (void)0, "two boxes over veth: each end has its box, ordinals count for the box");
	else
		printf("ok %d - two boxes over veth # SKIP no pair of virtual links can be made here: ip or veth is missing\n",
		       ++w->tests);
	WORLD_TEST_OF(w, status, check_overflow(w), (void)0, "what found no room is counted");
	world_free(w);
	return !!status;
}
