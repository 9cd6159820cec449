// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Faults on connections after which the stream goes on: drop, hold, pause, those that end by their lease or are
 * lifted; connects that are refused; and what is told of a fault.
 */
#include "tests/kernel/fault_world.h"
#include "tests/kernel/state.h"
#include "tests/kernel/world_check.h"

#define HOLD_NS (300ull * 1000000)

static struct trial trial_of(enum fault_kind kind, bool lo, int family, enum pattern pattern, enum sizes sizes)
{
	return (struct trial){.kind = kind,
			      .moment = MOMENT_SEND,
			      .lo = lo,
			      .family = family,
			      .pattern = pattern,
			      .sizes = sizes,
			      .n = 2 * MESSAGES};
}

static struct side *reader_of(struct conversation *c)
{
	return c->reply ? &c->client : &c->server;
}

static struct side *sender_of(struct conversation *c)
{
	return c->reply ? &c->server : &c->client;
}

/* All was sent and read. */
static void finish_when_done(struct fault_world *fw, const struct trial *trial)
{
	for (size_t i = 0; i < trial->n; i++)
		if (fw->conversations[i].client.done && fw->conversations[i].server.done)
			__atomic_store_n(&fw->conversations[i].finish, 1, __ATOMIC_SEQ_CST);
}

static void trial_start(struct fault_world *fw, const struct trial *trial)
{
	fault_world_open(fw);
	trial_arm(fw, trial);
	programs_start(fw, trial);
}

/* The whole stream arrived, unchanged. */
static bool stream_is_whole(struct fault_world *fw, const struct trial *trial, size_t i)
{
	struct conversation *c = &fw->conversations[i];

	return reader_of(c)->got == bytes_before(trial, i, MESSAGES + 1) && !reader_of(c)->corrupt &&
	       !sender_of(c)->corrupt;
}

static void receipt_show(struct fault_world *fw, size_t i, const struct kernel_receipt *r)
{
	struct conversation *c = &fw->conversations[i];

	printf("# connection %zu, message %u of the %s: state %s over %d fired %u; hit %llu messages, %llu bytes, "
	       "%llu packets, beside %llu "
	       "bytes; late %llu ns; sent again %u; read %llu\n",
	       i, c->message, c->reply ? "acceptor" : "connector", fault_state_name(r->state), r->over, r->fired,
	       (unsigned long long)r->messages, (unsigned long long)r->bytes, (unsigned long long)r->packets,
	       (unsigned long long)r->collateral_bytes, (unsigned long long)r->lateness_ns, sender_of(c)->retransmits,
	       (unsigned long long)reader_of(c)->got);
}

typedef bool receipt_check(struct fault_world *, const struct trial *, size_t, const struct kernel_receipt *);

/* Every connection's stream is whole, and its receipt is as it should be. */
static void trial_end(struct fault_world *fw, const struct trial *trial, receipt_check *check, const char *name)
{
	size_t good = 0;

	for (size_t i = 0; i < trial->n; i++) {
		struct kernel_receipt receipt = { 0 };

		faults_receipt(fw->faults, (uint32_t)i + 1, &receipt);
		if (stream_is_whole(fw, trial, i) && check(fw, trial, i, &receipt))
			good++;
		else
			receipt_show(fw, i, &receipt);
	}
	expect(fw->w, good == trial->n);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

static bool drop_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	struct conversation *c = &fw->conversations[i];

	return r->state == FAULT_STATE_FIRED && r->fired == 1 && r->over && r->packets >= trial->times &&
	       r->messages == 1 && r->bytes >= 1 && sender_of(c)->retransmits >= trial->times;
}

static void drop_test(struct fault_world *fw, uint32_t times, enum pattern pattern, enum sizes sizes, bool lo,
		      const char *name)
{
	struct trial trial = trial_of(FAULT_DROP, lo, lo ? AF_INET : AF_INET6, pattern, sizes);

	trial.times = times;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	trial_end(fw, &trial, drop_check, name);
}

static bool hold_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	const struct side *reader = reader_of(&fw->conversations[i]);
	uint64_t due = r->fired_ns + HOLD_NS;

	return r->state == FAULT_STATE_FIRED && r->over && reader->mark_ns >= due &&
	       r->lateness_ns <= reader->mark_ns - due && r->lateness_ns;
}

