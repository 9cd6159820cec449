// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Faults in a run with more connections than the kernel's tables have room for: what a connection left there goes with
 * it, so that the faults of those that come later are as exact as ever.
 */
#include "tests/kernel/fault_world.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tfj/tracer_kernel.h"

#define STRANGERS_PORT 9000
#define FLOOD 100000 /* more than FAULT_CONNECTIONS of bpf/fault_maps.bpf.h */

/* Somebody in the third box who is not traced, takes all connections and closes them. */
static pid_t stranger_start(struct fault_world *fw)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(STRANGERS_PORT) };
	int listener;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	alarm(STUCK_S);
	must(!setns(fw->boxes->box[2].netns, CLONE_NEWNET));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(listener >= 0 && !bind(listener, (void *)&four, sizeof(four)) && !listen(listener, 4096));
	__atomic_store_n(fw->go + 2, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		must(fd >= 0);
		close(fd);
	}
}

/* Many short connections to the stranger, each ended by an RST so that its port is free; then what c always does. */
static int flood_main(struct fault_world *fw, const struct trial *trial)
{
	struct linger at_once = { .l_onoff = 1 };

	alarm(STUCK_S);
	for (int i = 0; i < FLOOD; i++) {
		int fd = connect_to(fw->boxes->box[2].address, STRANGERS_PORT);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fd);
	}
	return client_main(fw, trial);
}

static struct side *reader_of(struct conversation *c)
{
	return c->reply ? &c->client : &c->server;
}

/* A cut had its effect, and all before it has arrived; or it will not have any. Of the records only the counters matter. */
static void finish_when_cut(struct fault_world *fw, const struct trial *trial)
{
	for (size_t i = 0; i < trial->n; i++) {
		struct conversation *c = &fw->conversations[i];
		struct kernel_receipt receipt = { 0 };

		if ((c->client.done && c->server.done) ||
		    (!faults_receipt(fw->faults, (uint32_t)i + 1, &receipt) && receipt.packets &&
		     reader_of(c)->got >= bytes_before(trial, i, c->message)))
			__atomic_store_n(&c->finish, 1, __ATOMIC_SEQ_CST);
	}
	fw->w->n = 0;
}

