// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What is left when the process that holds the faults is killed, and what others have attached to the same devices.
 * Nothing fires late, traffic flows when the lease is over, a sweep takes away what is ours and nothing else.
 *
 * The holder is a child with a tracer of its own. The boxes are the test's, so they outlive it, as a guest's
 * namespace does.
 */
#include "tests/kernel/world.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_sched.h>

#include "lib/clock.h"
#include "tfj/box.h"
#include "tfj/faults.h"

#define MILLION 1000000u
#define LEASE_NS (4000ull * 1000000) /* enough for the test to see the effect on a busy machine */
#define PORT 7000

struct shared {
	int ready, go;
	struct kernel_receipt receipt;
};

static void on_nothing(const struct rec_head *head, size_t size, void *arg)
{
}

static void enter(int netns)
{
	if (setns(netns, CLONE_NEWNET))
		abort();
}

/* A pair of connected sockets, client in box 0 and server in box 1, and datagrams between the same. */
struct talk {
	int client, server, from, to;
};

static int udp_at(const struct box *box)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&four.sin_addr, box->ip4 + 12, 4);
	if (bind(fd, (void *)&four, sizeof(four)))
		abort();
	return fd;
}

static void talk_open(struct boxes *boxes, struct talk *talk)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), listener, on = 1;

	enter(boxes->box[1].netns);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (void *)&four, sizeof(four)) || listen(listener, 8))
		abort();
	talk->to = udp_at(&boxes->box[1]);
	enter(boxes->box[0].netns);
	talk->from = udp_at(&boxes->box[0]);
	talk->client = connect_to(boxes->box[1].address, PORT);
	talk->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	memcpy(&four.sin_addr, boxes->box[1].ip4 + 12, 4);
	if (connect(talk->from, (void *)&four, sizeof(four)) || talk->server < 0)
		abort();
	enter(home);
	close(home);
}

static void talk_close(struct talk *talk)
{
	close(talk->client);
	close(talk->server);
	close(talk->from);
	close(talk->to);
}

/* A datagram gets there within some time, if it is sent again and again. */
static bool datagrams_pass(const struct talk *talk, int wait_ms)
{
	struct pollfd waiting = { .fd = talk->to, .events = POLLIN };
	char byte;

	for (int i = 0; i < wait_ms / 20; i++) {
		send(talk->from, "x", 1, MSG_DONTWAIT);
		if (poll(&waiting, 1, 20) > 0) {
			while (recv(talk->to, &byte, 1, MSG_DONTWAIT) == 1)
				;
			return true;
		}
	}
	return false;
}

/* What the program in box 0 does: a message a byte, the third has the fault; then it just lives on. */
static void program(struct shared *shared, int fd)
{
	char reply;

	while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	for (int i = 0; i < 4; i++) {
		if (i == 2)
			__atomic_store_n(&shared->ready, 2, __ATOMIC_SEQ_CST);
		must(send(fd, &"abcd"[i], 1, MSG_NOSIGNAL) == 1);
		if (i < 2)
			must(recv(fd, &reply, 1, 0) == 1);
	}
	pause();
}

/* Arms one fault for the boxes and waits to be killed. `program`: a task that is to be traced; 0: none. */
static void hold(struct shared *shared, struct boxes *boxes, const struct kernel_fault *fault, bool guest, pid_t task)
{
	struct tracer *tracer;
	struct faults *faults;
	struct error e = { "" };
	int pidfd;

	must(!tracer_open(getenv("BOP_BACKEND"), 0, true, on_nothing, NULL, &tracer, &e) && !tracer_attach(tracer, &e));
	for (size_t i = 0; i < boxes->n; i++) {
		const struct box *box = &boxes->box[i];

		must(!tracer_add_guest(tracer, box->cookie, box->index, &e) &&
		     !tracer_add_address(tracer, box->index, box->ip4, &e));
	}
	tracer_adopt(tracer);
	if (task) {
		pidfd = (int)syscall(SYS_pidfd_open, task, 0);
		must(!tracer_add_process(tracer, pidfd, 1, fault_label("c"), &e));
		close(pidfd);
	}
	must(!faults_open(tracer, &faults, &e));
	for (size_t i = 0; i < boxes->n; i++)
		if (faults_box(faults, boxes->box[i].netns, boxes->box[i].index, guest, &e)) {
			fprintf(stderr, "# %s\n", e.text);
			_exit(98);
		}
	if (faults_arm(faults, fault, 1, clock_monotonic_ns() + LEASE_NS, &e)) {
		fprintf(stderr, "# %s\n", e.text);
		_exit(98);
	}
	faults_receipt(faults, 1, &shared->receipt);
	__atomic_store_n(&shared->ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		faults_receipt(faults, 1, &shared->receipt);
		tracer_drain(tracer);
		poll(NULL, 0, 1);
	}
}