static void hold_test(struct fault_world *fw, bool lo, int family, enum pattern pattern, enum sizes sizes,
		      const char *name)
{
	struct trial trial = trial_of(FAULT_HOLD, lo, family, pattern, sizes);

	trial.duration_ns = HOLD_NS;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	trial_end(fw, &trial, hold_check, name);
}

/* Whoever was stopped is woken, when it has been seen that its message (or the receive) had not got any further. */
static void wake(struct fault_world *fw, const struct trial *trial)
{
	for (size_t i = 0; i < trial->n; i++) {
		struct conversation *c = &fw->conversations[i];
		struct side *who = trial->moment == MOMENT_SEND ? sender_of(c) : reader_of(c);
		struct kernel_receipt receipt;

		if (who->status || !who->pid || process_state(who->pid) != 'T' ||
		    faults_receipt(fw->faults, (uint32_t)i + 1, &receipt))
			continue;
		expect(fw->w, receipt.fired == 1);
		if (clock_monotonic_ns() < receipt.fired_ns + HOLD_NS)
			expect(fw->w, reader_of(c)->got <= bytes_before(trial, i, c->message));
		if (clock_monotonic_ns() < receipt.fired_ns + HOLD_NS / 2)
			continue;
		who->status = 1;
		kill(who->pid, SIGCONT);
	}
	finish_when_done(fw, trial);
}

static bool pause_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	const struct side *reader = reader_of(&fw->conversations[i]);

	return r->fired == 1 && reader->mark_ns >= r->fired_ns + (trial->moment == MOMENT_SEND ? HOLD_NS : HOLD_NS / 2);
}

static void pause_test(struct fault_world *fw, enum fault_moment_kind moment, enum pattern pattern, const char *name)
{
	struct trial trial = trial_of(FAULT_PAUSE, moment == MOMENT_RECV, AF_INET, pattern, SMALL);

	trial.moment = moment;
	trial.duration_ns = HOLD_NS;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, wake);
	trial_end(fw, &trial, pause_check, name);
}

/* Lifts each rule when its message was kept back. */
static void lift_when_blocked(struct fault_world *fw, const struct trial *trial)
{
	for (size_t i = 0; i < trial->n; i++) {
		struct kernel_receipt receipt;

		if (!faults_receipt(fw->faults, (uint32_t)i + 1, &receipt) && receipt.state == FAULT_STATE_FIRED &&
		    receipt.packets >= 2) {
			expect(fw->w, reader_of(&fw->conversations[i])->got <=
					      bytes_before(trial, i, fw->conversations[i].message));
			expect(fw->w, !faults_lift(fw->faults, (uint32_t)i + 1));
		}
	}
	finish_when_done(fw, trial);
}

static bool lift_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	return r->state == FAULT_STATE_LIFTED && r->ended_ns > r->fired_ns &&
	       reader_of(&fw->conversations[i])->mark_ns >= r->ended_ns && r->messages >= 1 && r->bytes >= 1;
}

static bool expired_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	return r->state == FAULT_STATE_EXPIRED && r->ended_ns == r->fired_ns + trial->lease_ns &&
	       reader_of(&fw->conversations[i])->mark_ns >= r->ended_ns;
}

static void cut_ends_test(struct fault_world *fw, uint32_t flags, uint64_t lease_ns, const char *name)
{
	struct trial trial = trial_of(FAULT_CUT, flags, AF_INET, PING_PONG, SMALL);

	trial.flags = flags;
	trial.lease_ns = lease_ns;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, lease_ns ? finish_when_done : lift_when_blocked);
	trial_end(fw, &trial, lease_ns ? expired_check : lift_check, name);
}

/* Armed on connections that are there already: the tenth message is held meanwhile, the fifteenth is then cut. */
static void live_turn(struct fault_world *fw, const struct trial *trial)
{
	struct kernel_receipt receipt;
	struct error e = { "" };

	for (size_t i = 0; i < trial->n; i++) {
		struct kernel_fault fault = {.id = (uint32_t)(trial->n + i + 1),
					     .kind = FAULT_CUT,
					     .moment = MOMENT_SEND,
					     .message = 15,
					     .reply = fw->conversations[i].reply};
		uint32_t hold = (uint32_t)i + 1;

		where_of(trial, i, &fault.where);
		if (!faults_receipt(fw->faults, hold, &receipt) && receipt.state == FAULT_STATE_FIRED &&
		    receipt.packets) {
			expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
			expect(fw->w, !faults_lift(fw->faults, hold));
		}
		if (!faults_receipt(fw->faults, fault.id, &receipt) && receipt.packets >= 3)
			__atomic_store_n(&fw->conversations[i].finish, 1, __ATOMIC_SEQ_CST);
	}
}

