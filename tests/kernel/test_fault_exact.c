// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * For every message of a conversation, in both directions: what its receiver read when it was cut, reset, or when the
 * process crashed before it was sent or as it was received. All as asked, or it is told which not.
 *
 * BOP_TEST_SOAK=1: the whole matrix.
 */
#include "tests/kernel/fault_world.h"

/* Nothing more is to come: the message was kept from its receiver several times, or those who are to hear of it have.
 */
static void finish_when_over(struct fault_world *fw, const struct trial *trial)
{
	for (size_t i = 0; i < trial->n; i++) {
		struct conversation *c = &fw->conversations[i];
		struct side *reader = c->reply ? &c->client : &c->server, *sender = c->reply ? &c->server : &c->client;
		struct kernel_receipt receipt;
		bool over;

		if (c->finish || faults_receipt(fw->faults, (uint32_t)i + 1, &receipt))
			continue;
		if (trial->moment == MOMENT_RECV)
			over = receipt.fired && sender->error;
		else if (trial->kind == FAULT_CUT || trial->flags & FAULT_F_SILENT)
			over = receipt.packets >= 3 && /* TCP has tried again, also with what is before */
			       (reader->got >= bytes_before(trial, i, c->message) ||
				clock_monotonic_ns() > receipt.fired_ns + STUCK_S * 500000000ull);
		else
			over = reader->error && (sender->error || sender->status);
		if (over)
			__atomic_store_n(&c->finish, 1, __ATOMIC_SEQ_CST);
	}
}

static int killed(const struct side *side)
{
	return WIFSIGNALED(side->status) && WTERMSIG(side->status) == SIGKILL;
}

/* Was it as asked? Says what was not. */
static int conversation_check(const struct trial *trial, const struct conversation *c, size_t i,
			      const struct kernel_receipt *receipt)
{
	const struct side *reader = c->reply ? &c->client : &c->server, *sender = c->reply ? &c->server : &c->client;
	bool crash = trial->kind == FAULT_CRASH, silent = trial->flags & FAULT_F_SILENT;
	uint64_t wanted = bytes_before(trial, i, c->message);
	const char *why = NULL;

	if (receipt->fired != 1)
		why = "did not fire";
	else if (reader->got != wanted)
		why = reader->got > wanted ? "the receiver read more" : "the receiver read less";
	else if (reader->corrupt || sender->corrupt)
		why = "bytes were wrong";
	else if (trial->pattern == PING_PONG && sender->got != bytes_before(trial, i, c->message + (uint32_t)c->reply))
		why = "the sender did not get what was for it";
	else if (crash && !killed(trial->moment == MOMENT_RECV ? reader : sender))
		why = "it was not killed";
	else if (trial->kind == FAULT_RESET && (reader->error != ECONNRESET || sender->error != ECONNRESET))
		why = "not both ends got ECONNRESET";
	/* one way only, the reader's own end is heard of */
	else if (trial->kind == FAULT_CUT && (reader->error || (sender->error && !(trial->flags & FAULT_F_ONEWAY))))
		why = "somebody was told";
	else if (crash && trial->moment == MOMENT_SEND && (silent ? reader->error : !reader->error))
		why = silent ? "the receiver was told" : "the receiver was not told";
	if (why)
		printf("# connection %zu, message %u of the %s: %s: read %llu of %llu, errors %d and %d (reader, "
		       "sender), sender read %llu\n",
		       i, c->message, c->reply ? "acceptor" : "connector", why, (unsigned long long)reader->got,
		       (unsigned long long)wanted, reader->error, sender->error, (unsigned long long)sender->got);
	return !why;
}

/* Returns how many were exact. */
static size_t trial_run(struct fault_world *fw, const struct trial *trial)
{
	size_t exact = 0;

	fault_world_open_as(fw, trial->elsewhere);
	trial_arm(fw, trial);
	programs_start(fw, trial);
	programs_finish(fw, trial, finish_when_over);
	for (size_t i = 0; i < trial->n; i++) {
		struct kernel_receipt receipt = { 0 };

		faults_receipt(fw->faults, (uint32_t)i + 1, &receipt);
		exact += (size_t)conversation_check(trial, &fw->conversations[i], i, &receipt);
	}
	fault_world_close(fw);
	return exact;
}