static void wait_for(const int *what, int value)
{
	for (int i = 0; i < 20000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < value; i++)
		poll(NULL, 0, 1);
}

static int sweep(struct boxes *boxes)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), found = 0;

	for (size_t i = 0; i < boxes->n; i++) {
		enter(boxes->box[i].netns);
		found += faults_clean();
	}
	enter(home);
	close(home);
	return found;
}

/* Devices of the boxes with a clsact qdisc: asked by making one, which is then taken away again. */
static int qdiscs(struct boxes *boxes)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), n = 0;

	libbpf_set_print(NULL);
	for (size_t i = 0; i < boxes->n; i++) {
		enter(boxes->box[i].netns);
		for (int device = 1; device <= 2; device++) {
			LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = device,
				    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

			if (bpf_tc_hook_create(&hook) == -EEXIST)
				n++;
			else
				bpf_tc_hook_destroy(&hook);
		}
	}
	enter(home);
	close(home);
	return n;
}

/* guest: where there is TCX all goes with the holder; else filters stay and do nothing when the lease is over. */
static void wall_test(struct world *w, enum fault_kind kind, bool guest, const char *name)
{
	static char *const names[] = { "c", "s", NULL };
	static const uint32_t from[] = { 1 };
	struct kernel_fault fault = { .id = 1, .kind = kind, .from = from, .n_from = 1, .ppm = MILLION };
	struct shared *shared = (struct shared *)w->shared;
	struct boxes *boxes;
	struct talk talk;
	pid_t holder;
	int left;

	memset(shared, 0, sizeof(*shared));
	if (boxes_open(names, &boxes, NULL))
		abort();
	talk_open(boxes, &talk);
	expect(w, datagrams_pass(&talk, 2000));
	holder = fork();
	if (!holder)
		hold(shared, boxes, &fault, guest, 0);
	wait_for(&shared->ready, 1);
	expect(w, !datagrams_pass(&talk, 60));
	expect(w, shared->receipt.state == FAULT_STATE_FIRED);
	expect(w, sweep(boxes) == 0); /* what has a living owner stays */
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	expect(w, datagrams_pass(&talk, 20000));
	/* a filter stays, and is found: one for each direction of eth0 and lo, in two boxes; TCX programs are gone
	 * already */
	left = sweep(boxes);
	expect(w, left == 8 || (guest && !left));
	expect(w, sweep(boxes) == 0 && qdiscs(boxes) == 0);
	expect(w, datagrams_pass(&talk, 2000));
	talk_close(&talk);
	boxes_close(boxes);
	test_end(w, name);
}

/*
 * A rule for a message. killed_early: the holder is killed while it is only armed. Else when it has fired: what it
 * kept back arrives when its lease is over.
 */
static void message_test(struct world *w, enum fault_kind kind, bool killed_early, bool guest, const char *name)
{
	static char *const names[] = { "c", "s", NULL };
	struct kernel_fault fault = {.id = 1,
				     .kind = kind,
				     .moment = MOMENT_SEND,
				     .message = 3,
				     .duration_ns = 100 * LEASE_NS,
				     .where = {.process = fault_label("c"), .box = 2, .port = PORT, .ordinal = 1}};
	struct shared *shared = (struct shared *)w->shared;
	char byte, text[8] = "";
	struct boxes *boxes;
	struct talk talk = { -1, -1, -1, -1 };
	pid_t holder, task;
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), listener, got = 0;
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	memset(shared, 0, sizeof(*shared));
	if (boxes_open(names, &boxes, NULL))
		abort();
	enter(boxes->box[1].netns);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (void *)&four, sizeof(four)) || listen(listener, 8))
		abort();
	enter(home);
	task = fork();
	if (!task) {
		enter(boxes->box[0].netns);
		wait_for(&shared->ready, 1); /* it is traced now */
		program(shared, connect_to(boxes->box[1].address, PORT));
	}
	holder = fork();
	if (!holder)
		hold(shared, boxes, &fault, guest, task);
	wait_for(&shared->ready, 1);
	talk.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (killed_early) {
		kill(holder, SIGKILL);
		waitpid(holder, NULL, 0);
	}
	__atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++) {
		expect(w, recv(talk.server, &byte, 1, 0) == 1);
		expect(w, send(talk.server, "r", 1, MSG_NOSIGNAL) == 1);
	}
	wait_for(&shared->ready, 2);
	if (!killed_early) {
		for (int i = 0; i < 5000 && shared->receipt.packets < 1; i++)
			poll(NULL, 0, 1);
		expect(w, shared->receipt.fired == 1 && shared->receipt.packets);
		if (kind != FAULT_DROP) /* TCP has mended that already */
			expect(w, recv(talk.server, &byte, 1, MSG_DONTWAIT) < 0);
		kill(holder, SIGKILL);
		waitpid(holder, NULL, 0);
	}
	while (got < 2 && !w->failures) {
		ssize_t n = recv(talk.server, text + got, (size_t)(2 - got), 0);

		if (!expect(w, n > 0))
			break;
		got += (int)n;
	}
	expect(w, !strcmp(text, "cd"));
	sweep(boxes);
	expect(w, sweep(boxes) == 0);
	kill(task, SIGKILL);
	waitpid(task, NULL, 0);
	close(talk.server);
	close(listener);
	close(home);
	boxes_close(boxes);
	test_end(w, name);
}