static void flood_test(struct fault_world *fw, const char *name)
{
	struct trial trial = { .kind = FAULT_CUT, .moment = MOMENT_SEND, .family = AF_INET, .n = 2 * MESSAGES };
	uint64_t counters[2][COUNTER_COUNT];
	struct timespec pause = { .tv_nsec = 1000 * 1000 };
	size_t exact = 0;
	pid_t stranger;

	fw->strangers = 1;
	fw->client = flood_main;
	fault_world_open(fw);
	stranger = stranger_start(fw);
	while (!__atomic_load_n(fw->go + 2, __ATOMIC_SEQ_CST))
		nanosleep(&pause, NULL);
	tracer_counters(fw->w->tracer, counters[0]);
	trial_arm(fw, &trial);
	programs_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_cut);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
	tracer_counters(fw->w->tracer, counters[1]);
	for (size_t i = 0; i < trial.n; i++) {
		struct conversation *c = &fw->conversations[i];
		struct kernel_receipt receipt = { 0 };

		faults_receipt(fw->faults, (uint32_t)i + 1, &receipt);
		exact += receipt.fired == 1 && reader_of(c)->got == bytes_before(&trial, i, c->message) && !reader_of(c)->corrupt;
	}
	printf("# %zu of %zu cuts exact\n", exact, trial.n);
	expect(fw->w, exact == trial.n);
	expect(fw->w, counters[1][COUNTER_LOST_NAME] == counters[0][COUNTER_LOST_NAME]);
	fault_world_close(fw);
	fw->strangers = 0;
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* Connects before there are faults; when there are, sends one byte and is gone. */
static int gone_main(struct fault_world *fw, const struct trial *trial)
{
	int fd = connect_to(fw->boxes->box[1].address, PORT);
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	alarm(STUCK_S);
	__atomic_store_n(fw->go + 3, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(fw->go + 4, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	send_all(fd, "x", 1);
	shutdown(fd, SHUT_WR);
	do { /* the peer's kernel has it all: what closes then is forgotten at once */
		poll(NULL, 0, 1);
		must(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
	} while (info.tcpi_state != 5 /* FIN_WAIT2 */);
	close(fd);
	__atomic_store_n(fw->go + 5, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Reads that byte when who sent it is gone. */
static int reader_main(struct fault_world *fw, const struct trial *trial)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener, fd;
	char byte;

	alarm(STUCK_S);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(listener >= 0 && !bind(listener, (void *)&four, sizeof(four)) && !listen(listener, 8));
	__atomic_store_n(fw->go + 1, 1, __ATOMIC_SEQ_CST);
	fd = accept(listener, NULL, NULL);
	while (!__atomic_load_n(fw->go + 5, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	recv_all(fd, &byte, 1);
	return 0;
}

/* The name of a connection is asked for when its connector is gone. */
static void gone_test(struct fault_world *fw, const char *name)
{
	struct kernel_fault fault = { .id = 1, .kind = FAULT_CRASH, .flags = FAULT_F_DRY, .moment = MOMENT_RECV, .message = 1,
				      .where = { .process = fault_label("c"), .box = 2, .port = PORT, .ordinal = 1 } };
	struct kernel_receipt receipt = { 0 };
	struct trial trial = { .n = 0 };
	struct error e = { "" };
	pid_t pids[2];
	int status;

	fw->client = gone_main;
	fw->server = reader_main;
	fault_world_open(fw);
	tracer_faulting(fw->w->tracer, false); /* as in a run that has no faults yet */
	pids[1] = program_start(fw, &trial, 1, "s", 1);
	while (!__atomic_load_n(fw->go + 1, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	pids[0] = program_start(fw, &trial, 0, "c", 2);
	while (!__atomic_load_n(fw->go + 3, __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
	__atomic_store_n(fw->go + 4, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		expect(fw->w, waitpid(pids[i], &status, 0) == pids[i] && !status);
	world_drain(fw->w);
	expect(fw->w, !faults_receipt(fw->faults, 1, &receipt) && receipt.state == FAULT_STATE_WOULD_FIRE);
	fault_world_close(fw);
	fw->server = NULL;
	test_end(fw->w, name);
}

/* How far client and server are to go, and have got, in fw->go. */
enum { TALK_LISTENS = 1, TALK_UP, TALK_SEND, TALK_SENT, TALK_READ, TALK_TAKEN };

static void talk_say(struct fault_world *fw, int what, int value)
{
	__atomic_store_n(fw->go + what, value, __ATOMIC_SEQ_CST);
}

static void talk_await(struct fault_world *fw, int what, int value)
{
	while (__atomic_load_n(fw->go + what, __ATOMIC_SEQ_CST) < value)
		poll(NULL, 0, 1);
}

/* Sends four bytes, each when it is told to. */
static int talk_client(struct fault_world *fw, const struct trial *trial)
{
	int fd = connect_to(fw->boxes->box[1].address, PORT);

	alarm(STUCK_S);
	talk_say(fw, TALK_UP, 1);
	for (int i = 1; i <= 4; i++) {
		talk_await(fw, TALK_SEND, i);
		send_all(fd, "x", 1);
		talk_say(fw, TALK_SENT, i);
	}
	talk_await(fw, TALK_SEND, 5);
	return 0;
}

static int talk_server(struct fault_world *fw, const struct trial *trial)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener, fd;
	char byte;

	alarm(STUCK_S);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(listener >= 0 && !bind(listener, (void *)&four, sizeof(four)) && !listen(listener, 8));
	talk_say(fw, TALK_LISTENS, 1);
	fd = accept(listener, NULL, NULL);
	for (int i = 1; i <= 3; i++) {
		talk_await(fw, TALK_READ, i);
		recv_all(fd, &byte, 1);
		talk_say(fw, TALK_TAKEN, i);
	}
	talk_await(fw, TALK_SEND, 5);
	return 0;
}

static void talk_send(struct fault_world *fw, int n)
{
	talk_say(fw, TALK_SEND, n);
	talk_await(fw, TALK_SENT, n);
}

static void talk_read(struct fault_world *fw, int n)
{
	talk_say(fw, TALK_READ, n);
	talk_await(fw, TALK_TAKEN, n);
}

/* Names that wait to be asked for. */
static size_t names_told(const struct fault_world *fw)
{
	int map = bpf_object__find_map_fd_by_name(tracer_programs(fw->w->tracer), "fault_keys");
	uint64_t key, *at = NULL;
	size_t n = 0;

	for (; !bpf_map_get_next_key(map, at, &key); at = &key)
		n++;
	return map < 0 ? SIZE_MAX : n;
}

/* A connector tells its name once, and again when what it told was thrown away; who was told takes it out. */
static void told_test(struct fault_world *fw, const char *name)
{
	struct kernel_fault fault = { .id = 1, .kind = FAULT_CRASH, .flags = FAULT_F_DRY, .moment = MOMENT_RECV, .message = 2,
				      .where = { .process = fault_label("c"), .box = 2, .port = PORT, .ordinal = 1 } };
	struct kernel_receipt receipt = { 0 };
	struct trial trial = { .n = 0 };
	struct error e = { "" };
	pid_t pids[2];
	int status;

	fw->client = talk_client;
	fw->server = talk_server;
	fault_world_open(fw);
	tracer_faulting(fw->w->tracer, false); /* as in a run that has no faults yet */
	pids[1] = program_start(fw, &trial, 1, "s", 1);
	talk_await(fw, TALK_LISTENS, 1);
	pids[0] = program_start(fw, &trial, 0, "c", 2);
	talk_await(fw, TALK_UP, 1);
	expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
	talk_send(fw, 1);
	expect(fw->w, names_told(fw) == 1);
	faults_clear(fw->faults); /* it could not be armed everywhere, and is tried again */
	for (int i = 0; i < 2; i++)
		expect(fw->w, !faults_box(fw->faults, fw->boxes->box[i].netns, fw->boxes->box[i].index, false, &e));
	expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
	talk_send(fw, 2);
	talk_read(fw, 2);
	expect(fw->w, !faults_receipt(fw->faults, 1, &receipt) && receipt.state == FAULT_STATE_WOULD_FIRE);
	expect(fw->w, names_told(fw) == 0);
	talk_send(fw, 3);
	fault.id = 2;
	fault.message = 9;
	expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
	talk_read(fw, 3);
	talk_send(fw, 4);
	expect(fw->w, names_told(fw) == 0);
	talk_say(fw, TALK_SEND, 5);
	for (int i = 0; i < 2; i++)
		expect(fw->w, waitpid(pids[i], &status, 0) == pids[i] && !status);
	world_drain(fw->w);
	fault_world_close(fw);
	fw->server = NULL;
	test_end(fw->w, name);
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	int status;

	if (!fault_world_new(&fw, &status))
		return status;
	gone_test(&fw, "a rule finds the receive of a message whose connector is gone, and had told its name last");
	told_test(&fw, "a name that was asked for takes no place any more, however often the rules change");
	flood_test(&fw, "after 100,000 short connections to nobody's box every cut is exact");
	world_free(fw.w);
	return 0;
}