static void live_test(struct fault_world *fw)
{
	struct trial trial = trial_of(FAULT_HOLD, false, AF_INET, PING_PONG, SMALL);
	size_t good = 0;

	fault_world_open(fw);
	for (size_t i = 0; i < trial.n; i++) {
		struct kernel_fault hold = {.id = (uint32_t)i + 1,
					    .kind = FAULT_HOLD,
					    .moment = MOMENT_SEND,
					    .message = 10,
					    .reply = i / MESSAGES & 1,
					    .duration_ns = LEASE_NS};
		struct error e = { "" };

		where_of(&trial, i, &hold.where);
		fw->conversations[i].reply = hold.reply;
		expect(fw->w, !faults_arm(fw->faults, &hold, 1, clock_monotonic_ns() + LEASE_NS, &e));
	}
	programs_start(fw, &trial);
	programs_finish(fw, &trial, live_turn);
	for (size_t i = 0; i < trial.n; i++)
		good += reader_of(&fw->conversations[i])->got == bytes_before(&trial, i, 15) &&
			!reader_of(&fw->conversations[i])->corrupt;
	expect(fw->w, good == trial.n);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, "a cut that is armed while the connection is in use is as exact");
}

static bool dry_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	return r->state == FAULT_STATE_WOULD_FIRE && r->fired_ns && !r->packets;
}

static void dry_test(struct fault_world *fw, enum fault_kind kind, enum fault_moment_kind moment, const char *name)
{
	struct trial trial = trial_of(kind, false, AF_INET6, PING_PONG, MIXED);

	trial.flags = FAULT_F_DRY;
	trial.moment = moment;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	trial_end(fw, &trial, dry_check, name);
}

/* Rules whose time was over before their moment never fire. */
static bool late_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	return r->state == FAULT_STATE_EXPIRED && !r->fired;
}

static void late_test(struct fault_world *fw)
{
	struct trial trial = trial_of(FAULT_CUT, false, AF_INET, PING_PONG, SMALL);

	fault_world_open(fw);
	trial_arm(fw, &trial);
	faults_renew(fw->faults, clock_monotonic_ns());
	programs_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	trial_end(fw, &trial, late_check, "a rule whose lease is over does not fire any more");
}

/* A moment of another process than the one that is to be hit: nobody is. */
static bool armed_check(struct fault_world *fw, const struct trial *trial, size_t i, const struct kernel_receipt *r)
{
	return r->state == FAULT_STATE_ARMED && !r->fired;
}

static void stranger_test(struct fault_world *fw)
{
	struct trial trial = trial_of(FAULT_CRASH, false, AF_INET, PING_PONG, SMALL);

	trial.process = fault_label("somebody else");
	trial_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	trial_end(fw, &trial, armed_check, "a crash of one process at the moment of another hits nobody");
}

/* What is recorded of each: FIRED right before the send that it was found at, by the same thread. */
static void record_test(struct fault_world *fw)
{
	struct trial trial = trial_of(FAULT_DROP, false, AF_INET, PING_PONG, SMALL);
	size_t fired = 0;

	trial.times = 1;
	trial_start(fw, &trial);
	programs_finish(fw, &trial, finish_when_done);
	for (size_t i = 0; i < fw->w->n; i++) {
		const struct rec_fault *fault = &fw->w->records[i].fault;
		bool found = false;

		if (fault->head.kind != REC_FAULT)
			continue;
		fired++;
		for (size_t j = 0; j < fw->w->n; j++) {
			const struct rec_transfer *send = &fw->w->records[j].transfer;

			if (send->head.kind == REC_SEND && send->cookie == fault->cookie &&
			    send->message == fault->message)
				found = send->head.tid == fault->head.tid && send->head.order > fault->head.order &&
					send->pos == fault->pos && send->result == (int64_t)fault->bytes;
		}
		expect(fw->w, found);
		expect(fw->w,
		       fault->id && fault->id <= trial.n && fault->state == RULE_FIRED && fault->moment == RULE_SEND);
		expect(fw->w, fault->message == fw->conversations[fault->id - 1].message);
	}
	expect(fw->w, fired == trial.n);
	fw->w->other_box = 2;
	check_orders(fw->w);
	trial_end(fw, &trial, drop_check, "a fault is recorded in the thread that it was found in, before its message");
}