/* --- others at the same devices --- */

/* A program that counts packets in a map and says what its verdict is. */
static int counter_load(int map, int verdict)
{
	struct bpf_insn code[] = {
		{ .code = 0x62, .dst_reg = 10, .off = -4, .imm = 0 },			     /* key = 0 */
		{ .code = 0xbf, .dst_reg = 2, .src_reg = 10 },				     /* r2 = fp */
		{ .code = 0x07, .dst_reg = 2, .imm = -4 },				     /* r2 -= 4 */
		{ .code = 0x18, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map }, { 0 },
		{ .code = 0x85, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = 0x15, .dst_reg = 0, .off = 2, .imm = 0 },			     /* if !r0 */
		{ .code = 0xb7, .dst_reg = 1, .imm = 1 },				     /* r1 = 1 */
		{ .code = 0xdb, .dst_reg = 0, .src_reg = 1, .imm = 0 },		     /* lock *r0 += r1 */
		{ .code = 0xb7, .dst_reg = 0, .imm = verdict },
		{ .code = 0x95 },
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", code, sizeof(code) / sizeof(*code), NULL);
}

struct foreign {
	int map, program, link;
};

static uint64_t foreign_seen(const struct foreign *foreign)
{
	uint32_t zero = 0;
	uint64_t n = 0;

	bpf_map_lookup_elem(foreign->map, &zero, &n);
	return n;
}

static struct foreign foreign_new(int verdict)
{
	struct foreign foreign = { .link = -1 };

	foreign.map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 8, 1, NULL);
	foreign.program = counter_load(foreign.map, verdict);
	if (foreign.map < 0 || foreign.program < 0)
		abort();
	return foreign;
}

/* Their TCX program; -1 where the kernel has none. */
static int tcx_attach(int program, int device)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)program;
	attr.link_create.target_ifindex = (uint32_t)device;
	attr.link_create.attach_type = 46; /* BPF_TCX_INGRESS */
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

/* The ids of their filters that are there. */
static uint32_t filter_id(int device, uint32_t handle, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = device, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = priority);

	return bpf_tc_query(&hook, &opts) ? 0 : opts.prog_id;
}