static const struct {
	const char *name;
	enum fault_kind kind;
	uint32_t flags;
	enum fault_moment_kind moment;
} kinds[] = {
	{ "cut", FAULT_CUT, 0, MOMENT_SEND },
	{ "cut oneway", FAULT_CUT, FAULT_F_ONEWAY, MOMENT_SEND },
	{ "reset", FAULT_RESET, 0, MOMENT_SEND },
	{ "crash before a send", FAULT_CRASH, 0, MOMENT_SEND },
	{ "crash before a send, silent", FAULT_CRASH, FAULT_F_SILENT, MOMENT_SEND },
	{ "crash after a receive", FAULT_CRASH, 0, MOMENT_RECV },
};

static const char *const patterns[] = { "ping-pong", "back to back" }, *const sizes[] = { "small", "mixed", "1 MB" };

static struct trial trial_of(size_t kind, int family, enum pattern pattern, enum sizes size, size_t n)
{
	return (struct trial){.kind = kinds[kind].kind,
			      .flags = kinds[kind].flags,
			      .moment = kinds[kind].moment,
			      .family = family,
			      .pattern = pattern,
			      .sizes = size,
			      .n = n};
}

static void exact_test(struct fault_world *fw, const struct trial *trial, const char *what)
{
	size_t exact = trial_run(fw, trial);
	char name[200];

	expect(fw->w, exact == trial->n);
	snprintf(name, sizeof(name), "%s: %zu of %zu exact", what, exact, trial->n);
	fw->w->n = 0; /* thousands of records tell nothing here */
	test_end(fw->w, name);
}

static void kind_test(struct fault_world *fw, size_t kind, bool lo, int family, enum pattern pattern, enum sizes size)
{
	struct trial trial = trial_of(kind, family, pattern, size, 2 * MESSAGES);
	char what[150];

	trial.lo = lo;
	snprintf(what, sizeof(what), "%s, %s, %s, %s messages %s", kinds[kind].name, lo ? "lo" : "veth",
		 family == AF_INET ? "IPv4" : "IPv6", sizes[size], patterns[pattern]);
	exact_test(fw, &trial, what);
}

/* The peer is not in a box of ours: packets are met where they leave. */
static void elsewhere_test(struct fault_world *fw, size_t kind, int family, enum pattern pattern, enum sizes size)
{
	struct trial trial = trial_of(kind, family, pattern, size, MESSAGES);
	char what[150];

	trial.elsewhere = true;
	snprintf(what, sizeof(what), "%s, the peer elsewhere, %s, %s messages %s", kinds[kind].name,
		 family == AF_INET ? "IPv4" : "IPv6", sizes[size], patterns[pattern]);
	exact_test(fw, &trial, what);
}

/* Where the TCP header is not where it usually is. */
static void options_test(struct fault_world *fw, size_t kind, enum pattern pattern)
{
	struct trial trial = trial_of(kind, AF_INET6, pattern, SMALL, MESSAGES);
	char what[150];

	trial.options = true;
	snprintf(what, sizeof(what), "%s, veth, IPv6 with options, %s", kinds[kind].name, patterns[pattern]);
	exact_test(fw, &trial, what);
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	bool soak = getenv("BOP_TEST_SOAK") != NULL;
	int status;

	if (!fault_world_new(&fw, &status))
		return status;
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++)
		for (int lo = 0; lo < 2; lo++)
			for (int six = 0; six < 2; six++)
				for (int pattern = 0; pattern < 2; pattern++)
					for (int size = 0; size < 3; size++) {
						/* a sample: each value with each kind, somewhere */
						if (soak || (lo == (int)(kind & 1) && six == pattern &&
							     size == (int)((kind + (size_t)pattern) % 3)))
							kind_test(&fw, kind, lo, six ? AF_INET6 : AF_INET, pattern,
								  size);
					}
	for (size_t kind = 0; kind < 5; kind++)
		for (int pattern = 0; pattern < 2; pattern++)
			for (int size = 0; size < 3; size++)
				if (soak || (pattern == (int)(kind & 1) && size == (int)((kind + 1) % 3)))
					elsewhere_test(&fw, kind, kind & 1 ? AF_INET6 : AF_INET, pattern, size);
	for (size_t kind = 0; kind < 4; kind++)
		options_test(&fw, kind, kind & 1 ? BACK_TO_BACK : PING_PONG);
	world_free(fw.w);
	return 0;
}