/* --- connects --- */

struct attempts {
	int result[3], error[3];
};

static int refused_main(struct fault_world *fw, const struct trial *trial)
{
	struct attempts *attempts = (struct attempts *)fw->conversations;
	int fd[3];

	alarm(STUCK_S);
	for (int i = 0; i < 3; i++) {
		/* the socket that was refused is used again */
		fd[i] = i == 2 && !(trial->flags & FAULT_F_TIMEOUT) ? fd[1] : socket(trial->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(fd[i] >= 0);
		attempts->result[i] = connect_fd(fd[i], server_address(fw, trial), PORT);
		attempts->error[i] = attempts->result[i] ? errno : 0;
	}
	return 0;
}

/* Lifts the fault when the SYN was sent again. */
static void lift_when_waiting(struct fault_world *fw, const struct trial *trial)
{
	struct kernel_receipt receipt;

	if (trial->flags & FAULT_F_TIMEOUT && !faults_receipt(fw->faults, 1, &receipt) && receipt.packets >= 2)
		faults_lift(fw->faults, 1);
}

static void refuse_test(struct fault_world *fw, bool lo, int family, uint32_t flags, const char *name)
{
	struct trial trial = { .kind = FAULT_REFUSE, .flags = flags, .lo = lo, .family = family, .n = 0 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_REFUSE, .flags = flags, .moment = MOMENT_CONNECT };
	struct attempts *attempts;
	struct kernel_receipt receipt = { 0 };
	struct error e = { "" };
	int fd, status, zero = 0;
	uint16_t port = PORT;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	fault_world_open(fw);
	attempts = (struct attempts *)fw->conversations;
	if (setns(fw->boxes->box[lo ? 0 : 1].netns, CLONE_NEWNET))
		abort();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (void *)&six, sizeof(six)) || listen(fd, 8) || setns(home, CLONE_NEWNET))
		abort();
	close(home);
	fault.where =
		(struct fault_where){.process = fault_label("c"), .box = lo ? 1 : 2, .port = PORT, .ordinal = 2};
	expect(fw->w, !faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e));
	fw->programs[0] = program_start(fw, &trial, 0, "c", 2);
	while (waitpid(fw->programs[0], &status, WNOHANG) == 0) {
		struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };

		nanosleep(&pause, NULL);
		lift_when_waiting(fw, &trial);
	}
	close(fd);
	faults_receipt(fw->faults, 1, &receipt);
	expect(fw->w, !attempts->error[0] && !attempts->error[2]);
	expect(fw->w, attempts->error[1] == (flags & FAULT_F_TIMEOUT ? 0 : ECONNREFUSED));
	expect(fw->w, receipt.fired == 1 && receipt.packets == (flags & FAULT_F_TIMEOUT ? receipt.packets : 1) &&
			      receipt.packets);
	if (fw->w->failures)
		printf("# errors %d %d %d, fired %u, packets %llu\n", attempts->error[0], attempts->error[1],
		       attempts->error[2], receipt.fired, (unsigned long long)receipt.packets);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