static void foreign_test(struct world *w, bool guest, bool made_before, const char *name)
{
	static char *const names[] = { "c", "s", NULL };
	static const uint32_t from[] = { 1 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_ISOLATE, .from = from, .n_from = 1 };
	struct foreign filter = foreign_new(0 /* OK: nobody behind is asked */), first = foreign_new(-1),
		       link = foreign_new(-1);
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), device = 2;
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = device, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = filter.program, .handle = 7, .priority = 5);
	LIBBPF_OPTS(bpf_tc_opts, first_opts, .prog_fd = first.program, .handle = 3, .priority = 1);
	struct tracer *tracer = w->tracer;
	struct faults *faults;
	struct error e = { "" };
	struct boxes *boxes;
	struct talk talk;
	uint64_t seen[3];
	uint32_t ids[2];

	libbpf_set_print(NULL);
	if (boxes_open(names, &boxes, NULL) || faults_open(tracer, &faults, &e))
		abort();
	talk_open(boxes, &talk);
	for (size_t i = 0; i < boxes->n; i++)
		if (tracer_add_guest(tracer, boxes->box[i].cookie, boxes->box[i].index, &e) ||
		    tracer_add_address(tracer, boxes->box[i].index, boxes->box[i].ip4, &e))
			abort();
	if (!made_before)
		expect(w, !faults_box(faults, boxes->box[1].netns, 2, guest, &e));
	enter(boxes->box[1].netns);
	bpf_tc_hook_create(&hook);
	expect(w, !bpf_tc_attach(&hook, &opts) && !bpf_tc_attach(&hook, &first_opts));
	link.link = tcx_attach(link.program, device);
	ids[0] = filter_id(device, 7, 5);
	ids[1] = filter_id(device, 3, 1);
	enter(home);
	if (made_before && !expect(w, !faults_box(faults, boxes->box[1].netns, 2, guest, &e)))
		printf("# %s\n", e.text);
	/* they see what passes, with nothing armed and with something that does not match */
	for (int armed = 0; armed < 2; armed++) {
		seen[0] = foreign_seen(&filter);
		seen[1] = foreign_seen(&first);
		seen[2] = foreign_seen(&link);
		expect(w, datagrams_pass(&talk, 2000));
		expect(w, foreign_seen(&filter) > seen[0] && foreign_seen(&first) > seen[1]);
		expect(w, link.link < 0 || foreign_seen(&link) > seen[2]);
		fault.from = (const uint32_t[]){ 9 };
		if (!armed)
			expect(w, !faults_arm(faults, &fault, 1, clock_monotonic_ns() + 100 * LEASE_NS, &e));
	}
	/* what is lost is lost, whatever they say */
	fault.id = 2;
	fault.from = from;
	expect(w, !faults_arm(faults, &fault, 1, clock_monotonic_ns() + 100 * LEASE_NS, &e));
	expect(w, !datagrams_pass(&talk, 60));
	faults_close(faults);
	tracer_clear(tracer);
	expect(w, datagrams_pass(&talk, 2000));
	enter(boxes->box[1].netns);
	expect(w, ids[0] && filter_id(device, 7, 5) == ids[0] && ids[1] && filter_id(device, 3, 1) == ids[1]);
	expect(w, faults_clean() == 0);
	seen[0] = foreign_seen(&filter);
	expect(w, datagrams_pass(&talk, 2000) && foreign_seen(&filter) > seen[0]);
	enter(home);
	close(home);
	if (link.link >= 0)
		close(link.link);
	else
		printf("# this kernel has no TCX\n");
	talk_close(&talk);
	boxes_close(boxes);
	for (int i = 0; i < 3; i++) {
		const struct foreign *all[] = { &filter, &first, &link };

		close(all[i]->map);
		close(all[i]->program);
	}
	test_end(w, name);
}

int main(void)
{
	struct world *w;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	w = world_new(&status);
	if (!w) {
		puts("1..1");
		return status;
	}
	wall_test(w, FAULT_ISOLATE, false,
		  "the holder of an isolation is killed: traffic flows when the lease is over, a sweep finds the "
		  "filters");
	wall_test(w, FAULT_ISOLATE, true, "the same in a guest");
	wall_test(w, FAULT_LOSS, true, "the holder of a loss of everything is killed");
	message_test(w, FAULT_CUT, true, false, "the holder of a cut that is only armed is killed: it never fires");
	message_test(w, FAULT_CUT, false, false,
		     "the holder of a cut in effect is killed: the stream goes on when the lease is over");
	message_test(w, FAULT_CUT, false, true, "the same in a guest");
	message_test(w, FAULT_HOLD, true, true, "the holder of a hold that is only armed is killed");
	message_test(w, FAULT_HOLD, false, false, "the holder of a hold in effect is killed");
	message_test(w, FAULT_CRASH, true, false, "the holder of a crash that is only armed is killed: nobody dies");
	message_test(w, FAULT_RESET, true, true, "the holder of a reset that is only armed is killed");
	message_test(w, FAULT_PAUSE, true, true, "the holder of a pause that is only armed is killed");
	message_test(w, FAULT_DROP, false, true, "the holder of a drop is killed after it");
	foreign_test(w, true, true, "a guest's filters and TCX program stay as they were and see what passes");
	foreign_test(w, true, false, "the same when they come after ours");
	foreign_test(w, false, true, "the same with filters of our own");
	world_free(w);
	return 0;
}