static void wrong_test(struct fault_world *fw)
{
	struct kernel_fault faults[2] = {
		{.id = 1, .kind = FAULT_CUT, .moment = MOMENT_SEND, .message = 1, .where.ordinal = 1},
		{.id = 2, .kind = FAULT_HOLD, .moment = MOMENT_RECV, .message = 1, .where.ordinal = 1}};
	const uint32_t box = 1;
	struct kernel_fault wall = { .kind = FAULT_ISOLATE, .from = &box, .n_from = 1 };
	struct kernel_receipt receipt;
	struct error e = { "" };
	int err;

	fault_world_open(fw);
	expect(fw->w,
	       faults_arm(fw->faults, faults, 2, clock_monotonic_ns() + LEASE_NS, &e) == -EINVAL && strstr(e.text, "hold"));
	expect(fw->w, faults_receipt(fw->faults, 1, &receipt) == -ENOENT); /* all or none */
	faults[1].moment = MOMENT_SEND;
	faults[1].id = RULE_MAX;
	expect(fw->w, faults_arm(fw->faults, faults, 2, clock_monotonic_ns() + LEASE_NS, &e) == -E2BIG);
	faults[1].id = 1;
	expect(fw->w, faults_arm(fw->faults, faults, 2, clock_monotonic_ns() + LEASE_NS, &e) == -EINVAL);
	faults[1].id = 2;
	expect(fw->w, !faults_arm(fw->faults, faults, 2, clock_monotonic_ns() + LEASE_NS, &e));
	for (uint32_t id = 3; id < 5; id++) {
		faults[0].id = id;
		expect(fw->w, !faults_arm(fw->faults, faults, 1, clock_monotonic_ns() + LEASE_NS, &e));
	}
	faults[0].id = 5;
	expect(fw->w, faults_arm(fw->faults, faults, 1, clock_monotonic_ns() + LEASE_NS, &e) == -E2BIG);
	expect(fw->w, !faults_lift(fw->faults, 3) && !faults_arm(fw->faults, faults, 1, clock_monotonic_ns() + LEASE_NS, &e));
	expect(fw->w, faults_lift(fw->faults, 77) == -ENOENT);
	/* between the same boxes one after the other, each over before the next: as many as one likes */
	for (wall.id = 6; wall.id < 14; wall.id++) {
		wall.lease_ns = wall.id < 10;
		err = faults_arm(fw->faults, &wall, 1, clock_monotonic_ns() + LEASE_NS, &e);
		expect(fw->w, !err);
	}
	expect(fw->w, faults_arm(fw->faults, &wall, 1, clock_monotonic_ns() + LEASE_NS, &e) == -E2BIG);
	fault_world_close(fw);
	test_end(fw->w, "what cannot be armed is refused, all or none");
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	int status;

	if (!fault_world_new(&fw, &status))
		return status;
	drop_test(&fw, 1, PING_PONG, SMALL, false,
		  "drop: TCP sends again, the stream is whole (small, ping-pong, veth)");
	drop_test(&fw, 2, BACK_TO_BACK, MIXED, true,
		  "drop, two times: TCP sends again twice, the stream is whole (mixed, back to back, lo)");
	hold_test(&fw, false, AF_INET, PING_PONG, SMALL, "hold: never early, its lateness is told (veth, IPv4)");
	hold_test(&fw, true, AF_INET6, BACK_TO_BACK, MIXED,
		  "hold: never early, its lateness is told (lo, IPv6, back to back)");
	pause_test(&fw, MOMENT_SEND, PING_PONG, "pause at a send: stopped, the message waits, then all goes on");
	pause_test(&fw, MOMENT_RECV, BACK_TO_BACK, "pause at a receive: stopped, unread, then all goes on");
	cut_ends_test(&fw, 0, 0, "cut, lifted: the stream goes on and is whole");
	cut_ends_test(&fw, FAULT_F_ONEWAY, 400ull * 1000000,
		      "cut oneway with a lease: the stream goes on when it is over");
	dry_test(&fw, FAULT_CUT, MOMENT_SEND, "dry: a cut would have been made, and was not");
	dry_test(&fw, FAULT_CRASH, MOMENT_RECV, "dry: a process would have been killed, and was not");
	late_test(&fw);
	live_test(&fw);
	stranger_test(&fw);
	record_test(&fw);
	fw.client = refused_main;
	refuse_test(&fw, false, AF_INET, 0,
		    "refuse: the second connect gets ECONNREFUSED, the others pass (veth, IPv4)");
	refuse_test(&fw, true, AF_INET6, 0, "refuse: the same over lo, IPv6");
	refuse_test(&fw, false, AF_INET6, FAULT_F_TIMEOUT,
		    "refuse timeout: its SYNs vanish until it is lifted (veth, IPv6)");
	refuse_test(&fw, true, AF_INET, FAULT_F_TIMEOUT, "refuse timeout: the same over lo, IPv4");
	wrong_test(&fw);
	world_free(fw.w);
	return 0;
}
